#include "core/quant.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define X86 1
#endif

#include "core/quant_codes.h"

enum { BLOCK8 = ATOLL_QUANT_BLOCK8, BLOCK4 = ATOLL_QUANT_BLOCK4, STEP = ATOLL_QUANT_STEP, INPUTS = ATOLL_QUANT_INPUTS };

/* ---- portable kernels ---- */

static void gather(atoll_precision precision, const uint8_t *const *row, size_t at, const atoll_quant_factors *by,
                   float scale, float *out)
{
    int32_t sum[STEP] = {0};
    for (uint32_t r = 0; r < by->rows; r++)
        for (uint32_t j = 0; j < STEP; j++)
            sum[j] += (int)(by->k[r / 4 * by->lanes] >> 8 * (r % 4) & 255) *
                      atoll_quant_code(precision, row[r] + at, j);
    for (uint32_t j = 0; j < STEP; j++)
        out[j] = (float)sum[j] * scale;
}

static void gather8(const uint8_t *const *row, size_t at, const atoll_quant_factors *by, float scale, float *out)
{
    gather(ATOLL_PRECISION_Q8, row, at, by, scale, out);
}

static void gather4(const uint8_t *const *row, size_t at, const atoll_quant_factors *by, float scale, float *out)
{
    gather(ATOLL_PRECISION_Q4, row, at, by, scale, out);
}

/*
 * Integers within a block, floats over blocks; summed in 8 lanes that are added pairwise in the end, as the vector
 * kernels do: lane l of a step holds its elements 4 l .. 4 l + 3.
 */
static float dot(atoll_precision precision, uint32_t block, const uint8_t *codes, const uint8_t *scales,
                 const int8_t *x, uint32_t steps)
{
    float lane[8] = {0};
    for (uint32_t from = 0; from < steps * STEP; from += block, scales += 2) {
        uint32_t end = from + block < steps * STEP ? from + block : steps * STEP;
        uint16_t scale;
        memcpy(&scale, scales, sizeof scale);
        for (uint32_t l = 0; l < 8; l++) {
            int sum = 0;
            for (uint32_t i = from; i < end; i++)
                sum += i % STEP / 4 == l ? x[i] * atoll_quant_code(precision, codes, i) : 0;
            lane[l] = fmaf((float)sum, atoll_quant_scale_value(scale), lane[l]);
        }
    }
    for (int step = 4; step; step /= 2)
        for (int l = 0; l < step; l++)
            lane[l] += lane[l + step];
    return lane[0];
}

static float dot8(const uint8_t *codes, const uint8_t *scales, const int8_t *x, uint32_t steps)
{
    return dot(ATOLL_PRECISION_Q8, BLOCK8, codes, scales, x, steps);
}

static float dot4(const uint8_t *codes, const uint8_t *scales, const int8_t *x, uint32_t steps)
{
    return dot(ATOLL_PRECISION_Q4, BLOCK4, codes, scales, x, steps);
}

static void dots8(const uint8_t *codes, const uint8_t *scales, const int8_t *x, size_t stride, uint32_t steps,
                  float *out)
{
    for (uint32_t i = 0; i < INPUTS; i++)
        out[i] = dot8(codes, scales, x + i * stride, steps);
}

static void dots4(const uint8_t *codes, const uint8_t *scales, const int8_t *x, size_t stride, uint32_t steps,
                  float *out)
{
    for (uint32_t i = 0; i < INPUTS; i++)
        out[i] = dot4(codes, scales, x + i * stride, steps);
}

int atoll_quant_eight_code(const uint8_t *eight, uint32_t i, uint32_t output)
{
    return (eight[4 * output + i % 4] >> (i < 4 ? 0 : 4) & 15) - 8;
}

static void eights(const uint8_t *const *eight, size_t at, const int8_t *x, uint32_t count, int32_t *out)
{
    memset(out, 0, STEP * sizeof *out);
    for (uint32_t e = 0; e < count; e++)
        for (uint32_t j = 0; j < STEP; j++)
            for (uint32_t i = 0; i < 8; i++)
                out[j] += x[8 * e + i] * atoll_quant_eight_code(eight[e] + at, i, j);
}

