/*
 * POST …/ingest: records to learn from. A bad record is reported by its number and the others are taken; the reply
 * comes from the learner's callback once they are durable, or learned with ?wait=trained, and holds no worker
 * meanwhile.
 */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/member.h"
#include "api/request.h"

/* A request's records while they are read. */
typedef struct reading {
    atoll_request *request;
    atoll_worker *worker;
    atoll_learner *learner; /* NULL while no model has the name: then the first good record ends the reading */
    bool found_good;
    uint32_t seen, rejected, vector_dim;
    uint64_t line;
    atoll_writer errors;    /* the elements of the reply's `errors` */
    atoll_status first_status;
    atoll_error first_error;
    atoll_status fatal;     /* what refuses the whole request */
    atoll_error *error;
} reading;

/* What the callback needs for the reply. */
typedef struct waiting {
    atoll_writer errors; /* first: test_ingest.c lets it fail */
    uint32_t accepted, rejected;
} waiting;

static atoll_status check(reading *r, const atoll_record *record, atoll_error *error)
{
    if (!r->learner) {
        atoll_status status = atoll_record_check(record, error);
        if (!status && !record->label.data)
            return atoll_fail(error, ATOLL_MISSING_LABEL, "a record to learn from needs a label");
        return !status && record->tokens ? atoll_record_refuse_tokens(error) : status;
    }
    atoll_status status = atoll_learner_check(r->learner, record, true, error);
    if (status || !record->vector)
        return status;
    /* The first vector of a new model sets its dimension only once it is learned. */
    if (r->vector_dim && record->vector_dim != r->vector_dim)
        return atoll_fail(error, ATOLL_WRONG_DIMENSION, "the vector has %u values, an earlier one of the request %u",
                          record->vector_dim, r->vector_dim);
    r->vector_dim = record->vector_dim;
    return ATOLL_OK;
}

static void reject(reading *r, atoll_status status, const atoll_error *error)
{
    if (!r->rejected++) {
        r->first_status = status;
        r->first_error = *error;
        r->line = r->seen;
    }
    atoll_problem_line(&r->errors, status, error, r->seen);
}

/* One record was parsed into the batch, or was not; false ends the reading. */
static bool next(reading *r, atoll_status status, atoll_error *error)
{
    atoll_batch *batch = r->worker->batch;
    if (status == ATOLL_NO_MEMORY) {
        r->fatal = atoll_fail(r->error, status, "%s", error->detail);
        return false;
    }
    bool parsed = !status;
    if (parsed)
        status = check(r, &batch->records[batch->count - 1], error);
    if (status) {
        if (parsed)
            atoll_batch_drop(batch);
        reject(r, status, error);
        return true;
    }
    r->found_good = true;
    return r->learner;
}

static bool too_many(reading *r, uint64_t records)
{
    if (records <= ATOLL_REQUEST_MAX_RECORDS)
        return false;
    r->fatal = atoll_fail(r->error, ATOLL_TOO_MANY_RECORDS, "a request holds at most %d records",
                          ATOLL_REQUEST_MAX_RECORDS);
    return true;
}

static void read_lines(reading *r)
{
    atoll_request *request = r->request;
    atoll_lines lines = {request->body, request->body + request->body_bytes, 0};
    const char *line;
    size_t bytes;
    uint64_t records = 0;
    bool more = true;
    while (more && atoll_lines_next(&lines, &line, &bytes)) {
        atoll_error error = {0};
        if (too_many(r, ++records))
            return;
        r->seen = (uint32_t)lines.number;
        more = next(r, atoll_batch_parse(r->worker->batch, r->worker->parser, line, bytes, &error), &error);
    }
}

static bool visit_record(void *arg, const char *name, atoll_json value)
{
    reading *r = arg;
    atoll_error error = {0};
    (void)name;
    if (too_many(r, ++r->seen))
        return false;
    return next(r, atoll_batch_add(r->worker->batch, value, &error), &error);
}

static bool visit_member(void *arg, const char *name, atoll_json value)
{
    reading *r = arg;
    if (strcmp(name, "records"))
        r->fatal = atoll_fail(r->error, ATOLL_UNKNOWN_KEY, "unknown key \"%.64s\"", name);
    else if (atoll_json_kind_of(value) != ATOLL_JSON_ARRAY)
        r->fatal = atoll_fail(r->error, ATOLL_INVALID_VALUE, "records is not an array");
    return !r->fatal;
}

static void read_object(reading *r)
{
    atoll_json root, records;
    r->fatal = atoll_request_object(r->request, r->worker, &root, r->error);
    if (r->fatal)
        return;
    atoll_json_each(root, visit_member, r);
    if (r->fatal)
        return;
    if (atoll_json_member(root, "records", &records))
        atoll_json_each(records, visit_record, r);
    else
        r->fatal = atoll_fail(r->error, ATOLL_INVALID_VALUE, "records is missing");
}

/* Reads the body from its beginning. */
static void read_all(reading *r)
{
    atoll_batch_reset(r->worker->batch);
    atoll_writer_free(&r->errors);
    atoll_writer_init(&r->errors);
    r->seen = r->rejected = r->vector_dim = 0;
    r->found_good = false;
    if (r->request->ndjson)
        read_lines(r);
    else
        read_object(r);
}

