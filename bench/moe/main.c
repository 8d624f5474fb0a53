/*
 * A mixture against what it competes with, on the same streams with the same replay: dense models of its active and of
 * its total size, and low-rank adapters on a shared base. Accuracy, rates, latency, sizes. `./run bench moe` builds it
 * first.
 */
#include "bench/continual/suite.h"
#include "bench/moe/adapters.h"

int main(int argc, char **argv)
{
    static const suite_variant variants[] = {
        SUITE_MIXTURE,
        SUITE_DENSE,
        {"adapters", "{}", SUITE_NO_SIZE, false, &adapters,
         "a low-rank adapter on the shared expert in the place of each expert"},
    };
    static const char *const cases[] = {"agreeing", "contrary", "clinc-class", "clinc-shared", "fashion-split", NULL};
    static const suite moe = {.name = "moe", .out = "bench/moe.json", .cases = cases, .variants = variants,
                              .variant_count = sizeof variants / sizeof *variants, .timed = true};
    return suite_main(&moe, argc, argv);
}
