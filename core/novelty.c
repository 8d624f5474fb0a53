#include "core/novelty.h"

#include <string.h>

/* How many sorted values are below `x`, and, with `or_equal`, not above it. */
static uint32_t below(const atoll_novelty *novelty, float x, int or_equal)
{
    uint32_t low = 0, high = novelty->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (novelty->sorted[middle] < x || (or_equal && novelty->sorted[middle] == x))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

float atoll_novelty_of(const atoll_novelty *novelty, float familiarity)
{
    if (novelty->count == 0)
        return 1;
    uint32_t less = below(novelty, familiarity, 0), not_more = below(novelty, familiarity, 1);
    return 1 - 0.5f * (float)(less + not_more) / (float)novelty->count;
}

double atoll_novelty_rank(const atoll_novelty *novelty, float familiarity)
{
    return (below(novelty, familiarity, 1) + 1.0) / (novelty->count + 1.0);
}

void atoll_novelty_learn(atoll_novelty *novelty, float familiarity)
{
    float *sorted = novelty->sorted;
    if (novelty->count == ATOLL_NOVELTY_WINDOW) {
        uint32_t at = below(novelty, novelty->recent[novelty->next], 0);
        memmove(sorted + at, sorted + at + 1, (novelty->count - at - 1) * sizeof *sorted);
        novelty->count--;
    }
    uint32_t at = below(novelty, familiarity, 1);
    memmove(sorted + at + 1, sorted + at, (novelty->count - at) * sizeof *sorted);
    sorted[at] = familiarity;
    novelty->count++;
    novelty->recent[novelty->next] = familiarity;
    novelty->next = (novelty->next + 1) % ATOLL_NOVELTY_WINDOW;
}