/* ---- vector kernels ---- */

#ifdef X86

#define AVX2_TARGET "avx2,fma"
#define VNNI_TARGET "avx2,fma,avx512f,avx512vl,avx512bw,avx512vnni,avx512vbmi"
#define AVX2 __attribute__((target(AVX2_TARGET), always_inline)) static inline
#define VNNI __attribute__((target(VNNI_TARGET), always_inline)) static inline
#define ON_AVX2 __attribute__((target(AVX2_TARGET))) static
#define ON_VNNI __attribute__((target(VNNI_TARGET))) static

/* To each of eight sums the products of four bytes: `positive` are 0 to 127, `either` of both signs. */
AVX2 __m256i sum_fours_avx2(__m256i sum, __m256i positive, __m256i either)
{
    /* 127 * 127 * 2 fits 16 bits. */
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(positive, either), _mm256_set1_epi16(1)));
}

VNNI __m256i sum_fours_vnni(__m256i sum, __m256i positive, __m256i either)
{
    return _mm256_dpbusd_epi32(sum, positive, either);
}

AVX2 __m128i load16(const uint8_t *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

/* 32 codes as signed bytes. */
AVX2 __m256i codes8(const uint8_t *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

AVX2 __m256i codes4(const uint8_t *at)
{
    __m128i packed = load16(at), mask = _mm_set1_epi8(15);
    __m128i even = _mm_and_si128(packed, mask), odd = _mm_and_si128(_mm_srli_epi16(packed, 4), mask);
    __m256i codes = _mm256_set_m128i(_mm_unpackhi_epi8(even, odd), _mm_unpacklo_epi8(even, odd));
    return _mm256_sub_epi8(codes, _mm256_set1_epi8(8));
}

/* sum[m] holds columns 4 m .. 4 m + 3 in its lower half and 16 + 4 m .. in its upper. */
AVX2 void put_columns(const __m256i *sum, float scale, float *out)
{
    for (int m = 0; m < 4; m++) {
        __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[m]), _mm256_set1_ps(scale));
        _mm_storeu_ps(out + 4 * m, _mm256_castps256_ps128(value));
        _mm_storeu_ps(out + 16 + 4 * m, _mm256_extractf128_ps(value, 1));
    }
}

#define GATHER_AVX2(name, codes)                                                                                     \
    ON_AVX2 void name(const uint8_t *const *row, size_t at, const atoll_quant_factors *by, float scale,              \
                      float *out)                                                                                    \
    {                                                                                                                \
        __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),                    \
                          _mm256_setzero_si256()};                                                                   \
        for (uint32_t r = 0; r < by->rows; r += 4) {                                                                 \
            __m256i a = codes(row[r] + at), b = codes(row[r + 1] + at), c = codes(row[r + 2] + at),                  \
                    d = codes(row[r + 3] + at), four = _mm256_set1_epi32((int)by->k[r / 4 * by->lanes]);             \
            __m256i ab0 = _mm256_unpacklo_epi8(a, b), ab1 = _mm256_unpackhi_epi8(a, b);                              \
            __m256i cd0 = _mm256_unpacklo_epi8(c, d), cd1 = _mm256_unpackhi_epi8(c, d);                              \
            sum[0] = sum_fours_avx2(sum[0], four, _mm256_unpacklo_epi16(ab0, cd0));                                  \
            sum[1] = sum_fours_avx2(sum[1], four, _mm256_unpackhi_epi16(ab0, cd0));                                  \
            sum[2] = sum_fours_avx2(sum[2], four, _mm256_unpacklo_epi16(ab1, cd1));                                  \
            sum[3] = sum_fours_avx2(sum[3], four, _mm256_unpackhi_epi16(ab1, cd1));                                  \
        }                                                                                                            \
        put_columns(sum, scale, out);                                                                                \
    }

/* Two registers of codes, of which one permutation makes the bytes of four rows by column. */
typedef struct quad {
    __m512i first, second;
} quad;

