#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/embedding_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "tests/support/server.h"

enum { MAP_BYTES = 64 << 20, WAIT_MS = 300000, STEP_MS = 50 };

int embedding_set_up(void **state)
{
    embedding_fixture *f = calloc(1, sizeof *f);
    char journal[160];
    assert_non_null(f);
    atoll_log_set_level((atoll_log_level)(ATOLL_LOG_ERROR + 1));
    assert_true(folder_make(f->top));
    snprintf(f->path, sizeof f->path, "%s/embeddings", f->top);
    snprintf(journal, sizeof journal, "%s/journal", f->top);
    embedding_server_start(&f->server, EMBEDDING_FIXTURE_DIM);
    atoll_config_defaults(&f->config);
    embedding_server_configure(&f->server, &f->config);
    f->config.embedding_timeout_ms = f->config.embedding_ask_timeout_ms = 60000;
    atoll_journal_options options = {.map_bytes = MAP_BYTES, .pending_bytes = 1 << 20};
    assert_int_equal(atoll_journal_open(journal, &options, &f->journal, NULL), ATOLL_OK);
    embedding_open(f, 0, 0);
    *state = f;
    return 0;
}

int embedding_tear_down(void **state)
{
    embedding_fixture *f = *state;
    embedding_close(f);
    atoll_journal_close(f->journal);
    embedding_server_stop(&f->server);
    folder_remove(f->top);
    free(f);
    return 0;
}

void embedding_open(embedding_fixture *f, uint64_t commit, uint64_t records)
{
    assert_int_equal(atoll_embedder_open(f->path, &f->config, MAP_BYTES, f->journal, commit, records, &f->embedder,
                                         NULL), ATOLL_OK);
}

void embedding_close(embedding_fixture *f)
{
    atoll_embedder_close(f->embedder);
    f->embedder = NULL;
}

/* ---- the journal ---- */

typedef struct writing {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t commit;
} writing;

static void written(void *arg, atoll_status status, const atoll_receipt *receipt, const atoll_error *error)
{
    writing *w = arg;
    (void)error;
    pthread_mutex_lock(&w->mutex);
    w->commit = status ? UINT64_MAX : receipt->last_commit;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

void embedding_text(uint32_t number, char text[32])
{
    snprintf(text, 32, "%u word", number);
}

uint64_t embedding_commit(embedding_fixture *f, uint32_t first, uint32_t count)
{
    writing w = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    uint8_t *payload = malloc(count * 64);
    size_t *offsets = malloc((count + 1) * sizeof *offsets);
    assert_true(payload && offsets);
    offsets[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        char text[32];
        embedding_text(first + i, text);
        atoll_record record = {.text = {text, strlen(text)}, .label = {"label", 5}};
        offsets[i + 1] = offsets[i] + atoll_record_encode(&record, payload + offsets[i]);
    }
    assert_int_equal(atoll_journal_submit(f->journal, ATOLL_ENTRY_RECORDS, payload, offsets[count], offsets, count,
                                          written, &w, NULL), ATOLL_OK);
    pthread_mutex_lock(&w.mutex);
    while (!w.commit)
        pthread_cond_wait(&w.changed, &w.mutex);
    pthread_mutex_unlock(&w.mutex);
    assert_true(w.commit != UINT64_MAX);
    f->records += count;
    free(payload);
    free(offsets);
    return w.commit;
}

/* ---- what is stored ---- */

bool embedding_await(embedding_fixture *f, uint64_t commit)
{
    for (int waited = 0; waited < WAIT_MS; waited += STEP_MS)
        if (atoll_embedder_await(f->embedder, commit, f->records, STEP_MS))
            return true;
    return false;
}

bool embedding_of(embedding_fixture *f, const char *text, float out[EMBEDDING_FIXTURE_DIM])
{
    float space[EMBEDDING_FIXTURE_DIM];
    atoll_record record = {.text = {text, strlen(text)}};
    if (atoll_embedder_fill(f->embedder, &record, 1, space, NULL) || !record.vector)
        return false;
    memcpy(out, space, sizeof space);
    return true;
}

atoll_embedding_stats embedding_stats(embedding_fixture *f)
{
    atoll_embedding_stats stats;
    atoll_embedder_stats(f->embedder, &stats);
    return stats;
}
