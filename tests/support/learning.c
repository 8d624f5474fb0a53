#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/learning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/kernels.h"
#include "core/log.h"

int learning_quiet(void **state)
{
    (void)state;
    atoll_log_set_level(ATOLL_LOG_ERROR);
    return 0;
}

/* ---- streams ---- */

void learning_config(atoll_config *config)
{
    atoll_config_defaults(config);
    config->feature_buckets = 16384;
    config->embedding_dim = 64;
    config->expert_hidden = 16;
    config->memory_exemplars = 400;
}

/* Half the words follow from `topic`, the others from the domain. */
static void draw_words(learning_record *out, atoll_rng *rng, uint32_t domain, uint64_t topic)
{
    static const char *const syllable[] = {"ba", "ke", "li", "mo", "nu", "pra", "sti", "tor", "vel", "zon"};
    enum { SYLLABLES = sizeof syllable / sizeof *syllable, WORDS = 6, OWN_WORDS = 10 };
    int used = 0;
    memset(out, 0, sizeof *out);
    for (int i = 0; i < WORDS; i++) {
        /* A word is four syllables that follow from what it belongs to and its number in it. */
        uint64_t key[2] = {i < WORDS / 2 ? topic : (uint64_t)domain << 32, atoll_rng_below(rng, OWN_WORDS)};
        uint64_t hash = atoll_hash64(key, sizeof key, 0);
        for (int k = 0; k < 4; k++, hash >>= 16)
            used += snprintf(out->text + used, sizeof out->text - (size_t)used, "%s", syllable[hash % SYLLABLES]);
        used += snprintf(out->text + used, sizeof out->text - (size_t)used, " ");
    }
    out->record.text = (atoll_slice){out->text, (size_t)used};
}

void learning_draw_text(learning_record *out, atoll_rng *rng, uint32_t domain, uint32_t label)
{
    draw_words(out, rng, domain, (uint64_t)domain << 32 | (label + 1));
    int length = snprintf(out->label, sizeof out->label, "d%u-l%u", domain, label);
    out->record.label = (atoll_slice){out->label, (size_t)length};
}

/* Labels that are common to all, moved on by `shift`. */
static void name_topic(learning_record *out, uint32_t topic, uint32_t shift)
{
    int length = snprintf(out->label, sizeof out->label, "l%u", (topic + shift) % LEARNING_LABELS_A_DOMAIN);
    out->record.label = (atoll_slice){out->label, (size_t)length};
}

void learning_draw_contrary(learning_record *out, atoll_rng *rng, uint32_t domain, uint32_t topic)
{
    draw_words(out, rng, domain, topic + 1);
    name_topic(out, topic, domain);
}

void learning_draw_concept(learning_record *out, atoll_rng *rng, uint32_t concept, uint32_t topic)
{
    draw_words(out, rng, 0, topic + 1);
    name_topic(out, topic, concept);
}

void learning_add_vector(learning_record *out, atoll_rng *rng, uint32_t label)
{
    atoll_rng centre;
    atoll_rng_seed(&centre, 5, label);
    for (int i = 0; i < LEARNING_VECTOR_DIM; i++)
        out->vector[i] = 10 + 3 * (atoll_rng_normal(&centre) + 0.5f * atoll_rng_normal(rng));
    out->record.vector = out->vector;
    out->record.vector_dim = LEARNING_VECTOR_DIM;
}

void learning_draw_any(learning_record *out, atoll_rng *rng, uint32_t number, uint32_t domain)
{
    uint32_t label = atoll_rng_below(rng, LEARNING_LABELS_A_DOMAIN);
    learning_draw_text(out, rng, domain, label);
    if (number % 3 == 1)
        learning_add_vector(out, rng, label);
    if (number % 9 == 4)
        out->record.text = (atoll_slice){0};
    if (number % 31 == 7)
        out->record.text.bytes = (size_t)snprintf(out->text, sizeof out->text, "!");
    if (number % 2) {
        int id = snprintf(out->id, sizeof out->id, "r%u", number);
        int hint = snprintf(out->domain, sizeof out->domain, "%u", domain);
        out->record.id = (atoll_slice){out->id, (size_t)id};
        out->record.domain = (atoll_slice){out->domain, (size_t)hint};
    }
    out->record.has_time = number % 5 == 0;
    out->record.time_ms = number;
}

/* ---- learning ---- */

