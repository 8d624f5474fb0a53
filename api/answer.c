#include "api/answer.h"

#include <stdio.h>
#include <string.h>

#include "api/member.h"
#include "core/hash.h"

static void put_experts(atoll_writer *out, const atoll_prediction *prediction)
{
    atoll_member_array(out, "experts");
    for (uint32_t i = 0; i < prediction->experts; i++) {
        atoll_json_object_begin(out);
        atoll_member_uint(out, "id", prediction->expert[i].id);
        atoll_member_uint(out, "version", prediction->expert[i].version);
        atoll_member_double(out, "weight", (double)prediction->expert[i].weight);
        atoll_json_object_end(out);
    }
    atoll_json_array_end(out);
}

static void put_neighbours(atoll_writer *out, const atoll_prediction *prediction, bool explain)
{
    atoll_member_array(out, "neighbours");
    for (uint32_t i = 0; explain && i < prediction->neighbours; i++) {
        const atoll_shown_neighbour *neighbour = &prediction->neighbour[i];
        atoll_json_object_begin(out);
        atoll_member_text(out, "id", neighbour->id[0] ? neighbour->id : NULL);
        atoll_member_text(out, "label", neighbour->label);
        atoll_member_double(out, "similarity", (double)neighbour->similarity);
        atoll_json_object_end(out);
    }
    atoll_json_array_end(out);
}

/* Under the name of each voice that spoke, what it alone would have answered. */
static void put_voices(atoll_writer *out, const atoll_prediction *prediction)
{
    atoll_json_name(out, "voices");
    atoll_json_object_begin(out);
    for (int v = 0; v < ATOLL_VOICES; v++)
        if (prediction->voice[v])
            atoll_member_text(out, atoll_voice_name((atoll_voice)v), prediction->voice[v]);
    atoll_json_object_end(out);
}

static void put_token(atoll_writer *out, const atoll_shown_token *token)
{
    atoll_json_object_begin(out);
    if (token->word[0])
        atoll_member_text(out, "word", token->word);
    else
        atoll_member_uint(out, "vector", token->vector);
    atoll_member_array(out, "experts");
    for (uint32_t i = 0; i < token->experts; i++) {
        atoll_json_object_begin(out);
        atoll_member_uint(out, "id", token->expert[i].id);
        atoll_member_double(out, "weight", (double)token->expert[i].weight);
        atoll_json_object_end(out);
    }
    atoll_json_array_end(out);
    atoll_member_array(out, "refused");
    for (uint32_t i = 0; i < token->refused; i++)
        atoll_json_put_uint(out, token->refuser[i]);
    atoll_json_array_end(out);
    atoll_member_bool(out, "dropped", token->dropped);
    atoll_json_object_end(out);
}

static void put_tokens(atoll_writer *out, const atoll_prediction *prediction)
{
    atoll_member_uint(out, "token_count", prediction->tokens);
    atoll_member_array(out, "tokens");
    for (uint32_t i = 0; i < prediction->tokens && i < ATOLL_EXPLAIN_TOKENS; i++)
        put_token(out, &prediction->token[i]);
    atoll_json_array_end(out);
}

static void put_labels(atoll_writer *out, const atoll_prediction *prediction, uint32_t top)
{
    atoll_member_text(out, "label", prediction->labels ? prediction->label[0].label : NULL);
    atoll_json_name(out, "score");
    if (prediction->labels)
        atoll_json_put_double(out, (double)prediction->label[0].score);
    else
        atoll_json_put_null(out);
    atoll_member_array(out, "labels");
    for (uint32_t i = 0; i < prediction->labels && i < top; i++) {
        atoll_json_object_begin(out);
        atoll_member_text(out, "label", prediction->label[i].label);
        atoll_member_double(out, "score", (double)prediction->label[i].score);
        atoll_json_object_end(out);
    }
    atoll_json_array_end(out);
}

void atoll_answer_put(atoll_writer *out, const atoll_answer *answer, const atoll_prediction *prediction)
{
    char number[48];
    snprintf(number, sizeof number, "%s-%08x-%llx", answer->service->prediction_prefix,
             (unsigned)atoll_hash64(answer->model, strlen(answer->model), 0),
             (unsigned long long)prediction->prediction);
    atoll_json_object_begin(out);
    atoll_json_name(out, "id");
    if (answer->id.data)
        atoll_json_put_string(out, answer->id.data, answer->id.bytes);
    else
        atoll_json_put_null(out);
    atoll_member_text(out, "prediction_id", number);
    put_labels(out, prediction, answer->top);
    atoll_member_double(out, "novelty", (double)prediction->novelty);
    atoll_member_bool(out, "abstain", prediction->abstain);
    if (answer->degraded)
        atoll_member_text(out, "degraded", answer->degraded);
    put_experts(out, prediction);
    put_neighbours(out, prediction, answer->explain);
    if (answer->explain)
        put_voices(out, prediction);
    if (answer->explain && prediction->tokens)
        put_tokens(out, prediction);
    atoll_json_object_end(out);
}
