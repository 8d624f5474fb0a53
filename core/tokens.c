#include "core/tokens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/limits.h"

void atoll_token_scratch_free(atoll_token_scratch *scratch)
{
    free(scratch->bucket);
    free(scratch->weight);
    free(scratch->z);
    free(scratch->projected);
    free(scratch->row);
    free(scratch->gate);
    *scratch = (atoll_token_scratch){0};
}

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for tokens");
}

static bool grow(float **at, uint64_t *floats, uint64_t wanted)
{
    if (*floats >= wanted)
        return true;
    free(*at);
    *at = malloc(wanted * sizeof **at);
    *floats = *at ? wanted : 0;
    return *at;
}

atoll_status atoll_token_scratch_fit(atoll_token_scratch *scratch, uint32_t tokens, uint32_t experts,
                                     atoll_error *error)
{
    if (!scratch->bucket)
        scratch->bucket = malloc(ATOLL_FEATURES_MAX * sizeof *scratch->bucket);
    if (!scratch->weight)
        scratch->weight = malloc(ATOLL_FEATURES_MAX * sizeof *scratch->weight);
    if (!scratch->row)
        scratch->row = malloc(2 * (size_t)ATOLL_EXPERTS_MAX * sizeof *scratch->row);
    bool whole = scratch->bucket && scratch->weight && scratch->row;
    whole = whole && grow(&scratch->gate, &scratch->gate_floats, (uint64_t)tokens * (experts + 1));
    return whole ? ATOLL_OK : no_memory(error);
}

/* ---- the gate ---- */

/* Token t alone; of a word, `*at` is where its features begin among the common ones, and moves on to the next's. */
static atoll_input token_of(const atoll_input *input, atoll_token_scratch *scratch, uint32_t dim, uint32_t t,
                            uint32_t *at)
{
    atoll_input one = {0};
    if (t >= input->words) {
        if (input->vectors)
            one.linear = input->each + (size_t)(t - input->words) * dim;
        return one;
    }
    uint32_t begin = *at;
    while (*at < input->common && input->token[*at] == t)
        ++*at;
    one.bucket = input->bucket + begin;
    one.weight = scratch->weight;
    one.features = *at - begin;
    memcpy(scratch->weight, input->weight + begin, one.features * sizeof *scratch->weight);
    atoll_normalise(scratch->weight, one.features);
    return one;
}

atoll_status atoll_tokens_score(const atoll_gate *gate, atoll_net_scratch *net, atoll_token_scratch *scratch,
                                const atoll_input *input, float *logit, uint32_t stride, atoll_error *error)
{
    uint32_t tokens = atoll_tokens_count(input), experts = gate->net.outputs, at = 0;
    atoll_status status = atoll_gate_score(gate, NULL, net, input, scratch->row, error);
    for (uint32_t t = 0; t < tokens && status == ATOLL_OK; t++) {
        atoll_input one = token_of(input, scratch, gate->net.linear_dim, t, &at);
        status = atoll_gate_score(gate, NULL, net, &one, logit + (size_t)t * stride, error);
        atoll_axpy(logit + (size_t)t * stride, scratch->row, 1, experts);
    }
    return status;
}

atoll_status atoll_tokens_learn(atoll_pager *pager, atoll_gate *gate, atoll_net_scratch *net,
                                atoll_token_scratch *scratch, const atoll_input *input, const bool *open,
                                const atoll_gate_losses *losses, uint32_t owner, float sure, float *probability,
                                atoll_error *error)
{
    uint32_t tokens = atoll_tokens_count(input), experts = gate->net.outputs, at = 0, learned = 0;
    float *base = scratch->row, *slope = base + ATOLL_EXPERTS_MAX, logit[ATOLL_EXPERTS_MAX];
    atoll_status status = atoll_gate_score(gate, NULL, net, input, base, error);
    memset(slope, 0, experts * sizeof *slope);
    *probability = 0;
    for (uint32_t t = 0; t < tokens && status == ATOLL_OK; t++) {
        atoll_input one = token_of(input, scratch, gate->net.linear_dim, t, &at);
        if ((status = atoll_gate_score(gate, NULL, net, &one, logit, error)))
            break;
        atoll_axpy(logit, base, 1, experts);
        float log_sum, p = atoll_gate_probability(gate, open, owner, logit, &log_sum);
        *probability += p / (float)tokens;
        if (p > sure)
            continue;
        status = atoll_gate_learn(pager, gate, net, &one, losses, owner, logit, log_sum, error);
        atoll_axpy(slope, logit, 1, experts);
        learned++;
    }
    if (status || !learned)
        return status;
    atoll_scale(slope, 1 / (float)learned, experts);
    status = atoll_gate_score(gate, NULL, net, input, logit, error);
    return status ? status : atoll_net_backward(pager, &gate->net, net, input, NULL, slope, NULL, error);
}

