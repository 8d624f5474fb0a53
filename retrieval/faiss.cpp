#include "retrieval/faiss.h"

#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <faiss/utils/distances.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

extern "C" {
#include "core/half.h"
#include "core/hash.h"
#include "core/limits.h"
#include "retrieval/blocks.h"
#include "retrieval/candidates.h"

/* libgomp's; its header is not needed for one prototype. The number counts for the calling thread alone. */
extern void omp_set_num_threads(int count);
}

using idx_t = int64_t; /* as FAISS numbers */

namespace {

constexpr uint32_t CENTRES = ATOLL_CANDIDATES_CENTRES, BITS = 4; /* of one code */
constexpr int ROUNDS = 8; /* of k-means: on a million clustered vectors the recall of 8 is that of 16 within .003 */
constexpr uint32_t TOP_SAMPLE = 64;    /* vectors that each centre of centres is trained on */
constexpr uint32_t CODE_SAMPLE = 4096; /* vectors that codes are trained on at most, 256 for each of their centres */
constexpr uint32_t TOGETHER = 64;      /* vectors that are compared with the centres of centres at a time, or centres */
constexpr uint32_t TOPS_PART = 4;      /* lists of this part of the centres' centres are looked at, */
constexpr uint32_t TOPS_LEAST = 8;     /* of so many at least, */
constexpr uint32_t TOPS_MOST = 256;    /* and at most: which is enough for a million lists */

static_assert(ATOLL_EMBEDDING_MAX_DIM / 4 <= ATOLL_CANDIDATES_CODES_MAX, "codes of the longest vector fit");
static_assert(int{ATOLL_FAISS_WANT_MAX} <= int{ATOLL_CANDIDATES_MAX}, "what is wanted is kept");

using halves_index = faiss::IndexScalarQuantizer;

/* The best so far, in order; of equal ones the first that came. The rest of `number` is -1. */
struct nearest {
    size_t want, held = 0;
    float *score;
    idx_t *number;

    nearest(size_t most, float *scores, idx_t *numbers) : want(most), score(scores), number(numbers)
    {
        std::fill(score, score + want, -INFINITY);
        std::fill(number, number + want, -1);
    }

    void keep(float value, idx_t of)
    {
        size_t at = held;
        while (at && score[at - 1] < value)
            at--;
        held += held < want;
        std::memmove(&score[at + 1], &score[at], (held - 1 - at) * sizeof *score);
        std::memmove(&number[at + 1], &number[at], (held - 1 - at) * sizeof *number);
        score[at] = value;
        number[at] = of;
    }

    /* Rows of halves; called[i], or i itself, is the number of row i. */
    void offer(const uint8_t *codes, size_t many, const idx_t *called, const float *query, size_t dim)
    {
        const void *halves = codes;
        const uint16_t *row = static_cast<const uint16_t *>(halves);
        float dot[TOGETHER];
        for (size_t at = 0; at < many; at += TOGETHER) {
            size_t now = std::min<size_t>(many - at, TOGETHER);
            atoll_half_dots(row + at * dim, now, query, 1, dim, dot);
            for (size_t j = 0; j < now; j++)
                if (held < want || dot[j] > score[want - 1])
                    keep(dot[j], called ? called[at + j] : static_cast<idx_t>(at + j));
        }
    }
};

/*
 * The coarse quantizer: a FAISS index over the lists' centres in half precision, in lists of their own below centres of
 * centres. Its search is ours: FAISS compares one by one, and counts searches in a global that threads share.
 */
struct centres_index final : faiss::IndexIVFScalarQuantizer {
    /* Takes `tops`, and a part of those is looked at. */
    centres_index(halves_index *tops, size_t dim)
        : IndexIVFScalarQuantizer(tops, dim, static_cast<size_t>(tops->ntotal), faiss::ScalarQuantizer::QT_fp16,
                                  faiss::METRIC_INNER_PRODUCT, false)
    {
        own_fields = true;
        is_trained = true;
        nprobe = std::min(nlist, std::min<size_t>(std::max<size_t>(nlist / TOPS_PART, TOPS_LEAST), TOPS_MOST));
    }

