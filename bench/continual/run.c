#include "bench/continual/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/learning.h"
#include "learner/inside.h"

enum { ASKED_ONE_BY_ONE = 3000, ASKED_AT_ONCE = 256, MAP_GIB = 16, LEARNED_AT_ONCE_MAX = 1024 };

/* ---- a run ---- */

/* Answers by domain and first expert. */
typedef uint32_t routing[STREAM_DOMAINS_MAX][ATOLL_EXPERTS_MAX];

/* Records of a phase after which routing is looked at: its gate is stale. */
enum { EARLY = 3 };
static const uint32_t early_at[EARLY] = {50, 100, 200};

/* What the answers to the records held out come to, at the end. */
typedef struct last_answers {
    atoll_calibration calibration;
    uint32_t right, voice_right[ATOLL_VOICES], voice_spoke[ATOLL_VOICES];
    uint32_t inside_right, outside_abstained;
    routing routed;
    routing early[EARLY];    /* of the same records while a domain has just begun, all phases but the first together */
    routing stale;           /* when the phase ends in which the gate was frozen */
    float *inside, *outside; /* novelty */
} last_answers;

typedef struct run {
    const run_request *request;
    atoll_learner *learner;
    atoll_asker *asker;
    uint32_t batch;
    measures *out;
    run_sizes *sizes;       /* or NULL */
    last_answers *last;     /* to be filled at the end */
    double accuracy[STREAM_DOMAINS_MAX][STREAM_DOMAINS_MAX]; /* by phase and domain */
    double learn_s, ask_s;  /* of all processors */
    double learn_wall_s, ask_wall_s;
    uint64_t learned, asked, foreseen;
    /* of the records under question */
    const stream_list *list;
    const uint32_t *number; /* their places in it */
    uint32_t right[STREAM_DOMAINS_MAX], of[STREAM_DOMAINS_MAX];
    routing *routed;        /* where they are counted, or NULL */
    last_answers *final;    /* NULL before the end */
} run;

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double processor_seconds(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

static double wall_seconds(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

static atoll_record prepare(const run *r, const stream_record *from, bool labelled)
{
    atoll_record record = from->record;
    const char *name = r->request->stream->name[from->domain];
    if (!labelled)
        record.label = (atoll_slice){0};
    if (r->request->hinted)
        record.domain = (atoll_slice){name, strlen(name)};
    return record;
}

static bool is_named(const char *name, atoll_slice label)
{
    return name && strlen(name) == label.bytes && memcmp(name, label.data, label.bytes) == 0;
}

static void note(void *arg, uint32_t index, const atoll_prediction *p)
{
    run *r = arg;
    const stream *s = r->request->stream;
    uint32_t number = r->number[index];
    const stream_record *asked = &r->list->at[number];
    last_answers *f = r->final;
    if (r->list == &s->learned) {
        r->foreseen += p->labels && is_named(p->label[0].label, asked->record.label);
        return;
    }
    if (r->list == &s->outside) {
        f->outside[number] = p->novelty;
        f->outside_abstained += p->abstain;
        return;
    }
    bool right = p->labels && is_named(p->label[0].label, asked->record.label);
    r->right[asked->domain] += right;
    r->of[asked->domain]++;
    if (r->routed && p->experts)
        (*r->routed)[asked->domain][p->expert[0].id]++;
    if (!f)
        return;
    f->right += right;
    f->inside_right += right && !p->abstain;
    f->inside[number] = p->novelty;
    if (p->labels)
        atoll_calibration_add(&f->calibration, p->label[0].score, right, 0);
    for (int v = 0; v < ATOLL_VOICES; v++) {
        f->voice_spoke[v] += p->voice[v] != NULL;
        f->voice_right[v] += is_named(p->voice[v], asked->record.label);
    }
}

/* Asks about those of the list whose domain has begun by phase `phase`. */
static atoll_status ask(run *r, const stream_list *list, uint32_t phase, atoll_error *error)
{
    const stream *s = r->request->stream;
    atoll_record records[ASKED_AT_ONCE];
    uint32_t number[ASKED_AT_ONCE], count = 0;
    atoll_status status = ATOLL_OK;
    double start = processor_seconds(), wall = wall_seconds();
    r->list = list;
    r->number = number;
    for (uint32_t i = 0; i < list->count && status == ATOLL_OK; i++) {
        if (list == &s->outside || s->phase_of[list->at[i].domain] <= phase) {
            number[count] = i;
            records[count++] = prepare(r, &list->at[i], false);
        }
        if (count == ASKED_AT_ONCE || (count && i + 1 == list->count)) {
            uint64_t version;
            status = atoll_learner_predict(r->learner, r->asker, records, count, 1, r->routed != NULL, note, r,
                                           &version, error);
            r->asked += count;
            count = 0;
        }
    }
    r->ask_s += processor_seconds() - start;
    r->ask_wall_s += wall_seconds() - wall;
    return status;
}

/* Asks about records as a client would who then sends them with their labels. */
static atoll_status foresee(run *r, uint32_t from, uint32_t count, atoll_error *error)
{
    atoll_record records[LEARNED_AT_ONCE_MAX];
    uint32_t number[LEARNED_AT_ONCE_MAX];
    uint64_t version;
    for (uint32_t i = 0; i < count; i++) {
        number[i] = from + i;
        records[i] = prepare(r, &r->request->stream->learned.at[from + i], false);
    }
    r->list = &r->request->stream->learned;
    r->number = number;
    return atoll_learner_predict(r->learner, r->asker, records, count, 1, false, note, r, &version, error);
}

static atoll_status learn_batch(run *r, uint32_t from, uint32_t count, atoll_error *error)
{
    atoll_record records[LEARNED_AT_ONCE_MAX];
    double start = processor_seconds(), wall = wall_seconds();
    for (uint32_t i = 0; i < count; i++)
        records[i] = prepare(r, &r->request->stream->learned.at[from + i], true);
    atoll_status status = bench_learn(r->learner, records, count, error);
    r->learned += count;
    r->learn_s += processor_seconds() - start;
    r->learn_wall_s += wall_seconds() - wall;
    return status;
}

static atoll_status learn(run *r, uint32_t from, uint32_t to, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    for (uint32_t at = from, count; at < to && status == ATOLL_OK; at += count) {
        count = to - at < r->batch ? to - at : r->batch;
        if ((status = foresee(r, at, count, error)) == ATOLL_OK)
            status = learn_batch(r, at, count, error);
    }
    return status;
}

static atoll_status ask_after(run *r, uint32_t phase, atoll_error *error)
{
    const stream *s = r->request->stream;
    memset(r->right, 0, sizeof r->right);
    memset(r->of, 0, sizeof r->of);
    atoll_status status = ask(r, &s->asked, phase, error);
    for (uint32_t d = 0; d < s->domains; d++)
        r->accuracy[phase][d] = r->of[d] ? (double)r->right[d] / r->of[d] : NAN;
    return status;
}

/* ---- what it comes to ---- */

static double mean_over(const run *r, uint32_t phase, uint32_t last_begun)
{
    const stream *s = r->request->stream;
    double sum = 0, count = 0;
    for (uint32_t d = 0; d < s->domains; d++)
        if (s->phase_of[d] <= last_begun && !isnan(r->accuracy[phase][d])) {
            sum += r->accuracy[phase][d];
            count++;
        }
    return count ? sum / count : NAN;
}

static void sum_up_accuracy(run *r)
{
    const stream *s = r->request->stream;
    uint32_t last = s->phases - 1;
    double anytime = 0, transfer = 0, forgotten = 0, earlier = 0, *at = r->out->at;
    for (uint32_t p = 0; p < s->phases; p++)
        anytime += mean_over(r, p, p) / s->phases;
    for (uint32_t d = 0; d < s->domains; d++) {
        double best = -1, now = r->accuracy[last][d];
        if (s->phase_of[d] == last || isnan(now))
            continue;
        for (uint32_t p = s->phase_of[d]; p < last; p++)
            best = fmax(best, r->accuracy[p][d]);
        transfer += now - r->accuracy[s->phase_of[d]][d];
        forgotten += best - now;
        earlier++;
    }
    at[MEASURE_ACC] = mean_over(r, last, last);
    at[MEASURE_ANYTIME] = anytime;
    if (earlier) {
        at[MEASURE_BWT] = transfer / earlier;
        at[MEASURE_FORGETTING] = forgotten / earlier;
    }
}

/* The one in whose midst the gate is frozen, where it is. */
static uint32_t stale_phase(const run *r)
{
    return r->request->stream->phases / 2;
}

static double share(uint32_t part, uint32_t whole)
{
    return whole ? (double)part / whole : NAN;
}

/*
 * Records of each domain that went first to the expert that gets most of them at the end; only of domains that begin
 * in `phase`, of all where it is ALL_PHASES.
 */
enum { ALL_PHASES = UINT32_MAX };
static double gate_right(const run *r, const routing *routed, uint32_t phase)
{
    double right = 0, all = 0;
    for (uint32_t d = 0; d < r->request->stream->domains; d++) {
        uint32_t main = 1;
        if (phase != ALL_PHASES && r->request->stream->phase_of[d] != phase)
            continue;
        for (uint32_t e = 0; e < ATOLL_EXPERTS_MAX; e++) {
            all += (*routed)[d][e];
            main = e && r->final->routed[d][e] > r->final->routed[d][main] ? e : main;
        }
        right += (*routed)[d][main];
    }
    return all > 0 ? right / all : NAN;
}

/* The share of each active expert's exemplars that are of its main domain, weighted by the records it learned. */
static double purity(const run *r)
{
    const stream *s = r->request->stream;
    int ticket;
    const atoll_published *p = atoll_learner_enter(r->learner, &ticket);
    uint32_t(*owned)[STREAM_DOMAINS_MAX] = calloc(p->model->experts, sizeof *owned);
    double pure = 0, records = 0;
    for (uint32_t slot = 0; owned && slot < p->memory.slots.count; slot++) {
        const atoll_slot *held = atoll_memory_at(&p->memory, slot);
        /* A new model numbers its records from 1 without gaps. */
        if (held->exemplar && held->owner < p->model->experts && held->exemplar->seq <= s->learned.count)
            owned[held->owner][s->learned.at[held->exemplar->seq - 1].domain]++;
    }
    for (uint32_t e = 1; owned && e < p->model->experts; e++) {
        uint32_t most = 0, all = 0;
        for (uint32_t d = 0; d < s->domains; d++) {
            most = owned[e][d] > most ? owned[e][d] : most;
            all += owned[e][d];
        }
        if (p->model->expert[e].state != ATOLL_EXPERT_ACTIVE || all == 0)
            continue;
        pure += (double)p->model->expert[e].records * most / all;
        records += (double)p->model->expert[e].records;
    }
    free(owned);
    atoll_learner_leave(r->learner, ticket);
    return records > 0 ? pure / records : NAN;
}

static void sum_up(run *r)
{
    static const int voice_measure[ATOLL_VOICES] = {[ATOLL_VOICE_SHARED] = MEASURE_SHARED,
                                                    [ATOLL_VOICE_ANALYTIC] = MEASURE_ANALYTIC,
                                                    [ATOLL_VOICE_EXPERTS] = MEASURE_EXPERTS,
                                                    [ATOLL_VOICE_VOTES] = MEASURE_VOTES,
                                                    [ATOLL_VOICE_COUNTS] = MEASURE_BY_COUNTS};
    const stream *s = r->request->stream;
    const last_answers *f = r->final;
    double *at = r->out->at;
    atoll_stats stats;
    atoll_learner_stats(r->learner, &stats);
    sum_up_accuracy(r);
    at[MEASURE_ACCURACY] = share(f->right, s->asked.count);
    at[MEASURE_PREQUENTIAL] = (double)r->foreseen / (double)r->learned;
    at[MEASURE_ECE] = atoll_calibration_error(&f->calibration);
    at[MEASURE_ECE_STREAM] = stats.calibration_error;
    at[MEASURE_BYTES] = (double)atoll_learner_bytes(r->learner) / 0x1p20;
    at[MEASURE_STATE] = (double)atoll_footprint_state(&stats.footprint) / 0x1p20;
    at[MEASURE_LEARN_US] = r->learn_s * 1e6 / (double)r->learned;
    at[MEASURE_ASK_US] = r->ask_s * 1e6 / (double)r->asked;
    at[MEASURE_BORN] = (double)stats.born;
    at[MEASURE_ACTIVE] = stats.experts_active;
    at[MEASURE_PURITY] = purity(r);
    at[MEASURE_GATE_RIGHT] = stats.experts_active ? gate_right(r, &f->routed, ALL_PHASES) : NAN;
    for (int i = 0; i < EARLY && stats.experts_active; i++)
        at[MEASURE_GATE_EARLY + i] = gate_right(r, &f->early[i], ALL_PHASES);
    if (stats.experts_active && r->request->stale) {
        at[MEASURE_GATE_STALE] = gate_right(r, &f->stale, ALL_PHASES);
        at[MEASURE_GATE_STALE_NEW] = gate_right(r, &f->stale, stale_phase(r));
    }
    if (s->outside.count) {
        at[MEASURE_OUTSIDE_RECALL] = share(f->outside_abstained, s->outside.count);
        at[MEASURE_INSIDE_ACCURACY] = share(f->inside_right, s->asked.count);
        at[MEASURE_NOVELTY_AUC] = area_under_curve(f->outside, s->outside.count, f->inside, s->asked.count);
    }
    for (int v = 0; v < ATOLL_VOICES; v++)
        if (v != ATOLL_VOICE_YOUTH && f->voice_spoke[v])
            at[voice_measure[v]] = share(f->voice_right[v], s->asked.count);
}

/* ---- rates ---- */

static void ignore(void *arg, uint32_t index, const atoll_prediction *p)
{
    (void)arg;
    (void)index;
    (void)p;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/*
 * Records held out, asked one by one, evenly spread over the list. The asking thread waits for nothing, so its own
 * processor time is what a request would take on an idle machine.
 */
static atoll_status ask_one_by_one(run *r, atoll_error *error)
{
    const stream_list *list = &r->request->stream->asked;
    double *took = malloc(ASKED_ONE_BY_ONE * sizeof *took);
    atoll_status status = took ? ATOLL_OK : atoll_fail(error, ATOLL_NO_MEMORY, "no memory for times");
    for (uint64_t i = 0; i < ASKED_ONE_BY_ONE && status == ATOLL_OK; i++) {
        uint64_t version;
        atoll_record record = prepare(r, &list->at[i * list->count / ASKED_ONE_BY_ONE], false);
        double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);
        status = atoll_learner_predict(r->learner, r->asker, &record, 1, 1, false, ignore, NULL, &version, error);
        took[i] = (seconds_of(CLOCK_THREAD_CPUTIME_ID) - start) * 1e6;
    }
    if (status == ATOLL_OK) {
        qsort(took, ASKED_ONE_BY_ONE, sizeof *took, ascending);
        r->out->at[MEASURE_ONE_MEDIAN] = took[ASKED_ONE_BY_ONE / 2];
        r->out->at[MEASURE_ONE_LATE] = took[ASKED_ONE_BY_ONE * 99 / 100];
    }
    free(took);
    return status;
}

static void measure_extent(run *r)
{
    int ticket;
    double *at = r->out->at;
    atoll_stats stats;
    run_extent more = {0};
    atoll_learner_stats(r->learner, &stats);
    if (r->request->stand_in) {
        const atoll_published *p = atoll_learner_enter(r->learner, &ticket);
        more = r->request->stand_in->measure(p->model, p->tally.features);
        atoll_learner_leave(r->learner, ticket);
    }
    at[MEASURE_TOTAL_SIZE] = ((double)stats.parameters + more.parameters) * 1e-3;
    at[MEASURE_ACTIVE_SIZE] = ((double)stats.active_parameters + more.active) * 1e-3;
    at[MEASURE_PARAMETER_MIB] = ((double)stats.parameter_bytes + more.bytes) / 0x1p20;
    at[MEASURE_BYTES] += more.bytes / 0x1p20;
    at[MEASURE_ASK_RATE] = (double)r->asked / r->ask_wall_s;
}

/* ---- sizes ---- */

/* Parameters of a dense model like the shared expert `net`, were `experts.shared_hidden` so large. */
static double parameters_at(const atoll_net *net, uint32_t hidden)
{
    double rank = (hidden / 4 + 7) / 8 * 8, rows = net->sparse.rows.count, outputs = net->outputs;
    return rows * (outputs + rank) + outputs * (1 + rank) +
           (double)net->random.count * fmin(ATOLL_SHARED_DENSE * hidden, ATOLL_PROJECTION_FEATURES);
}

static uint32_t hidden_for(const atoll_net *net, double parameters)
{
    enum { STEP = 8, MOST = 4096 };
    uint32_t best = STEP;
    for (uint32_t hidden = STEP; hidden <= MOST; hidden += STEP)
        if (fabs(parameters_at(net, hidden) - parameters) < fabs(parameters_at(net, best) - parameters))
            best = hidden;
    return best;
}

static void measure_sizes(const run *r, run_sizes *sizes)
{
    int ticket;
    const atoll_model *model = atoll_learner_enter(r->learner, &ticket)->model;
    const atoll_net *shared = &model->expert[0].net;
    const atoll_config *config = &model->config;
    uint32_t hidden = config->shared_hidden ? config->shared_hidden : config->expert_hidden;
    double own = parameters_at(shared, hidden), others = 0, count = 0;
    for (uint32_t e = 1; e < model->experts; e++)
        if (model->expert[e].state == ATOLL_EXPERT_ACTIVE) {
            others += (double)atoll_net_parameters(&model->expert[e].net);
            count++;
        }
    double routed = count ? others / count * fmin(model->config.top_k, count) : 0;
    *sizes = (run_sizes){hidden_for(shared, own + routed), hidden_for(shared, own + others)};
    atoll_learner_leave(r->learner, ticket);
}

/* ---- the whole ---- */

/*
 * Learns the first records of a phase, and looks at routing in between; *from is where the rest begins. Not where
 * batches are larger, and not while times are taken.
 */
static atoll_status learn_early(run *r, uint32_t phase, uint32_t *from, atoll_error *error)
{
    const stream *s = r->request->stream;
    uint32_t begin = *from;
    atoll_status status = ATOLL_OK;
    if (phase == 0 || r->request->timed || early_at[0] % r->batch)
        return ATOLL_OK;
    for (int i = 0; i < EARLY && begin + early_at[i] < s->end[phase] && status == ATOLL_OK; i++) {
        if ((status = learn(r, *from, begin + early_at[i], error)))
            break;
        *from = begin + early_at[i];
        r->routed = &r->last->early[i];
        status = ask(r, &s->asked, phase, error);
        r->routed = NULL;
    }
    return status;
}

static atoll_status freeze(run *r, const char *what, atoll_error *error)
{
    char json[64];
    int ticket, bytes = snprintf(json, sizeof json, "{\"training\":{\"freeze\":\"%s\"}}", what);
    bench_call call = BENCH_CALL;
    atoll_config config = atoll_learner_enter(r->learner, &ticket)->model->config;
    atoll_learner_leave(r->learner, ticket);
    atoll_status status = atoll_config_merge(&config, json, (size_t)bytes, error);
    if (status == ATOLL_OK)
        status = atoll_learner_configure(r->learner, &config, bench_configured, &call, error);
    return status ? status : bench_await(&call, error);
}

/* A phase in whose midst the gate is frozen: it ends with a gate that has seen little of what is new. */
static atoll_status learn_stale(run *r, uint32_t phase, uint32_t from, atoll_error *error)
{
    const stream *s = r->request->stream;
    uint32_t to = from + r->request->stale < s->end[phase] ? from + r->request->stale : s->end[phase];
    atoll_status status;
    if ((status = learn(r, from, to, error)) || (status = freeze(r, "gate", error)) ||
        (status = learn(r, to, s->end[phase], error)))
        return status;
    r->routed = &r->last->stale;
    status = ask(r, &s->asked, phase, error);
    r->routed = NULL;
    return status ? status : freeze(r, "none", error);
}

static atoll_status go(run *r, atoll_error *error)
{
    const stream *s = r->request->stream;
    atoll_status status = ATOLL_OK;
    for (uint32_t phase = 0; phase < s->phases && status == ATOLL_OK; phase++) {
        uint32_t from = phase ? s->end[phase - 1] : 0;
        if (r->request->stale && phase == stale_phase(r))
            status = learn_stale(r, phase, from, error);
        else if ((status = learn_early(r, phase, &from, error)) == ATOLL_OK)
            status = learn(r, from, s->end[phase], error);
        if (status)
            break;
        r->final = phase + 1 == s->phases ? r->last : NULL;
        r->routed = r->final ? &r->final->routed : NULL;
        status = ask_after(r, phase, error);
    }
    r->routed = NULL;
    if (status == ATOLL_OK && s->outside.count)
        status = ask(r, &s->outside, s->phases, error);
    if (status)
        return status;
    sum_up(r);
    if (r->sizes)
        measure_sizes(r, r->sizes);
    if (!r->request->timed)
        return ATOLL_OK;
    measure_extent(r);
    return ask_one_by_one(r, error);
}

static void remove_folder(const char *folder)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "bench: cannot remove %s\n", folder);
}

