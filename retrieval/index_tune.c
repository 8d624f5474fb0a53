/*
 * How a large index is searched: whether its codes are kept in inverted lists, how many of these a search reads, and
 * how many candidates are ranked exactly. All of it follows from searching for vectors of the index itself beside an
 * exact search, with costs that are counted and not timed, so that the same vectors give the same choice everywhere.
 */
#include <stdlib.h>
#include <string.h>

#include "core/half.h"
#include "core/limits.h"
#include "retrieval/index_inside.h"

enum {
    CODES_SAMPLE = 1024,    /* vectors that codes are trained on: 64 for each centre of a code */
    LIST_SAMPLE = 32,       /* vectors for each list; 16 lose .003 of recall on clustered vectors */
    LISTS_READ_PART = 8,    /* lists pay where so small a part of them holds the neighbours */
    PROBES_MIN = 4,
    SAMPLES = 192,          /* searched for: an exact search for all takes a second over a million of 256 numbers */
    NEAREST = 10,           /* neighbours of each that are to be found */
    TUNE_EVERY = 4,         /* measured again when a quarter of the vectors are new */
    CANDIDATES_PART = 128,  /* ranking the 128th part takes about as long as reading all codes */
    LIST_BEGIN = 8          /* beginning with a list, as long as ranking so many */
};

/* Of the nearest found. That of other queries is the same within .01, hence a little more than .95. */
static const double recall_aim = .965;
/* Of them in the lists read: what candidates cannot bring back. */
static const double reach_aim = .975;

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to measure the index");
}

/* `want` living vectors (no more than there are), evenly over their positions; slots, if any, receives their slots. */
static void sample(const atoll_index *index, uint32_t want, float *vectors, uint32_t *slots)
{
    uint32_t taken = 0, seen = 0;
    for (uint32_t at = 0; at < index->rows->count && taken < want; at++) {
        if (index->slot_of[at] == ATOLL_INDEX_EMPTY)
            continue;
        if ((uint64_t)seen++ * want / index->count < taken)
            continue;
        if (slots)
            slots[taken] = index->slot_of[at];
        atoll_half_to_float(atoll_vectors_at(index->rows, at), vectors + (size_t)taken++ * index->dim, index->dim);
    }
}

/* --- what there is to find --- */

typedef struct truth {
    uint32_t count;
    uint32_t slot[SAMPLES];
    float *query; /* SAMPLES x dim */
    atoll_neighbours nearest[SAMPLES]; /* each without the query itself, NEAREST at most */
} truth;

static void forget(atoll_neighbours *from, uint32_t slot)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < from->count; i++)
        if (from->at[i].slot != slot)
            from->at[kept++] = from->at[i];
    from->count = kept < NEAREST ? kept : NEAREST;
}

static atoll_status find_truth(const atoll_index *index, truth *t, atoll_error *error)
{
    /* The writer's truth, as an instance. */
    atoll_index_view all = {.index = (atoll_index *)(uintptr_t)index, .rows = index->rows, .slot_of = index->slot_of,
                            .count = index->rows->count};
    t->count = index->count < SAMPLES ? index->count : SAMPLES;
    t->query = malloc((size_t)SAMPLES * index->dim * sizeof *t->query);
    if (!t->query)
        return no_memory(error);
    sample(index, t->count, t->query, t->slot);
    for (uint32_t at = 0; at < t->count; at += ATOLL_INDEX_TILE) {
        uint32_t count = t->count - at < ATOLL_INDEX_TILE ? t->count - at : ATOLL_INDEX_TILE;
        atoll_index_search_rows(&all, t->query + (size_t)at * index->dim, count, &t->nearest[at]);
    }
    for (uint32_t i = 0; i < t->count; i++)
        forget(&t->nearest[i], t->slot[i]);
    return ATOLL_OK;
}

/* --- lists or not --- */

/* Of the lists, nearest to the query first, how many to read until reach_aim of what there is to find is in them. */
static atoll_status lists_to_read(const atoll_index *index, const atoll_faiss *faiss, const truth *t, uint32_t *read,
                                  atoll_error *error)
{
    uint32_t lists = atoll_faiss_lists(faiss), total = 0, reached = 0;
    struct { float score; uint32_t rank, found; } *of = calloc(lists, sizeof *of);
    int64_t *order = malloc(lists * sizeof *order), list;
    float *scores = malloc(lists * sizeof *scores), vector[ATOLL_EMBEDDING_MAX_DIM], score;
    atoll_status status = of && order && scores ? ATOLL_OK : no_memory(error);
    for (uint32_t i = 0; i < t->count && status == ATOLL_OK; i++) {
        status = atoll_faiss_nearest_lists(faiss, 1, t->query + (size_t)i * index->dim, lists, scores, order, error);
        for (uint32_t k = 0; k < lists && status == ATOLL_OK; k++)
            of[order[k]].rank = k;
        for (uint32_t k = 0; k < t->nearest[i].count && status == ATOLL_OK; k++, total++) {
            uint32_t at = index->position_of[t->nearest[i].at[k].slot];
            atoll_half_to_float(atoll_vectors_at(index->rows, at), vector, index->dim);
            status = atoll_faiss_nearest_lists(faiss, 1, vector, 1, &score, &list, error);
            if (status == ATOLL_OK)
                of[of[list].rank].found++;
        }
    }
    for (*read = 0; status == ATOLL_OK && *read < lists && reached < reach_aim * total; ++*read)
        reached += of[*read].found;
    free(of);
    free(order);
    free(scores);
    return status;
}

/* A power of two near the square root: as many centroids are compared as a list has codes. */
static uint32_t lists_for(uint32_t count)
{
    uint32_t lists = 1;
    while ((uint64_t)lists * lists < count)
        lists *= 2;
    return lists;
}

