#include "learner/checkpoint.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/half.h"

/* All that is plain data. Pointers in it mean nothing once read back. */
typedef struct meta {
    uint64_t bytes; /* of this struct: another build's layout is refused */
    atoll_model model;
    atoll_growth growth;
    atoll_tally tally;
    uint32_t analytic_labels, slots, pairs, zero;
} meta;

struct atoll_checkpoint {
    atoll_reclaim *reclaim;
    uint64_t since, epoch;
    const atoll_patience *patience; /* of the write under way */
    meta meta;
    atoll_model *model; /* frozen */
    atoll_memory_view memory;
    void *cells, *index, *names, *domain_names, *domains, *drift, *ridge, *analytic,
        *change, *pairs; /* blobs */
    size_t cells_bytes, index_bytes, names_bytes, domain_names_bytes, domains_bytes, drift_bytes, ridge_bytes,
        analytic_bytes, change_bytes, pairs_bytes;
};

/* ---- blobs ---- */

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a checkpoint");
}

static bool copy_blob(const void *data, size_t bytes, void **blob, size_t *blob_bytes)
{
    *blob = malloc(bytes ? bytes : 1);
    if (!*blob)
        return false;
    if (bytes)
        memcpy(*blob, data, bytes);
    *blob_bytes = bytes;
    return true;
}

/* Terminated strings, one behind another. */
static bool names_blob(const atoll_names *names, void **blob, size_t *bytes)
{
    size_t need = 0;
    for (uint32_t i = 0; i < names->count; i++)
        need += strlen(names->name[i]) + 1;
    char *out = malloc(need ? need : 1);
    if (!out)
        return false;
    *blob = out;
    *bytes = need;
    for (uint32_t i = 0; i < names->count; i++) {
        size_t length = strlen(names->name[i]) + 1;
        memcpy(out, names->name[i], length);
        out += length;
    }
    return true;
}

static bool ridge_blob(const atoll_ridge *ridge, void **blob, size_t *bytes)
{
    *bytes = atoll_ridge_save_bytes(ridge);
    if (!(*blob = malloc(*bytes)))
        return false;
    atoll_ridge_save(ridge, *blob);
    return true;
}

static bool change_blob(const atoll_change *change, void **blob, size_t *bytes)
{
    *bytes = atoll_change_save_bytes();
    if (!(*blob = malloc(*bytes)))
        return false;
    atoll_change_save(change, *blob);
    return true;
}

/* ---- take ---- */

atoll_status atoll_checkpoint_take(atoll_state *state, uint64_t since, atoll_checkpoint **out, atoll_error *error)
{
    atoll_checkpoint *c = calloc(1, sizeof *c);
    atoll_status status = ATOLL_OK;
    if (!c)
        return no_memory(error);
    const atoll_ridge_weights *analytic = state->model.analytic;
    const atoll_projection *chosen = state->projection;
    c->reclaim = state->reclaim;
    atoll_reclaim_pin(state->reclaim);
    c->since = since;
    c->model = atoll_model_freeze(&state->model);
    c->memory = atoll_memory_freeze(state->memory);
    c->meta = (meta){.bytes = sizeof c->meta,
                     .model = state->model,
                     .growth = state->growth,
                     .tally = state->tally,
                     .analytic_labels = analytic ? analytic->labels : 0,
                     .slots = c->memory.slots.count,
                     .pairs = chosen ? chosen->pairs : 0};
    if (!c->model || !names_blob(&state->labels, &c->names, &c->names_bytes) ||
        !names_blob(&state->domains, &c->domain_names, &c->domain_names_bytes) ||
        !copy_blob(state->domain, state->domains.count * sizeof *state->domain, &c->domains, &c->domains_bytes) ||
        (state->ridge && !ridge_blob(state->ridge, &c->ridge, &c->ridge_bytes)) ||
        (state->change && !change_blob(state->change, &c->change, &c->change_bytes)) ||
        (analytic && !copy_blob(analytic->w, (size_t)ATOLL_RIDGE_FEATURES * analytic->labels * sizeof(float),
                                &c->analytic, &c->analytic_bytes)) ||
        (chosen && !copy_blob(chosen->pair, chosen->pairs * sizeof *chosen->pair, &c->pairs, &c->pairs_bytes)))
        status = no_memory(error);
    if (status || (status = atoll_drift_save(&state->drift, c->meta.slots, state->labels.count, &c->drift,
                                             &c->drift_bytes, error)) ||
        (status = atoll_memory_save_cells(state->memory, &c->cells, &c->cells_bytes, error)) ||
        (status = atoll_index_save(state->index, &c->index, &c->index_bytes, error))) {
        atoll_checkpoint_end(c);
        return status;
    }
    c->epoch = atoll_reclaim_epoch(state->reclaim);
    atoll_reclaim_advance(state->reclaim);
    *out = c;
    return ATOLL_OK;
}