/* Rows 0 and 1, rows 2 and 3. */
VNNI quad quad8(const uint8_t *const *row, size_t at)
{
    __m512i ab = _mm512_castsi256_si512(codes8(row[0] + at)), cd = _mm512_castsi256_si512(codes8(row[2] + at));
    return (quad){_mm512_inserti64x4(ab, codes8(row[1] + at), 1), _mm512_inserti64x4(cd, codes8(row[3] + at), 1)};
}

/* The even columns of rows 0 to 3, their odd columns. */
VNNI quad quad4(const uint8_t *const *row, size_t at)
{
    __m512i packed = _mm512_castsi128_si512(load16(row[0] + at)), mask = _mm512_set1_epi8(15);
    packed = _mm512_inserti32x4(packed, load16(row[1] + at), 1);
    packed = _mm512_inserti32x4(packed, load16(row[2] + at), 2);
    packed = _mm512_inserti32x4(packed, load16(row[3] + at), 3);
    __m512i even = _mm512_and_si512(packed, mask), odd = _mm512_and_si512(_mm512_srli_epi16(packed, 4), mask);
    return (quad){_mm512_sub_epi8(even, _mm512_set1_epi8(8)), _mm512_sub_epi8(odd, _mm512_set1_epi8(8))};
}

/* Where the code of a column is in a quad, for rows 0 to 3 in one word. */
#define PLACES8(column) (0x60402000u + 0x01010101u * (column))
#define PLACES4(column) (0x30201000u + 0x01010101u * ((column) / 2 + (column) % 2 * 64))
#define PLACES16(of, from)                                                                                           \
    _mm512_setr_epi32((int)of((from)), (int)of((from) + 1), (int)of((from) + 2), (int)of((from) + 3),                \
                      (int)of((from) + 4), (int)of((from) + 5), (int)of((from) + 6), (int)of((from) + 7),            \
                      (int)of((from) + 8), (int)of((from) + 9), (int)of((from) + 10), (int)of((from) + 11),          \
                      (int)of((from) + 12), (int)of((from) + 13), (int)of((from) + 14), (int)of((from) + 15))

#define GATHER_VNNI(name, quad_of, places)                                                                           \
    ON_VNNI void name(const uint8_t *const *row, size_t at, const atoll_quant_factors *by, float scale,              \
                      float *out)                                                                                    \
    {                                                                                                                \
        const __m512i low = PLACES16(places, 0), high = PLACES16(places, 16);                                        \
        __m512i sum0 = _mm512_setzero_si512(), sum1 = sum0;                                                          \
        for (uint32_t r = 0; r < by->rows; r += 4) {                                                                 \
            quad q = quad_of(row + r, at);                                                                           \
            __m512i four = _mm512_set1_epi32((int)by->k[r / 4 * by->lanes]);                                         \
            sum0 = _mm512_dpbusd_epi32(sum0, four, _mm512_permutex2var_epi8(q.first, low, q.second));                \
            sum1 = _mm512_dpbusd_epi32(sum1, four, _mm512_permutex2var_epi8(q.first, high, q.second));               \
        }                                                                                                            \
        _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_cvtepi32_ps(sum0), _mm512_set1_ps(scale)));                       \
        _mm512_storeu_ps(out + 16, _mm512_mul_ps(_mm512_cvtepi32_ps(sum1), _mm512_set1_ps(scale)));                  \
    }

/* The eight of them, added pairwise. */
AVX2 float sum_lanes(__m256 lanes)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

