/*
 * GET /metrics: Prometheus text format 0.0.4. Of the experts at most EXPERTS_SHOWN are told one by one, the shared
 * expert and those with the largest shares, so that the number of series stays bounded.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "api/handlers.h"
#include "api/request.h"

enum { EXPERTS_SHOWN = 64 };

/* A model with what its series are made of, read once so that they fit together. */
typedef struct sample {
    const char *name;
    atoll_stats stats;
    atoll_expert_info *experts; /* the shown ones */
    uint32_t shown;
} sample;

static void head(atoll_writer *out, const char *name, const char *type, const char *help)
{
    atoll_writer_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(atoll_writer *out, const char *name, const char *type, const char *help, double value)
{
    head(out, name, type, help);
    atoll_writer_format(out, "%s %.15g\n", name, value);
}

/* ---- the process ---- */

static unsigned long long open_files(void)
{
    unsigned long long count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count < 3 ? 0 : count - 3; /* without ".", ".." and the folder itself */
}

static void put_process(atoll_writer *out, int64_t started_ms)
{
    struct rusage used;
    struct rlimit files;
    unsigned long long pages = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm) {
        if (fscanf(statm, "%llu %llu", &pages, &resident) != 2)
            pages = resident = 0;
        fclose(statm);
    }
    double page = (double)sysconf(_SC_PAGESIZE), cpu = 0;
    if (!getrusage(RUSAGE_SELF, &used))
        cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
              (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    single(out, "process_cpu_seconds_total", "counter", "Processor time of the process, user and system.", cpu);
    single(out, "process_resident_memory_bytes", "gauge", "Resident memory.", (double)resident * page);
    single(out, "process_virtual_memory_bytes", "gauge", "Virtual memory, the stores' maps included.",
           (double)pages * page);
    single(out, "process_start_time_seconds", "gauge", "Start of the process, Unix time.", (double)started_ms / 1e3);
    single(out, "process_open_fds", "gauge", "Open file descriptors.", (double)open_files());
    if (!getrlimit(RLIMIT_NOFILE, &files))
        single(out, "process_max_fds", "gauge", "Most file descriptors that may be open.", (double)files.rlim_cur);
}

/* ---- the models ---- */

/* One series a model, from a field of its statistics. */
typedef struct series {
    const char *name, *type, *help, *labels; /* labels beyond the model's, or "" */
    enum { SERIES_UINT, SERIES_UINT32, SERIES_REAL } kind;
    size_t at; /* in atoll_stats */
} series;

#define UINT(name, type, help, labels, field) \
    {"atoll_" name, type, help, labels, SERIES_UINT, offsetof(atoll_stats, field)}
#define UINT32(name, type, help, labels, field) \
    {"atoll_" name, type, help, labels, SERIES_UINT32, offsetof(atoll_stats, field)}
#define REAL(name, type, help, labels, field) \
    {"atoll_" name, type, help, labels, SERIES_REAL, offsetof(atoll_stats, field)}

/* Rows of one name stand together. */
static const series model_series[] = {
    UINT("records_learned_total", "counter", "Records learned.", "", records),
    UINT("version", "gauge", "Published commit.", "", version),
    UINT("journal_last_commit", "gauge", "Newest durable commit.", "", journal_last),
    UINT32("labels", "gauge", "Labels known.", "", labels),
    UINT32("exemplars", "gauge", "Records remembered.", "", exemplars),
    REAL("prequential_accuracy", "gauge", "Share predicted right before it was learned.", ",window=\"all\"",
         prequential),
    REAL("prequential_accuracy", "gauge", "", ",window=\"recent\"", prequential_recent),
    REAL("no_change_accuracy", "gauge", "Share that repeats the label before it.", "", no_change),
    REAL("log_loss", "gauge", "Running mean of the prequential log loss, nats.", "", log_loss),
    REAL("calibration_error", "gauge", "Expected calibration error of prequential scores, recent records.", "",
         calibration_error),
    REAL("gate_entropy", "gauge", "Running mean of the gate's entropy, nats.", "", gate_entropy),
    UINT32("experts", "gauge", "Experts by state.", ",state=\"active\"", experts_active),
    UINT32("experts", "gauge", "", ",state=\"candidate\"", experts_candidate),
    UINT32("experts", "gauge", "", ",state=\"archived\"", experts_archived),
    UINT("experts_born_total", "counter", "Candidates promoted to experts.", "", born),
    UINT("experts_pruned_total", "counter", "Experts archived.", "", pruned),
    UINT("experts_restored_total", "counter", "Experts brought back.", "", restored),
    UINT("experts_merged_total", "counter", "Experts merged into others.", "", merged),
    UINT("concepts_replaced_total", "counter", "Concepts found replaced.", "", concepts_replaced),
    UINT("concepts_returned_total", "counter", "Replaced concepts found to have returned.", "", concepts_returned),
    UINT("exemplars_dormant", "gauge", "Exemplars of replaced concepts.", "", exemplars_dormant),
    UINT("exemplars_refuted_total", "counter", "Exemplars found contradicted.", "", exemplars_refuted),
    UINT("candidates_dropped_total", "counter", "Candidates given up.", "", dropped_candidates),
    UINT("tokens_routed_total", "counter", "Records, or tokens, by each expert routed to.", "", routed),
    UINT("tokens_overflowed_total", "counter", "Of those wanted, the ones that found the expert full.", "", overflowed),
    UINT("tokens_dropped_total", "counter", "Records, or tokens, that no expert took.", "", dropped),
    UINT("routing_collapses_total", "counter", "Times that routing has collapsed to one expert.", "", collapses),
    UINT32("routing_collapsed_to", "gauge", "The expert that routing has collapsed to, 0 for none.", "", collapsed),
    REAL("combination_weight", "gauge", "Weight of each voice of the answer.", ",voice=\"shared\"", weight_shared),
    REAL("combination_weight", "gauge", "", ",voice=\"experts\"", weight_experts),
    REAL("combination_weight", "gauge", "", ",voice=\"votes\"", weight_votes),
    REAL("combination_weight", "gauge", "", ",voice=\"counts\"", weight_counts),
    REAL("combination_weight", "gauge", "", ",voice=\"analytic\"", weight_analytic),
    REAL("combination_weight", "gauge", "", ",voice=\"youth\"", weight_youth),
    REAL("combination_weight", "gauge", "", ",voice=\"names\"", weight_names),
    UINT("answers_total", "counter", "Predictions made.", "", predictions),
    UINT("answers_unsearched_total", "counter", "Predictions that were sure without a search for neighbours.", "",
         unsearched),
    UINT("answers_alone_total", "counter", "Predictions that the shared expert has answered alone.", "", alone),
    UINT("parameters", "gauge", "Parameters, and those that one record reads.", ",kind=\"total\"", parameters),
    UINT("parameters", "gauge", "", ",kind=\"active\"", active_parameters),
    UINT("parameter_bytes", "gauge", "Bytes of parameters, and those that one record reads.", ",kind=\"total\"",
         parameter_bytes),
    UINT("parameter_bytes", "gauge", "", ",kind=\"active\"", active_bytes),
    UINT("memory_bytes", "gauge", "What the model holds in memory.", ",part=\"experts\"", footprint.experts),
    UINT("memory_bytes", "gauge", "", ",part=\"gate\"", footprint.gate),
    UINT("memory_bytes", "gauge", "", ",part=\"encoder\"", footprint.encoder),
    UINT("memory_bytes", "gauge", "", ",part=\"analytic\"", footprint.analytic),
    UINT("memory_bytes", "gauge", "", ",part=\"memory\"", footprint.memory),
    UINT("memory_bytes", "gauge", "", ",part=\"index\"", footprint.index),
    UINT("memory_bytes", "gauge", "", ",part=\"tables\"", footprint.tables),
    UINT("memory_bytes", "gauge", "", ",part=\"learning\"", footprint.learning),
    UINT("memory_bytes", "gauge", "", ",part=\"retired\"", footprint.retired),
    UINT("memory_bytes", "gauge", "", ",part=\"writing\"", footprint.writing),
    UINT32("index_lists", "gauge", "Lists of the index, and those that a search reads; 0 where it reads all.",
           ",part=\"all\"", index.lists),
    UINT32("index_lists", "gauge", "", ",part=\"read\"", index.probes),
    UINT32("index_candidates", "gauge", "Candidates that are ranked exactly; 0 where all vectors are.", "",
           index.candidates),
    REAL("index_recall", "gauge", "Recall of the ten nearest when it was measured, -1 where it was not.", "",
         index.recall),
    UINT("budget_bytes", "gauge", "What bounds the parts in memory that last.", "", budget_bytes),
    UINT("disk_bytes", "gauge", "What the model holds on disk.", ",part=\"journal\"", journal_bytes),
    UINT("disk_bytes", "gauge", "", ",part=\"state\"", state_bytes),
    UINT32("checkpoints_total", "counter", "Checkpoints written since the model was opened.", "", checkpoints),
    UINT("checkpoint_commit", "gauge", "Commit of the last checkpoint.", "", checkpoint),
    REAL("checkpoint_duration_seconds", "gauge", "The last checkpoint took.", "", checkpoint_seconds),
    UINT("embedding_calls_total", "counter", "Calls to the embedding server.", "", embedding.calls),
    UINT("embedding_retries_total", "counter", "Calls to the embedding server after a failed one.", "",
         embedding.retries),
    UINT("embedding_texts_total", "counter", "Texts that the embedding server embedded.", "", embedding.texts),
    UINT("embedding_pending_commits", "gauge", "Commits that wait for embeddings.", "", embedding.pending),
    UINT("embedding_cached", "gauge", "Embeddings on disk.", "", embedding.cached),
    REAL("learn_seconds_total", "counter", "Time spent learning.", "", learn_seconds),
};

enum { MODEL_SERIES = sizeof model_series / sizeof *model_series };

static double value_of(const series *s, const atoll_stats *stats)
{
    const char *field = (const char *)stats + s->at;
    uint64_t wide;
    uint32_t narrow;
    double real;
    switch (s->kind) {
    case SERIES_UINT:
        memcpy(&wide, field, sizeof wide);
        return (double)wide;
    case SERIES_UINT32:
        memcpy(&narrow, field, sizeof narrow);
        return narrow;
    default:
        memcpy(&real, field, sizeof real);
        return real;
    }
}

static void put_models(atoll_writer *out, const sample *samples, uint32_t count)
{
    for (int i = 0; i < MODEL_SERIES; i++) {
        const series *s = &model_series[i];
        if (!i || strcmp(s->name, model_series[i - 1].name))
            head(out, s->name, s->type, s->help);
        for (uint32_t m = 0; m < count; m++)
            atoll_writer_format(out, "%s{model=\"%s\"%s} %.15g\n", s->name, samples[m].name, s->labels,
                                value_of(s, &samples[m].stats));
    }
    head(out, "atoll_backlog_commits", "gauge", "Durable commits that are not learned yet.");
    for (uint32_t m = 0; m < count; m++) {
        const atoll_stats *stats = &samples[m].stats;
        double backlog = stats->journal_last > stats->version ? (double)(stats->journal_last - stats->version) : 0;
        atoll_writer_format(out, "atoll_backlog_commits{model=\"%s\"} %.15g\n", samples[m].name, backlog);
    }
    head(out, "atoll_learning_failed", "gauge", "1 where learning has stopped for a failure.");
    for (uint32_t m = 0; m < count; m++)
        atoll_writer_format(out, "atoll_learning_failed{model=\"%s\"} %d\n", samples[m].name,
                            samples[m].stats.failure[0] != 0);
}

/* `at` is in atoll_expert_info. */
#define EXPERT(name, type, help, kind, field) \
    {"atoll_expert_" name, type, help, "", kind, offsetof(atoll_expert_info, field)}

static void put_expert_field(atoll_writer *out, const series *row, const sample *samples, uint32_t count)
{
    head(out, row->name, row->type, row->help);
    for (uint32_t m = 0; m < count; m++)
        for (uint32_t i = 0; i < samples[m].shown; i++) {
            const char *at = (const char *)&samples[m].experts[i] + row->at;
            double real;
            uint64_t whole;
            memcpy(&real, at, sizeof real);
            memcpy(&whole, at, sizeof whole);
            atoll_writer_format(out, "%s{model=\"%s\",expert=\"%u\"} ", row->name, samples[m].name,
                                samples[m].experts[i].id);
            if (row->kind == SERIES_REAL)
                atoll_writer_format(out, "%.9g\n", real);
            else
                atoll_writer_format(out, "%llu\n", (unsigned long long)whole);
        }
}

/* Total and active. */
static void put_expert_sizes(atoll_writer *out, const char *name, const char *help, const sample *samples,
                             uint32_t count, size_t total, size_t active)
{
    head(out, name, "gauge", help);
    for (uint32_t m = 0; m < count; m++)
        for (uint32_t i = 0; i < samples[m].shown; i++)
            for (int k = 0; k < 2; k++) {
                uint64_t value;
                memcpy(&value, (const char *)&samples[m].experts[i] + (k ? active : total), sizeof value);
                atoll_writer_format(out, "%s{model=\"%s\",expert=\"%u\",kind=\"%s\"} %llu\n", name, samples[m].name,
                                    samples[m].experts[i].id, k ? "active" : "total", (unsigned long long)value);
            }
}

static void put_embedding(atoll_writer *out, const sample *samples, uint32_t count)
{
    head(out, "atoll_embedding_down", "gauge", "1 where the last call to the embedding server failed.");
    for (uint32_t m = 0; m < count; m++)
        if (samples[m].stats.embedding.outside)
            atoll_writer_format(out, "atoll_embedding_down{model=\"%s\"} %d\n", samples[m].name,
                                samples[m].stats.embedding.down);
}

static void put_experts(atoll_writer *out, const sample *samples, uint32_t count)
{
    static const series fields[] = {
        EXPERT("share", "gauge", "Share of the records routed lately, of the experts with most.", SERIES_REAL, share),
        EXPERT("entropy", "gauge", "Entropy of the gate where the expert is its first choice, nats.", SERIES_REAL,
               entropy),
        EXPERT("overflowed_total", "counter", "Records, or tokens, that found the expert full.", SERIES_UINT,
               overflowed),
        EXPERT("dropped_total", "counter", "Of those, the ones that no other expert took.", SERIES_UINT, dropped),
        EXPERT("drift", "gauge", "Errors on familiar records beyond those expected, 0 to 1.", SERIES_REAL, drift),
        EXPERT("records_total", "counter", "Records learned, of the experts with the largest shares.", SERIES_UINT,
               records),
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        put_expert_field(out, &fields[i], samples, count);
    put_expert_sizes(out, "atoll_expert_parameters", "Parameters, and those that one record reads.", samples, count,
                     offsetof(atoll_expert_info, parameters), offsetof(atoll_expert_info, active_parameters));
    put_expert_sizes(out, "atoll_expert_bytes", "Bytes held, and those that one record reads.", samples, count,
                     offsetof(atoll_expert_info, bytes), offsetof(atoll_expert_info, active_bytes));
}

/* Larger shares first, the shared expert before all, archived ones after all. */
static int by_share(const void *left, const void *right)
{
    const atoll_expert_info *a = left, *b = right;
    int rank_a = a->state == ATOLL_EXPERT_SHARED ? 0 : a->state == ATOLL_EXPERT_ARCHIVED ? 2 : 1;
    int rank_b = b->state == ATOLL_EXPERT_SHARED ? 0 : b->state == ATOLL_EXPERT_ARCHIVED ? 2 : 1;
    if (rank_a != rank_b)
        return rank_a - rank_b;
    if (a->share > b->share || a->share < b->share)
        return a->share > b->share ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static atoll_status take(sample *s, const atoll_model *model, atoll_error *error)
{
    uint32_t experts;
    atoll_status status = atoll_learner_experts(model->learner, &s->experts, &experts, error);
    if (status)
        return status;
    qsort(s->experts, experts, sizeof *s->experts, by_share);
    s->shown = experts < EXPERTS_SHOWN ? experts : EXPERTS_SHOWN;
    s->name = model->name;
    atoll_learner_stats(model->learner, &s->stats);
    return ATOLL_OK;
}

static void put_server(atoll_writer *out, atoll_service *service, uint32_t models)
{
    put_process(out, service->started_ms);
    single(out, "atoll_models", "gauge", "Models held.", models);
    single(out, "atoll_workers", "gauge", "Threads that answer.", atoll_pool_threads(service->pool));
    single(out, "atoll_requests_waiting", "gauge", "Requests that wait for a worker.",
           atoll_pool_waiting(service->pool));
    single(out, "atoll_requests_open", "gauge", "Requests received and not yet answered.",
           (double)atomic_load(&service->busy));
    atoll_counters_print(service->counters, out);
}

atoll_outcome atoll_handle_metrics(atoll_request *request, atoll_worker *worker)
{
    atoll_service *service = request->service;
    atoll_model **models;
    uint32_t count, taken = 0;
    atoll_error error;
    atoll_writer out;
    (void)worker;
    atoll_status status = atoll_registry_all(service->registry, &models, &count, &error);
    if (status)
        return atoll_request_problem(request, status, &error, 0);
    atoll_writer_init(&out);
    sample *samples = calloc(count + 1, sizeof *samples);
    if (!samples)
        status = atoll_fail(&error, ATOLL_NO_MEMORY, "no memory for the samples");
    while (!status && taken < count && !(status = take(&samples[taken], models[taken], &error)))
        taken++;
    if (!status) {
        put_server(&out, service, count);
        put_models(&out, samples, count);
        put_embedding(&out, samples, count);
        put_experts(&out, samples, count);
    }
    for (uint32_t i = 0; i < taken; i++)
        free(samples[i].experts);
    free(samples);
    atoll_registry_release_all(service->registry, models, count);
    if (!status)
        return atoll_request_reply(request, 200, &out, "text/plain; version=0.0.4; charset=utf-8");
    atoll_writer_free(&out);
    return atoll_request_problem(request, status, &error, 0);
}