uint64_t atoll_checkpoint_epoch(const atoll_checkpoint *checkpoint)
{
    return checkpoint->epoch;
}

uint64_t atoll_checkpoint_bytes(const atoll_checkpoint *c)
{
    return c->cells_bytes + c->index_bytes + c->names_bytes + c->domain_names_bytes + c->domains_bytes +
           c->drift_bytes + c->ridge_bytes + c->analytic_bytes + c->change_bytes + c->pairs_bytes;
}

uint64_t atoll_checkpoint_commit(const atoll_checkpoint *checkpoint)
{
    return checkpoint->meta.model.version;
}

void atoll_checkpoint_end(atoll_checkpoint *checkpoint)
{
    atoll_reclaim_unpin(checkpoint->reclaim);
    free(checkpoint->model);
    free(checkpoint->cells);
    free(checkpoint->index);
    free(checkpoint->names);
    free(checkpoint->domain_names);
    free(checkpoint->domains);
    free(checkpoint->drift);
    free(checkpoint->ridge);
    free(checkpoint->change);
    free(checkpoint->analytic);
    free(checkpoint->pairs);
    free(checkpoint);
}

/* ---- write ---- */

enum { KEY_BYTES = 64, PAGE_KEY_BYTES = KEY_BYTES + 16 };

static void page_key(char key[PAGE_KEY_BYTES], const char *name, uint32_t page)
{
    snprintf(key, PAGE_KEY_BYTES, "%s/%08x", name, page);
}

static atoll_status put(const atoll_checkpoint *c, atoll_store_write *write, const char *key, const void *data,
                        size_t bytes, atoll_error *error)
{
    if (atoll_patience_is_over(c->patience))
        return atoll_fail(error, ATOLL_SHUTTING_DOWN, "the model is being closed");
    return atoll_store_put(write, key, data, bytes, error);
}

/* The pages that changed; what an array that was longer has left behind them goes. */
static atoll_status write_array(const atoll_checkpoint *c, atoll_store_write *write, const char *name,
                                const atoll_array *array, atoll_error *error)
{
    char key[PAGE_KEY_BYTES], prefix[PAGE_KEY_BYTES];
    uint32_t pages = atoll_array_page_count(array);
    atoll_status status = ATOLL_OK;
    for (uint32_t page = 0; page < pages && status == ATOLL_OK; page++) {
        const void *data = atoll_array_page_since(array, page, c->since);
        if (!data)
            continue;
        page_key(key, name, page);
        status = put(c, write, key, data, atoll_array_page_bytes(array), error);
    }
    page_key(key, name, pages);
    snprintf(prefix, sizeof prefix, "%s/", name);
    return status ? status : atoll_store_drop_from(write, prefix, key, error);
}

/* The arrays of a structure, by name. One walk serves writing and loading. */
typedef struct part {
    const char *name;
    size_t offset;
} part;