static atoll_status train(const atoll_index *index, uint32_t lists, atoll_faiss **faiss, atoll_error *error)
{
    uint32_t want = lists ? lists * LIST_SAMPLE : CODES_SAMPLE;
    want = want < index->count ? want : index->count;
    float *vectors = malloc((size_t)want * index->dim * sizeof *vectors);
    if (!vectors)
        return no_memory(error);
    sample(index, want, vectors, NULL);
    atoll_status status = atoll_faiss_train(index->dim, lists, want, vectors, faiss, error);
    free(vectors);
    return status;
}

/* *faiss is NULL where too many lists would have to be read. */
static atoll_status try_lists(const atoll_index *index, atoll_faiss **faiss, uint32_t *read, atoll_error *error)
{
    uint32_t lists = lists_for(index->count);
    truth t;
    atoll_status status = find_truth(index, &t, error);
    *faiss = NULL;
    if (status == ATOLL_OK && (status = train(index, lists, faiss, error)) == ATOLL_OK)
        status = lists_to_read(index, *faiss, &t, read, error);
    free(t.query);
    if (status != ATOLL_OK || *read > lists / LISTS_READ_PART) {
        atoll_faiss_free(*faiss);
        *faiss = NULL;
    }
    return status;
}

atoll_status atoll_index_train(const atoll_index *index, atoll_faiss **faiss, atoll_index_tuning *tuning,
                               atoll_error *error)
{
    uint32_t read = 0;
    atoll_status status = ATOLL_OK;
    *faiss = NULL;
    *tuning = (atoll_index_tuning){.candidates = ATOLL_INDEX_CANDIDATES, .recall = -1};
    if (index->count >= index->lists_from && (status = try_lists(index, faiss, &read, error)) != ATOLL_OK)
        return status;
    if (*faiss) {
        tuning->lists = atoll_faiss_lists(*faiss);
        tuning->probes = read;
        return ATOLL_OK;
    }
    return train(index, 0, faiss, error);
}

/* --- how many lists, how many candidates --- */

bool atoll_index_wants_tuning(const atoll_index *index)
{
    if (!index->coded || index->trained_on < index->lists_from)
        return false;
    return index->tuning.recall < 0 || index->puts - index->tuned_at >= index->count / TUNE_EVERY;
}

/* Sets how the side is searched, and measures what it finds then. */
static atoll_status try(atoll_index_view *side, const truth *t, uint32_t probes, uint32_t candidates,
                        atoll_error *error)
{
    uint32_t there = 0, found = 0;
    side->tuning.probes = probes;
    side->tuning.candidates = candidates;
    if (probes)
        atoll_faiss_probe(side->faiss, probes);
    for (uint32_t i = 0; i < t->count; i++) {
        atoll_neighbours got;
        atoll_status status = atoll_index_search(side, t->query + (size_t)i * side->index->dim, 1, &got, error);
        if (status != ATOLL_OK)
            return status;
        forget(&got, t->slot[i]);
        const atoll_neighbours *want = &t->nearest[i];
        for (uint32_t k = 0; k < got.count && want->count; k++)
            found += got.at[k].similarity >= want->at[want->count - 1].similarity;
        there += want->count;
    }
    side->tuning.recall = there ? (float)found / (float)there : 1;
    return ATOLL_OK;
}

static uint32_t candidates_most(const atoll_index_view *side)
{
    uint32_t most = side->index->count / CANDIDATES_PART;
    if (side->tuning.lists || most > ATOLL_INDEX_CANDIDATES_MAX)
        return ATOLL_INDEX_CANDIDATES_MAX;
    return most > ATOLL_INDEX_CANDIDATES ? most : ATOLL_INDEX_CANDIDATES;
}

/* Counted in candidates to rank. */
static uint32_t cost_of(const atoll_index_view *side, const atoll_index_tuning *tuning)
{
    uint32_t list = tuning->lists ? LIST_BEGIN + side->index->count / tuning->lists / CANDIDATES_PART : 0;
    return tuning->candidates + tuning->probes * list;
}

/* From as many candidates as may be downwards, each with the fewest lists that reach the aim: the cheapest of these. */
static atoll_status choose(atoll_index_view *side, const truth *t, atoll_error *error)
{
    uint32_t lists = side->tuning.lists, probes = lists ? PROBES_MIN : 0, most = candidates_most(side);
    double aim = recall_aim;
    atoll_index_tuning best = {.candidates = 0};
    for (uint32_t few = most; few >= ATOLL_INDEX_CANDIDATES; few -= few / 4) {
        atoll_status status = try(side, t, probes, few, error);
        while (status == ATOLL_OK && (double)side->tuning.recall < aim && probes < lists / 4) {
            probes += probes / 4;
            status = try(side, t, probes, few, error);
        }
        if (status != ATOLL_OK)
            return status;
        if (few == most && (double)side->tuning.recall < aim)
            aim = (double)side->tuning.recall; /* as near as it gets */
        if ((double)side->tuning.recall < aim)
            break;
        if (few == most || cost_of(side, &side->tuning) < cost_of(side, &best))
            best = side->tuning;
    }
    side->tuning = best;
    if (best.probes)
        atoll_faiss_probe(side->faiss, best.probes);
    return ATOLL_OK;
}

atoll_status atoll_index_tune(atoll_index_view *side, atoll_error *error)
{
    atoll_index *index = side->index;
    truth t;
    atoll_status status = find_truth(index, &t, error);
    if (status == ATOLL_OK)
        status = choose(side, &t, error);
    free(t.query);
    if (status != ATOLL_OK) {
        side->tuning = index->tuning;
        return status;
    }
    index->tuning = side->tuning;
    index->tuned_at = index->puts;
    return ATOLL_OK;
}
