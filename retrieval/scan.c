#include "retrieval/scan.h"

#include <stdbool.h>
#include <stddef.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define X86 1
#endif

enum { BLOCK = ATOLL_SCAN_BLOCK };

uint64_t atoll_scan_portable(const uint8_t *codes, const uint8_t *tables, uint32_t pairs, int16_t least, int16_t *sum)
{
    uint64_t enough = 0;
    for (uint32_t i = 0; i < BLOCK; i++) {
        sum[i] = 0;
        for (uint32_t p = 0; p < pairs; p++) {
            const uint8_t *table = tables + 32 * p, both = codes[p * BLOCK + i];
            sum[i] = (int16_t)(sum[i] + table[both & 15] + table[16 + (both >> 4)]);
        }
        enough |= (uint64_t)(sum[i] >= least) << i;
    }
    return enough;
}

#ifdef X86
/*
 * Two entries are at most 254, so their bytes are added first. Sums of 16 bits are kept of odd vectors, and of even
 * ones with 256 times the odd, which is then taken off. What is under `least` is negative without it, and stays so when
 * it is packed to bytes, which restores the vectors' order.
 */
__attribute__((target("avx2"))) static uint32_t half_avx2(const uint8_t *codes, const uint8_t *tables, uint32_t pairs,
                                                          int16_t least, int16_t *sum)
{
    const __m256i low = _mm256_set1_epi8(15);
    __m256i all = _mm256_setzero_si256(), odd = all;
#pragma GCC unroll 4
    for (const uint8_t *end = codes + (size_t)pairs * BLOCK; codes != end; codes += BLOCK, tables += 32) {
        const __m128i *table = (const __m128i *)(const void *)tables;
        __m256i both = _mm256_loadu_si256((const __m256i *)(const void *)codes);
        __m256i first = _mm256_broadcastsi128_si256(_mm_load_si128(table));
        __m256i second = _mm256_broadcastsi128_si256(_mm_load_si128(table + 1));
        first = _mm256_shuffle_epi8(first, _mm256_and_si256(both, low));
        second = _mm256_shuffle_epi8(second, _mm256_and_si256(_mm256_srli_epi16(both, 4), low));
        __m256i entries = _mm256_add_epi8(first, second);
        all = _mm256_add_epi16(all, entries);
        odd = _mm256_add_epi16(odd, _mm256_srli_epi16(entries, 8));
    }
    __m256i even = _mm256_sub_epi16(all, _mm256_slli_epi16(odd, 8));
    __m256i front = _mm256_unpacklo_epi16(even, odd), back = _mm256_unpackhi_epi16(even, odd);
    __m256i *to = (__m256i *)(void *)sum, bar = _mm256_set1_epi16(least);
    _mm256_storeu_si256(to, _mm256_permute2x128_si256(front, back, 0x20));
    _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(front, back, 0x31));
    __m256i less = _mm256_packs_epi16(_mm256_sub_epi16(front, bar), _mm256_sub_epi16(back, bar));
    return ~(uint32_t)_mm256_movemask_epi8(less);
}

__attribute__((target("avx2"))) static uint64_t scan_avx2(const uint8_t *codes, const uint8_t *tables, uint32_t pairs,
                                                          int16_t least, int16_t *sum)
{
    uint64_t upper = half_avx2(codes + BLOCK / 2, tables, pairs, least, sum + BLOCK / 2);
    return upper << 32 | half_avx2(codes, tables, pairs, least, sum);
}

__attribute__((target("avx512f,avx512bw"))) static uint64_t
scan_avx512(const uint8_t *codes, const uint8_t *tables, uint32_t pairs, int16_t least, int16_t *sum)
{
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i head = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i tail = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    __m512i all = _mm512_setzero_si512(), odd = all;
#pragma GCC unroll 4
    for (const uint8_t *end = codes + (size_t)pairs * BLOCK; codes != end; codes += BLOCK, tables += 32) {
        const __m128i *table = (const __m128i *)(const void *)tables;
        __m512i both = _mm512_loadu_si512(codes);
        __m512i first = _mm512_broadcast_i32x4(_mm_load_si128(table));
        __m512i second = _mm512_broadcast_i32x4(_mm_load_si128(table + 1));
        first = _mm512_shuffle_epi8(first, _mm512_and_si512(both, low));
        second = _mm512_shuffle_epi8(second, _mm512_and_si512(_mm512_srli_epi16(both, 4), low));
        __m512i entries = _mm512_add_epi8(first, second);
        all = _mm512_add_epi16(all, entries);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16(entries, 8));
    }
    __m512i even = _mm512_sub_epi16(all, _mm512_slli_epi16(odd, 8));
    __m512i front = _mm512_unpacklo_epi16(even, odd), back = _mm512_unpackhi_epi16(even, odd);
    __m512i bar = _mm512_set1_epi16(least);
    _mm512_storeu_si512(sum, _mm512_permutex2var_epi64(front, head, back));
    _mm512_storeu_si512(sum + BLOCK / 2, _mm512_permutex2var_epi64(front, tail, back));
    return ~_mm512_movepi8_mask(_mm512_packs_epi16(_mm512_sub_epi16(front, bar), _mm512_sub_epi16(back, bar)));
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}
#endif

atoll_scan *atoll_scan_nth(uint32_t n)
{
#ifdef X86
    if (has_avx512() && !n--)
        return scan_avx512;
    if (__builtin_cpu_supports("avx2") && !n--)
        return scan_avx2;
#endif
    return n ? NULL : atoll_scan_portable;
}

atoll_scan *atoll_scan_best(void)
{
    return atoll_scan_nth(0);
}