#define LISTS_OF(type, member)                                                                                        \
    {"lists", offsetof(type, member.rows)}, {"lists-4", offsetof(type, member.lists[0])},                             \
        {"lists-8", offsetof(type, member.lists[1])}, {"lists-16", offsetof(type, member.lists[2])},                  \
        {"lists-32", offsetof(type, member.lists[3])}, {"lists-64", offsetof(type, member.lists[4])},                 \
        {"lists-128", offsetof(type, member.lists[5])}

_Static_assert((int)ATOLL_POSTINGS_SIZES == 6, "all sizes of lists are saved");

static const part net_parts[] = {
    {"table", offsetof(atoll_net, sparse.table)}, {"rows", offsetof(atoll_net, sparse.rows)},
    {"head", offsetof(atoll_net, head)},          {"first", offsetof(atoll_net, first)},
    {"linear", offsetof(atoll_net, linear)},      {"random", offsetof(atoll_net, random)},
    LISTS_OF(atoll_net, wide),
};

static const part counts_parts[] = {
    {"rows", offsetof(atoll_counts, rows)},
    {"mass", offsetof(atoll_counts, mass)},
    {"once", offsetof(atoll_counts, once)},
    LISTS_OF(atoll_counts, many),
};

enum {
    NET_PARTS = sizeof net_parts / sizeof *net_parts,
    COUNTS_PARTS = sizeof counts_parts / sizeof *counts_parts
};

/* The parts of the structure at `base`, under `name`. */
static atoll_status write_parts(const atoll_checkpoint *c, atoll_store_write *write, const char *name,
                                const part *parts, int count, const void *base, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    for (int i = 0; i < count && status == ATOLL_OK; i++) {
        char key[KEY_BYTES];
        snprintf(key, sizeof key, "%s/%s", name, parts[i].name);
        status = write_array(c, write, key, (const atoll_array *)((const char *)base + parts[i].offset), error);
    }
    return status;
}

static atoll_status write_expert(const atoll_checkpoint *c, atoll_store_write *write, const atoll_expert *expert,
                                 atoll_error *error)
{
    char name[KEY_BYTES / 2], key[KEY_BYTES];
    snprintf(name, sizeof name, "expert/%04u", expert->id);
    snprintf(key, sizeof key, "expert/%04u/meta", expert->id);
    atoll_status status = put(c, write, key, expert, sizeof *expert, error);
    if (!expert->unloaded && status == ATOLL_OK)
        status = write_parts(c, write, name, net_parts, NET_PARTS, &expert->net, error);
    if (status)
        return status;
    snprintf(key, sizeof key, "expert/%04u/labels", expert->id);
    return write_array(c, write, key, &expert->labels, error);
}

static atoll_status write_memory(const atoll_checkpoint *c, atoll_store_write *write, atoll_error *error)
{
    const atoll_memory_view *view = &c->memory;
    atoll_status status = ATOLL_OK;
    for (uint32_t slot = 0; slot < view->slots.count && status == ATOLL_OK; slot++) {
        char key[KEY_BYTES];
        void *blob;
        size_t bytes;
        if (atoll_memory_at(view, slot)->changed <= c->since)
            continue;
        snprintf(key, sizeof key, "memory/%08x", slot);
        if ((status = atoll_memory_save_slot(view, slot, &blob, &bytes, error)))
            break;
        status = blob ? put(c, write, key, blob, bytes, error) : atoll_store_drop(write, key, error);
        free(blob);
    }
    return status;
}