void learning_open(learning *l, const atoll_config *config, uint64_t seed)
{
    atoll_config small;
    learning_config(&small);
    assert_int_equal(atoll_kernels_init(NULL), ATOLL_OK);
    memset(l, 0, sizeof *l);
    assert_int_equal(atoll_state_init(&l->state, config ? config : &small, NULL), ATOLL_OK);
    atoll_rng_seed(&l->rng, seed, 0);
    l->trainer = atoll_trainer_new(0, NULL);
    assert_non_null(l->trainer);
    l->seq = 1;
}

void learning_close(learning *l)
{
    atoll_state_free(&l->state);
    atoll_trainer_free(l->trainer);
}

void learning_commit(learning *l, const learning_record *records, uint32_t count)
{
    atoll_error error = {0};
    atoll_model *model = &l->state.model;
    atoll_record *views = malloc(count * sizeof *views);
    assert_non_null(views);
    for (uint32_t i = 0; i < count; i++)
        views[i] = records[i].record;
    model->time_ms = 1000 * (int64_t)(model->version + 1);
    atoll_status status = atoll_trainer_learn(l->trainer, &l->state, views, count, model->version + 1, l->seq,
                                              model->time_ms, &error);
    if (status)
        print_error("learning: %s\n", error.detail);
    assert_int_equal(status, ATOLL_OK);
    model->version++;
    l->seq += count;
    free(views);
}

void learning_feed(learning *l, learning_draw draw, uint32_t domain, uint32_t count, uint32_t batch)
{
    learning_record *records = malloc(batch * sizeof *records);
    assert_non_null(records);
    for (uint32_t at = 0; at < count; at += batch) {
        uint32_t now = count - at < batch ? count - at : batch;
        for (uint32_t i = 0; i < now; i++)
            draw(&records[i], &l->rng, domain, atoll_rng_below(&l->rng, LEARNING_LABELS_A_DOMAIN));
        learning_commit(l, records, now);
        atoll_reclaim_advance(l->state.reclaim); /* as publishing does */
    }
    free(records);
}

/* ---- digest ---- */

static void add(uint64_t *hash, const void *data, size_t bytes)
{
    *hash = atoll_hash64(data, bytes, *hash);
}

#define ADD(hash, value) add(hash, &(value), sizeof(value))

static void add_array(uint64_t *hash, const atoll_array *array)
{
    ADD(hash, array->count);
    for (uint32_t i = 0; i < array->count; i++)
        add(hash, atoll_array_at(array, i), array->element_bytes);
}

static void add_postings(uint64_t *hash, const atoll_postings *postings)
{
    ADD(hash, postings->entries);
    add_array(hash, &postings->rows);
    for (int i = 0; i < ATOLL_POSTINGS_SIZES; i++)
        add_array(hash, &postings->lists[i]);
}

static void add_net(uint64_t *hash, const atoll_net *net)
{
    ADD(hash, net->outputs);
    ADD(hash, net->capacity);
    ADD(hash, net->dense_dim);
    add_array(hash, &net->sparse.table);
    add_array(hash, &net->sparse.rows);
    add_postings(hash, &net->wide);
    add_array(hash, &net->head);
    add_array(hash, &net->first);
    add_array(hash, &net->linear);
    add_array(hash, &net->random);
}

uint64_t learning_net_digest(const atoll_net *net)
{
    uint64_t hash = 0;
    add_net(&hash, net);
    return hash;
}

uint64_t learning_expert_digest(const atoll_expert *expert)
{
    uint64_t hash = learning_net_digest(&expert->net);
    ADD(&hash, expert->state);
    ADD(&hash, expert->version);
    ADD(&hash, expert->records);
    add_array(&hash, &expert->labels);
    return hash;
}

static void add_expert(uint64_t *hash, const atoll_expert *expert)
{
    ADD(hash, expert->id);
    ADD(hash, expert->state);
    ADD(hash, expert->born);
    ADD(hash, expert->version);
    ADD(hash, expert->born_records);
    ADD(hash, expert->domain);
    ADD(hash, expert->records);
    ADD(hash, expert->last_routed_ms);
    ADD(hash, expert->share);
    ADD(hash, expert->turn);
    ADD(hash, expert->loss);
    add_net(hash, &expert->net);
    add_array(hash, &expert->labels);
}

static void add_names(uint64_t *hash, const atoll_names *names)
{
    for (uint32_t i = 0; i < names->count; i++)
        add(hash, names->name[i], strlen(names->name[i]) + 1);
}

