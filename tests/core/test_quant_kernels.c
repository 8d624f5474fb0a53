#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/quant.h"
#include "core/rng.h"

/* All kernels that the processor has give what the portable ones give, at any address and with the largest codes. */
static void kernels_agree_bit_for_bit(void **state)
{
    (void)state;
    atoll_rng rng;
    enum { ROWS_MOST = 150, STEP = ATOLL_QUANT_STEP, STEPS = 7, LANES_MOST = 3 };
    atoll_rng_seed(&rng, 2, 0);
    static uint8_t codes[ROWS_MOST + 2][STEPS * STEP + ATOLL_QUANT_SLACK];
    const atoll_quant_kernels *plain = NULL, *kernels;
    for (uint32_t n = 0; (kernels = atoll_quant_nth(n)); n++)
        plain = kernels;
    assert_string_equal(plain->name, "portable");
    assert_ptr_equal(atoll_quant_best(), atoll_quant_nth(0));
    for (int trial = 0; trial < 200; trial++) {
        const uint8_t *row[ROWS_MOST + 2];
        uint32_t k[(ROWS_MOST / 4 + 1) * LANES_MOST];
        uint32_t rows = 4 * (atoll_rng_below(&rng, 38)), steps = 1 + atoll_rng_below(&rng, STEPS);
        bool extreme = trial % 4 == 0;
        for (uint32_t r = 0; r < rows; r++) {
            for (uint32_t i = 0; i < sizeof *codes; i++) {
                uint8_t code = (uint8_t)atoll_rng_below(&rng, 256);
                codes[r][i] = extreme ? 0x81 + (trial % 8 == 0) * 0xfe : code == 0x80 ? 1 : code;
            }
            row[r] = codes[r] + r % 5;
        }
        atoll_quant_factors by = {k, 1 + atoll_rng_below(&rng, LANES_MOST), rows};
        for (uint32_t i = 0; i < rows; i += 4)
            k[i / 4 * by.lanes] = extreme ? 0x7f7f7f7f : (uint32_t)atoll_rng_next(&rng) & 0x7f7f7f7f;
        for (uint32_t n = 0; (kernels = atoll_quant_nth(n)) != plain; n++) {
            float want[STEP], got[STEP], scale = atoll_rng_uniform(&rng);
            plain->gather8(row, 7, &by, scale, want);
            kernels->gather8(row, 7, &by, scale, got);
            assert_memory_equal(got, want, sizeof want);
            plain->gather4(row, 3, &by, scale, want);
            kernels->gather4(row, 3, &by, scale, got);
            assert_memory_equal(got, want, sizeof want);
            int8_t x[STEPS * STEP];
            for (uint32_t i = 0; i < sizeof x; i++)
                x[i] = (int8_t)(extreme ? 127 : (int)atoll_rng_below(&rng, 255) - 127);
            const uint8_t scales[2 * STEPS] = {0x12, 0x3c, 0x80, 0x3f, 0x17, 0x3d, 0,
                                               0,    0x80, 0x3f, 0x12, 0x3e, 0x12, 0x3c};
            float a = plain->dot8(codes[0] + 1, scales, x, steps), b = kernels->dot8(codes[0] + 1, scales, x, steps);
            assert_memory_equal(&a, &b, sizeof a);
            a = plain->dot4(codes[0] + 1, scales, x, steps);
            b = kernels->dot4(codes[0] + 1, scales, x, steps);
            assert_memory_equal(&a, &b, sizeof a);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_agree_bit_for_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