static void put_counts(atoll_writer *out, uint32_t accepted, uint32_t rejected, const atoll_writer *errors)
{
    atoll_member_uint(out, "accepted", accepted);
    atoll_member_uint(out, "rejected", rejected);
    atoll_member_array(out, "errors");
    atoll_writer_raw(out, errors->data, errors->bytes);
    atoll_json_array_end(out);
    out->failed |= errors->failed;
}

static void put_ingested(atoll_writer *out, const atoll_ingested *result)
{
    atoll_member_uint(out, "first_seq", result->first_seq);
    atoll_member_uint(out, "last_seq", result->last_seq);
    atoll_member_uint(out, "version", result->version);
}

static atoll_outcome reply(atoll_request *request, uint32_t accepted, uint32_t rejected, const atoll_writer *errors,
                           const atoll_ingested *result)
{
    atoll_writer out;
    atoll_writer_init(&out);
    atoll_json_object_begin(&out);
    put_counts(&out, accepted, rejected, errors);
    put_ingested(&out, result);
    atoll_json_object_end(&out);
    return atoll_request_json(request, 200, &out);
}

/* Every record was bad: a problem with the first one's code, and all of them listed. */
static atoll_outcome refuse(reading *r)
{
    atoll_writer out;
    atoll_writer_init(&out);
    atoll_json_object_begin(&out);
    atoll_problem_members(&out, r->first_status, &r->first_error, r->line);
    put_counts(&out, 0, r->rejected, &r->errors);
    atoll_json_object_end(&out);
    return atoll_request_reply(r->request, atoll_problem_http(r->first_status), &out, ATOLL_PROBLEM_TYPE);
}

/* On disk, and not learned: a problem that tells what was taken. */
static void tell_kept(atoll_request *request, atoll_status status, const atoll_ingested *result,
                      const atoll_error *error)
{
    const waiting *w = request->state;
    atoll_writer out;
    atoll_writer_init(&out);
    atoll_json_object_begin(&out);
    atoll_problem_members(&out, status, error, 0);
    put_counts(&out, w->accepted, w->rejected, &w->errors);
    put_ingested(&out, result);
    atoll_json_object_end(&out);
    atoll_request_reply(request, atoll_problem_http(status), &out, ATOLL_PROBLEM_TYPE);
}

static void done(void *arg, atoll_status status, const atoll_ingested *result, const atoll_error *error)
{
    atoll_request *request = arg;
    waiting *w = request->state;
    bool kept = !status || (result->last_seq && status != ATOLL_UNKNOWN_MODEL); /* what is removed keeps nothing */
    if (!status)
        reply(request, w->accepted, w->rejected, &w->errors, result);
    else if (kept)
        tell_kept(request, status, result, error);
    else
        atoll_request_problem(request, status, error, 0);
    if (kept) /* sent again, also for want of memory to reply, it would be learned twice */
        request->reply.retry_after = false;
    atoll_writer_free(&w->errors);
    atoll_request_finish(request);
}

static atoll_outcome submit(reading *r, bool trained)
{
    atoll_request *request = r->request;
    atoll_batch *batch = r->worker->batch;
    waiting *w = malloc(sizeof *w);
    if (!w)
        return atoll_request_problem(request, ATOLL_NO_MEMORY, NULL, 0);
    *w = (waiting){r->errors, batch->count, r->rejected};
    request->state = w;
    atoll_status status = atoll_learner_ingest(r->learner, batch->records, batch->count, trained, done, request,
                                               r->error);
    if (status)
        return atoll_request_problem(request, status, r->error, 0);
    atoll_writer_init(&r->errors); /* handed on, with the request */
    return ATOLL_LATER;
}

/* Looks the model up; one that does not exist is made as soon as the body holds a record worth it. */
static atoll_status read_for_model(reading *r)
{
    atoll_request *request = r->request;
    atoll_status status = atoll_request_find_model(request, r->error);
    if (status && status != ATOLL_UNKNOWN_MODEL)
        return status;
    if (status) {
        atoll_config config;
        bool created;
        read_all(r);
        if (r->fatal || (!r->found_good && r->rejected))
            return r->fatal;
        if (!r->found_good)
            return status;
        atoll_config_defaults(&config);
        status = atoll_registry_create(request->service->registry, request->target.model, &config, &request->model,
                                       &created, r->error);
        if (status)
            return status;
    }
    r->learner = request->model->learner;
    read_all(r);
    return r->fatal;
}

atoll_outcome atoll_handle_ingest(atoll_request *request, atoll_worker *worker)
{
    atoll_error error = {0};
    reading r = {.request = request, .worker = worker, .error = &error};
    const char *wait = atoll_target_query(&request->target, "wait");
    bool trained = wait && !strcmp(wait, "trained");
    if (wait && !trained && strcmp(wait, "durable"))
        return atoll_request_problem(request,
                                     atoll_fail(&error, ATOLL_INVALID_VALUE, "wait is neither durable nor trained"),
                                     &error, 0);
    atoll_outcome outcome;
    atoll_writer_init(&r.errors);
    atoll_status status = read_for_model(&r);
    if (status)
        outcome = atoll_request_problem(request, status, &error, 0);
    else if (worker->batch->count && r.learner)
        outcome = submit(&r, trained);
    else if (r.rejected)
        outcome = refuse(&r);
    else {
        atoll_stats stats;
        atoll_learner_stats(r.learner, &stats);
        outcome = reply(request, 0, 0, &r.errors, &(atoll_ingested){.version = stats.version});
    }
    atoll_writer_free(&r.errors);
    return outcome;
}
