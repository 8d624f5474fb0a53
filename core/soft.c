#include "core/soft.h"

#include <math.h>
#include <string.h>

#include "core/kernels.h"
#include "core/limits.h"
#include "core/tokens.h"

/* reads[t] = T D_t of one expert; a token that gives it nothing has no part. */
static void dispatch(const float *gate, uint32_t tokens, uint32_t experts, uint32_t e, float *reads)
{
    const float *divided = gate + (size_t)tokens * experts;
    for (uint32_t t = 0; t < tokens; t++)
        reads[t] = logf(gate[(size_t)t * experts + e]) + divided[t];
    atoll_softmax(reads, tokens);
    atoll_scale(reads, (float)tokens, tokens);
}

void atoll_soft_route(const float *gate, uint32_t tokens, uint32_t experts, float *all, float *reads,
                      atoll_route *route)
{
    float sum[ATOLL_EXPERTS_MAX];
    *route = (atoll_route){.reads = tokens ? reads : NULL, .all = all};
    memcpy(all, gate, experts * sizeof *all);
    for (uint32_t t = 1; t < tokens; t++)
        atoll_axpy(all, gate + (size_t)t * experts, 1, experts);
    atoll_scale(all, 1 / (float)(tokens ? tokens : 1), experts);
    for (uint32_t e = 0; e < experts && tokens; e++)
        if (all[e] > 0)
            dispatch(gate, tokens, experts, e, reads + (size_t)e * tokens);
    memcpy(sum, all, experts * sizeof *sum);
    atoll_tokens_choose(sum, experts, route);
}
