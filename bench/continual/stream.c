#include "bench/continual/stream.h"

#include <stdlib.h>
#include <string.h>

bool stream_add(stream_list *list, const atoll_record *record, uint32_t domain)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? 2 * list->capacity : 1024;
        stream_record *at = realloc(list->at, capacity * sizeof *at);
        if (!at)
            return false;
        list->at = at;
        list->capacity = capacity;
    }
    list->at[list->count++] = (stream_record){*record, domain};
    return true;
}

void stream_free(stream *s)
{
    free(s->learned.at);
    free(s->asked.at);
    free(s->outside.at);
    atoll_arena_free(&s->owned);
    *s = (stream){0};
}

/* ---- Mersenne twister ---- */

enum { WORDS = 624, AHEAD = 397 };

void twister_seed(twister *t, uint32_t seed)
{
    uint32_t *s = t->state, i = 1;
    s[0] = 19650218;
    for (uint32_t k = 1; k < WORDS; k++)
        s[k] = 1812433253u * (s[k - 1] ^ s[k - 1] >> 30) + k;
    /* Seeding by an array whose only element is the seed. */
    for (uint32_t k = 0; k < WORDS; k++) {
        s[i] = (s[i] ^ (s[i - 1] ^ s[i - 1] >> 30) * 1664525u) + seed;
        if (++i == WORDS) {
            s[0] = s[WORDS - 1];
            i = 1;
        }
    }
    for (uint32_t k = 1; k < WORDS; k++) {
        s[i] = (s[i] ^ (s[i - 1] ^ s[i - 1] >> 30) * 1566083941u) - i;
        if (++i == WORDS) {
            s[0] = s[WORDS - 1];
            i = 1;
        }
    }
    s[0] = 0x80000000u;
    t->at = WORDS;
}

static uint32_t next(twister *t)
{
    uint32_t *s = t->state;
    if (t->at == WORDS) {
        for (uint32_t k = 0; k < WORDS; k++) {
            uint32_t y = (s[k] & 0x80000000u) | (s[(k + 1) % WORDS] & 0x7fffffffu);
            s[k] = s[(k + AHEAD) % WORDS] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        t->at = 0;
    }
    uint32_t y = s[t->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

uint32_t twister_below(twister *t, uint32_t bound)
{
    int bits = 32 - __builtin_clz(bound);
    uint32_t drawn;
    do
        drawn = next(t) >> (32 - bits);
    while (drawn >= bound);
    return drawn;
}

void twister_shuffle(twister *t, void *things, size_t count, size_t bytes)
{
    char *at = things, held[256];
    for (size_t i = count; i-- > 1;) {
        size_t j = twister_below(t, (uint32_t)i + 1);
        memcpy(held, at + i * bytes, bytes);
        memcpy(at + i * bytes, at + j * bytes, bytes);
        memcpy(at + j * bytes, held, bytes);
    }
}
