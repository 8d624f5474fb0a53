/*
 * The one hash of what is stored or looked up: checksums, names. XXH3, 64 bits (Y. Collet, xxHash 0.8): the result
 * for the same bytes and seed is the same on every machine and stays so, because it is stored. Not for keys against an
 * adversary.
 */
#ifndef ATOLL_CORE_HASH_H
#define ATOLL_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* `data` may be NULL where `bytes` is 0. */
uint64_t atoll_hash64(const void *data, size_t bytes, uint64_t seed);

#endif