    /* Takes what `from`, which FAISS has read, holds. */
    explicit centres_index(faiss::IndexIVFScalarQuantizer &from)
        : centres_index(&dynamic_cast<halves_index &>(*from.quantizer), static_cast<size_t>(from.d))
    {
        from.own_fields = false;
        std::swap(invlists, from.invlists);
        std::swap(direct_map, from.direct_map);
        ntotal = from.ntotal;
    }

    void search(idx_t n, const float *x, idx_t k, float *distances, idx_t *labels,
                const faiss::SearchParameters * = nullptr) const override
    {
        for (idx_t i = 0; i < n; i++)
            search_one(x + i * d, static_cast<size_t>(k), distances + i * k, labels + i * k);
    }

private:
    void search_one(const float *query, size_t k, float *score, idx_t *centre) const
    {
        float near[TOPS_MOST];
        idx_t top[TOPS_MOST];
        auto dim = static_cast<size_t>(d);
        nearest tops(nprobe, near, top), centres(k, score, centre);
        tops.offer(static_cast<const halves_index *>(quantizer)->codes.data(), nlist, nullptr, query, dim);
        for (size_t t = 0; t < tops.held; t++) {
            auto list = static_cast<size_t>(top[t]);
            centres.offer(invlists->get_codes(list), invlists->list_size(list), invlists->get_ids(list), query, dim);
        }
    }
};

/* FAISS's inverted lists, in blocks. What it asks for behind each other is copied for it. */
struct block_lists final : faiss::InvertedLists {
    atoll_blocks blocks;

    block_lists(size_t lists, size_t bytes) : InvertedLists(lists, bytes)
    {
        if (atoll_blocks_init(&blocks, static_cast<uint32_t>(lists), static_cast<uint32_t>(bytes), nullptr))
            throw std::bad_alloc();
    }
    block_lists(const block_lists &) = delete;
    block_lists &operator=(const block_lists &) = delete;
    ~block_lists() override { atoll_blocks_clear(&blocks); }

    size_t list_size(size_t list) const override { return blocks.list[list].count; }
    const uint8_t *get_codes(size_t list) const override { return codes(list, 0, list_size(list)); }
    const uint8_t *get_single_code(size_t list, size_t at) const override { return codes(list, at, 1); }
    void release_codes(size_t, const uint8_t *codes) const override { delete[] codes; }
    void release_ids(size_t, const idx_t *numbers) const override { delete[] numbers; }

    const idx_t *get_ids(size_t list) const override
    {
        idx_t *to = new idx_t[list_size(list)];
        atoll_blocks_numbers(&blocks, static_cast<uint32_t>(list), 0, blocks.list[list].count, to);
        return to;
    }

    idx_t get_single_id(size_t list, size_t at) const override
    {
        idx_t number;
        atoll_blocks_numbers(&blocks, static_cast<uint32_t>(list), static_cast<uint32_t>(at), 1, &number);
        return number;
    }

    size_t add_entries(size_t list, size_t count, const idx_t *numbers, const uint8_t *codes) override
    {
        size_t before = list_size(list);
        for (size_t i = 0; i < count; i++)
            if (atoll_blocks_add(&blocks, static_cast<uint32_t>(list), static_cast<uint32_t>(numbers[i]),
                                 codes + i * code_size, nullptr))
                throw std::bad_alloc();
        return before;
    }

    void update_entries(size_t, size_t, size_t, const idx_t *, const uint8_t *) override { refuse(); }
    void resize(size_t, size_t) override { refuse(); }

private:
    [[noreturn]] static void refuse() { throw std::logic_error("nothing is changed or removed in blocks"); }

    const uint8_t *codes(size_t list, size_t from, size_t count) const
    {
        uint8_t *to = new uint8_t[count * code_size];
        atoll_blocks_codes(&blocks, static_cast<uint32_t>(list), static_cast<uint32_t>(from),
                           static_cast<uint32_t>(count), to);
        return to;
    }
};

} // namespace

/* The index: FAISS's, but for where its codes stand and how they are read. */
struct atoll_faiss final : faiss::IndexIVFPQ {
    block_lists *lists;

