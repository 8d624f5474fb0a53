/*
 * POST …/predict: questions. Small requests of one record that wait at the same time are answered in one pass
 * (together.c). Of others the records are cut into parts of at most PART_ROWS; the worker that has the request shares
 * them with workers that are free, each part by itself, so that a large request uses every core and yet leaves gaps for
 * small ones between its parts: a helper goes back to the queue's end after each. The answers keep their order. Parts
 * may see different snapshots; the version told is then the oldest one.
 *
 * Where the model takes embeddings from a server, all texts are embedded first; while the server is asked the request
 * holds no worker, and is read again afterwards.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/answer.h"
#include "api/handlers.h"
#include "api/member.h"
#include "api/question.h"
#include "api/request.h"
#include "core/embeddings.h"

enum {
    PART_ROWS = 64,
    PART_ROWS_LEAST = 16,      /* fewer are not worth a second worker */
    ANSWER_LABELS_MAX = 1000000 /* records times top of one request: bounds the reply */
};

typedef struct part {
    uint32_t first, rows;         /* of the request's rows */
    const char *text, *text_end;  /* NDJSON: its lines */
    uint64_t line;                /* of its first row; NDJSON: lines before `text` */
    atoll_writer out;             /* the answers, each a JSON object */
    uint32_t ends[PART_ROWS];     /* where each ends in `out` */
    bool bad[PART_ROWS];          /* that answer is an error and no prediction */
    uint64_t version;
    atoll_status status;          /* refuses the whole request */
    atoll_error error;
    uint64_t error_line;
} part;

typedef struct asking asking;

typedef struct helper {
    atoll_job job; /* first */
    asking *asking;
} helper;

/* What the workers on one request share. Lives until the last of them has let go. */
struct asking {
    atoll_request *request; /* gone once every part is done and the worker that has it goes on */
    atoll_pool *pool;
    atoll_question question;
    const atoll_embedded *embedded; /* by row; the request's own. NULL where the model makes its own embeddings */
    atoll_json *values; /* JSON: the records; they live in the parser of the worker that has the request */
    uint32_t values_count, values_capacity;
    part *parts;
    uint32_t part_count;
    _Atomic uint32_t next; /* first part that nobody has taken */
    pthread_mutex_t lock;
    pthread_cond_t all_done;
    uint32_t done, references;
    uint32_t helper_count;
    helper *helpers;
};

static asking *asking_new(atoll_request *request)
{
    asking *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->request = request;
    a->pool = request->service->pool;
    a->references = 1;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->all_done, NULL);
    return a;
}

static void release(asking *a)
{
    pthread_mutex_lock(&a->lock);
    bool last = !--a->references;
    pthread_mutex_unlock(&a->lock);
    if (!last)
        return;
    for (uint32_t i = 0; i < a->part_count; i++)
        atoll_writer_free(&a->parts[i].out);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->all_done);
    free(a->parts);
    free(a->values);
    free(a->helpers);
    free(a);
}

/* ---- reading the request ---- */

static atoll_status check_count(const asking *a, uint64_t records, atoll_error *error)
{
    if (records > ATOLL_REQUEST_MAX_RECORDS)
        return atoll_fail(error, ATOLL_TOO_MANY_RECORDS, "a request holds at most %d records",
                          ATOLL_REQUEST_MAX_RECORDS);
    if (records * a->question.top > ANSWER_LABELS_MAX)
        return atoll_fail(error, ATOLL_TOO_MANY_RECORDS, "records times top is over %d", ANSWER_LABELS_MAX);
    return ATOLL_OK;
}

static bool visit_record(void *arg, const char *name, atoll_json value)
{
    asking *a = arg;
    (void)name;
    if (a->values_count == a->values_capacity) {
        uint32_t capacity = a->values_capacity ? 4 * a->values_capacity : 16;
        atoll_json *values = realloc(a->values, capacity * sizeof *values);
        if (!values)
            return false;
        a->values = values;
        a->values_capacity = capacity;
    }
    a->values[a->values_count++] = value;
    return a->values_count <= ATOLL_REQUEST_MAX_RECORDS;
}

/* Cuts `rows` records into parts, to be filled in. */
static atoll_status cut(asking *a, uint32_t rows, atoll_error *error)
{
    uint32_t threads = atoll_pool_threads(a->pool);
    uint32_t size = (rows + threads - 1) / threads;
    size = size < PART_ROWS_LEAST ? PART_ROWS_LEAST : size > PART_ROWS ? PART_ROWS : size;
    uint32_t count = (rows + size - 1) / size;
    a->parts = calloc(count ? count : 1, sizeof *a->parts);
    if (!a->parts)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for %u records", rows);
    a->part_count = count;
    for (uint32_t i = 0; i < count; i++) {
        part *p = &a->parts[i];
        p->rows = i + 1 < count ? size : rows - i * size;
        p->first = i * size;
        p->line = (uint64_t)p->first + 1;
        atoll_writer_init(&p->out);
    }
    return ATOLL_OK;
}

