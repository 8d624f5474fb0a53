#include "learner/explain.h"

#include <string.h>

#include "core/features.h"
#include "core/text.h"
#include "core/tokens.h"

/* The first `shown` of the record's tokens get their words; what is no word has none. Of marks alone it is the text. */
static atoll_status show_words(const atoll_explained *x, atoll_text_scratch *scratch, atoll_term *term,
                               atoll_shown_token *out, uint32_t shown, atoll_error *error)
{
    uint8_t word[ATOLL_FEATURES_MAX];
    uint32_t terms;
    if (!x->words)
        return ATOLL_OK;
    atoll_status status = atoll_terms_in_order(scratch, x->text, x->model->encoder.buckets, term, &terms, error);
    if (status)
        return status;
    atoll_terms_words(term, terms, word);
    uint32_t next = 0;
    for (uint32_t i = 0; i < terms && next < shown; i++) {
        if (word[i] < next || atoll_term_kind(term[i]) == ATOLL_TERM_SHAPE)
            continue;
        size_t bytes = atoll_terms_word(scratch, i, out[next].word, ATOLL_EXPLAIN_WORD_BYTES);
        out[next++].word[bytes] = '\0';
    }
    if (next == 0 && shown) {
        size_t bytes = atoll_utf8_clip(x->text.data, x->text.bytes, ATOLL_EXPLAIN_WORD_BYTES);
        memcpy(out->word, x->text.data, bytes);
        out->word[bytes] = '\0';
    }
    return ATOLL_OK;
}

/* For a candidate the shared expert answers. */
static uint32_t answering(const atoll_model *model, uint32_t expert)
{
    return model->expert[expert].state == ATOLL_EXPERT_ACTIVE ? expert : 0;
}

/* Who read a token whose gate is `gate`; `route` is its own, or NULL of a soft gate. */
static void show_experts(const atoll_model *model, const float *gate, const atoll_route *route, atoll_shown_token *out)
{
    uint32_t experts = model->experts, refused[ATOLL_TOP_K_MAX], count = 0;
    atoll_route all = {0};
    if (route) {
        count = atoll_gate_refused(gate, experts, model->config.top_k, route, refused);
    } else {
        float sum[ATOLL_EXPERTS_MAX];
        memcpy(sum, gate, experts * sizeof *sum);
        atoll_tokens_choose(sum, experts, &all);
    }
    const atoll_route *chosen = route ? route : &all;
    for (uint32_t i = 0; i < chosen->count && i < ATOLL_EXPLAIN_EXPERTS; i++) {
        uint32_t e = chosen->expert[i];
        out->expert[out->experts++] = (atoll_token_expert){answering(model, e), route ? route->weight[i] : gate[e]};
    }
    for (uint32_t i = 0; i < count && i < ATOLL_EXPLAIN_EXPERTS; i++)
        out->refuser[out->refused++] = refused[i];
    out->dropped = count && !route->count;
}

atoll_status atoll_explain_tokens(const atoll_explained *explained, atoll_text_scratch *scratch, atoll_term *term,
                                  atoll_arena *arena, atoll_prediction *out, atoll_error *error)
{
    const atoll_model *model = explained->model;
    uint32_t tokens = explained->gated->tokens, shown = tokens < ATOLL_EXPLAIN_TOKENS ? tokens : ATOLL_EXPLAIN_TOKENS;
    out->tokens = 0;
    if (!tokens)
        return ATOLL_OK;
    atoll_shown_token *token = atoll_arena_take(arena, shown * sizeof *token);
    if (!token)
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory to explain");
    memset(token, 0, shown * sizeof *token);
    for (uint32_t t = 0; t < shown; t++) {
        const atoll_route *route = explained->route->token;
        token[t].vector = t < explained->words ? 0 : t - explained->words;
        show_experts(model, explained->gated->gate + (size_t)t * model->experts, route ? route + t : NULL, &token[t]);
    }
    atoll_status status = show_words(explained, scratch, term, token, shown, error);
    if (status == ATOLL_OK) {
        out->tokens = tokens;
        out->token = token;
    }
    return status;
}