/* Does `work` with a new model in a folder of its own. */
static atoll_status with_model(run *r, atoll_status (*work)(run *r, atoll_error *error), atoll_error *error)
{
    char folder[512], path[530];
    const char *temporary = getenv("TMPDIR");
    const run_stand_in *stand_in = r->request->stand_in;
    snprintf(folder, sizeof folder, "%s/atoll-bench-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(folder))
        return atoll_fail(error, ATOLL_IO, "cannot make a folder like %s", folder);
    snprintf(path, sizeof path, "%s/model", folder);
    atoll_status status = ATOLL_OK;
    if (!(r->asker = atoll_asker_new()) || (stand_in && !stand_in->begin()))
        status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a run");
    else
        status = atoll_learner_open(path, &r->request->config, (size_t)MAP_GIB << 30, &r->learner, error);
    if (status == ATOLL_OK) {
        status = work(r, error);
        atoll_learner_close(r->learner);
    }
    if (stand_in)
        stand_in->end();
    atoll_asker_free(r->asker);
    remove_folder(folder);
    return status;
}

/* The stream once more in large batches, so that what is timed is not the wait for the disk. */
static atoll_status learn_at_once(run *r, atoll_error *error)
{
    r->batch = LEARNED_AT_ONCE_MAX;
    r->learned = 0;
    r->learn_wall_s = 0;
    atoll_status status = learn(r, 0, r->request->stream->learned.count, error);
    r->out->at[MEASURE_LEARN_RATE] = (double)r->learned / r->learn_wall_s;
    return status;
}

atoll_status run_measure(const run_request *request, measures *out, run_sizes *sizes, atoll_error *error)
{
    for (int i = 0; i < MEASURE_COUNT; i++)
        out->at[i] = NAN;
    atoll_status status;
    run *r = calloc(1, sizeof *r);
    last_answers *f = calloc(1, sizeof *f);
    if (f) {
        f->inside = calloc(request->stream->asked.count + 1, sizeof *f->inside);
        f->outside = calloc(request->stream->outside.count + 1, sizeof *f->outside);
    }
    if (!r || !f || !f->inside || !f->outside) {
        status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a run");
        goto done;
    }
    *r = (run){.request = request, .batch = request->batch, .out = out, .last = f, .sizes = sizes};
    status = with_model(r, go, error);
    if (status == ATOLL_OK && request->timed)
        status = with_model(r, learn_at_once, error);
done:
    if (f) {
        free(f->inside);
        free(f->outside);
    }
    free(f);
    free(r);
    return status;
}