static atoll_status write_all(const atoll_checkpoint *c, atoll_store_write *write, atoll_error *error)
{
    const struct {
        const char *key;
        const void *data;
        size_t bytes;
    } blobs[] = {{"meta", &c->meta, sizeof c->meta},
                 {"cells", c->cells, c->cells_bytes},
                 {"index", c->index, c->index_bytes},
                 {"labels", c->names, c->names_bytes},
                 {"domains", c->domain_names, c->domain_names_bytes},
                 {"domain-tallies", c->domains, c->domains_bytes},
                 {"drift", c->drift, c->drift_bytes},
                 {"ridge", c->ridge, c->ridge_bytes},
                 {"analytic", c->analytic, c->analytic_bytes},
                 {"change", c->change, c->change_bytes},
                 {"pairs", c->pairs, c->pairs_bytes}};
    atoll_status status = ATOLL_OK;
    for (size_t i = 0; i < sizeof blobs / sizeof *blobs && status == ATOLL_OK; i++)
        status = blobs[i].data ? put(c, write, blobs[i].key, blobs[i].data, blobs[i].bytes, error)
                               : atoll_store_drop(write, blobs[i].key, error);
    if (status || (status = write_array(c, write, "frequency", &c->model->encoder.frequency, error)) ||
        (status = write_array(c, write, "moments", &c->model->encoder.moments, error)) ||
        (status = write_parts(c, write, "counts", counts_parts, COUNTS_PARTS, &c->model->counts, error)) ||
        (status = write_array(c, write, "naming", &c->model->naming.table, error)) ||
        (status = write_array(c, write, "scale", &c->model->encoder.scale, error)) ||
        (status = write_parts(c, write, "gate", net_parts, NET_PARTS, &c->model->gate.net, error)))
        return status;
    for (uint32_t e = 0; e < c->model->experts && status == ATOLL_OK; e++)
        status = write_expert(c, write, &c->model->expert[e], error);
    return status ? status : write_memory(c, write, error);
}

atoll_status atoll_checkpoint_write(atoll_checkpoint *checkpoint, atoll_store *store, const atoll_patience *patience,
                                    atoll_error *error)
{
    atoll_store_write *write;
    checkpoint->patience = patience;
    atoll_status status = atoll_store_begin(store, &write, error);
    if (status)
        return status;
    if ((status = write_all(checkpoint, write, error))) {
        atoll_store_abort(write);
        return status;
    }
    return atoll_store_commit(write, error);
}

/* ---- load ---- */

typedef struct page_load {
    atoll_pager *pager;
    atoll_array *array;
    uint32_t loaded;
} page_load;

static atoll_status load_page(void *arg, const char *key, const void *data, size_t bytes, atoll_error *error)
{
    page_load *load = arg;
    uint32_t page = (uint32_t)strtoul(strrchr(key, '/') + 1, NULL, 16);
    load->loaded++;
    return atoll_array_load_page(load->pager, load->array, page, data, bytes, error);
}

/* Brings an array back: *array holds the saved struct, whose pointers mean nothing. */
static atoll_status load_array(atoll_store *store, atoll_pager *pager, const char *name, atoll_array *array,
                               atoll_error *error)
{
    char prefix[PAGE_KEY_BYTES];
    uint32_t count = array->count;
    page_load load = {pager, array, 0};
    snprintf(prefix, sizeof prefix, "%s/", name);
    atoll_array_init(array, array->element_bytes);
    atoll_status status = atoll_array_grow(pager, array, count, error);
    if (status || (status = atoll_store_each(store, prefix, load_page, &load, error)))
        return status;
    if (load.loaded != atoll_array_page_count(array))
        return atoll_fail(error, ATOLL_DAMAGED, "%s has %u of its %u pages", name, load.loaded,
                          atoll_array_page_count(array));
    return ATOLL_OK;
}

static void forget_parts(const part *parts, int count, void *base)
{
    for (int i = 0; i < count; i++)
        ((atoll_array *)((char *)base + parts[i].offset))->root = NULL;
}

static atoll_status load_parts(atoll_store *store, atoll_pager *pager, const char *name, const part *parts, int count,
                               void *base, atoll_error *error)
{
    atoll_status status = ATOLL_OK;
    for (int i = 0; i < count && status == ATOLL_OK; i++) {
        char key[KEY_BYTES];
        snprintf(key, sizeof key, "%s/%s", name, parts[i].name);
        status = load_array(store, pager, key, (atoll_array *)((char *)base + parts[i].offset), error);
    }
    return status;
}

