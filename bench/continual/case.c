#include "bench/continual/case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

typedef struct names {
    const char *at[4096];
    uint32_t count;
} names;

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted and each once. */
static void finish_names(names *n)
{
    uint32_t kept = 0;
    qsort(n->at, n->count, sizeof *n->at, by_text);
    for (uint32_t i = 0; i < n->count; i++)
        if (kept == 0 || strcmp(n->at[i], n->at[kept - 1]) != 0)
            n->at[kept++] = n->at[i];
    n->count = kept;
}

static void add_name(names *n, const char *name)
{
    if (n->count == sizeof n->at / sizeof *n->at)
        finish_names(n);
    if (name && n->count < sizeof n->at / sizeof *n->at)
        n->at[n->count++] = name;
}

static uint32_t place_of(const names *n, const char *name)
{
    uint32_t place = 0;
    while (place < n->count && strcmp(n->at[place], name) != 0)
        place++;
    return place;
}

/* The corpus' domains, or its labels (those of one domain, unless that is NULL). */
static void domains_of(const corpus *c, names *n)
{
    n->count = 0;
    for (uint32_t i = 0; i < c->count; i++)
        add_name(n, c->at[i].domain);
    finish_names(n);
}

static void labels_of(const corpus *c, const char *domain, names *n)
{
    n->count = 0;
    for (uint32_t i = 0; i < c->count; i++)
        if (!domain || (c->at[i].domain && strcmp(c->at[i].domain, domain) == 0))
            add_name(n, c->at[i].record.label.data);
    finish_names(n);
}

/* ---- building ---- */

static uint32_t add_domain(stream *s, const char *name, uint32_t phase)
{
    snprintf(s->name[s->domains], STREAM_NAME_BYTES, "%s", name);
    s->phase_of[s->domains] = phase;
    return s->domains++;
}

static stream_list *list_for(stream *s, const corpus_item *item)
{
    return item->part == CORPUS_ASKED ? &s->asked : &s->learned;
}

static void end_phase(stream *s)
{
    s->end[s->phases++] = s->learned.count;
}

/* Forgets what was learned since `from` but `limit` of it. */
static void cut(stream *s, uint32_t from, uint32_t limit)
{
    if (limit && s->learned.count > from + limit)
        s->learned.count = from + limit;
}

static void shuffle_from(stream *s, twister *t, uint32_t from)
{
    twister_shuffle(t, s->learned.at + from, s->learned.count - from, sizeof *s->learned.at);
}

/*
 * One domain's records of the corpus behind those that are there, the learned ones shuffled. With `shared`, labels are
 * folded onto their place among the domain's own, so that all domains use the same ones with another meaning.
 */
static bool add_of_domain(const corpus *c, const char *name, bool shared, twister *t, uint32_t phase, stream *s)
{
    static names labels;
    uint32_t from = s->learned.count, domain = add_domain(s, name, phase);
    labels_of(c, name, &labels);
    for (uint32_t i = 0; i < c->count; i++) {
        const corpus_item *item = &c->at[i];
        if (!item->domain || strcmp(item->domain, name) != 0)
            continue;
        atoll_record record = item->record;
        if (shared) {
            char *label = atoll_arena_take(&s->owned, 16);
            if (!label)
                return false;
            record.label.bytes = (size_t)snprintf(label, 16, "label_%02u", place_of(&labels, record.label.data));
            record.label.data = label;
        }
        if (!stream_add(list_for(s, item), &record, domain))
            return false;
    }
    shuffle_from(s, t, from);
    return true;
}

/* Domains one after another in a drawn order, `together` at a time mixed. */
static bool one_after_another(const corpus *c, uint32_t seed, uint32_t limit, bool shared, uint32_t together, stream *s)
{
    static names domains;
    twister t;
    *s = (stream){0};
    domains_of(c, &domains);
    if (domains.count == 0 || domains.count > STREAM_DOMAINS_MAX)
        return false;
    twister_seed(&t, seed);
    twister_shuffle(&t, domains.at, domains.count, sizeof *domains.at);
    for (uint32_t d = 0; d < domains.count;) {
        uint32_t from = s->learned.count;
        for (uint32_t k = 0; k < together && d < domains.count; k++) {
            uint32_t own = s->learned.count;
            if (!add_of_domain(c, domains.at[d++], shared, &t, s->phases, s))
                return false;
            cut(s, own, limit);
        }
        if (together > 1)
            shuffle_from(s, &t, from);
        end_phase(s);
    }
    for (uint32_t i = 0; i < c->count; i++)
        if (c->at[i].part == CORPUS_OUTSIDE && !stream_add(&s->outside, &c->at[i].record, 0))
            return false;
    return true;
}

static bool by_domain(const corpus *c, uint32_t seed, uint32_t limit, stream *s)
{
    return one_after_another(c, seed, limit, false, 1, s);
}

