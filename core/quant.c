#include "core/quant.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define X86 1
#endif

enum { BLOCK = ATOLL_QUANT_BLOCK, LANES = ATOLL_QUANT_LANES, FACTOR_MOST = 127, INPUT_MOST = 127 };

static const float least = 1e-30f; /* a block of nothing larger is stored as zeros: its scale has no inverse */

static float larger(float a, float b)
{
    return a > b ? a : b;
}

static int most_of(atoll_precision precision)
{
    return precision == ATOLL_PRECISION_Q8 ? 127 : 7;
}

static uint32_t code_bytes(atoll_precision precision, uint32_t count)
{
    return precision == ATOLL_PRECISION_Q8 ? count : count / 2;
}

/* ---- rows ---- */

atoll_quant_shape atoll_quant_shape_of(atoll_precision precision, uint32_t first, uint32_t second)
{
    atoll_quant_shape s = {.precision = precision, .count = {first, second}};
    for (int i = 0; i < 2; i++)
        s.blocks[i] = (s.count[i] + BLOCK - 1) / BLOCK;
    s.codes_at = code_bytes(precision, first);
    s.scales_at = s.codes_at + code_bytes(precision, second);
    s.bytes = s.scales_at + (s.blocks[0] + s.blocks[1]) * (uint32_t)sizeof(uint16_t);
    return s;
}

static float scale_value(uint16_t scale)
{
    union {
        uint32_t bits;
        float value;
    } u = {.bits = (uint32_t)scale << 16};
    return u.value;
}

/* The least bfloat16 that is not below. */
static uint16_t scale_above(float value)
{
    union {
        float value;
        uint32_t bits;
    } u = {.value = value};
    return (uint16_t)((u.bits + 0xffffu) >> 16);
}

static uint16_t scale_at(const atoll_quant_shape *shape, const void *row, uint32_t section, uint32_t block)
{
    uint16_t scale;
    memcpy(&scale, (const uint8_t *)row + shape->scales_at + 2 * ((section ? shape->blocks[0] : 0) + block), 2);
    return scale;
}

/* One block of at most BLOCK weights, an even number; returns its scale. */
static uint16_t round_block(atoll_precision precision, const float *w, uint32_t count, uint8_t *codes)
{
    float most = 0;
    int8_t code[BLOCK];
    for (uint32_t i = 0; i < count; i++)
        most = larger(most, fabsf(w[i]));
    uint16_t scale = most > least ? scale_above(most / (float)most_of(precision)) : 0;
    float inverse = scale ? 1 / scale_value(scale) : 0;
    for (uint32_t i = 0; i < count; i++)
        code[i] = (int8_t)(int)(w[i] * inverse + (w[i] < 0 ? -0.5f : 0.5f));
    if (precision == ATOLL_PRECISION_Q8) {
        memcpy(codes, code, count);
        return scale;
    }
    for (uint32_t i = 0; i < count; i += 2)
        codes[i / 2] = (uint8_t)((code[i] + 8) | (code[i + 1] + 8) << 4);
    return scale;
}

void atoll_quant_round(const atoll_quant_shape *shape, void *row, uint32_t section, const float *w)
{
    uint8_t *codes = (uint8_t *)row + (section ? shape->codes_at : 0);
    uint8_t *scales = (uint8_t *)row + shape->scales_at + (section ? 2 * shape->blocks[0] : 0);
    for (uint32_t b = 0; b < shape->blocks[section]; b++) {
        uint32_t left = shape->count[section] - b * BLOCK, count = left < BLOCK ? left : BLOCK;
        uint16_t scale = round_block(shape->precision, w + b * BLOCK, count,
                                     codes + code_bytes(shape->precision, b * BLOCK));
        memcpy(scales + 2 * b, &scale, sizeof scale);
    }
}

/* Code i of those that begin at `codes`. */
static int code_at(atoll_precision precision, const uint8_t *codes, uint32_t i)
{
    if (precision == ATOLL_PRECISION_Q8)
        return (int8_t)codes[i];
    return (codes[i / 2] >> (i % 2 ? 4 : 0) & 15) - 8;
}

float atoll_quant_value(const atoll_quant_shape *shape, const void *row, uint32_t section, uint32_t i)
{
    const uint8_t *codes = (const uint8_t *)row + (section ? shape->codes_at : 0);
    return scale_value(scale_at(shape, row, section, i / BLOCK)) * (float)code_at(shape->precision, codes, i);
}

/* ---- portable kernels ---- */

