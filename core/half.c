#include "core/half.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define X86 1
#endif

uint16_t atoll_half_round(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) /* NaN: its upper fraction bits, quiet */
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x47800000u) /* 2^16 and more, infinity included */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude >= 0x38800000u) { /* normal as a half; a carry out of the fraction rightly raises the exponent */
        uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
        return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
    }
    if (magnitude < 0x33000000u) /* below half of the smallest subnormal, 2^-24 */
        return (uint16_t)sign;
    /* Subnormal: the fraction with its hidden bit in units of 2^-24. */
    uint32_t fraction = (magnitude & 0x7fffffu) | 0x800000u, shift = 126 - (magnitude >> 23);
    uint32_t kept = fraction >> shift, rest = fraction & ((1u << shift) - 1), middle = 1u << (shift - 1);
    return (uint16_t)(sign | (kept + (rest > middle || (rest == middle && (kept & 1u)))));
}

float atoll_half_value(uint16_t half)
{
    uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31u, fraction = half & 0x3ffu, bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000u | (fraction ? 0x400000u | fraction << 13 : 0);
    } else if (exponent) {
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    } else {
        float magnitude = (float)fraction * 0x1p-24f;
        memcpy(&bits, &magnitude, sizeof bits);
        bits |= sign;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

enum { LANES = 32, TOGETHER = 4 }; /* queries that a row is converted for once */

#ifdef X86
__attribute__((target("avx2,f16c"))) static size_t from_float_f16c(const float *from, uint16_t *to, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)(to + i), half);
    }
    return i;
}

__attribute__((target("avx2,f16c"))) static size_t to_float_f16c(const uint16_t *from, float *to, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m128i half = _mm_loadu_si128((const __m128i *)(const void *)(from + i));
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(half));
    }
    return i;
}

/* The last four lanes: upper half to lower. */
static inline float fold(__m128 lane)
{
    __m128 two = _mm_add_ps(lane, _mm_movehl_ps(lane, lane));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/*
 * Whole rounds of LANES elements of one row with `queries` arrays of values, which are `count` apart. Product and sum
 * are rounded apart, as in portable code, so no fused multiply-add.
 */
__attribute__((target("avx2,f16c"), always_inline)) static inline void
dots_256(const uint16_t *half, const float *value, const int queries, size_t count, float *dot)
{
    __m256 sum[TOGETHER][LANES / 8];
    for (int q = 0; q < queries; q++)
        for (int k = 0; k < LANES / 8; k++)
            sum[q][k] = _mm256_setzero_ps();
    for (size_t i = 0; i + LANES <= count; i += LANES)
        for (int k = 0; k < LANES / 8; k++) {
            __m256 x = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(half + i + 8 * k)));
            for (int q = 0; q < queries; q++) {
                __m256 y = _mm256_loadu_ps(value + (size_t)q * count + i + 8 * k);
                sum[q][k] = _mm256_add_ps(sum[q][k], _mm256_mul_ps(x, y));
            }
        }
    for (int q = 0; q < queries; q++) {
        __m256 all = _mm256_add_ps(_mm256_add_ps(sum[q][0], sum[q][2]), _mm256_add_ps(sum[q][1], sum[q][3]));
        dot[q] = fold(_mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
    }
}

/* The same, 16 lanes in a register. */
__attribute__((target("avx512f"), always_inline)) static inline void
dots_512(const uint16_t *half, const float *value, const int queries, size_t count, float *dot)
{
    __m512 low[TOGETHER], high[TOGETHER];
    for (int q = 0; q < queries; q++)
        low[q] = high[q] = _mm512_setzero_ps();
    for (size_t i = 0; i + LANES <= count; i += LANES) {
        __m512 x = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(half + i)));
        __m512 y = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(half + i + 16)));
        for (int q = 0; q < queries; q++) {
            const float *at = value + (size_t)q * count + i;
            low[q] = _mm512_add_ps(low[q], _mm512_mul_ps(x, _mm512_loadu_ps(at)));
            high[q] = _mm512_add_ps(high[q], _mm512_mul_ps(y, _mm512_loadu_ps(at + 16)));
        }
    }
    for (int q = 0; q < queries; q++) {
        __m512 all = _mm512_add_ps(low[q], high[q]);
        __m256 upper = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(all), 1));
        __m256 both = _mm256_add_ps(_mm512_castps512_ps256(all), upper);
        dot[q] = fold(_mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1)));
    }
}

/* All rows with all queries, `count` a multiple of LANES. */
#define ALL(name, arch, dots)                                                                                        \
    __attribute__((target(arch))) static void name(const uint16_t *half, size_t rows, const float *value,            \
                                                   size_t queries, size_t count, float *dot)                         \
    {                                                                                                                \
        for (size_t r = 0; r < rows; r++, half += count, dot += queries) {                                           \
            size_t q = 0;                                                                                            \
            for (; q + TOGETHER <= queries; q += TOGETHER)                                                           \
                dots(half, value + q * count, TOGETHER, count, dot + q);                                             \
            for (; q < queries; q++)                                                                                 \
                dots(half, value + q * count, 1, count, dot + q);                                                    \
        }                                                                                                            \
    }

ALL(all_f16c, "avx2,f16c", dots_256)
ALL(all_avx512, "avx512f", dots_512)

static bool has_f16c(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
}
#endif

void atoll_half_from_float(const float *from, uint16_t *to, size_t count)
{
    size_t i = 0;
#ifdef X86
    if (has_f16c())
        i = from_float_f16c(from, to, count);
#endif
    for (; i < count; i++)
        to[i] = atoll_half_round(from[i]);
}

void atoll_half_to_float(const uint16_t *from, float *to, size_t count)
{
    size_t i = 0;
#ifdef X86
    if (has_f16c())
        i = to_float_f16c(from, to, count);
#endif
    for (; i < count; i++)
        to[i] = atoll_half_value(from[i]);
}

static float dot_portable(const uint16_t *half, const float *value, size_t count)
{
    float lane[LANES] = {0};
    for (size_t i = 0; i < count; i++)
        lane[i % LANES] += atoll_half_value(half[i]) * value[i];
    for (int width = LANES / 2; width; width /= 2)
        for (int k = 0; k < width; k++)
            lane[k] += lane[k + width];
    return lane[0];
}

static void all_portable(const uint16_t *half, size_t rows, const float *value, size_t queries, size_t count,
                         float *dot)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < queries; q++)
            dot[r * queries + q] = dot_portable(half + r * count, value + q * count, count);
}

atoll_half_kernel atoll_half_nth(uint32_t n)
{
#ifdef X86
    if (__builtin_cpu_supports("avx512f") && n-- == 0)
        return all_avx512;
    if (has_f16c() && n-- == 0)
        return all_f16c;
#endif
    return n == 0 ? all_portable : NULL;
}

void atoll_half_dots(const uint16_t *half, size_t rows, const float *value, size_t queries, size_t count, float *dot)
{
    atoll_half_kernel kernel = count % LANES ? all_portable : atoll_half_nth(0);
    kernel(half, rows, value, queries, count, dot);
}

float atoll_half_dot(const uint16_t *half, const float *value, size_t count)
{
    float dot;
    atoll_half_dots(half, 1, value, 1, count, &dot);
    return dot;
}