static bool by_domain_shared(const corpus *c, uint32_t seed, uint32_t limit, stream *s)
{
    bool good = one_after_another(c, seed, limit, true, 1, s);
    s->outside.count = 0; /* the labels are not what the queries are outside of */
    return good;
}

static bool two_by_two(const corpus *c, uint32_t seed, uint32_t limit, stream *s)
{
    return one_after_another(c, seed, limit, false, 2, s);
}

static bool two_by_two_shared(const corpus *c, uint32_t seed, uint32_t limit, stream *s)
{
    bool good = one_after_another(c, seed, limit, true, 2, s);
    s->outside.count = 0;
    return good;
}

static bool all_mixed(const corpus *c, uint32_t seed, uint32_t limit, stream *s)
{
    return one_after_another(c, seed, limit, false, STREAM_DOMAINS_MAX, s);
}

/* ---- corpora that hold nothing out ---- */

enum { HELD_OUT_PERCENT = 15 };

/* A shuffled copy of the corpus' items, the first of which are held out. */
static bool hold_out(const corpus *c, twister *t, corpus *out)
{
    *out = *c;
    out->at = malloc(c->count * sizeof *out->at);
    if (!out->at)
        return false;
    memcpy(out->at, c->at, c->count * sizeof *out->at);
    twister_shuffle(t, out->at, out->count, sizeof *out->at);
    for (uint32_t i = 0; i < c->count * HELD_OUT_PERCENT / 100; i++)
        out->at[i].part = CORPUS_ASKED;
    return true;
}

static bool held_out_by_domain(const corpus *c, uint32_t seed, uint32_t limit, stream *s)
{
    corpus held;
    twister t;
    twister_seed(&t, seed);
    bool good = hold_out(c, &t, &held) && one_after_another(&held, seed, limit, false, 1, s);
    free(held.at);
    return good;
}

/* Labels cut into ten arbitrary groups one after another: domains without a meaning. */
static bool label_groups(const corpus *c, uint32_t seed, uint32_t limit, stream *s)
{
    enum { GROUPS = 10 };
    static names labels;
    static const char *const name[GROUPS] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    corpus held;
    twister t;
    bool good = true;
    *s = (stream){0};
    twister_seed(&t, seed);
    if (!hold_out(c, &t, &held))
        return false;
    labels_of(c, NULL, &labels);
    twister_shuffle(&t, labels.at, labels.count, sizeof *labels.at);
    for (uint32_t group = 0; group < GROUPS && good; group++) {
        uint32_t from = s->learned.count, domain = add_domain(s, name[group], group);
        for (uint32_t i = 0; i < held.count && good; i++)
            if (place_of(&labels, held.at[i].record.label.data) % GROUPS == group)
                good = stream_add(list_for(s, &held.at[i]), &held.at[i].record, domain);
        cut(s, from, limit);
        end_phase(s);
    }
    free(held.at);
    return good;
}

/* ---- vectors ---- */

/* Classes two by two in a drawn order; a phase is a pair. */
static bool class_pairs(const corpus *c, uint32_t seed, uint32_t limit, stream *s)
{
    static names classes;
    corpus order = *c;
    twister t;
    bool good;
    *s = (stream){0};
    twister_seed(&t, seed);
    labels_of(c, NULL, &classes);
    twister_shuffle(&t, classes.at, classes.count, sizeof *classes.at);
    order.at = malloc(c->count * sizeof *order.at);
    good = order.at;
    for (uint32_t from = 0, to; good && from < c->count; from = to) { /* each part is shuffled by itself */
        for (to = from; to < c->count && c->at[to].part == c->at[from].part; to++)
            order.at[to] = c->at[to];
        twister_shuffle(&t, order.at + from, to - from, sizeof *order.at);
    }
    for (uint32_t k = 0; k + 1 < classes.count && good; k += 2) {
        char name[STREAM_NAME_BYTES];
        uint32_t from = s->learned.count;
        snprintf(name, sizeof name, "%.20s and %.20s", classes.at[k], classes.at[k + 1]);
        uint32_t domain = add_domain(s, name, s->phases);
        for (uint32_t i = 0; i < c->count && good; i++) {
            const corpus_item *item = &order.at[i];
            if (strcmp(item->record.label.data, classes.at[k]) == 0 ||
                strcmp(item->record.label.data, classes.at[k + 1]) == 0)
                good = stream_add(list_for(s, item), &item->record, domain);
        }
        cut(s, from, limit);
        end_phase(s);
    }
    free(order.at);
    return good;
}

/* ---- a stream that never changes ---- */

