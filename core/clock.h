/* The clocks. Only the outermost layers read them; what learns takes its time from the journal. */
#ifndef ATOLL_CORE_CLOCK_H
#define ATOLL_CORE_CLOCK_H

#include <stdint.h>

int64_t atoll_clock_wall_ms(void);      /* Unix milliseconds */
int64_t atoll_clock_monotonic_ns(void); /* for durations */

#endif