static void gather(atoll_precision precision, const uint8_t *const *row, size_t at, const uint32_t *factor,
                   uint32_t rows, int32_t *out)
{
    memset(out, 0, BLOCK * sizeof *out);
    for (uint32_t r = 0; r < rows; r++) {
        int k = factor[r / 4 * LANES] >> 8 * (r % 4) & 255;
        for (uint32_t j = 0; j < BLOCK; j++)
            out[j] += k * code_at(precision, row[r] + at, j);
    }
}

static void gather8(const uint8_t *const *row, size_t at, const uint32_t *factor, uint32_t rows, int32_t *out)
{
    gather(ATOLL_PRECISION_Q8, row, at, factor, rows, out);
}

static void gather4(const uint8_t *const *row, size_t at, const uint32_t *factor, uint32_t rows, int32_t *out)
{
    gather(ATOLL_PRECISION_Q4, row, at, factor, rows, out);
}

/*
 * Integers within a block, floats over blocks; summed in 8 lanes that are added pairwise in the end, as the vector
 * kernels do: lane l of a block holds its elements 4 l .. 4 l + 3.
 */
static float dot(atoll_precision precision, const uint8_t *codes, const uint8_t *scales, const int8_t *x,
                 uint32_t blocks)
{
    float lane[8] = {0};
    for (uint32_t b = 0; b < blocks; b++) {
        uint16_t scale;
        memcpy(&scale, scales + 2 * b, sizeof scale);
        for (uint32_t l = 0; l < 8; l++) {
            int sum = 0;
            for (uint32_t i = 4 * l; i < 4 * l + 4; i++)
                sum += x[b * BLOCK + i] * code_at(precision, codes + code_bytes(precision, b * BLOCK), i);
            lane[l] = fmaf((float)sum, scale_value(scale), lane[l]);
        }
    }
    for (int step = 4; step; step /= 2)
        for (int l = 0; l < step; l++)
            lane[l] += lane[l + step];
    return lane[0];
}

static float dot8(const uint8_t *codes, const uint8_t *scales, const int8_t *x, uint32_t blocks)
{
    return dot(ATOLL_PRECISION_Q8, codes, scales, x, blocks);
}

static float dot4(const uint8_t *codes, const uint8_t *scales, const int8_t *x, uint32_t blocks)
{
    return dot(ATOLL_PRECISION_Q4, codes, scales, x, blocks);
}

/* ---- vector kernels ---- */

#ifdef X86

/* A kernel is one text for both instruction sets; they differ in how products of bytes are summed by fours. */
#define AVX2 __attribute__((target("avx2,fma"), always_inline)) static inline
#define VNNI __attribute__((target("avx2,fma,avx512f,avx512vl,avx512bw,avx512vnni"), always_inline)) static inline

AVX2 __m256i sum_fours_avx2(__m256i sum, __m256i small, __m256i sign)
{
    /* 127 * 127 * 2 fits 16 bits. */
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(small, sign), _mm256_set1_epi16(1)));
}

VNNI __m256i sum_fours_vnni(__m256i sum, __m256i small, __m256i sign)
{
    return _mm256_dpbusd_epi32(sum, small, sign);
}

/* 32 codes as signed bytes. */
AVX2 __m256i codes8(const uint8_t *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

AVX2 __m256i codes4(const uint8_t *at)
{
    __m128i packed = _mm_loadu_si128((const __m128i *)(const void *)at), mask = _mm_set1_epi8(15);
    __m128i even = _mm_and_si128(packed, mask), odd = _mm_and_si128(_mm_srli_epi16(packed, 4), mask);
    __m256i codes = _mm256_set_m128i(_mm_unpackhi_epi8(even, odd), _mm_unpacklo_epi8(even, odd));
    return _mm256_sub_epi8(codes, _mm256_set1_epi8(8));
}

/* sum[m] holds columns 4 m .. 4 m + 3 in its lower half and 16 + 4 m .. in its upper. */
AVX2 void put_columns(const __m256i *sum, int32_t *out)
{
    for (int m = 0; m < 4; m++) {
        _mm_storeu_si128((__m128i *)(void *)(out + 4 * m), _mm256_castsi256_si128(sum[m]));
        _mm_storeu_si128((__m128i *)(void *)(out + 16 + 4 * m), _mm256_extracti128_si256(sum[m], 1));
    }
}

#define GATHER(name, isa, codes, sum_fours)                                                                          \
    isa void name(const uint8_t *const *row, size_t at, const uint32_t *factor, uint32_t rows, int32_t *out)         \
    {                                                                                                                \
        __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),                    \
                          _mm256_setzero_si256()};                                                                   \
        for (uint32_t r = 0; r < rows; r += 4) {                                                                     \
            __m256i a = codes(row[r] + at), b = codes(row[r + 1] + at), c = codes(row[r + 2] + at),                  \
                    d = codes(row[r + 3] + at), k = _mm256_set1_epi32((int)factor[r / 4 * LANES]);                   \
            __m256i ab0 = _mm256_unpacklo_epi8(a, b), ab1 = _mm256_unpackhi_epi8(a, b);                              \
            __m256i cd0 = _mm256_unpacklo_epi8(c, d), cd1 = _mm256_unpackhi_epi8(c, d);                              \
            sum[0] = sum_fours(sum[0], k, _mm256_unpacklo_epi16(ab0, cd0));                                          \
            sum[1] = sum_fours(sum[1], k, _mm256_unpackhi_epi16(ab0, cd0));                                          \
            sum[2] = sum_fours(sum[2], k, _mm256_unpacklo_epi16(ab1, cd1));                                          \
            sum[3] = sum_fours(sum[3], k, _mm256_unpackhi_epi16(ab1, cd1));                                          \
        }                                                                                                            \
        put_columns(sum, out);                                                                                       \
    }

