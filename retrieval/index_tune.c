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
    CODES_SAMPLE = 1024,    /* vectors that codes are trained on: 64 for each centre of a code; and where lists would */
    CODES_SAMPLE_LARGE = 4096, /* not pay, which is found out seldom, so many */
    LIST_VECTORS = 128,     /* of which there is a list: 8,192 lists of a million */
    LIST_SAMPLE = 32,       /* vectors for each list; 16 lose .003 of recall on clustered vectors */
    LISTS_READ_PART = 8,    /* lists pay where so small a part of them holds the neighbours */
    PROBES_MIN = 4,
    SAMPLES = 192,          /* searched for: an exact search for all takes a second over a million of 256 numbers */
    NEAREST = 10,           /* neighbours of each that are to be found */
    TUNE_EVERY = 4,         /* measured again when a quarter of the vectors are new */
    CANDIDATES_PART = 128,  /* ranking the 128th part takes about as long as reading all codes */
    LIST_BEGIN = 4,         /* beginning with a list takes as long as ranking so many, and */
    LIST_CODES = 32         /* reading so many of its codes as ranking one */
};

/* Of the nearest found, where all codes are read and in lists, where more costs less. That of other queries is the same
 * within .01, hence more than .95. */
static const double codes_aim = .965, lists_aim = .975;
/* Of them in the lists read: what candidates cannot bring back. */
static const double reach_aim = .98;

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to measure the index");
}

/* `want` living vectors (no more than there are), evenly over their positions; slots, if any, receives their slots. */
static void sample(const atoll_index *index, uint32_t want, const uint16_t **row, uint32_t *slots)
{
    uint32_t taken = 0, seen = 0;
    for (uint32_t at = 0; at < index->rows->count && taken < want; at++) {
        if (index->slot_of[at] == ATOLL_INDEX_EMPTY)
            continue;
        if ((uint64_t)seen++ * want / index->count < taken)
            continue;
        if (slots)
            slots[taken] = index->slot_of[at];
        row[taken++] = atoll_vectors_at(index->rows, at);
    }
}

static void floats_of(const uint16_t *const *row, uint32_t count, uint32_t dim, float *vectors)
{
    for (uint32_t i = 0; i < count; i++)
        atoll_half_to_float(row[i], vectors + (size_t)i * dim, dim);
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
    const uint16_t *row[SAMPLES];
    t->count = index->count < SAMPLES ? index->count : SAMPLES;
    t->query = malloc((size_t)SAMPLES * index->dim * sizeof *t->query);
    if (!t->query)
        return no_memory(error);
    sample(index, t->count, row, t->slot);
    floats_of(row, t->count, index->dim, t->query);
    for (uint32_t at = 0; at < t->count; at += ATOLL_INDEX_TILE) {
        uint32_t count = t->count - at < ATOLL_INDEX_TILE ? t->count - at : ATOLL_INDEX_TILE;
        atoll_index_search_rows(&all, t->query + (size_t)at * index->dim, count, &t->nearest[at]);
    }
    for (uint32_t i = 0; i < t->count; i++)
        forget(&t->nearest[i], t->slot[i]);
    return ATOLL_OK;
}

/* --- lists or not --- */

static uint32_t probes_most(uint32_t lists)
{
    uint32_t most = lists / LISTS_READ_PART;
    return most < ATOLL_FAISS_PROBES_MAX ? most : ATOLL_FAISS_PROBES_MAX;
}

/* Of the lists, nearest to the query first, how many to read until reach_aim of what there is to find is in them; 0
 * where these are more than pay. */
static uint32_t lists_to_read(const atoll_index *index, const atoll_faiss *codes, const truth *t)
{
    uint32_t found[ATOLL_FAISS_PROBES_MAX] = {0}, total = 0, reached = 0;
    uint32_t most = probes_most(atoll_faiss_lists(codes));
    for (uint32_t i = 0; i < t->count; i++) {
        int64_t near[ATOLL_FAISS_PROBES_MAX], holds;
        uint32_t count = atoll_faiss_nearest(codes, t->query + (size_t)i * index->dim, most, near);
        for (uint32_t k = 0; k < t->nearest[i].count; k++, total++) {
            uint32_t at = index->position_of[t->nearest[i].at[k].slot], rank = 0;
            float vector[ATOLL_EMBEDDING_MAX_DIM];
            atoll_half_to_float(atoll_vectors_at(index->rows, at), vector, index->dim);
            atoll_faiss_nearest(codes, vector, 1, &holds);
            while (rank < count && near[rank] != holds)
                rank++;
            if (rank < count)
                found[rank]++;
        }
    }
    for (uint32_t read = 0; read < most; read++) {
        reached += found[read];
        if (reached >= reach_aim * total)
            return read + 1;
    }
    return 0;
}

/* A power of two near one for LIST_VECTORS. */
static uint32_t lists_for(uint32_t count)
{
    uint32_t lists = 1;
    while (lists * LIST_VECTORS * 1.5 < count)
        lists *= 2;
    return lists;
}

