#include "core/half.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define HALF_F16C 1
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

enum { LANES = 32 };

#ifdef HALF_F16C
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

/* Whole rounds of LANES elements; product and sum are rounded apart, as in portable code, so no fused multiply-add. */
__attribute__((target("avx2,f16c"))) static size_t dot_f16c(const uint16_t *half, const float *value, size_t count,
                                                            float *lane)
{
    __m256 sum[LANES / 8];
    for (int k = 0; k < LANES / 8; k++)
        sum[k] = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int k = 0; k < LANES / 8; k++) {
            const uint16_t *at = half + i + 8 * k;
            __m256 x = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)at));
            sum[k] = _mm256_add_ps(sum[k], _mm256_mul_ps(x, _mm256_loadu_ps(value + i + 8 * k)));
        }
    }
    for (int k = 0; k < LANES / 8; k++)
        _mm256_storeu_ps(lane + 8 * k, sum[k]);
    return i;
}

static int has_f16c(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
}
#endif

void atoll_half_from_float(const float *from, uint16_t *to, size_t count)
{
    size_t i = 0;
#ifdef HALF_F16C
    if (has_f16c())
        i = from_float_f16c(from, to, count);
#endif
    for (; i < count; i++)
        to[i] = atoll_half_round(from[i]);
}

void atoll_half_to_float(const uint16_t *from, float *to, size_t count)
{
    size_t i = 0;
#ifdef HALF_F16C
    if (has_f16c())
        i = to_float_f16c(from, to, count);
#endif
    for (; i < count; i++)
        to[i] = atoll_half_value(from[i]);
}

float atoll_half_dot(const uint16_t *half, const float *value, size_t count)
{
    float lane[LANES] = {0};
    size_t i = 0;
#ifdef HALF_F16C
    if (has_f16c())
        i = dot_f16c(half, value, count, lane);
#endif
    for (; i < count; i++)
        lane[i % LANES] += atoll_half_value(half[i]) * value[i];
    for (int width = LANES / 2; width; width /= 2)
        for (int k = 0; k < width; k++)
            lane[k] += lane[k + width];
    return lane[0];
}