/* The text with each word left out once in ten times, and once in ten followed by a word of another text. */
static bool disturb(const corpus *c, twister *t, stream *s, atoll_slice text, atoll_slice *out)
{
    size_t room = text.bytes * 2 + 64, used = 0;
    char *copy = atoll_arena_take(&s->owned, room);
    if (!copy)
        return false;
    for (size_t at = 0; at < text.bytes;) {
        size_t end = at + strcspn(text.data + at, " ");
        uint32_t lot = twister_below(t, 10);
        if (lot && used + (end - at) + 1 < room) {
            memcpy(copy + used, text.data + at, end - at);
            used += end - at;
            copy[used++] = ' ';
        }
        if (lot == 9) {
            const char *other = c->at[twister_below(t, c->count)].record.text.data;
            size_t word = strcspn(other, " ");
            if (used + word + 1 < room) {
                memcpy(copy + used, other, word);
                used += word;
                copy[used++] = ' ';
            }
        }
        at = end + (end < text.bytes);
    }
    *out = used > 1 ? (atoll_slice){copy, used - 1} : text;
    return true;
}

/* Records drawn again and again from all domains at once, each disturbed: whatever is born on it is a false alarm. */
static bool resampled(const corpus *c, uint32_t seed, uint32_t limit, stream *s)
{
    enum { RECORDS = 120000 };
    static stream mixed;
    twister t;
    *s = (stream){0};
    if (!all_mixed(c, seed, 0, &mixed) || mixed.learned.count == 0)
        return false;
    twister_seed(&t, seed + 1000);
    add_domain(s, "all", 0);
    bool good = true;
    for (uint32_t i = 0; i < (limit ? limit : RECORDS) && good; i++) {
        atoll_record record = mixed.learned.at[twister_below(&t, mixed.learned.count)].record;
        good = disturb(c, &t, s, record.text, &record.text) && stream_add(&s->learned, &record, 0);
    }
    for (uint32_t i = 0; i < mixed.asked.count && good; i++)
        good = stream_add(&s->asked, &mixed.asked.at[i].record, 0);
    end_phase(s);
    stream_free(&mixed);
    return good;
}

/* ---- the table ---- */

enum { CLINC, FASHION, PACKAGES, SMALL, AGREEING, CONTRARY, CORPORA };

static bench_corpus corpora[CORPORA] = {[CLINC] = {.read = corpus_read_clinc},
                                        [FASHION] = {.read = corpus_read_fashion},
                                        [PACKAGES] = {.read = corpus_read_packages},
                                        [SMALL] = {.read = corpus_read_small},
                                        [AGREEING] = {.read = corpus_make_agreeing},
                                        [CONTRARY] = {.read = corpus_make_contrary}};

const bench_case bench_cases[] = {
    {"small", 200, 50, true, true, SMALL, held_out_by_domain, 0,
     "short messages of four domains one after another; comes with the sources"},
    {"clinc-class", 3000, 50, true, true, CLINC, by_domain, 600, "150 intents, ten domains one after another"},
    {"clinc-shared", 3000, 50, true, true, CLINC, by_domain_shared, 600,
     "the same folded onto 15 labels that each domain uses with another meaning"},
    {"fashion-split", 2000, 50, true, true, FASHION, class_pairs, 500,
     "ten classes of clothes, two by two, as pixels"},
    {"package-sections", 50000, 256, true, false, PACKAGES, label_groups, 0,
     "58 sections of Debian packages in ten arbitrary groups one after another"},
    {"packages", 50000, 256, false, false, PACKAGES, held_out_by_domain, 0,
     "the same in twelve ecosystems one after another"},
    {"clinc-class", 18000, 50, false, false, CLINC, by_domain, 0, "with room for everything"},
    {"clinc-shared", 18000, 50, false, false, CLINC, by_domain_shared, 0, "with room for everything"},
    {"clinc-class-pairs", 3000, 50, false, false, CLINC, two_by_two, 0, "two domains at a time, mixed"},
    {"clinc-shared-pairs", 3000, 50, false, false, CLINC, two_by_two_shared, 0, "two domains at a time, mixed"},
    {"clinc-mixed", 3000, 50, false, false, CLINC, all_mixed, 0, "all domains at once"},
    {"agreeing", 2000, 50, false, false, AGREEING, by_domain, 300,
     "made-up texts of eight domains one after another, the same labels in dialects of their own"},
    {"contrary", 2000, 50, false, false, CONTRARY, by_domain, 300,
     "the same, but each domain calls the same words by other labels"},
    {"clinc-resampled", 3000, 256, false, false, CLINC, resampled, 0,
     "120,000 records drawn from all domains at once and disturbed: what is born is a false alarm"},
};

const uint32_t bench_case_count = sizeof bench_cases / sizeof *bench_cases;

const corpus *bench_case_corpus(const bench_case *which, const char *data, const char **reason)
{
    bench_corpus *c = &corpora[which->corpus];
    if (!c->tried) {
        c->tried = true;
        c->there = c->read(&c->corpus, data, c->reason);
    }
    *reason = c->reason;
    return c->there ? &c->corpus : NULL;
}

void bench_corpora_free(void)
{
    for (int i = 0; i < CORPORA; i++)
        corpus_free(&corpora[i].corpus);
}
