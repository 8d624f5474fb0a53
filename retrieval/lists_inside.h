/* The lists from inside, for lists.c and lists_train.c. */
#ifndef ATOLL_RETRIEVAL_LISTS_INSIDE_H
#define ATOLL_RETRIEVAL_LISTS_INSIDE_H

#include "retrieval/lists.h"

enum { ATOLL_LISTS_CENTRES = 16 }; /* of one code */

#define ATOLL_LISTS_NONE UINT32_MAX

/* Blocks of a list, from the first that it got to the one that is being filled. */
typedef struct atoll_list {
    uint32_t head, tail; /* ATOLL_LISTS_NONE where empty */
    uint32_t count;      /* vectors */
} atoll_list;

struct atoll_lists {
    uint32_t dim, lists, tops;
    uint32_t codes, part; /* codes of a vector, and the dimensions of each */

    /* The training. */
    uint32_t *first; /* tops + 1: the lists of top t are first[t] to first[t + 1] */
    uint16_t *top;   /* tops x dim: centres of centres */
    uint16_t *centre; /* lists x dim */
    float *book;     /* codes x part x ATOLL_LISTS_CENTRES: a dimension's value at each centre of a code */

    /* What is held: blocks of ATOLL_SCAN_BLOCK vectors, their codes before their positions. */
    atoll_list *list;
    uint32_t count;
    uint8_t **piece; /* of memory */
    uint32_t pieces, piece_blocks, block_bytes;
    uint32_t *next; /* block -> the next of its list */
    uint32_t blocks, room;
};

/* Room for a training of so many, with empty lists. ATOLL_NO_MEMORY. */
atoll_status atoll_lists_new(uint32_t dim, uint32_t lists, uint32_t tops, atoll_lists **out, atoll_error *error);

/* What of a vector a list's centre leaves, to be coded. */
void atoll_lists_rest(const atoll_lists *lists, const float *vector, uint32_t list, float *rest);

#endif