    /* Takes the quantizer's arrays from what FAISS has read, and leaves the rest. */
    explicit atoll_faiss(const faiss::IndexIVFPQ &trained)
        : IndexIVFPQ(trained.quantizer, static_cast<size_t>(trained.d), trained.nlist, trained.pq.M, BITS,
                     faiss::METRIC_INNER_PRODUCT)
    {
        pq = trained.pq;
        is_trained = true;
        quantizer = new centres_index(dynamic_cast<faiss::IndexIVFScalarQuantizer &>(*trained.quantizer));
        own_fields = true;
        lists = new block_lists(nlist, code_size);
        replace_invlists(lists, true);
        pq.sync_transposed_centroids(); /* adding a vector then takes .73 of the time */
    }

    /* FAISS's own counts searches in a global that threads share. */
    void search(idx_t n, const float *x, idx_t k, float *distances, idx_t *labels,
                const faiss::SearchParameters *params = nullptr) const override
    {
        float score[ATOLL_FAISS_PROBES_MAX];
        idx_t list[ATOLL_FAISS_PROBES_MAX];
        faiss::SearchParametersIVF how;
        const auto *asked = dynamic_cast<const faiss::SearchParametersIVF *>(params);
        how.nprobe = std::min<size_t>({asked ? asked->nprobe : nprobe, nlist, ATOLL_FAISS_PROBES_MAX});
        idx_t together = nlist == 1 ? ATOLL_FAISS_PROBES_MAX : 1; /* of one list a query probes one */
        for (idx_t i = 0, count; i < n; i += count) {
            count = std::min(n - i, together);
            quantizer->search(count, x + i * d, static_cast<idx_t>(how.nprobe), score, list);
            search_preassigned(count, x + i * d, k, list, score, distances + i * k, labels + i * k, false, &how,
                               nullptr);
        }
    }

    /* In no order, in place of a heap: who wants few of the best ranks them by what the codes stand for. */
    void search_preassigned(idx_t n, const float *x, idx_t k, const idx_t *assign, const float *centroid_dis,
                            float *distances, idx_t *labels, bool, const faiss::IVFSearchParameters *params,
                            faiss::IndexIVFStats *) const override
    {
        size_t probes = std::min(params ? params->nprobe : nprobe, nlist);
        if (k > ATOLL_FAISS_WANT_MAX)
            throw std::invalid_argument("more is wanted than a search finds");
        if (nlist == 1) {
            search_all(n, x, k, centroid_dis, distances, labels);
            return;
        }
        float product[ATOLL_CANDIDATES_CODES_MAX * CENTRES];
        for (idx_t i = 0; i < n; i++, assign += probes, centroid_dis += probes, distances += k, labels += k) {
            auto near = static_cast<uint32_t>(std::find(assign, assign + probes, -1) - assign);
            pq.compute_inner_prod_table(x + i * d, product);
            uint32_t found = atoll_candidates_find(&lists->blocks, product, near, assign, centroid_dis,
                                                   static_cast<uint32_t>(k), labels, distances);
            fill_behind(found, k, labels, distances);
        }
    }

private:
    static void fill_behind(uint32_t found, idx_t k, idx_t *labels, float *distances)
    {
        std::fill(labels + found, labels + k, -1);
        std::fill(distances + found, distances + k, -INFINITY);
    }

    /* As many queries together as their tables have room. */
    void search_all(idx_t n, const float *x, idx_t k, const float *centroid_dis, float *distances, idx_t *labels) const
    {
        float product[ATOLL_CANDIDATES_CODES_MAX * CENTRES];
        uint32_t found[ATOLL_CANDIDATES_TOGETHER];
        auto most = static_cast<idx_t>(std::min<size_t>(ATOLL_CANDIDATES_CODES_MAX / pq.M, ATOLL_CANDIDATES_TOGETHER));
        for (idx_t i = 0, count; i < n; i += count) {
            count = std::min(n - i, most);
            for (idx_t q = 0; q < count; q++)
                pq.compute_inner_prod_table(x + (i + q) * d, product + static_cast<size_t>(q) * pq.M * CENTRES);
            atoll_candidates_find_all(&lists->blocks, product, static_cast<uint32_t>(count), centroid_dis + i,
                                      static_cast<uint32_t>(k), labels + i * k, distances + i * k, found);
            for (idx_t q = 0; q < count; q++)
                fill_behind(found[q], k, labels + (i + q) * k, distances + (i + q) * k);
        }
    }
};