/* The sign of x goes over to the codes, so that one factor is unsigned; codes are never -128. */
#define DOT(name, isa, codes_of, bytes, block, sum_fours)                                                            \
    isa float name(const uint8_t *codes, const uint8_t *scales, const int8_t *x, uint32_t steps)                     \
    {                                                                                                                \
        __m256 total = _mm256_setzero_ps();                                                                          \
        for (uint32_t from = 0; from < steps; from += (block) / STEP, scales += 2) {                                 \
            uint32_t end = from + (block) / STEP < steps ? from + (block) / STEP : steps;                            \
            __m256i sums = _mm256_setzero_si256();                                                                   \
            uint16_t scale;                                                                                          \
            memcpy(&scale, scales, sizeof scale);                                                                    \
            for (uint32_t s = from; s < end; s++) {                                                                  \
                __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(x + s * STEP));                       \
                __m256i signs = _mm256_sign_epi8(codes_of(codes + s * (bytes)), v);                                  \
                sums = sum_fours(sums, _mm256_abs_epi8(v), signs);                                                   \
            }                                                                                                        \
            total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), _mm256_set1_ps(atoll_quant_scale_value(scale)),        \
                                    total);                                                                          \
        }                                                                                                            \
        return sum_lanes(total);                                                                                     \
    }

#define DOTS(name, isa, codes_of, bytes, block, sum_fours)                                                           \
    isa void name(const uint8_t *codes, const uint8_t *scales, const int8_t *x, size_t stride, uint32_t steps,       \
                  float *out)                                                                                        \
    {                                                                                                                \
        __m256 total[INPUTS] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()}; \
        for (uint32_t from = 0; from < steps; from += (block) / STEP, scales += 2) {                                 \
            uint32_t end = from + (block) / STEP < steps ? from + (block) / STEP : steps;                            \
            const __m256i none = _mm256_setzero_si256();                                                             \
            __m256i sums[INPUTS] = {none, none, none, none};                                                         \
            uint16_t scale;                                                                                          \
            memcpy(&scale, scales, sizeof scale);                                                                    \
            for (uint32_t s = from; s < end; s++) {                                                                  \
                __m256i row = codes_of(codes + s * (bytes));                                                         \
                for (int i = 0; i < INPUTS; i++) {                                                                   \
                    __m256i v = codes8((const uint8_t *)x + i * stride + s * STEP);                                  \
                    sums[i] = sum_fours(sums[i], _mm256_abs_epi8(v), _mm256_sign_epi8(row, v));                      \
                }                                                                                                    \
            }                                                                                                        \
            for (int i = 0; i < INPUTS; i++)                                                                         \
                total[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[i]),                                              \
                                           _mm256_set1_ps(atoll_quant_scale_value(scale)), total[i]);                \
        }                                                                                                            \
        for (int i = 0; i < INPUTS; i++)                                                                             \
            out[i] = sum_lanes(total[i]);                                                                            \
    }

/* The four inputs from i on, for every output. */
AVX2 int four_inputs(const int8_t *x, uint32_t i)
{
    int four;
    memcpy(&four, x + i, sizeof four);
    return four;
}

/* Codes are stored with 8 added to them, which is taken off again: 8 for each input. */
static int32_t added(const int8_t *x, uint32_t inputs)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < inputs; i++)
        sum += x[i];
    return 8 * sum;
}

ON_AVX2 void eights_avx2(const uint8_t *const *eight, size_t at, const int8_t *x, uint32_t eights, int32_t *out)
{
    enum { VECTORS = STEP / 8 };
    const __m256i mask = _mm256_set1_epi8(15);
    __m256i sum[VECTORS];
    for (int v = 0; v < VECTORS; v++)
        sum[v] = _mm256_set1_epi32(-added(x, 8 * eights));
    for (uint32_t e = 0; e < eights; e++) {
        __m256i low = _mm256_set1_epi32(four_inputs(x, 8 * e)), high = _mm256_set1_epi32(four_inputs(x, 8 * e + 4));
        for (int v = 0; v < VECTORS; v++) {
            __m256i packed = codes8(eight[e] + at + 32 * v);
            sum[v] = sum_fours_avx2(sum[v], _mm256_and_si256(packed, mask), low);
            sum[v] = sum_fours_avx2(sum[v], _mm256_and_si256(_mm256_srli_epi16(packed, 4), mask), high);
        }
    }
    for (int v = 0; v < VECTORS; v++)
        _mm256_storeu_si256((__m256i *)(void *)(out + 8 * v), sum[v]);
}

