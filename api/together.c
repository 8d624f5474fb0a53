#include "api/together.h"

#include <assert.h>
#include <string.h>

#include "api/answer.h"
#include "api/handlers.h"
#include "api/member.h"
#include "api/question.h"

enum { BODY_MOST_BYTES = 32 << 10 }; /* larger ones are a worker's, lest one holds up the others */

typedef struct lone {
    atoll_request *request;
    atoll_question question;
} lone;

typedef struct together {
    atoll_worker *worker;
    lone lone[ATOLL_TOGETHER_MOST]; /* by record of the worker's batch */
    uint32_t count, answered;
    uint64_t version;
} together;

bool atoll_together_takes(const atoll_request *request)
{
    return request->target.route->handle == atoll_handle_predict && !request->ndjson &&
           request->body_bytes <= BODY_MOST_BYTES;
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
        for (uint32_t i = t->answered; i < t->count; i++)
            t->lone[i].request->apart = true;
        return;
    }
    atoll_request_finish(last);
}

/* Answers the first request and those for the same model; returns how many others are left, in `requests`. */
static uint32_t answer_one_model(atoll_request **requests, uint32_t count, atoll_worker *worker)
{
    together t = {.worker = worker};
    const char *model = requests[0]->target.model;
    uint32_t left = 0;
    atoll_batch_reset(worker->batch);
    for (uint32_t i = 0; i < count; i++) {
        if (i && strcmp(requests[i]->target.model, model)) {
            requests[left++] = requests[i];
            continue;
        }
        taken how = take_in(&t, requests[i]);
        if (how == TAKEN_REFUSED)
            atoll_request_finish(requests[i]);
        else if (how == TAKEN_APART)
            requests[i]->apart = true;
    }
    if (t.count)
        ask(&t);
    return left;
}

void atoll_together_answer(atoll_request *const *requests, uint32_t count, atoll_worker *worker)
{
    atoll_request *left[ATOLL_TOGETHER_MOST];
    assert(count <= ATOLL_TOGETHER_MOST);
    memcpy(left, requests, count * sizeof *left);
    while (count)
        count = answer_one_model(left, count, worker);
}
