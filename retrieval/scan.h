/*
 * Sums over 4-bit product codes [Andre, Kermarrec, Le Scouarnec 2017, Quicker ADC]: tables of 16 small integers stay in
 * registers, and one instruction looks up many codes. Inside retrieval only. All kernels give the same sums.
 */
#ifndef ATOLL_RETRIEVAL_SCAN_H
#define ATOLL_RETRIEVAL_SCAN_H

#include <stdint.h>

enum {
    ATOLL_SCAN_BLOCK = 64,   /* vectors whose codes lie side by side */
    ATOLL_SCAN_ENTRY = 127,  /* the most that an entry of a table may be, and */
    ATOLL_SCAN_SUM = 16383   /* the most that those of one vector may sum to */
};

/*
 * One block. Byte i of row p of `codes` (`pairs` rows of ATOLL_SCAN_BLOCK bytes) holds codes 2p (low half) and 2p + 1
 * of vector i; `tables` has 16 entries for each of the 2 * pairs codes, and is aligned to 16. sum[i] becomes what
 * vector i's codes look up; bit i of the result tells whether that is `least` (0 to ATOLL_SCAN_SUM + 1) or more.
 */
typedef uint64_t atoll_scan(const uint8_t *codes, const uint8_t *tables, uint32_t pairs, int16_t least, int16_t *sum);

/* The readable reference. */
atoll_scan atoll_scan_portable;

/* The best that this processor has; and all that it has, best first, for tests: NULL past the last. */
atoll_scan *atoll_scan_best(void);
atoll_scan *atoll_scan_nth(uint32_t n);

#endif