static atoll_status load_net(atoll_store *store, atoll_pager *pager, const char *name, atoll_net *net,
                             atoll_error *error)
{
    return load_parts(store, pager, name, net_parts, NET_PARTS, net, error);
}

/* A blob that must have just that size, into `out`. */
static atoll_status load_exact(atoll_store *store, const char *key, void *out, size_t bytes, atoll_error *error)
{
    void *blob;
    size_t have;
    atoll_status status = atoll_store_get(store, key, &blob, &have, error);
    if (status)
        return status == ATOLL_NOT_FOUND ? atoll_fail(error, ATOLL_DAMAGED, "the checkpoint lacks %s", key) : status;
    if (have != bytes)
        status = atoll_fail(error, ATOLL_DAMAGED, "%s has %zu bytes, not %zu", key, have, bytes);
    else if (bytes)
        memcpy(out, blob, bytes);
    free(blob);
    return status;
}

static atoll_status load_expert(atoll_store *store, atoll_state *state, uint32_t id, atoll_error *error)
{
    char name[KEY_BYTES / 2], key[KEY_BYTES];
    atoll_expert *expert = &state->model.expert[id];
    snprintf(name, sizeof name, "expert/%04u", id);
    snprintf(key, sizeof key, "expert/%04u/meta", id);
    atoll_status status = load_exact(store, key, expert, sizeof *expert, error);
    if (status)
        return status;
    forget_parts(net_parts, NET_PARTS, &expert->net);
    expert->labels.root = NULL;
    atoll_served_init(&expert->served);
    state->model.experts = id + 1; /* from here on freeing the state frees what is loaded of it */
    expert->unloaded = expert->state == ATOLL_EXPERT_ARCHIVED;
    if (!expert->unloaded && (status = load_net(store, &state->pager, name, &expert->net, error)))
        return status;
    snprintf(key, sizeof key, "expert/%04u/labels", id);
    return load_array(store, &state->pager, key, &expert->labels, error);
}

atoll_status atoll_checkpoint_load_expert(atoll_store *store, atoll_state *state, uint32_t id, atoll_error *error)
{
    char name[KEY_BYTES / 2];
    atoll_expert *expert = &state->model.expert[id];
    atoll_net net = expert->net; /* of which a failure may leave a part */
    snprintf(name, sizeof name, "expert/%04u", id);
    atoll_status status = load_net(store, &state->pager, name, &net, error);
    if (status) {
        atoll_net_clear(&state->pager, &net);
        return status;
    }
    expert->net = net;
    expert->unloaded = false;
    return ATOLL_OK;
}

static atoll_status load_slot(void *arg, const char *key, const void *data, size_t bytes, atoll_error *error)
{
    atoll_state *state = arg;
    float embedding[ATOLL_EMBEDDING_MAX_DIM];
    uint32_t slot = (uint32_t)strtoul(strrchr(key, '/') + 1, NULL, 16);
    atoll_status status = atoll_memory_load_slot(state->memory, slot, data, bytes, error);
    if (status)
        return status;
    atoll_memory_view view = atoll_memory_freeze(state->memory);
    const atoll_exemplar *exemplar = atoll_memory_at(&view, slot)->exemplar;
    if (exemplar->embedding_dim != state->model.config.embedding_dim)
        return atoll_fail(error, ATOLL_DAMAGED, "slot %u has an embedding of %u", slot, exemplar->embedding_dim);
    atoll_half_to_float(exemplar->embedding, embedding, exemplar->embedding_dim);
    return atoll_index_put(state->index, slot, embedding, error);
}