static atoll_status read_object(asking *a, atoll_worker *worker, atoll_error *error)
{
    atoll_status status = atoll_question_body(a->request, worker, &a->question, error);
    if (status)
        return status;
    a->values_count = 0;
    bool whole = atoll_json_each(a->question.records, visit_record, a);
    if ((status = check_count(a, a->values_count, error)))
        return status;
    if (!whole && a->values_count == a->values_capacity)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the records");
    return cut(a, a->values_count, error);
}

static atoll_status read_lines(asking *a, atoll_error *error)
{
    const char *body = a->request->body;
    atoll_lines lines = {body, body + a->request->body_bytes, 0};
    const char *line;
    size_t bytes;
    uint64_t rows = 0;
    while (atoll_lines_next(&lines, &line, &bytes))
        rows++;
    atoll_status status = check_count(a, rows, error);
    if (status || (status = cut(a, (uint32_t)rows, error)))
        return status;
    lines = (atoll_lines){body, body + a->request->body_bytes, 0};
    for (uint32_t i = 0; i < a->part_count; i++) {
        part *p = &a->parts[i];
        p->text = lines.at;
        p->line = lines.number;
        for (uint32_t row = 0; row < p->rows; row++)
            atoll_lines_next(&lines, &line, &bytes);
        p->text_end = lines.at;
    }
    return ATOLL_OK;
}

/* ---- answering a part ---- */

typedef struct answering {
    asking *asking;
    part *part;
    const atoll_batch *batch;
    uint32_t row;                       /* rows written */
    uint32_t row_of[PART_ROWS];         /* of each record of the batch */
    uint64_t line_of[PART_ROWS];        /* of each row */
    atoll_error refused[PART_ROWS];     /* by row; status OK where the record is good */
} answering;

/* Why a record was answered without the embedding that it should have had, or NULL. */
static const char *degraded(const asking *a, const atoll_record *record, uint32_t row)
{
    if (!a->embedded || !record->text.data || record->vector)
        return NULL;
    return a->embedded->found[row] == ATOLL_EMBEDDING_NONE ? "embedding_refused" : "embedding_unreachable";
}

/* Ends a row; a line of NDJSON begins without a comma. */
static void end_row(answering *w, bool bad)
{
    part *p = w->part;
    p->ends[w->row] = (uint32_t)p->out.bytes;
    p->bad[w->row++] = bad;
    if (w->asking->request->ndjson)
        p->out.comma = false;
}

static void put_refused(answering *w, uint32_t until)
{
    while (w->row < until) {
        const atoll_error *error = &w->refused[w->row];
        atoll_problem_line(&w->part->out, error->status, error, w->line_of[w->row]);
        end_row(w, true);
    }
}

static void predicted(void *arg, uint32_t record, const atoll_prediction *prediction)
{
    answering *w = arg;
    const asking *a = w->asking;
    const atoll_record *asked = &w->batch->records[record];
    put_refused(w, w->row_of[record]);
    atoll_answer answer = {.service = a->request->service,
                           .model = a->request->model->name,
                           .id = asked->id,
                           .top = (uint32_t)a->question.top,
                           .explain = a->question.explain,
                           .degraded = degraded(a, asked, w->part->first + w->row_of[record])};
    atoll_answer_put(&w->part->out, &answer, prediction);
    end_row(w, false);
}

/* One row was parsed into the batch, or was not. Without NDJSON a bad record refuses the request. */
static bool took(answering *w, uint32_t row, atoll_status status, atoll_batch *batch)
{
    atoll_error *error = &w->refused[row];
    part *p = w->part;
    if (!status && (status = atoll_learner_check(w->asking->request->model->learner,
                                                 &batch->records[batch->count - 1], false, error)))
        atoll_batch_drop(batch);
    if (!status) {
        w->row_of[batch->count - 1] = row;
        return true;
    }
    error->status = status;
    if (w->asking->request->ndjson && status != ATOLL_NO_MEMORY)
        return true;
    p->status = status;
    p->error = *error;
    p->error_line = w->line_of[row];
    return false;
}

/* Reads the next row of a part into the worker's batch; `lines` walks the part. */
static atoll_status read_row(const asking *a, const part *p, uint32_t row, atoll_lines *lines, atoll_worker *worker,
                             atoll_error *error)
{
    const char *line = "";
    size_t bytes = 0;
    if (!a->request->ndjson)
        return atoll_batch_add(worker->batch, a->values[p->first + row], error);
    atoll_lines_next(lines, &line, &bytes);
    return atoll_batch_parse(worker->batch, worker->parser, line, bytes, error);
}

