#include "core/expert.h"

#include "core/kernels.h"
#include "core/ridge.h"

void atoll_expert_init(atoll_expert *expert, uint32_t id, const atoll_net_shape *shape)
{
    *expert = (atoll_expert){.id = id, .domain = ATOLL_DOMAIN_NONE};
    atoll_net_init(&expert->net, shape);
    atoll_served_init(&expert->served);
    atoll_array_init(&expert->labels, sizeof(atoll_expert_label));
}

void atoll_expert_clear(atoll_pager *pager, atoll_expert *expert)
{
    atoll_net_clear(pager, &expert->net);
    atoll_served_clear(pager, &expert->served);
    atoll_array_clear(pager, &expert->labels);
}

uint32_t atoll_expert_output(const atoll_expert *expert, uint32_t label)
{
    /* The shared expert met the labels in the model's own order. */
    if (label < expert->labels.count && atoll_expert_label_at(expert, label)->label == label)
        return label;
    for (uint32_t i = 0; i < expert->labels.count; i++)
        if (atoll_expert_label_at(expert, i)->label == label)
            return i;
    return ATOLL_ROW_NONE;
}

atoll_status atoll_expert_add_label(atoll_pager *pager, atoll_expert *expert, uint32_t label, uint32_t *output,
                                    atoll_error *error)
{
    uint32_t fresh = expert->labels.count;
    atoll_status status = atoll_array_grow(pager, &expert->labels, fresh + 1, error);
    if (status)
        return status;
    atoll_expert_label *place = atoll_array_edit(pager, &expert->labels, fresh);
    if (place)
        *place = (atoll_expert_label){.label = label};
    else
        status = atoll_fail(error, ATOLL_NO_MEMORY, "no memory for a label");
    if (status == ATOLL_OK)
        status = atoll_net_grow(pager, &expert->net, fresh + 1, error);
    if (status)
        expert->labels.count = fresh; /* an output and its label come together or not at all */
    else
        *output = fresh;
    return status;
}

atoll_status atoll_expert_predict(const atoll_expert *expert, atoll_net_scratch *scratch, const atoll_input *input,
                                  const float *h, float scale, float *logits, float *probability, atoll_error *error)
{
    if (expert->net.outputs == 0)
        return ATOLL_OK;
    atoll_status status =
        atoll_expert_rounded(expert)
            ? atoll_served_forward(&expert->net, &expert->served, scratch, input, h, logits, error)
            : atoll_net_forward(&expert->net, scratch, input, h, logits, error);
    if (status)
        return status;
    atoll_expert_base(expert, input, logits);
    atoll_softmax(logits, expert->net.outputs);
    for (uint32_t i = 0; i < expert->net.outputs; i++)
        probability[atoll_expert_label_at(expert, i)->label] += scale * logits[i];
    return ATOLL_OK;
}

void atoll_expert_base(const atoll_expert *expert, const atoll_input *input, float *logits)
{
    if (expert->state != ATOLL_EXPERT_SHARED || !input->score)
        return;
    uint32_t known = expert->net.outputs < input->scores ? expert->net.outputs : input->scores;
    atoll_axpy(logits, input->score, ATOLL_RIDGE_SHARPNESS, known);
}

uint64_t atoll_expert_bytes(const atoll_expert *expert)
{
    return atoll_net_bytes(&expert->net) + atoll_served_bytes(&expert->served) + atoll_array_bytes(&expert->labels);
}