static atoll_status load_memory(atoll_store *store, atoll_state *state, atoll_error *error)
{
    void *cells = NULL, *index = NULL;
    size_t cells_bytes, index_bytes = 0;
    atoll_status status = atoll_store_get(store, "index", &index, &index_bytes, error);
    if (status && status != ATOLL_NOT_FOUND)
        return status;
    if (index && (status = atoll_index_load(state->index, index, index_bytes, error)))
        goto done;
    if ((status = atoll_store_each(store, "memory/", load_slot, state, error)) ||
        (status = atoll_store_get(store, "cells", &cells, &cells_bytes, error)) ||
        (status = atoll_memory_load_cells(state->memory, cells, cells_bytes, error)))
        goto done;
    status = atoll_index_flush(state->index, error);
done:
    free(cells);
    free(index);
    return status;
}

static atoll_status load_drift(atoll_store *store, atoll_state *state, const meta *m, atoll_error *error)
{
    void *blob;
    size_t bytes;
    atoll_status status = atoll_store_get(store, "drift", &blob, &bytes, error);
    if (status)
        return status;
    status = atoll_drift_load(&state->drift, blob, bytes, m->slots, state->labels.count, error);
    free(blob);
    return status;
}

static atoll_status load_names(atoll_store *store, const char *key, atoll_names *names, atoll_error *error)
{
    void *blob;
    size_t bytes;
    atoll_status status = atoll_store_get(store, key, &blob, &bytes, error);
    if (status)
        return status;
    for (const char *at = blob, *end = at + bytes; at < end && status == ATOLL_OK;) {
        uint32_t number;
        size_t length = strnlen(at, (size_t)(end - at));
        status = atoll_names_add(names, at, length, &number, error);
        at += length + 1;
    }
    free(blob);
    return status;
}

static atoll_status load_change(atoll_store *store, atoll_state *state, atoll_error *error)
{
    void *blob;
    size_t bytes;
    atoll_status status = atoll_change_new(&state->change, error);
    if (status || (status = atoll_store_get(store, "change", &blob, &bytes, error)))
        return status;
    status = atoll_change_load(state->change, blob, bytes, error);
    free(blob);
    return status;
}

static atoll_status load_projection(atoll_store *store, atoll_state *state, uint32_t pairs, atoll_error *error)
{
    uint32_t dim = state->model.encoder.vector_dim;
    atoll_pair pair[ATOLL_PAIRS_MOST];
    if (pairs > ATOLL_PAIRS_MOST)
        return atoll_fail(error, ATOLL_DAMAGED, "the checkpoint has %u pairs", pairs);
    atoll_status status = load_exact(store, "pairs", pair, pairs * sizeof *pair, error);
    for (uint32_t i = 0; i < pairs && status == ATOLL_OK; i++)
        if (pair[i].a >= dim || pair[i].b >= dim || !(pair[i].weight > 0) || isinf(pair[i].weight))
            status = atoll_fail(error, ATOLL_DAMAGED, "the checkpoint has a pair of %u and %u", pair[i].a, pair[i].b);
    if (status)
        return status;
    return atoll_projection_new(dim, state->model.config.seed, pair, pairs, &state->projection, error);
}

static atoll_status load_analytic(atoll_store *store, atoll_state *state, const meta *m, atoll_error *error)
{
    uint32_t dim = state->model.encoder.vector_dim;
    void *blob;
    size_t bytes;
    if (!dim)
        return ATOLL_OK;
    atoll_status status = load_change(store, state, error);
    if (status || (status = atoll_ridge_new(&state->ridge, error)) ||
        (status = load_projection(store, state, m->pairs, error)) ||
        (status = atoll_store_get(store, "ridge", &blob, &bytes, error)))
        return status;
    state->model.projection = state->projection;
    status = atoll_ridge_load(state->ridge, blob, bytes, error);
    free(blob);
    if (status || !m->analytic_labels)
        return status;
    size_t w = (size_t)ATOLL_RIDGE_FEATURES * m->analytic_labels * sizeof(float);
    atoll_ridge_weights *solution = malloc(sizeof *solution + w);
    if (!solution)
        return no_memory(error);
    solution->labels = m->analytic_labels;
    state->model.analytic = solution;
    return load_exact(store, "analytic", solution->w, w, error);
}