/* What makes codes, as bytes, and an empty index of them. */
typedef struct training {
    void *trained;
    size_t bytes;
    atoll_faiss *codes;
} training;

static void forget_training(training *t)
{
    atoll_faiss_free(t->codes);
    free(t->trained);
    *t = (training){0};
}

static atoll_status train(const atoll_index *index, uint32_t many, uint32_t vectors, training *t, atoll_error *error)
{
    uint32_t want = vectors < index->count ? vectors : index->count;
    const uint16_t **row = malloc(want * sizeof *row);
    if (!row)
        return no_memory(error);
    sample(index, want, row, NULL);
    atoll_status status = atoll_faiss_train(index->dim, many, want, row, &t->trained, &t->bytes, error);
    if (status == ATOLL_OK)
        status = atoll_faiss_new(t->trained, t->bytes, &t->codes, error);
    free(row);
    return status;
}

/* *read is 0, and nothing trained, where too many lists would have to be read. */
static atoll_status try_lists(const atoll_index *index, training *t, uint32_t *read, atoll_error *error)
{
    uint32_t many = lists_for(index->count);
    truth there;
    atoll_status status = find_truth(index, &there, error);
    if (status == ATOLL_OK)
        status = train(index, many, many * LIST_SAMPLE, t, error);
    *read = status == ATOLL_OK ? lists_to_read(index, t->codes, &there) : 0;
    if (!*read)
        forget_training(t);
    free(there.query);
    return status;
}

atoll_status atoll_index_train(const atoll_index *index, void **trained, size_t *bytes, atoll_index_tuning *tuning,
                               atoll_error *error)
{
    uint32_t read = 0;
    training t = {0};
    atoll_status status = ATOLL_OK;
    *tuning = (atoll_index_tuning){.candidates = ATOLL_INDEX_CANDIDATES, .recall = -1};
    if (index->count >= index->lists_from)
        status = try_lists(index, &t, &read, error);
    if (read)
        tuning->lists = atoll_faiss_lists(t.codes);
    else if (status == ATOLL_OK)
        status = train(index, 1, index->count < index->lists_from ? CODES_SAMPLE : CODES_SAMPLE_LARGE, &t, error);
    tuning->probes = read;
    *trained = NULL;
    if (status == ATOLL_OK) {
        *trained = t.trained;
        *bytes = t.bytes;
        t.trained = NULL;
    }
    forget_training(&t);
    return status;
}

/* --- how many lists, how many candidates --- */

bool atoll_index_wants_tuning(const atoll_index *index)
{
    if (!index->coded || index->trained_on < index->lists_from)
        return false;
    return index->tuning.recall < 0 || index->puts - index->tuned_at >= index->count / TUNE_EVERY;
}

/* Sets how the side is searched, and measures what it finds then. */
static void try(atoll_index_view *side, const truth *t, uint32_t probes, uint32_t candidates)
{
    uint32_t there = 0, found = 0;
    side->tuning.probes = probes;
    side->tuning.candidates = candidates;
    for (uint32_t i = 0; i < t->count; i++) {
        atoll_neighbours got;
        atoll_index_search(side, t->query + (size_t)i * side->index->dim, 1, &got);
        forget(&got, t->slot[i]);
        const atoll_neighbours *want = &t->nearest[i];
        for (uint32_t k = 0; k < got.count && want->count; k++)
            found += got.at[k].similarity >= want->at[want->count - 1].similarity;
        there += want->count;
    }
    side->tuning.recall = there ? (float)found / (float)there : 1;
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
    uint32_t list = tuning->lists ? LIST_BEGIN + side->index->count / tuning->lists / LIST_CODES : 0;
    return tuning->candidates + tuning->probes * list;
}

/* From as many candidates as may be downwards, each with the fewest lists that reach the aim: the cheapest of these. */
static void choose(atoll_index_view *side, const truth *t)
{
    uint32_t lists = side->tuning.lists, probes = lists ? PROBES_MIN : 0, most = candidates_most(side);
    double aim = lists ? lists_aim : codes_aim;
    atoll_index_tuning best = {.candidates = 0};
    for (uint32_t few = most; few >= ATOLL_INDEX_CANDIDATES; few -= few / 4) {
        try(side, t, probes, few);
        while ((double)side->tuning.recall < aim && probes < probes_most(lists)) {
            probes += probes / 4;
            probes = probes < probes_most(lists) ? probes : probes_most(lists);
            try(side, t, probes, few);
        }
        if (few == most && (double)side->tuning.recall < aim)
            aim = (double)side->tuning.recall; /* as near as it gets */
        if ((double)side->tuning.recall < aim)
            break;
        if (few == most || cost_of(side, &side->tuning) < cost_of(side, &best))
            best = side->tuning;
    }
    side->tuning = best;
}

atoll_status atoll_index_tune(atoll_index_view *side, atoll_error *error)
{
    atoll_index *index = side->index;
    truth t;
    atoll_status status = find_truth(index, &t, error);
    if (status != ATOLL_OK)
        return status;
    choose(side, &t);
    free(t.query);
    index->tuning = side->tuning;
    index->tuned_at = index->puts;
    return ATOLL_OK;
}