namespace {

/* FAISS takes memory for a whole block of distances, 16 MB at its defaults, however few are asked for. */
void small_blocks()
{
    faiss::distance_compute_blas_query_bs = 64;
    faiss::distance_compute_blas_database_bs = 512;
}

void one_thread()
{
    static thread_local bool done;
    static std::once_flag once;
    if (!done) {
        omp_set_num_threads(1);
        std::call_once(once, small_blocks);
    }
    done = true;
}

/* Exceptions as statuses: memory, or `refused` and FAISS's words. */
template <typename work>
atoll_status guarded(atoll_status refused, atoll_error *error, work &&of)
{
    one_thread();
    try {
        of();
    } catch (const std::bad_alloc &) {
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for codes");
    } catch (const std::exception &e) {
        return atoll_fail(error, refused, "FAISS: %s", e.what());
    }
    return ATOLL_OK;
}

/* --- training --- */

/* Rows of halves. */
struct rows_of {
    size_t dim, count;
    const uint16_t *const *row;

    /* `want` of them, evenly, as floats. */
    std::vector<float> sample(size_t want) const
    {
        std::vector<float> to(want * dim);
        for (size_t i = 0; i < want; i++)
            atoll_half_to_float(row[i * count / want], to.data() + i * dim, dim);
        return to;
    }
};

/* An even number: 2 dimensions a code up to 128, 4 up to 512, then 8, for which FAISS has kernels. */
size_t codes_for(size_t dim)
{
    return dim <= 128 ? dim / 2 : dim <= 512 || dim % 16 ? dim / 4 : dim / 8;
}

/* A power of two near the square root. */
size_t tops_for(size_t lists)
{
    size_t tops = 1;
    while (4 * tops * tops <= lists)
        tops *= 2;
    return tops;
}

/* k-means of all that is given. */
faiss::ClusteringParameters clustering_of(size_t count, size_t centres)
{
    faiss::ClusteringParameters how;
    how.niter = ROUNDS;
    how.min_points_per_centroid = 1;
    how.max_points_per_centroid = static_cast<int>(count / centres + 1);
    return how;
}

/* Centres of vectors, on the unit sphere. */
std::unique_ptr<faiss::IndexFlatIP> cluster(size_t dim, size_t centres, const std::vector<float> &vectors)
{
    size_t count = vectors.size() / dim;
    faiss::ClusteringParameters how = clustering_of(count, centres);
    how.spherical = true;
    faiss::Clustering clusters(static_cast<int>(dim), static_cast<int>(centres), how);
    auto index = std::make_unique<faiss::IndexFlatIP>(static_cast<idx_t>(dim));
    clusters.train(static_cast<idx_t>(count), vectors.data(), *index);
    return index;
}

/* Which rows are nearest to each centre of centres. */
std::vector<std::vector<const uint16_t *>> divide(const rows_of &rows, const faiss::Index &tops)
{
    std::vector<std::vector<const uint16_t *>> below(static_cast<size_t>(tops.ntotal));
    for (size_t at = 0; at < rows.count; at += TOGETHER) {
        rows_of now = {rows.dim, std::min<size_t>(rows.count - at, TOGETHER), rows.row + at};
        idx_t top[TOGETHER];
        tops.assign(static_cast<idx_t>(now.count), now.sample(now.count).data(), top);
        for (size_t i = 0; i < now.count; i++)
            below[static_cast<size_t>(top[i])].push_back(now.row[i]);
    }
    return below;
}

/* Each centre of centres gets as many of all `lists` centres as it has of the rows, and one at least. */
std::unique_ptr<centres_index> train_centres(const rows_of &rows, size_t lists)
{
    size_t tops = tops_for(lists);
    auto top = cluster(rows.dim, tops, rows.sample(std::min(tops * TOP_SAMPLE, rows.count)));
    auto below = divide(rows, *top);
    auto halves = std::make_unique<halves_index>(static_cast<int>(rows.dim), faiss::ScalarQuantizer::QT_fp16,
                                                 faiss::METRIC_INNER_PRODUCT);
    halves->add(top->ntotal, top->get_xb());
    auto centres = std::make_unique<centres_index>(halves.get(), rows.dim);
    halves.release();
    for (size_t t = 0; t < tops; t++) {
        rows_of of = {rows.dim, below[t].size(), below[t].data()};
        size_t share = std::max<size_t>(of.count * lists / rows.count, 1);
        std::unique_ptr<faiss::IndexFlatIP> found;
        if (of.count)
            found = cluster(rows.dim, share, of.sample(of.count));
        std::vector<idx_t> under(share, static_cast<idx_t>(t));
        centres->add_core(static_cast<idx_t>(share), found ? found->get_xb() : top->get_xb() + t * rows.dim, nullptr,
                          under.data());
    }
    centres->make_direct_map();
    return centres;
}

/* --- as bytes --- */

/* Whether the sizes in what FAISS has read are those of a training, and fit one another, which FAISS leaves open. */
bool is_as_trained(const faiss::IndexIVFPQ &index)
{
    const faiss::ProductQuantizer &pq = index.pq;
    auto dim = static_cast<size_t>(index.d);
    return pq.d == dim && pq.M == codes_for(dim) && pq.nbits == BITS && index.quantizer->d == index.d &&
           static_cast<size_t>(index.quantizer->ntotal) == index.nlist;
}

/* Bytes as FAISS reads them. */
struct bytes_reader final : faiss::IOReader {
    const uint8_t *at;
    size_t left;

