/*
 * How long it takes to turn a text of about 100 bytes into features and an embedding, on one warm thread. The texts are
 * pieces of a stream, whose terms were learned before.
 *
 * usage: encode STREAM
 */
#include "bench/bench.h"
#include "core/encoder.h"
#include "core/features.h"
#include "core/limits.h"
#include "core/reclaim.h"
#include "core/text.h"

enum { TEXTS = 1000, TEXT_BYTES = 100, PASSES = 10, BUCKETS = 1 << 20, DIM = 256 };

/* Pieces of TEXT_BYTES, or a little less where a character would be cut. */
static bool cut_texts(const bench_texts *stream, bench_texts *pieces)
{
    char piece[TEXT_BYTES + 1];
    size_t filled = 0;
    *pieces = (bench_texts){0};
    for (size_t i = 0; pieces->count < TEXTS && i < stream->count; i++) {
        const atoll_slice *text = &stream->at[i];
        size_t bytes = atoll_utf8_clip(text->data, text->bytes, TEXT_BYTES - filled);
        memcpy(piece + filled, text->data, bytes);
        filled += bytes;
        if (bytes == text->bytes && filled < TEXT_BYTES) {
            piece[filled++] = ' ';
            continue;
        }
        if (!bench_texts_add(pieces, piece, filled))
            return false;
        filled = 0;
    }
    return pieces->count;
}

typedef struct scratch {
    atoll_text_scratch *text;
    atoll_term term[ATOLL_FEATURES_MAX];
    uint32_t bucket[ATOLL_FEATURES_MAX];
    float weight[ATOLL_FEATURES_MAX], embedding[DIM];
} scratch;

/* Returns the number of terms, 0 for a text without any. */
static uint32_t encode(const atoll_encoder *encoder, scratch *s, const atoll_slice *text)
{
    uint32_t terms = 0;
    atoll_encoded out = {.bucket = s->bucket, .weight = s->weight, .embedding = s->embedding};
    if (atoll_terms_extract(s->text, *text, BUCKETS, s->term, &terms, NULL))
        return 0;
    atoll_encoder_weigh(encoder, s->term, terms, &out);
    atoll_encoder_embed(encoder, &out);
    return terms;
}

static bool learn(atoll_pager *pager, atoll_encoder *encoder, scratch *s, const bench_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        uint32_t terms = encode(encoder, s, &texts->at[i]);
        if (atoll_encoder_learn(pager, encoder, s->term, terms, NULL, 0, NULL))
            return false;
    }
    return true;
}

static void measure(const atoll_encoder *encoder, scratch *s, const bench_texts *texts)
{
    double seconds[BENCH_ROUNDS];
    uint64_t terms = 0;
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        int64_t start = atoll_clock_monotonic_ns();
        terms = 0;
        for (int pass = 0; pass < PASSES; pass++)
            for (size_t i = 0; i < texts->count; i++)
                terms += encode(encoder, s, &texts->at[i]);
        seconds[round] = bench_seconds_since(start);
    }
    double texts_done = (double)texts->count * PASSES;
    printf("{\"texts\":%zu,\"terms\":%.1f,\"us\":%.2f}\n", texts->count, (double)terms / texts_done,
           bench_median(seconds) * 1e6 / texts_done);
}

int main(int argc, char **argv)
{
    bench_texts stream, pieces = {0};
    atoll_encoder encoder;
    atoll_pager pager = {.reclaim = atoll_reclaim_new()};
    scratch *s = calloc(1, sizeof *s);
    if (argc != 2 || !bench_texts_read(argv[1], &stream) || !cut_texts(&stream, &pieces))
        return bench_fail("usage: encode STREAM");
    atoll_encoder_init(&encoder, BUCKETS, DIM, 1);
    if (!s || !pager.reclaim || !(s->text = atoll_text_scratch_new()) || !learn(&pager, &encoder, s, &pieces))
        return bench_fail("no memory");
    measure(&encoder, s, &pieces);
    atoll_encoder_clear(&pager, &encoder);
    atoll_text_scratch_free(s->text);
    free(s);
    atoll_reclaim_free(pager.reclaim);
    bench_texts_free(&pieces);
    bench_texts_free(&stream);
    return 0;
}