static void add_model(uint64_t *hash, const atoll_model *model)
{
    ADD(hash, model->version);
    ADD(hash, model->records);
    ADD(hash, model->time_ms);
    ADD(hash, model->labels);
    ADD(hash, model->encoder.vector_dim);
    ADD(hash, model->encoder.documents);
    ADD(hash, model->encoder.vectors);
    add_array(hash, &model->encoder.frequency);
    add_array(hash, &model->encoder.moments);
    add_array(hash, &model->encoder.scale);
    ADD(hash, model->encoder.scales);
    ADD(hash, model->experts);
    for (uint32_t e = 0; e < model->experts; e++)
        add_expert(hash, &model->expert[e]);
    add_array(hash, &model->counts.rows);
    add_postings(hash, &model->counts.many);
    add_array(hash, &model->counts.mass);
    add_array(hash, &model->naming.table);
    add_net(hash, &model->gate.net);
    ADD(hash, model->gate.weight);
    ADD(hash, model->gate.newton);
    ADD(hash, model->gate.youth_squares);
    ADD(hash, model->gate.version);
    ADD(hash, model->combiner);
    ADD(hash, model->novelty.next);
    add(hash, model->novelty.recent, model->novelty.count * sizeof(float));
    add(hash, model->novelty.sorted, model->novelty.count * sizeof(float));
    ADD(hash, model->assured.next);
    add(hash, model->assured.recent, model->assured.count * sizeof(float));
    ADD(hash, model->sureness);
    ADD(hash, model->alone);
    if (model->analytic)
        add(hash, model->analytic->w, (size_t)ATOLL_RIDGE_FEATURES * model->analytic->labels * sizeof(float));
}

static void add_ridge(uint64_t *hash, const atoll_ridge *ridge)
{
    size_t bytes = atoll_ridge_save_bytes(ridge);
    void *blob = malloc(bytes);
    assert_non_null(blob);
    atoll_ridge_save(ridge, blob);
    add(hash, blob, bytes);
    free(blob);
}

static void add_change(uint64_t *hash, const atoll_change *change)
{
    size_t bytes = atoll_change_save_bytes();
    void *blob = malloc(bytes);
    assert_non_null(blob);
    atoll_change_save(change, blob);
    add(hash, blob, bytes);
    free(blob);
}

static void add_memory(uint64_t *hash, const atoll_state *state)
{
    void *blob;
    size_t bytes;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    for (uint32_t slot = 0; slot < view.slots.count; slot++) {
        assert_int_equal(atoll_memory_save_slot(&view, slot, &blob, &bytes, NULL), ATOLL_OK);
        add(hash, blob, bytes);
        free(blob);
    }
    assert_int_equal(atoll_memory_save_cells(state->memory, &blob, &bytes, NULL), ATOLL_OK);
    add(hash, blob, bytes);
    free(blob);
    assert_int_equal(atoll_index_save(state->index, &blob, &bytes, NULL), ATOLL_OK);
    add(hash, blob, bytes);
    free(blob);
}

static void add_counts(uint64_t *hash, const atoll_state *state)
{
    const atoll_growth *growth = &state->growth;
    const atoll_tally *tally = &state->tally;
    uint64_t counted[] = {growth->youngest, growth->candidate, growth->born, growth->promoted, growth->given_up,
                          growth->pruned, growth->restored, growth->merged, tally->asked, tally->right, tally->repeated,
                          tally->last_label, tally->routes.routed, tally->routes.overflowed, tally->routes.dropped};
    double measured[] = {growth->alarm.familiarity, growth->alarm.probability, growth->surprise,
                         growth->strange, tally->recent, tally->log_loss, tally->entropy};
    add(hash, counted, sizeof counted);
    ADD(hash, tally->calibration);
    add(hash, measured, sizeof measured);
    add(hash, &state->drift.now, sizeof state->drift.now);
    add(hash, state->drift.slot, atoll_memory_freeze(state->memory).slots.count * sizeof *state->drift.slot);
    add(hash, state->drift.label, state->labels.count * sizeof *state->drift.label);
    add(hash, state->domain, state->domains.count * sizeof *state->domain);
}

uint64_t learning_digest(const atoll_state *state)
{
    uint64_t hash = 1;
    add_model(&hash, &state->model);
    add_names(&hash, &state->labels);
    add_names(&hash, &state->domains);
    if (state->ridge)
        add_ridge(&hash, state->ridge);
    if (state->change)
        add_change(&hash, state->change);
    if (state->projection)
        add(&hash, state->projection->pair, state->projection->pairs * sizeof *state->projection->pair);
    add_memory(&hash, state);
    add_counts(&hash, state);
    return hash;
}