/* The sign of x goes over to the codes, so that one factor is unsigned; codes are never -128. */
#define DOT(name, isa, codes_of, bytes, sum_fours)                                                                   \
    isa float name(const uint8_t *codes, const uint8_t *scales, const int8_t *x, uint32_t blocks)                    \
    {                                                                                                                \
        __m256 total = _mm256_setzero_ps();                                                                          \
        for (uint32_t b = 0; b < blocks; b++) {                                                                      \
            uint16_t scale;                                                                                          \
            memcpy(&scale, scales + 2 * b, sizeof scale);                                                            \
            __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(x + b * BLOCK));                          \
            __m256i signs = _mm256_sign_epi8(codes_of(codes + b * (bytes)), v);                                      \
            __m256i sums = sum_fours(_mm256_setzero_si256(), _mm256_abs_epi8(v), signs);                             \
            total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), _mm256_set1_ps(scale_value(scale)), total);            \
        }                                                                                                            \
        __m128 half = _mm_add_ps(_mm256_castps256_ps128(total), _mm256_extractf128_ps(total, 1));                    \
        half = _mm_add_ps(half, _mm_movehl_ps(half, half));                                                          \
        return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));                                               \
    }

#define ON_AVX2 __attribute__((target("avx2,fma"))) static
#define ON_VNNI __attribute__((target("avx2,fma,avx512f,avx512vl,avx512bw,avx512vnni"))) static

