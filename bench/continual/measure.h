/* What a run measures, and what is computed of answers. */
#ifndef ATOLL_BENCH_CONTINUAL_MEASURE_H
#define ATOLL_BENCH_CONTINUAL_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * X(id, name in tables, name in JSON, decimals). A[p][d] is the accuracy on domain d after phase p, P the last phase,
 * b(d) the phase in which d is learned.
 *
 *     ACC          mean over d of A[P][d]
 *     BWT          mean over d with b(d) < P of A[P][d] - A[b(d)][d]                    [Lopez-Paz, Ranzato 2017]
 *     forgetting   mean over the same of max over p < P of A[p][d], less A[P][d]        [Chaudhry et al. 2018]
 *     anytime      mean over p of the mean over d with b(d) <= p of A[p][d]
 *     accuracy     over all records held out, at the end
 *     gate right   of those, the share that goes first to the expert that gets most of its domain, at the end
 *     after 50     the same after the first 50 (100, 200) records of each phase but the first: the domain's expert
 *                  is new, and what the gate has learned is of the others
 *     stale        the same at the end of a phase with a gate frozen early in it; stale, new: of that phase's domains
 *     prequential  over all records learned, each batch asked before it is learned
 *     ECE          expected calibration error of 15 bins on the records held out        [Guo et al. 2017]
 *     ECE stream   the same over the records learned, each before it was, of the last 5,000 or so
 *     learned/s    in batches of 1,024, durable, by the clock
 *     asked/s      in batches of 256, one thread, by the clock
 *     one p50      of records asked one by one, the thread's own time; p99 likewise
 *     params       of experts, gate, counts and analytic half; active: those that one record reads in the mean
 *     MiB          all that the model holds in memory; state MiB: without scratch and what waits (learner/footprint.h)
 */
#define MEASURES(X)                                                                                                    \
    X(ACC, "ACC", "acc", 4)                                                                                            \
    X(BWT, "BWT", "bwt", 4)                                                                                            \
    X(FORGETTING, "forgetting", "forgetting", 4)                                                                       \
    X(ANYTIME, "anytime", "anytime", 4)                                                                                \
    X(ACCURACY, "accuracy", "accuracy", 4)                                                                             \
    X(PREQUENTIAL, "prequential", "prequential", 4)                                                                    \
    X(ECE, "ECE", "ece", 4)                                                                                            \
    X(ECE_STREAM, "ECE stream", "ece_stream", 4)                                                                       \
    X(BYTES, "MiB", "mib", 1)                                                                                          \
    X(STATE, "state MiB", "state_mib", 1)                                                                              \
    X(LEARN_US, "us to learn", "learn_us", 0)                                                                          \
    X(ASK_US, "us to ask", "ask_us", 0)                                                                                \
    X(LEARN_RATE, "learned/s", "learn_rate", 0)                                                                        \
    X(ASK_RATE, "asked/s", "ask_rate", 0)                                                                              \
    X(ONE_MEDIAN, "one p50 us", "one_p50_us", 0)                                                                       \
    X(ONE_LATE, "one p99 us", "one_p99_us", 0)                                                                         \
    X(TOTAL_SIZE, "1000 params", "parameters_k", 0)                                                                    \
    X(ACTIVE_SIZE, "1000 active", "active_k", 0)                                                                       \
    X(PARAMETER_MIB, "params MiB", "parameters_mib", 1)                                                                \
    X(BORN, "born", "born", 1)                                                                                         \
    X(ACTIVE, "experts", "experts", 1)                                                                                 \
    X(PURITY, "purity", "purity", 3)                                                                                   \
    X(GATE_RIGHT, "gate right", "gate_right", 3)                                                                       \
    X(GATE_EARLY, "after 50", "gate_right_50", 3)                                                                      \
    X(GATE_EARLY_100, "after 100", "gate_right_100", 3)                                                                \
    X(GATE_EARLY_200, "after 200", "gate_right_200", 3)                                                                \
    X(GATE_STALE, "stale", "gate_right_stale", 3)                                                                      \
    X(GATE_STALE_NEW, "stale, new", "gate_right_stale_new", 3)                                                         \
    X(OUTSIDE_RECALL, "out-of-scope", "outside_recall", 3)                                                             \
    X(INSIDE_ACCURACY, "in-scope", "inside_accuracy", 3)                                                               \
    X(NOVELTY_AUC, "novelty AUC", "novelty_auc", 3)                                                                    \
    X(SHARED, "shared", "shared", 4)                                                                                   \
    X(ANALYTIC, "analytic", "analytic", 4)                                                                             \
    X(EXPERTS, "by experts", "by_experts", 4)                                                                          \
    X(VOTES, "votes", "votes", 4)                                                                                      \
    X(BY_COUNTS, "counts", "counts", 4)

enum {
#define MEASURE_ID(id, name, json, decimals) MEASURE_##id,
    MEASURES(MEASURE_ID)
#undef MEASURE_ID
    MEASURE_COUNT
};

typedef struct measure_kind {
    const char *name, *json;
    int decimals;
} measure_kind;
extern const measure_kind measure_kinds[MEASURE_COUNT];

/* One run's values; NAN where it has none. */
typedef struct measures {
    double at[MEASURE_COUNT];
} measures;

/* The area under the curve of telling `above` from `below` by their values, ties counted half; both are sorted. */
double area_under_curve(float *above, size_t above_count, float *below, size_t below_count);

#endif
