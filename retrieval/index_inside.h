/*
 * The index from inside, for index.c, index_saved.c and index_tune.c.
 *
 * Every vector put takes the next position; positions are what codes are numbered by. Replacing or dropping
 * leaves the old position dead: it still has a code, and is skipped. The vectors themselves stand in half precision
 * in `rows`, one row a position, shared by both instances: rows are never changed, so an instance that lags behind
 * catches up by adding the rows that it has not seen. Where positions are numbered anew (too many are dead, codes are
 * trained) the generation grows, with rows of its own, and codes are made afresh; the other instance is then a copy.
 *
 * Few vectors are compared with the rows themselves. 2,000 of 256 dimensions, one thread, microseconds a query, one by
 * one and 16 at a time: 17 and 10 (19 and 13 without AVX-512); FAISS's flat index 48 and 16, with 2 KB a vector beside
 * the rows.
 *
 * Weighed on 50,000 package descriptions under a random projection to 256 dimensions, one thread, searches a second:
 * FAISS's inverted lists with fp16 vectors 1,300 at recall@10 .94 and 17,000 at .73, for such embeddings hardly cluster
 * (what does, and there is much of it, is kept in lists: index_tune.c); its flat index 600 one by one and 4,000 in
 * batches at 1; its 4-bit codes, whose candidates are then ranked exactly, 9,500, and 21,500 as we read them
 * (candidates.h). Nothing is removed from codes, for a search is a walk through whole blocks of them.
 */
#ifndef ATOLL_RETRIEVAL_INDEX_INSIDE_H
#define ATOLL_RETRIEVAL_INDEX_INSIDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "retrieval/faiss.h"
#include "retrieval/index.h"
#include "retrieval/vectors.h"

#define ATOLL_INDEX_EMPTY UINT32_MAX

enum {
    ATOLL_INDEX_TILE = 16,            /* queries that stay in the nearest cache beside some rows */
    ATOLL_INDEX_CANDIDATES_MAX = 2048 /* ranking them takes about as long as reading 200,000 codes */
};

/* How codes are searched. Measured where the index is large, else ATOLL_INDEX_CANDIDATES of all codes. */
typedef struct atoll_index_tuning {
    uint32_t lists, probes; /* 0 where all codes are searched */
    uint32_t candidates;
    float recall; /* negative where it was not measured */
} atoll_index_tuning;

/* One instance. Readers of a published one only read it, but for `readers`. */
struct atoll_index_view {
    atoll_index *index;
    atoll_faiss *codes;
    atoll_vectors *rows;
    uint32_t *slot_of; /* position -> slot, ATOLL_INDEX_EMPTY where dead */
    uint32_t count, room; /* positions, and how many fit in slot_of */
    bool coded;           /* else codes is NULL, and rows are all there is */
    atoll_index_tuning tuning;
    uint64_t generation; /* 0: to be made afresh */
    uint32_t died_at;    /* of index->died, how many are applied */
    _Alignas(64) _Atomic uint32_t readers;
};

struct atoll_index {
    atoll_index_view side[2];
    _Alignas(64) _Atomic uint32_t visible; /* the side that readers enter */
    uint32_t live;                         /* the side that holds the flushed state */
    uint32_t dim, slots;

    /* The writer's truth, ahead of both sides. */
    atoll_vectors *rows;
    uint32_t *slot_of, room; /* position -> slot, ATOLL_INDEX_EMPTY where dead */
    uint32_t *position_of;   /* slot -> position, ATOLL_INDEX_EMPTY where empty */
    uint32_t count;          /* occupied slots */
    uint32_t *died, died_count, died_room; /* positions that died and that some side still believes alive */
    uint64_t generation;
    bool coded, pending;
    void *trained; /* what codes are made by, as FAISS writes it; NULL while flat */
    size_t trained_bytes;
    uint32_t trained_on, puts; /* vectors present at the training, and put since */
    atoll_index_tuning tuning;
    uint32_t tuned_at;   /* of `puts`, when it was measured last */
    uint32_t lists_from; /* ATOLL_INDEX_LISTS_MIN, or less in tests */
    bool loading;              /* between load and publish, when `missing` saved slots wait for their vectors */
    uint32_t missing, next;
};

/*
 * Of an index that is to have codes: what makes them, as bytes, in lists where these can be searched, and how it is to
 * be searched until it is measured. index_tune.c.
 */
atoll_status atoll_index_train(const atoll_index *index, void **trained, size_t *bytes, atoll_index_tuning *tuning,
                               atoll_error *error);
/* Whether how the index is searched is to be measured now. */
bool atoll_index_wants_tuning(const atoll_index *index);
/* Chooses probes and candidates on a side that is up to date and that nobody is in; for this side and the index. */
atoll_status atoll_index_tune(atoll_index_view *side, atoll_error *error);

/* At most ATOLL_INDEX_TILE queries with every row: the exact answer. */
void atoll_index_search_rows(const atoll_index_view *side, const float *queries, uint32_t count,
                             atoll_neighbours *out);

/* Room in the index's slot_of for `positions`. ATOLL_NO_MEMORY. */
atoll_status atoll_index_reserve(atoll_index *index, uint32_t positions, atoll_error *error);

#endif