GATHER(gather8_avx2, ON_AVX2, codes8, sum_fours_avx2)
GATHER(gather4_avx2, ON_AVX2, codes4, sum_fours_avx2)
GATHER(gather8_vnni, ON_VNNI, codes8, sum_fours_vnni)
GATHER(gather4_vnni, ON_VNNI, codes4, sum_fours_vnni)
DOT(dot8_avx2, ON_AVX2, codes8, BLOCK, sum_fours_avx2)
DOT(dot4_avx2, ON_AVX2, codes4, BLOCK / 2, sum_fours_avx2)
DOT(dot8_vnni, ON_VNNI, codes8, BLOCK, sum_fours_vnni)
DOT(dot4_vnni, ON_VNNI, codes4, BLOCK / 2, sum_fours_vnni)

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_vnni(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
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
    {has_vnni, {"avx512-vnni", gather8_vnni, gather4_vnni, dot8_vnni, dot4_vnni}},
    {has_avx2, {"avx2", gather8_avx2, gather4_avx2, dot8_avx2, dot4_avx2}},
#endif
    {always, {"portable", gather8, gather4, dot8, dot4}},
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

/* ---- sums over rows ---- */

/* Of LANES blocks and `rows` rows: a_r s_r as floats, then their factors by fours. */
size_t atoll_quant_room(uint32_t rows)
{
    uint32_t fours = (rows + 3) / 4;
    return (size_t)fours * (4 * LANES * sizeof(float) + LANES * sizeof(uint32_t));
}

#if defined(ATOLL_SANITIZE) || !defined(X86)
#define CLONES
#else
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif

/* A lane for each of LANES blocks; lowered to what the processor has. */
typedef float lanes_float __attribute__((vector_size(LANES * 4)));
typedef uint32_t lanes_word __attribute__((vector_size(LANES * 4)));
typedef int32_t lanes_int __attribute__((vector_size(LANES * 4)));
typedef uint16_t lanes_short __attribute__((vector_size(LANES * 2)));

/* product[r] = a_r times the scales at `at`, 0 from lane `lanes` on; most holds the largest of each lane. */
CLONES static void scale_products(const uint8_t *const *row, size_t at, const float *a, uint32_t rows, uint32_t lanes,
                                  lanes_float *restrict product, float *restrict most)
{
    lanes_word mask;
    lanes_float top = {0};
    for (uint32_t l = 0; l < LANES; l++)
        mask[l] = l < lanes ? UINT32_MAX : 0;
    for (uint32_t r = 0; r < rows; r++) {
        lanes_short scale;
        memcpy(&scale, row[r] + at, sizeof scale);
        lanes_word bits = (__builtin_convertvector(scale, lanes_word) << 16) & mask;
        lanes_float p = (lanes_float)bits * a[r];
        product[r] = p;
        lanes_word above = (lanes_word)(p > top);
        top = (lanes_float)(((lanes_word)p & above) | ((lanes_word)top & ~above));
    }
    memcpy(most, &top, sizeof top);
}

/* Four rows' factors of a lane in one word, the first row's lowest; those behind the last row are 0. */
CLONES static void round_factors(const lanes_float *restrict product, uint32_t rows, const float *restrict most,
                                 lanes_word *restrict factor)
{
    lanes_float inverse;
    for (uint32_t l = 0; l < LANES; l++)
        inverse[l] = most[l] > 0 ? FACTOR_MOST / most[l] : 0;
    for (uint32_t r = 0; r < rows; r += 4) {
        lanes_word word = {0};
        for (uint32_t i = 0; i < 4; i++)
            word |= (lanes_word)__builtin_convertvector(product[r + i] * inverse + 0.5f, lanes_int) << 8 * i;
        factor[r / 4] = word;
    }
}

void atoll_quant_gather(const atoll_quant_kernels *kernels, const atoll_quant_shape *shape, const uint8_t *const *row,
                        const float *a, uint32_t rows, void *room, float *sum)
{
    uint32_t whole = (rows + 3) / 4 * 4, blocks = shape->blocks[0] + shape->blocks[1];
    lanes_float *product = room;
    lanes_word *factor = (lanes_word *)(product + whole);
    float most[LANES];
    memset(product + rows, 0, (whole - rows) * sizeof *product);
    for (uint32_t first = 0; first < blocks; first += LANES) {
        uint32_t lanes = blocks - first < LANES ? blocks - first : LANES;
        scale_products(row, shape->scales_at + 2 * first, a, rows, lanes, product, most);
        round_factors(product, whole, most, factor);
        for (uint32_t l = 0; l < lanes; l++) {
            int32_t out[BLOCK];
            uint32_t block = first + l, second = block >= shape->blocks[0];
            size_t at = (second ? shape->codes_at : 0) +
                        code_bytes(shape->precision, (block - (second ? shape->blocks[0] : 0)) * BLOCK);
            if (shape->precision == ATOLL_PRECISION_Q8)
                kernels->gather8(row, at, (const uint32_t *)factor + l, whole, out);
            else
                kernels->gather4(row, at, (const uint32_t *)factor + l, whole, out);
            for (uint32_t j = 0; j < BLOCK; j++)
                sum[block * BLOCK + j] = (float)out[j] * (most[l] / FACTOR_MOST);
        }
    }
}

/* ---- products with a dense input ---- */

float atoll_quant_input(const float *x, uint32_t n, int8_t *out)
{
    float most = 0;
    for (uint32_t i = 0; i < n; i++)
        most = larger(most, fabsf(x[i]));
    float inverse = most > 0 ? INPUT_MOST / most : 0;
    for (uint32_t i = 0; i < n; i++)
        out[i] = (int8_t)(int)(x[i] * inverse + (x[i] < 0 ? -0.5f : 0.5f));
    memset(out + n, 0, (n + BLOCK - 1) / BLOCK * BLOCK - n);
    return most / INPUT_MOST;
}

float atoll_quant_dot(const atoll_quant_kernels *kernels, const atoll_quant_shape *shape, const void *row,
                      uint32_t section, const int8_t *x)
{
    const uint8_t *codes = (const uint8_t *)row + (section ? shape->codes_at : 0);
    const uint8_t *scales = (const uint8_t *)row + shape->scales_at + (section ? 2 * shape->blocks[0] : 0);
    return (shape->precision == ATOLL_PRECISION_Q8 ? kernels->dot8 : kernels->dot4)(codes, scales, x,
                                                                                     shape->blocks[section]);
}