/* ---- routes ---- */

/* The expert with the most, which is taken out of `sum`; `experts` where none is left. */
static uint32_t take_most(float *sum, uint32_t experts, float *weight)
{
    uint32_t most = 0;
    for (uint32_t e = 1; e < experts; e++)
        most = sum[e] > sum[most] ? e : most;
    *weight = sum[most];
    sum[most] = 0;
    return *weight > 0 ? most : experts;
}

void atoll_tokens_choose(float *sum, uint32_t experts, atoll_route *route)
{
    float whole = 0;
    for (; route->count < ATOLL_TOP_K_MAX; route->count++) {
        uint32_t e = take_most(sum, experts, &route->weight[route->count]);
        if (e == experts)
            break;
        route->expert[route->count] = e;
        whole += route->weight[route->count];
    }
    for (uint32_t i = 0; i < route->count; i++)
        route->weight[i] /= whole;
}

void atoll_tokens_gather(const atoll_route *token, uint32_t tokens, uint32_t experts, float *reads,
                         atoll_route *route)
{
    float sum[ATOLL_EXPERTS_MAX] = {0};
    *route = (atoll_route){.reads = reads, .token = token};
    for (uint32_t t = 0; t < tokens; t++)
        for (uint32_t i = 0; i < token[t].count; i++)
            sum[token[t].expert[i]] += token[t].weight[i];
    atoll_tokens_choose(sum, experts, route);
    for (uint32_t i = 0; i < route->count; i++)
        for (uint32_t t = 0; t < tokens; t++) {
            float *read = &reads[(size_t)i * tokens + t];
            *read = 0;
            for (uint32_t k = 0; k < token[t].count; k++)
                *read = token[t].expert[k] == route->expert[i] ? token[t].weight[k] : *read;
        }
}

/* ---- reading ---- */

/* The mean of the vectors' random features, each times its weight. */
static const float *read_vectors(atoll_token_scratch *scratch, const atoll_projection *projection,
                                 const atoll_input *input, const float *reads)
{
    enum { M = ATOLL_PROJECTION_FEATURES, BLOCK = ATOLL_PROJECTION_BLOCK };
    if (!scratch->z && !(scratch->z = malloc((1 + BLOCK) * (size_t)M * sizeof *scratch->z)))
        return NULL;
    bool alike = true;
    for (uint32_t v = 1; v < input->vectors; v++)
        alike &= reads[v] == reads[0];
    memset(scratch->z, 0, M * sizeof *scratch->z);
    if (alike) {
        atoll_axpy(scratch->z, input->z, reads[0], M);
        return scratch->z;
    }
    if (!grow(&scratch->projected, &scratch->projected_floats, atoll_projection_scratch(projection->dim)))
        return NULL;
    for (uint32_t at = 0; at < input->vectors; at += BLOCK) {
        const float *v[BLOCK];
        float *z[BLOCK];
        uint32_t count = input->vectors - at < BLOCK ? input->vectors - at : BLOCK;
        for (uint32_t i = 0; i < count; i++) {
            v[i] = input->dense + (size_t)(at + i) * projection->dim;
            z[i] = scratch->z + (size_t)(1 + i) * M;
        }
        atoll_projection_run(projection, v, count, z, scratch->projected);
        for (uint32_t i = 0; i < count; i++)
            atoll_axpy(scratch->z, z[i], reads[at + i] / (float)input->vectors, M);
    }
    return scratch->z;
}

atoll_status atoll_tokens_read(atoll_token_scratch *scratch, const atoll_projection *projection,
                               const atoll_input *input, const float *reads, atoll_input *out, atoll_error *error)
{
    /* The thread that reads need not be the one that asked the gate. */
    atoll_status status = atoll_token_scratch_fit(scratch, 0, 0, error);
    if (status)
        return status;
    *out = *input;
    out->bucket = scratch->bucket;
    out->weight = scratch->weight;
    out->features = 0;
    for (uint32_t i = 0; i < input->features; i++) {
        scratch->bucket[out->features] = input->bucket[i];
        scratch->weight[out->features] = input->weight[i] * reads[input->token[i]];
        out->features += reads[input->token[i]] > 0;
    }
    if (input->z && !(out->z = read_vectors(scratch, projection, input, reads + input->words)))
        return no_memory(error);
    return ATOLL_OK;
}