    bytes_reader(const uint8_t *from, size_t bytes) : at(from), left(bytes) {}

    size_t operator()(void *to, size_t size, size_t count) override
    {
        count = size ? std::min(count, left / size) : 0;
        if (count)
            std::memcpy(to, at, size * count);
        at += size * count;
        left -= size * count;
        return count;
    }
};

} // namespace

atoll_status atoll_faiss_train(uint32_t dim, uint32_t lists, uint32_t count, const uint16_t *const *row,
                               void **trained, size_t *bytes, atoll_error *error)
{
    *trained = nullptr;
    *bytes = 0;
    return guarded(ATOLL_INTERNAL, error, [&] {
        rows_of rows = {dim, count, row};
        auto centres = train_centres(rows, lists);
        faiss::IndexIVFPQ index(centres.get(), dim, static_cast<size_t>(centres->ntotal), codes_for(dim), BITS,
                                faiss::METRIC_INNER_PRODUCT);
        size_t want = std::min(count, CODE_SAMPLE);
        index.pq.cp = clustering_of(want, CENTRES);
        index.train(static_cast<idx_t>(want), rows.sample(want).data());
        faiss::VectorIOWriter writer;
        faiss::write_index(&index, &writer);
        uint64_t hash = atoll_hash64(writer.data.data(), writer.data.size(), 0);
        if (!(*trained = std::malloc(sizeof hash + writer.data.size())))
            throw std::bad_alloc();
        *bytes = sizeof hash + writer.data.size();
        std::memcpy(*trained, &hash, sizeof hash);
        std::memcpy(static_cast<uint8_t *>(*trained) + sizeof hash, writer.data.data(), writer.data.size());
    });
}

atoll_status atoll_faiss_new(const void *trained, size_t bytes, atoll_faiss **out, atoll_error *error)
{
    uint64_t hash;
    *out = nullptr;
    if (bytes < sizeof hash)
        return atoll_fail(error, ATOLL_DAMAGED, "the training of codes ends early");
    const uint8_t *from = static_cast<const uint8_t *>(trained) + sizeof hash;
    std::memcpy(&hash, trained, sizeof hash);
    /* FAISS believes the sizes that it reads. */
    if (hash != atoll_hash64(from, bytes - sizeof hash, 0))
        return atoll_fail(error, ATOLL_DAMAGED, "the training of codes does not pass its checksum");
    return guarded(ATOLL_DAMAGED, error, [&] {
        bytes_reader reader(from, bytes - sizeof hash);
        std::unique_ptr<faiss::Index> index(faiss::read_index(&reader));
        const auto &read = dynamic_cast<const faiss::IndexIVFPQ &>(*index);
        if (!is_as_trained(read))
            throw std::invalid_argument("lists or codes of other sizes");
        *out = new atoll_faiss(read);
    });
}

