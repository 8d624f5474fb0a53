/*
 * The journal of one model: commits in order, durable before they are acknowledged. One LMDB environment of its own,
 * written by one writer thread of the journal; any thread may submit, any thread may read.
 *
 * An entry is one commit. Submissions that wait together are joined into one entry of at most
 * ATOLL_COMMIT_MAX_RECORDS records; a submission larger than that is cut into several, a smaller one never is. All
 * entries that wait together go into one transaction with one sync (group commit). Commits count from 1 without gaps,
 * and so do the sequence numbers of records.
 */
#ifndef ATOLL_CORE_JOURNAL_H
#define ATOLL_CORE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct atoll_journal atoll_journal;

typedef enum atoll_entry_kind {
    ATOLL_ENTRY_RECORDS = 1, /* payload: records, one encoded after another (core/record.h) */
    ATOLL_ENTRY_CONFIG = 2,  /* payload: the model's whole configuration as JSON text; the first entry of a journal */
    ATOLL_ENTRY_PRUNE = 3,   /* payload: when each expert was last asked, int64 Unix milliseconds, by id */
    ATOLL_ENTRY_RESTORE = 4  /* payload: an expert's id, 4 bytes little endian */
} atoll_entry_kind;

/* One entry as read. `payload` belongs to the reader's buffer. */
typedef struct atoll_entry {
    uint64_t commit;
    atoll_entry_kind kind;
    int64_t time_ms;    /* Unix milliseconds when it was written: the learner's only clock, so that replay repeats it */
    uint64_t first_seq; /* sequence number of its first record; of the next record to come where there is none */
    uint32_t records;
    const uint8_t *payload;
    size_t bytes;
} atoll_entry;

/* What an acknowledged submission became. */
typedef struct atoll_receipt {
    uint64_t first_commit, last_commit;
    uint64_t first_seq, last_seq; /* last_seq < first_seq where it held no records */
} atoll_receipt;

/*
 * Called once for each submission, in order, on the journal's thread, after the sync (status OK) or the failure
 * (ATOLL_NO_SPACE, ATOLL_IO, …: nothing of it is in the journal, and `receipt` is NULL). Must not block. Others may
 * see the commit a little earlier, through atoll_journal_last.
 */
typedef void (*atoll_journal_done)(void *arg, atoll_status status, const atoll_receipt *receipt,
                                   const atoll_error *error);

typedef struct atoll_journal_options {
    size_t map_bytes;        /* size of the map; ATOLL_NO_SPACE once it is full */
    size_t pending_bytes;    /* most bytes that may wait for the disk; beyond it ATOLL_BUSY, unless nothing waits */
    uint64_t next_seq_floor; /* 0, or the least next sequence number and */
    uint64_t next_commit_floor; /* next commit, where older entries may have been trimmed away */
} atoll_journal_options;

/*
 * Opens or creates the journal in folder `path` (its parent must be there), checks its format number and its newest
 * entry, and starts its writer thread. A folder can be open once: ATOLL_BUSY for the second.
 * ATOLL_NEWER_FORMAT, ATOLL_DAMAGED, ATOLL_IO, ATOLL_NO_SPACE, ATOLL_NO_MEMORY.
 */
atoll_status atoll_journal_open(const char *path, const atoll_journal_options *options, atoll_journal **out,
                                atoll_error *error);

/* Finishes what was submitted, stops the thread, closes. No call may be under way. */
void atoll_journal_close(atoll_journal *journal);

/*
 * Submits `records` encoded records (`offsets[i]` is where record i starts in `payload`; offsets has records + 1
 * elements, the last equal to `bytes`), or an entry of another kind (records 0, offsets NULL). The payload is copied.
 * ATOLL_OK means that `done` will be called; any other status (ATOLL_BUSY, ATOLL_NO_MEMORY), that it will not.
 */
atoll_status atoll_journal_submit(atoll_journal *journal, atoll_entry_kind kind, const uint8_t *payload, size_t bytes,
                                  const size_t *offsets, uint32_t records, atoll_journal_done done, void *arg,
                                  atoll_error *error);

/* The newest durable commit, 0 where there is none. Lock-free. */
uint64_t atoll_journal_last(atoll_journal *journal);
/* The oldest commit still held, 0 where there is none. */
uint64_t atoll_journal_first(atoll_journal *journal);
/* Bytes of the pages that hold something; the file keeps what trimming frees, for entries to come. */
uint64_t atoll_journal_bytes(atoll_journal *journal);

/* Bytes in memory that wait for the disk. */
size_t atoll_journal_waiting_bytes(atoll_journal *journal);

/* For one waiting thread: waits until a commit after `commit` is durable, at most `timeout_ms`, or until
 * atoll_journal_wake; returns the newest commit. A wake that finds nobody waiting ends the next wait at once. */
uint64_t atoll_journal_wait(atoll_journal *journal, uint64_t commit, int64_t timeout_ms);
void atoll_journal_wake(atoll_journal *journal);

/*
 * Reads one entry into a buffer that the caller keeps between calls and frees with free(): *buffer and *capacity grow
 * as needed (NULL and 0 at first). Checks the entry's checksum. ATOLL_NOT_FOUND past the end or before the beginning,
 * ATOLL_DAMAGED.
 */
atoll_status atoll_journal_read(atoll_journal *journal, uint64_t commit, uint8_t **buffer, size_t *capacity,
                                atoll_entry *entry, atoll_error *error);

/* Removes entries up to and including `commit`, never the newest one: by the writer thread, in small transactions
 * between batches. What closing interrupts, or a full disk, is left until asked for again. */
void atoll_journal_trim(atoll_journal *journal, uint64_t commit);

#endif
