/*
 * Continual learning measured: each case over several orders, the mixture beside what is left of it when one part is
 * taken away. `./run bench continual` builds it first.
 */
#include "bench/continual/suite.h"

int main(int argc, char **argv)
{
    static const suite_variant variants[] = {
        SUITE_MIXTURE,
        SUITE_DENSE,
        {"random gate", "{\"routing\":{\"gate\":\"random\"}}", SUITE_NO_SIZE, false, NULL, "experts drawn by lot"},
        {"oracle gate", "{\"routing\":{\"gate\":\"domain\"}}", SUITE_NO_SIZE, true, NULL,
         "each record names its domain"},
        {"no retrieval", "{\"retrieval\":{\"neighbours\":0}}", SUITE_NO_SIZE, false, NULL,
         "no neighbours: no votes, no context"},
        {"no replay", "{\"memory\":{\"replays\":0}}", SUITE_NO_SIZE, false, NULL,
         "no remembered record is learned again"},
    };
    static const suite continual = {.name = "continual", .out = "bench/continual.json", .variants = variants,
                                    .variant_count = sizeof variants / sizeof *variants};
    return suite_main(&continual, argc, argv);
}