void atoll_faiss_free(atoll_faiss *faiss)
{
    delete faiss;
}

atoll_status atoll_faiss_copy(atoll_faiss *to, const atoll_faiss *from, atoll_error *error)
{
    return guarded(ATOLL_INTERNAL, error, [&] {
        for (size_t list = 0; list < from->nlist; list++) {
            faiss::InvertedLists::ScopedIds numbers(from->invlists, list);
            faiss::InvertedLists::ScopedCodes codes(from->invlists, list);
            to->invlists->add_entries(list, from->get_list_size(list), numbers.get(), codes.get());
        }
        to->ntotal = from->ntotal;
    });
}

uint32_t atoll_faiss_dim(const atoll_faiss *faiss)
{
    return static_cast<uint32_t>(faiss->d);
}

uint32_t atoll_faiss_lists(const atoll_faiss *faiss)
{
    return static_cast<uint32_t>(faiss->nlist);
}

uint32_t atoll_faiss_count(const atoll_faiss *faiss)
{
    return static_cast<uint32_t>(faiss->ntotal);
}

uint64_t atoll_faiss_bytes(const atoll_faiss *faiss)
{
    const faiss::ProductQuantizer &pq = faiss->pq;
    size_t beside = (pq.transposed_centroids.size() + pq.centroids_sq_lengths.size()) * sizeof(float);
    return sizeof *faiss + beside + atoll_blocks_bytes(&faiss->lists->blocks);
}

atoll_status atoll_faiss_add(atoll_faiss *faiss, uint32_t count, const float *vectors, atoll_error *error)
{
    return guarded(ATOLL_INTERNAL, error, [&] { faiss->add(count, vectors); });
}

uint32_t atoll_faiss_nearest(const atoll_faiss *faiss, const float *query, uint32_t want, int64_t *list)
{
    float score[ATOLL_FAISS_PROBES_MAX];
    assert(want && want <= ATOLL_FAISS_PROBES_MAX);
    one_thread();
    faiss->quantizer->search(1, query, want, score, list);
    return static_cast<uint32_t>(std::find(list, list + want, -1) - list);
}

uint32_t atoll_faiss_search(const atoll_faiss *faiss, const float *query, uint32_t probes, uint32_t want,
                            int64_t *number, float *score)
{
    uint32_t found;
    atoll_faiss_search_all(faiss, query, 1, probes, want, number, score, &found);
    return found;
}

void atoll_faiss_search_all(const atoll_faiss *faiss, const float *queries, uint32_t count, uint32_t probes,
                            uint32_t want, int64_t *number, float *score, uint32_t *found)
{
    faiss::SearchParametersIVF how;
    assert(probes && probes <= ATOLL_FAISS_PROBES_MAX && want && want <= ATOLL_FAISS_WANT_MAX);
    how.nprobe = probes;
    one_thread();
    faiss->search(count, queries, want, score, number, &how);
    for (uint32_t i = 0; i < count; i++, number += want)
        found[i] = static_cast<uint32_t>(std::find(number, number + want, -1) - number);
}

atoll_status atoll_faiss_search_reference(const atoll_faiss *faiss, const float *query, uint32_t probes, uint32_t want,
                                          int64_t *number, float *score, atoll_error *error)
{
    return guarded(ATOLL_INTERNAL, error, [&] {
        faiss::SearchParametersIVF how;
        how.nprobe = std::min<size_t>(probes, faiss->nlist);
        std::vector<float> near(how.nprobe);
        std::vector<idx_t> list(how.nprobe);
        faiss->quantizer->search(1, query, static_cast<idx_t>(how.nprobe), near.data(), list.data());
        faiss->IndexIVF::search_preassigned(1, query, want, list.data(), near.data(), score, number, false, &how);
    });
}

const void *atoll_faiss_object(const atoll_faiss *faiss)
{
    return static_cast<const faiss::IndexIVFPQ *>(faiss);
}