/* Gives the batch's records their embeddings from outside. */
static void hand_out_embeddings(const answering *w, atoll_batch *batch)
{
    const atoll_embedded *embedded = w->asking->embedded;
    for (uint32_t i = 0; embedded && i < batch->count; i++) {
        uint32_t row = w->part->first + w->row_of[i];
        if (batch->records[i].vector || embedded->found[row] != ATOLL_EMBEDDING_THERE)
            continue;
        batch->records[i].vector = embedded->vector + (size_t)row * embedded->dim;
        batch->records[i].vector_dim = embedded->dim;
    }
}

static bool read_part(answering *w, atoll_worker *worker)
{
    const asking *a = w->asking;
    part *p = w->part;
    atoll_lines lines = {p->text, p->text_end, p->line};
    for (uint32_t row = 0; row < p->rows; row++) {
        w->refused[row].status = ATOLL_OK;
        w->refused[row].detail[0] = 0;
        atoll_status status = read_row(a, p, row, &lines, worker, &w->refused[row]);
        w->line_of[row] = a->request->ndjson ? lines.number : p->line + row;
        if (!took(w, row, status, worker->batch))
            return false;
    }
    hand_out_embeddings(w, worker->batch);
    return true;
}

static void answer(asking *a, part *p, atoll_worker *worker)
{
    answering w;
    w.asking = a;
    w.part = p;
    w.batch = worker->batch;
    w.row = 0;
    atoll_batch_reset(worker->batch);
    p->version = UINT64_MAX;
    if (!read_part(&w, worker))
        return;
    if (worker->batch->count)
        p->status = atoll_learner_predict(a->request->model->learner, worker->asker, worker->batch->records,
                                          worker->batch->count, (uint32_t)a->question.top, a->question.explain,
                                          predicted, &w, &p->version, &p->error);
    put_refused(&w, p->rows);
}

/* ---- sharing ---- */

/* Takes a part that nobody has and answers it; false where there is none. */
static bool work_on_one(asking *a, atoll_worker *worker)
{
    uint32_t mine = atomic_fetch_add(&a->next, 1);
    if (mine >= a->part_count)
        return false;
    answer(a, &a->parts[mine], worker);
    pthread_mutex_lock(&a->lock);
    if (++a->done == a->part_count)
        pthread_cond_signal(&a->all_done);
    pthread_mutex_unlock(&a->lock);
    return true;
}

static void help(atoll_job *job, atoll_worker *worker)
{
    helper *h = (helper *)(void *)job;
    asking *a = h->asking;
    if (worker && work_on_one(a, worker) && atomic_load(&a->next) < a->part_count)
        atoll_pool_push(a->pool, job);
    else
        release(a);
}

