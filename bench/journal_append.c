/*
 * Durable appends alone: a journal without a learner behind it. Records of a stream go in batches of 1,000, each waited
 * for until it is on the disk, and then one by one.
 *
 * usage: journal_append STREAM FOLDER
 *   FOLDER is made, and holds the journal afterwards
 */
#include "bench/bench.h"
#include "core/journal.h"

enum { BATCH = 1000, SINGLES = 200 };

/* One acknowledgement that is waited for. */
typedef struct ticket {
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool done;
    atoll_status status;
} ticket;

static void done(void *arg, atoll_status status, const atoll_receipt *receipt, const atoll_error *error)
{
    ticket *t = arg;
    (void)receipt;
    (void)error;
    pthread_mutex_lock(&t->lock);
    t->done = true;
    t->status = status;
    pthread_cond_signal(&t->told);
    pthread_mutex_unlock(&t->lock);
}

typedef struct encoded {
    uint8_t *bytes;
    size_t *offsets; /* records + 1 */
    uint32_t records;
} encoded;

static bool encode(const bench_texts *texts, encoded *out)
{
    size_t total = 0;
    for (size_t i = 0; i < texts->count; i++) {
        atoll_record record = {.text = texts->at[i], .label = {"label", 5}};
        total += atoll_record_size(&record);
    }
    *out = (encoded){malloc(total), malloc((texts->count + 1) * sizeof(size_t)), (uint32_t)texts->count};
    if (!out->bytes || !out->offsets)
        return false;
    out->offsets[0] = 0;
    for (size_t i = 0; i < texts->count; i++) {
        atoll_record record = {.text = texts->at[i], .label = {"label", 5}};
        out->offsets[i + 1] = out->offsets[i] + atoll_record_encode(&record, out->bytes + out->offsets[i]);
    }
    return true;
}

static bool append(atoll_journal *journal, ticket *t, const encoded *all, uint32_t first, uint32_t count)
{
    size_t offsets[BATCH + 1];
    for (uint32_t i = 0; i <= count; i++)
        offsets[i] = all->offsets[first + i] - all->offsets[first];
    t->done = false;
    if (atoll_journal_submit(journal, ATOLL_ENTRY_RECORDS, all->bytes + all->offsets[first], offsets[count], offsets,
                             count, done, t, NULL))
        return false;
    pthread_mutex_lock(&t->lock);
    while (!t->done)
        pthread_cond_wait(&t->told, &t->lock);
    pthread_mutex_unlock(&t->lock);
    return t->status == ATOLL_OK;
}

static bool measure(atoll_journal *journal, ticket *t, const encoded *all)
{
    double batched[BENCH_ROUNDS], singly[BENCH_ROUNDS];
    uint32_t singles = all->records < SINGLES ? all->records : SINGLES;
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        int64_t start = atoll_clock_monotonic_ns();
        for (uint32_t at = 0; at < all->records; at += BATCH)
            if (!append(journal, t, all, at, all->records - at < BATCH ? all->records - at : BATCH))
                return false;
        batched[round] = all->records / bench_seconds_since(start);
        start = atoll_clock_monotonic_ns();
        for (uint32_t i = 0; i < singles; i++)
            if (!append(journal, t, all, i, 1))
                return false;
        singly[round] = bench_seconds_since(start) * 1e3 / singles;
    }
    printf("{\"records\":%u,\"records_per_s\":%.0f,\"single_ms\":%.3f}\n", all->records, bench_median(batched),
           bench_median(singly));
    return true;
}

int main(int argc, char **argv)
{
    bench_texts texts;
    encoded all;
    atoll_journal *journal;
    atoll_journal_options options = {.map_bytes = (size_t)4 << 30, .pending_bytes = 64 << 20};
    ticket t = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};
    if (argc != 3 || !bench_texts_read(argv[1], &texts))
        return bench_fail("usage: journal_append STREAM FOLDER");
    if (!encode(&texts, &all))
        return bench_fail("no memory");
    if (atoll_journal_open(argv[2], &options, &journal, NULL))
        return bench_fail("the journal cannot be opened");
    bool good = measure(journal, &t, &all);
    atoll_journal_close(journal);
    free(all.bytes);
    free(all.offsets);
    bench_texts_free(&texts);
    return good ? 0 : bench_fail("an append failed");
}
