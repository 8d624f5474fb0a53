#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/continual/corpus.h"
#include "core/hash.h"

/*
 * Texts of made-up words. A word is of the record's topic, of its domain's background, or of what all domains share. A
 * topic's words are in one half common to all domains and in the other the domain's own; one topic word in ten is
 * of another topic, so that nothing can answer all.
 */
enum { DOMAINS = 8, TOPICS = 12, LEARNED = 800, ASKED = 150, WORDS = 10 };
enum { TOPIC_WORDS = 24, BACKGROUND = 60, SHARED = 400 };

typedef enum word_kind { WORD_SHARED, WORD_OF_DOMAIN, WORD_OF_TOPIC, WORD_OF_TOPIC_IN_DOMAIN } word_kind;

static int put_word(char *out, size_t room, word_kind kind, uint32_t domain, uint32_t topic, uint32_t number)
{
    static const char *const syllable[] = {"ba", "ke", "li", "mo", "nu", "pra", "sti", "tor", "vel", "zon", "du", "fi"};
    enum { SYLLABLES = sizeof syllable / sizeof *syllable, LONG = 3 };
    uint32_t key[4] = {kind, kind == WORD_OF_DOMAIN || kind == WORD_OF_TOPIC_IN_DOMAIN ? domain : 0,
                       kind >= WORD_OF_TOPIC ? topic : 0, number};
    uint64_t hash = atoll_hash64(key, sizeof key, 0);
    int used = 0;
    for (int i = 0; i < LONG; i++, hash /= SYLLABLES)
        used += snprintf(out + used, room - (size_t)used, "%s", syllable[hash % SYLLABLES]);
    return used + snprintf(out + used, room - (size_t)used, " ");
}

static int put_text(char *text, size_t room, twister *t, uint32_t domain, uint32_t topic, bool dialects)
{
    int used = 0;
    for (int i = 0; i < WORDS; i++) {
        uint32_t lot = twister_below(t, 60), of = topic, number;
        word_kind kind = lot < 24 ? WORD_OF_TOPIC : lot < 42 ? WORD_OF_DOMAIN : WORD_SHARED;
        if (kind == WORD_OF_TOPIC && twister_below(t, 10) == 0)
            of = twister_below(t, TOPICS);
        if (kind == WORD_OF_TOPIC && dialects && twister_below(t, 2))
            kind = WORD_OF_TOPIC_IN_DOMAIN;
        uint32_t words = kind >= WORD_OF_TOPIC ? TOPIC_WORDS : kind == WORD_OF_DOMAIN ? BACKGROUND : SHARED;
        number = twister_below(t, words);
        number = number * twister_below(t, words) / words; /* some words are frequent */
        used += put_word(text + used, room - (size_t)used, kind, domain, of, number);
    }
    return used - 1;
}

/* Domains that use the same labels, each in its own dialect; or, contrary, the same words for other labels. */
static bool make(corpus *c, bool contrary)
{
    twister t;
    char name[8], label[8], text[256];
    uint32_t label_of[TOPICS];
    twister_seed(&t, 7);
    for (uint32_t i = 0; i < TOPICS; i++)
        label_of[i] = i;
    for (uint32_t domain = 0; domain < DOMAINS; domain++) {
        snprintf(name, sizeof name, "d%u", domain);
        if (contrary)
            twister_shuffle(&t, label_of, TOPICS, sizeof *label_of);
        for (uint32_t i = 0; i < LEARNED + ASKED; i++) {
            uint32_t topic = twister_below(&t, TOPICS);
            int length = put_text(text, sizeof text, &t, domain, topic, !contrary);
            atoll_record record = {.text = {text, (size_t)length}};
            record.label = (atoll_slice){label, (size_t)snprintf(label, sizeof label, "l%02u", label_of[topic])};
            if (!corpus_add(c, &record, name, i < LEARNED ? CORPUS_LEARNED : CORPUS_ASKED))
                return false;
        }
    }
    return true;
}

bool corpus_make_agreeing(corpus *c, const char *data, char *reason)
{
    (void)data;
    return make(c, false) || (snprintf(reason, CORPUS_REASON_BYTES, "no memory"), false);
}

bool corpus_make_contrary(corpus *c, const char *data, char *reason)
{
    (void)data;
    return make(c, true) || (snprintf(reason, CORPUS_REASON_BYTES, "no memory"), false);
}
