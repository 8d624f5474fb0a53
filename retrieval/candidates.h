/*
 * A search of inverted lists of 4-bit codes [Jegou, Douze, Schmid 2011; Andre, Kermarrec, Le Scouarnec 2017]: all codes
 * of some lists are looked up in tables of small integers (scan.h), and the best sums kept. Inside retrieval only.
 */
#ifndef ATOLL_RETRIEVAL_CANDIDATES_H
#define ATOLL_RETRIEVAL_CANDIDATES_H

#include <stdint.h>

#include "retrieval/blocks.h"

enum {
    ATOLL_CANDIDATES_MAX = 2048,       /* that are kept at most */
    ATOLL_CANDIDATES_CENTRES = 16,     /* of one code */
    ATOLL_CANDIDATES_CODES_MAX = 1024, /* of a vector, */
    ATOLL_CANDIDATES_TOGETHER = 8      /* and queries that are searched for together */
};

/*
 * The best `want` (1 to ATOLL_CANDIDATES_MAX) of the vectors in `lists` lists, in no order: their numbers, and about
 * the inner products of the query with them. list[i] and score[i] name a list and the query's product with its centre,
 * highest first; product (2 * pairs x ATOLL_CANDIDATES_CENTRES) is the query's product with each centre of each code.
 * What is almost equal is not told apart, and of that the first counts. Returns how many, fewer where fewer are there.
 */
uint32_t atoll_candidates_find(const atoll_blocks *blocks, const float *product, uint32_t lists, const int64_t *list,
                               const float *score, uint32_t want, int64_t *number, float *about);

/*
 * The same of blocks that have one list, for several queries at once, so that the blocks are fetched once for all:
 * found[i] of number[i * want] and about[i * want]. product and score of each query lie behind the ones before; at most
 * ATOLL_CANDIDATES_TOGETHER of them, and no more than ATOLL_CANDIDATES_CODES_MAX codes of them all.
 */
void atoll_candidates_find_all(const atoll_blocks *blocks, const float *product, uint32_t queries, const float *score,
                               uint32_t want, int64_t *number, float *about, uint32_t *found);

#endif
