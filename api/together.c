#include "api/together.h"

#include <string.h>

#include "api/answer.h"
#include "api/member.h"
#include "api/question.h"

enum {
    TOGETHER_MOST = 16,        /* requests of a batch: FAISS scans its codes for 11 queries at a time, so that more gain
                                  little, and the last of a batch waits for all others */
    BODY_MOST_BYTES = 32 << 10 /* bodies beyond it are answered by themselves, lest one holds up the others */
};

typedef struct lone {
    atoll_request *request;
    atoll_question question;
} lone;

typedef struct together {
    atoll_worker *worker;
    lone lone[TOGETHER_MOST]; /* by record of the worker's batch */
    uint32_t count, answered;
    uint64_t version;
} together;

static bool is_small(const atoll_request *request)
{
    return !request->ndjson && !request->apart && !request->stage && !request->state &&
           request->body_bytes <= BODY_MOST_BYTES;
}

static bool joins(const atoll_job *job, const void *arg)
{
    const atoll_request *first = arg, *other = (const atoll_request *)(const void *)job;
    return job->run == first->job.run && other->target.route == first->target.route && is_small(other) &&
           strcmp(other->target.model, first->target.model) == 0;
}

/* ---- reading ---- */

typedef struct records {
    atoll_json first;
    uint32_t count;
} records;

static bool visit_record(void *arg, const char *name, atoll_json value)
{
    records *r = arg;
    (void)name;
    if (!r->count++)
        r->first = value;
    return r->count < 2;
}

typedef enum taken { TAKEN, TAKEN_REFUSED, TAKEN_APART } taken;

/* Reads a request's only record into the worker's batch. TAKEN_REFUSED: its reply is a problem. */
static taken take_in(together *t, atoll_request *request)
{
    atoll_error error = {0};
    atoll_batch *batch = t->worker->batch;
    lone *l = &t->lone[t->count];
    records found = {0};
    uint64_t line = 0;
    atoll_status status = atoll_request_find_model(request, &error);
    if (!status)
        status = atoll_question_query(request, &l->question, &error);
    if (!status)
        status = atoll_question_body(request, t->worker, &l->question, &error);
    if (!status) {
        atoll_json_each(l->question.records, visit_record, &found);
        if (found.count != 1 || l->question.min_version || atoll_learner_embeds(request->model->learner) ||
            (t->count && request->model != t->lone[0].request->model))
            return TAKEN_APART;
        line = 1;
        status = atoll_batch_add(batch, found.first, &error);
        if (!status &&
            (status = atoll_learner_check(request->model->learner, &batch->records[t->count], false, &error)))
            atoll_batch_drop(batch);
    }
    if (status) {
        atoll_request_problem(request, status, &error, line);
        return TAKEN_REFUSED;
    }
    l->request = request;
    t->count++;
    return TAKEN;
}

/* Others of the queue. */
static void take_others(together *t, const atoll_request *first)
{
    atoll_job *next = atoll_pool_take(first->service->pool, joins, first, TOGETHER_MOST - 1);
    for (atoll_job *job = next; job; job = next) {
        atoll_request *request = (atoll_request *)(void *)job;
        next = job->next;
        taken how = take_in(t, request);
        if (how == TAKEN_REFUSED) {
            atoll_request_finish(request);
        } else if (how == TAKEN_APART) {
            request->apart = true;
            atoll_request_again(request);
        }
    }
}

/* ---- answering ---- */

static void predicted(void *arg, uint32_t record, const atoll_prediction *prediction)
{
    together *t = arg;
    const lone *l = &t->lone[record];
    atoll_request *request = l->request;
    atoll_answer answer = {.service = request->service,
                           .model = request->model->name,
                           .id = t->worker->batch->records[record].id,
                           .top = (uint32_t)l->question.top,
                           .explain = l->question.explain};
    atoll_writer out;
    atoll_writer_init(&out);
    atoll_json_object_begin(&out);
    atoll_member_text(&out, "model", request->model->name);
    atoll_member_uint(&out, "version", t->version);
    atoll_member_array(&out, "predictions");
    atoll_answer_put(&out, &answer, prediction);
    atoll_json_array_end(&out);
    atoll_json_object_end(&out);
    atoll_request_json(request, 200, &out);
    t->answered++;
    /* The last one keeps hold of the model until it has been asked to the end. */
    if (record + 1 < t->count)
        atoll_request_finish(request);
}

static void ask(together *t)
{
    atoll_request *last = t->lone[t->count - 1].request;
    uint64_t top = 0;
    bool explain = false;
    atoll_error error;
    for (uint32_t i = 0; i < t->count; i++) {
        top = t->lone[i].question.top > top ? t->lone[i].question.top : top;
        explain |= t->lone[i].question.explain;
    }
    atoll_counters_together(last->service->counters, t->count);
    atoll_status status = atoll_learner_predict(last->model->learner, t->worker->asker, t->worker->batch->records,
                                                t->count, (uint32_t)top, explain, predicted, t, &t->version, &error);
    if (status && t->count == 1) {
        atoll_request_problem(last, status, &error, 0);
    } else if (status) { /* what ails one of them is told to that one alone */
        for (uint32_t i = t->answered; i < t->count; i++) {
            t->lone[i].request->apart = true;
            atoll_request_again(t->lone[i].request);
        }
        return;
    }
    atoll_request_finish(last);
}

bool atoll_together_answer(atoll_request *request, atoll_worker *worker, atoll_outcome *outcome)
{
    together t;
    if (!is_small(request))
        return false;
    t.worker = worker;
    t.count = t.answered = 0;
    atoll_batch_reset(worker->batch);
    taken how = take_in(&t, request);
    if (how == TAKEN_APART)
        return false;
    *outcome = how == TAKEN ? ATOLL_LATER : ATOLL_ANSWERED;
    if (how == TAKEN) {
        take_others(&t, request);
        ask(&t);
    }
    return true;
}
