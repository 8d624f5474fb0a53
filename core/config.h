/*
 * A model's configuration. One table (config.c) holds each setting's path, kind, default, minimum, maximum, and whether
 * it may change while the model lives; parsing, printing and the documentation follow from it.
 */
#ifndef ATOLL_CORE_CONFIG_H
#define ATOLL_CORE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* Room for a setting's text, its terminating zero included. */
enum {
    ATOLL_CRON_MAX_BYTES = 128,
    ATOLL_URL_MAX_BYTES = 512,
    ATOLL_EMBEDDING_MODEL_MAX_BYTES = 128,
    ATOLL_KEY_ENV_MAX_BYTES = 64
};

typedef enum atoll_embedding_source {
    ATOLL_EMBEDDING_HASH, /* a random projection of the record itself */
    ATOLL_EMBEDDING_HTTP  /* a server that speaks the OpenAI embeddings call (learner/embedding_call.h) */
} atoll_embedding_source;

/* A frozen part is not changed by a single bit. Neither may then grow: a new expert needs both. */
typedef enum atoll_freeze { ATOLL_FREEZE_NONE, ATOLL_FREEZE_GATE, ATOLL_FREEZE_EXPERTS } atoll_freeze;

/* What the gate routes: records, or the words and vectors that they are made of (core/tokens.h). */
typedef enum atoll_granularity { ATOLL_GRANULARITY_RECORD, ATOLL_GRANULARITY_TOKEN } atoll_granularity;

typedef struct atoll_config {
    uint32_t feature_buckets;      /* features.buckets: 1048576; a power of two, 1024..16777216; fixed */
    uint32_t embedding_source;     /* embedding.source: "hash" or "http", as atoll_embedding_source; fixed */
    uint32_t embedding_dim;        /* embedding.dim: 256; 16..4096, a multiple of 8; fixed */
    char embedding_url[ATOLL_URL_MAX_BYTES];               /* embedding.url: "" */
    char embedding_model[ATOLL_EMBEDDING_MODEL_MAX_BYTES]; /* embedding.model: ""; fixed */
    char embedding_key_env[ATOLL_KEY_ENV_MAX_BYTES];       /* embedding.key_env: "" or ATOLL_EMBEDDING_KEY… */
    uint32_t embedding_batch;           /* embedding.batch: 256; 1..2048 */
    int64_t embedding_timeout_ms;       /* embedding.timeout: "30s"; 1s..10m; of a call for learning */
    int64_t embedding_ask_timeout_ms;   /* embedding.ask_timeout: "2s"; 1s..60s; of a call for a prediction */
    uint64_t embedding_cache_bytes;     /* embedding.cache_bytes: 1073741824; 2^20..2^40; on disk */
    uint32_t granularity;          /* routing.granularity: "record" or "token", as atoll_granularity; fixed */
    uint32_t gate;                 /* routing.gate: "topk", "random", "domain" or "soft", as atoll_gate_kind (gate.h) */
    uint32_t top_k;                /* routing.top_k: 2; 1..16 */
    float capacity_factor;         /* routing.capacity_factor: 1.2; 1..16 */
    uint32_t overflow;             /* routing.overflow: "keep", "next" or "drop", as atoll_overflow (core/gate.h) */
    uint32_t balance;              /* routing.balance: "switch", "importance", "load" or "none", as atoll_balance */
    float balance_weight;          /* routing.balance_weight: 0.01, Switch's own choice; 0..1 */
    float z_weight;                /* routing.z_weight: 0.001, that of ST-MoE; 0..1 */
    uint32_t expert_hidden;        /* experts.hidden: 64; 8..1024, a multiple of 8; fixed */
    uint32_t shared_hidden;        /* experts.shared_hidden: 0 for expert_hidden; 0..4096, a multiple of 8; fixed */
    uint32_t dense_hidden;         /* experts.dense_hidden: 0; 0..1024, a multiple of 8; fixed */
    uint32_t experts_max;          /* experts.max: 256; 1..1024 */
    uint32_t precision;            /* experts.precision: "f32", "q8" or "q4", as atoll_precision (core/quant.h) */
    uint32_t memory_exemplars;     /* memory.exemplars: 50000; 16..16777216; fixed */
    uint32_t replays;              /* memory.replays: 4; 0..ATOLL_REPLAYS_MAX */
    uint32_t neighbours;           /* retrieval.neighbours: 16; 0..ATOLL_NEIGHBOURS */
    uint32_t search_always;        /* retrieval.when: "auto" (0) or "always" (1) */
    uint32_t freeze;               /* training.freeze: "none", "gate" or "experts", as atoll_freeze */
    uint32_t growth_off;           /* growth.mode: "auto" (0) or "off" (1) */
    uint32_t merge_off;            /* growth.merge: "auto" (0) or "off" (1) */
    char prune_schedule[ATOLL_CRON_MAX_BYTES]; /* pruning.schedule: "0 3 * * *", UTC; "" for never */
    int64_t idle_after_ms;         /* pruning.idle_after: "7d"; a number with s, m, h, d or w; 1s..10 years */
    float min_share;               /* pruning.min_share: 0.001; 0..0.5 */
    int64_t checkpoint_every_ms;   /* checkpoint.every: "30s"; 1s..1d */
    uint64_t journal_keep_bytes;   /* journal.keep_bytes: 1073741824; 0..2^50; of entries behind the checkpoint */
    uint64_t budget_bytes;         /* budget_bytes: 1073741824; 16 MiB..2^40 */
    uint64_t seed;                 /* seed: 1; 0..2^53; fixed */
} atoll_config;

/* Every setting at its default. */
void atoll_config_defaults(atoll_config *config);

/*
 * Merges a JSON object over `config`. ATOLL_INVALID_JSON, ATOLL_INVALID_UTF8, ATOLL_UNKNOWN_KEY, ATOLL_INVALID_VALUE,
 * ATOLL_OUT_OF_RANGE, ATOLL_INVALID_CRON, ATOLL_NO_MEMORY; the error names the setting by its path, and `config` is
 * then as before. A ReLU layer and the granularity "token"
 * exclude each other. The source "http" needs a url and a model, which other sources
 * do not take.
 */
atoll_status atoll_config_merge(atoll_config *config, const char *json, size_t bytes, atoll_error *error);

/* ATOLL_FIXED_SETTING, naming the first setting that differs and may not change in a living model. */
atoll_status atoll_config_check_change(const atoll_config *from, const atoll_config *to, atoll_error *error);

/* The whole configuration as a JSON object, a string to free(). NULL where memory is short. */
char *atoll_config_print(const atoll_config *config);

/* A row of the table, for documentation and for the test that compares the two. */
typedef struct atoll_setting {
    const char *path;     /* "routing.top_k" */
    const char *standard; /* the default as text, without quotes unless it is empty: "2" */
    const char *kind;     /* "integer", "number", "word", "duration", "cron", "text" */
    const char *range;    /* what it takes: "1..16" */
    const char *about;    /* one line */
    bool fixed;           /* cannot change once the model exists */
} atoll_setting;

/* Calls `visit` for each setting, in the table's order. */
typedef void (*atoll_setting_visit)(void *arg, const atoll_setting *setting);
void atoll_config_each(atoll_setting_visit visit, void *arg);

#endif
