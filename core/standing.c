#include "core/standing.h"

#include <math.h>
#include <string.h>

/* Records after which an expert is no longer young: 300 and 3,000 measure alike. */
static const float grown_up = 1000;

static bool is_open(const atoll_expert *expert)
{
    return expert->state == ATOLL_EXPERT_ACTIVE || expert->state == ATOLL_EXPERT_CANDIDATE;
}

static uint32_t ownerships_of(const atoll_model *model)
{
    uint32_t count = 0;
    for (uint32_t e = 0; e < model->experts; e++)
        count += is_open(&model->expert[e]) ? model->expert[e].labels.count : 0;
    return count;
}

size_t atoll_standing_bytes(const atoll_model *model)
{
    size_t numbers = 3 * (size_t)model->experts + model->labels; /* of four bytes each */
    return ownerships_of(model) * sizeof(atoll_ownership) + numbers * sizeof(float) + model->experts * sizeof(bool);
}

static uint32_t only_of(const atoll_standing *standing)
{
    uint32_t open = 0, last = 0;
    for (uint32_t e = 0; e < standing->experts; e++)
        if (standing->open[e]) {
            open++;
            last = e;
        }
    return open == 1 ? last : 0;
}

/* By the records of each label that each open expert has learned. */
static void fill_ownerships(const atoll_model *model, atoll_standing *out)
{
    memset(out->total, 0, model->labels * sizeof *out->total);
    for (uint32_t e = 0; e < model->experts; e++) {
        for (uint32_t o = 0; out->open[e] && o < model->expert[e].labels.count; o++) {
            const atoll_expert_label *known = atoll_expert_label_at(&model->expert[e], o);
            out->ownership[out->ownerships++] = (atoll_ownership){known->label, (float)known->records};
            out->total[known->label] += (float)known->records;
        }
        out->owned[e] = out->ownerships;
    }
    for (uint32_t i = 0; i < out->ownerships; i++)
        if (out->ownership[i].share > 0)
            out->ownership[i].share /= out->total[out->ownership[i].label];
}

void atoll_standing_fill(const atoll_model *model, void *room, atoll_standing *out)
{
    *out = (atoll_standing){.experts = model->experts, .ownership = room};
    out->youth = (float *)(void *)(out->ownership + ownerships_of(model));
    out->exemplars = out->youth + model->experts;
    out->total = out->exemplars + model->experts;
    out->owned = (uint32_t *)(void *)(out->total + model->labels);
    out->open = (bool *)(out->owned + model->experts);
    for (uint32_t e = 0; e < model->experts; e++) {
        out->open[e] = is_open(&model->expert[e]);
        out->exemplars[e] = (float)model->expert[e].exemplars;
        out->youth[e] = logf(fmaxf(grown_up / ((float)model->expert[e].records + 1), 1));
    }
    out->only = only_of(out);
    fill_ownerships(model, out);
}