/* The plain part of the model, into a state that was initialised with its configuration. */
static atoll_status load_model(atoll_store *store, atoll_state *state, const meta *m, atoll_error *error)
{
    atoll_model *model = &state->model, saved = m->model;
    model->version = saved.version;
    model->records = saved.records;
    model->time_ms = saved.time_ms;
    model->labels = state->labels.count;
    model->combiner = saved.combiner;
    model->novelty = saved.novelty;
    model->assured = saved.assured;
    model->sureness = saved.sureness;
    model->alone = saved.alone;
    atoll_encoder_clear(&state->pager, &model->encoder);
    model->encoder = saved.encoder;
    model->encoder.frequency.root = model->encoder.moments.root = NULL;
    model->encoder.scale.root = NULL;
    atoll_gate_clear(&state->pager, &model->gate);
    model->gate = saved.gate;
    forget_parts(net_parts, NET_PARTS, &model->gate.net);
    atoll_status status = load_array(store, &state->pager, "frequency", &model->encoder.frequency, error);
    if (status || (status = load_array(store, &state->pager, "moments", &model->encoder.moments, error)) ||
        (status = load_array(store, &state->pager, "scale", &model->encoder.scale, error)))
        return status;
    atoll_counts_clear(&state->pager, &model->counts);
    model->counts = saved.counts;
    forget_parts(counts_parts, COUNTS_PARTS, &model->counts);
    if ((status = load_parts(store, &state->pager, "counts", counts_parts, COUNTS_PARTS, &model->counts, error)))
        return status;
    atoll_naming_clear(&state->pager, &model->naming);
    model->naming = saved.naming;
    model->naming.table.root = NULL;
    if ((status = load_array(store, &state->pager, "naming", &model->naming.table, error)))
        return status;
    status = load_net(store, &state->pager, "gate", &model->gate.net, error);
    atoll_expert_clear(&state->pager, &model->expert[0]);
    model->experts = 0;
    for (uint32_t e = 0; e < saved.experts && status == ATOLL_OK; e++)
        if ((status = atoll_model_reserve(model, error)) == ATOLL_OK)
            status = load_expert(store, state, e, error);
    return status ? status : load_analytic(store, state, m, error);
}

atoll_status atoll_checkpoint_load(atoll_store *store, atoll_state *state, uint64_t *since, atoll_error *error)
{
    void *blob;
    size_t bytes;
    atoll_status status = atoll_store_get(store, "meta", &blob, &bytes, error);
    if (status)
        return status;
    meta m;
    if (bytes != sizeof m || memcmp(blob, &(uint64_t){sizeof m}, sizeof(uint64_t)) != 0) {
        free(blob);
        return atoll_fail(error, ATOLL_NEWER_FORMAT, "the checkpoint was written by another build");
    }
    memcpy(&m, blob, sizeof m);
    free(blob);
    if ((status = atoll_state_init(state, &m.model.config, error)))
        return status;
    if ((status = load_names(store, "labels", &state->labels, error)) ||
        (status = load_names(store, "domains", &state->domains, error)) ||
        (status = load_exact(store, "domain-tallies", state->domain, state->domains.count * sizeof *state->domain,
                             error)) ||
        (status = load_model(store, state, &m, error)) || (status = load_memory(store, state, error)) ||
        (status = load_drift(store, state, &m, error))) {
        atoll_state_free(state);
        /* Not found would mean that there is no checkpoint. */
        return status == ATOLL_NOT_FOUND ? atoll_fail(error, ATOLL_DAMAGED, "the checkpoint is not whole") : status;
    }
    state->growth = m.growth;
    state->tally = m.tally;
    *since = atoll_reclaim_epoch(state->reclaim);
    atoll_reclaim_advance(state->reclaim);
    return ATOLL_OK;
}