/* Answers every part, with the help of workers that are free. */
static void answer_all(asking *a, atoll_worker *worker)
{
    uint32_t helpers = atoll_pool_threads(a->pool) - 1;
    if (helpers >= a->part_count)
        helpers = a->part_count ? a->part_count - 1 : 0;
    a->helpers = helpers ? calloc(helpers, sizeof *a->helpers) : NULL;
    if (a->helpers) {
        a->references += helpers;
        for (uint32_t i = 0; i < helpers; i++) {
            a->helpers[i] = (helper){.job.run = help, .asking = a};
            atoll_pool_push(a->pool, &a->helpers[i].job);
        }
    }
    while (work_on_one(a, worker))
        ;
    pthread_mutex_lock(&a->lock);
    while (a->done < a->part_count)
        pthread_cond_wait(&a->all_done, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

/* ---- the reply ---- */

static void join_lines(const asking *a, uint64_t version, atoll_writer *out)
{
    char head[ATOLL_NAME_MAX_BYTES + 64];
    int head_bytes = snprintf(head, sizeof head, "{\"model\":\"%s\",\"version\":%llu,", a->request->target.model,
                              (unsigned long long)version);
    for (uint32_t i = 0; i < a->part_count; i++) {
        const part *p = &a->parts[i];
        uint32_t start = 0;
        for (uint32_t row = 0; row < p->rows; row++) {
            if (!p->bad[row])
                atoll_writer_raw(out, head, (size_t)head_bytes);
            uint32_t skip = p->bad[row] ? 0 : 1; /* its own opening brace */
            atoll_writer_raw(out, p->out.data + start + skip, p->ends[row] - start - skip);
            atoll_writer_raw(out, "\n", 1);
            start = p->ends[row];
        }
    }
}

static void join_object(const asking *a, uint64_t version, atoll_writer *out)
{
    atoll_json_object_begin(out);
    atoll_member_text(out, "model", a->request->target.model);
    atoll_member_uint(out, "version", version);
    atoll_member_array(out, "predictions");
    for (uint32_t i = 0; i < a->part_count; i++) {
        if (i)
            atoll_writer_raw(out, ",", 1);
        atoll_writer_raw(out, a->parts[i].out.data, a->parts[i].out.bytes);
    }
    atoll_json_array_end(out);
    atoll_json_object_end(out);
}

static atoll_outcome reply(asking *a)
{
    atoll_request *request = a->request;
    atoll_writer out;
    uint64_t version = UINT64_MAX;
    bool failed = false;
    for (uint32_t i = 0; i < a->part_count; i++) {
        const part *p = &a->parts[i];
        if (p->status)
            return atoll_request_problem(request, p->status, &p->error, p->error_line);
        failed |= p->out.failed || p->out.bytes > UINT32_MAX;
        version = p->version < version ? p->version : version;
    }
    if (version == UINT64_MAX) {
        atoll_stats stats;
        atoll_learner_stats(request->model->learner, &stats);
        version = stats.version;
    }
    atoll_writer_init(&out);
    if (!failed && request->ndjson)
        join_lines(a, version, &out);
    else if (!failed)
        join_object(a, version, &out);
    out.failed |= failed;
    return atoll_request_reply(request, 200, &out, request->ndjson ? "application/x-ndjson" : "application/json");
}

/* Waits for the version asked for, once; *later where the request has been handed to the learner. */
static atoll_status wait_for_version(const asking *a, bool *later, atoll_error *error)
{
    atoll_request *request = a->request;
    atoll_stats stats;
    *later = false;
    if (!a->question.min_version || request->stage++)
        return ATOLL_OK;
    atoll_learner_stats(request->model->learner, &stats);
    if (stats.version >= a->question.min_version)
        return ATOLL_OK;
    atoll_status status = atoll_learner_wait(request->model->learner, a->question.min_version,
                                             (int64_t)a->question.timeout_ms, atoll_request_go_on, request, error);
    *later = !status;
    return status;
}

/* ---- embeddings from outside ---- */

static void embedded(void *arg, atoll_embedded *block, atoll_status status, const atoll_error *error)
{
    atoll_request *request = arg;
    if (!status)
        request->state = block;
    atoll_request_go_on(request, status, error);
}

/* The texts of all good rows that come without a vector, in the worker's batch; bad ones are told when answering. */
static void gather_texts(const asking *a, atoll_worker *worker, atoll_slice *texts)
{
    atoll_error ignored;
    atoll_batch *batch = worker->batch;
    atoll_batch_reset(batch);
    for (uint32_t i = 0; i < a->part_count; i++) {
        const part *p = &a->parts[i];
        atoll_lines lines = {p->text, p->text_end, p->line};
        for (uint32_t row = 0; row < p->rows; row++) {
            if (read_row(a, p, row, &lines, worker, &ignored))
                continue;
            const atoll_record *record = &batch->records[batch->count - 1];
            if (!record->vector && !atoll_learner_check(a->request->model->learner, record, false, &ignored))
                texts[p->first + row] = record->text;
        }
    }
}

/* Embeds the request's texts, once; *later where the request has been handed to the learner. */
static atoll_status embed(asking *a, atoll_worker *worker, bool *later, atoll_error *error)
{
    atoll_request *request = a->request;
    atoll_embedded *block = request->state;
    atoll_status status = ATOLL_OK;
    if (!block && atoll_learner_embeds(request->model->learner) && a->part_count) {
        const part *last = &a->parts[a->part_count - 1];
        uint32_t rows = last->first + last->rows;
        atoll_slice *texts = calloc(rows, sizeof *texts);
        if (!texts)
            return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for %u texts", rows);
        gather_texts(a, worker, texts);
        status = atoll_learner_embed(request->model->learner, texts, rows, embedded, request, &block, later, error);
        free(texts);
        if (status || *later)
            return status;
        request->state = block;
    }
    a->embedded = block;
    return ATOLL_OK;
}

atoll_outcome atoll_handle_predict(atoll_request *request, atoll_worker *worker)
{
    atoll_error error = {0};
    bool later = false;
    asking *a = asking_new(request);
    atoll_status status = a ? atoll_request_find_model(request, &error) : ATOLL_NO_MEMORY;
    if (!status)
        status = atoll_question_query(request, &a->question, &error);
    if (!status)
        status = request->ndjson ? read_lines(a, &error) : read_object(a, worker, &error);
    if (!status)
        status = wait_for_version(a, &later, &error);
    if (!status && !later)
        status = embed(a, worker, &later, &error);
    atoll_outcome outcome = ATOLL_LATER;
    if (status) {
        outcome = atoll_request_problem(request, status, &error, 0);
    } else if (!later) {
        answer_all(a, worker);
        outcome = reply(a);
    }
    if (a)
        release(a);
    return outcome;
}