/* Eight sums at once, for each of them waits for the one before. */
ON_VNNI void eights_vnni(const uint8_t *const *eight, size_t at, const int8_t *x, uint32_t eights, int32_t *out)
{
    enum { VECTORS = STEP / 16 };
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i sum[2][2][VECTORS];
    for (int v = 0; v < VECTORS; v++) {
        sum[0][0][v] = _mm512_set1_epi32(-added(x, 8 * eights));
        sum[0][1][v] = sum[1][0][v] = sum[1][1][v] = _mm512_setzero_si512();
    }
    for (uint32_t e = 0; e < eights; e += 2)
        for (int k = 0; k < 2; k++) {
            __m512i low = _mm512_set1_epi32(four_inputs(x, 8 * (e + k)));
            __m512i high = _mm512_set1_epi32(four_inputs(x, 8 * (e + k) + 4));
            for (int v = 0; v < VECTORS; v++) {
                __m512i packed = _mm512_loadu_si512(eight[e + k] + at + 64 * v);
                sum[k][0][v] = _mm512_dpbusd_epi32(sum[k][0][v], _mm512_and_si512(packed, mask), low);
                packed = _mm512_and_si512(_mm512_srli_epi16(packed, 4), mask);
                sum[k][1][v] = _mm512_dpbusd_epi32(sum[k][1][v], packed, high);
            }
        }
    for (int v = 0; v < VECTORS; v++) {
        __m512i even = _mm512_add_epi32(sum[0][0][v], sum[0][1][v]), odd = _mm512_add_epi32(sum[1][0][v], sum[1][1][v]);
        _mm512_storeu_si512(out + 16 * v, _mm512_add_epi32(even, odd));
    }
}

GATHER_AVX2(gather8_avx2, codes8)
GATHER_AVX2(gather4_avx2, codes4)
GATHER_VNNI(gather8_vnni, quad8, PLACES8)
GATHER_VNNI(gather4_vnni, quad4, PLACES4)
DOT(dot8_avx2, ON_AVX2, codes8, STEP, BLOCK8, sum_fours_avx2)
DOT(dot4_avx2, ON_AVX2, codes4, STEP / 2, BLOCK4, sum_fours_avx2)
DOT(dot8_vnni, ON_VNNI, codes8, STEP, BLOCK8, sum_fours_vnni)
DOT(dot4_vnni, ON_VNNI, codes4, STEP / 2, BLOCK4, sum_fours_vnni)
DOTS(dots8_avx2, ON_AVX2, codes8, STEP, BLOCK8, sum_fours_avx2)
DOTS(dots4_avx2, ON_AVX2, codes4, STEP / 2, BLOCK4, sum_fours_avx2)
DOTS(dots8_vnni, ON_VNNI, codes8, STEP, BLOCK8, sum_fours_vnni)
DOTS(dots4_vnni, ON_VNNI, codes4, STEP / 2, BLOCK4, sum_fours_vnni)

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_vnni(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("avx512vbmi");
}

#endif

static bool always(void)
{
    return true;
}

static const struct {
    bool (*here)(void);
    atoll_quant_kernels kernels;
} sets[] = {
#ifdef X86
    {has_vnni, {"avx512-vnni", gather8_vnni, gather4_vnni, dot8_vnni, dot4_vnni, dots8_vnni, dots4_vnni,
                eights_vnni}},
    {has_avx2, {"avx2", gather8_avx2, gather4_avx2, dot8_avx2, dot4_avx2, dots8_avx2, dots4_avx2, eights_avx2}},
#endif
    {always, {"portable", gather8, gather4, dot8, dot4, dots8, dots4, eights}},
};

enum { SETS = sizeof sets / sizeof *sets };

const atoll_quant_kernels *atoll_quant_nth(uint32_t n)
{
    for (int i = 0; i < SETS; i++)
        if (sets[i].here() && n-- == 0)
            return &sets[i].kernels;
    return NULL;
}

const atoll_quant_kernels *atoll_quant_best(void)
{
    return atoll_quant_nth(0);
}
