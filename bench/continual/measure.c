#include "bench/continual/measure.h"

#include <math.h>
#include <stdlib.h>

const measure_kind measure_kinds[MEASURE_COUNT] = {
#define MEASURE_KIND(id, name, json, decimals) {name, json, decimals},
    MEASURES(MEASURE_KIND)
#undef MEASURE_KIND
};

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

double area_under_curve(float *above, size_t above_count, float *below, size_t below_count)
{
    double wins = 0;
    size_t less = 0, not_more = 0;
    qsort(above, above_count, sizeof *above, ascending);
    qsort(below, below_count, sizeof *below, ascending);
    for (size_t i = 0; i < above_count; i++) {
        while (less < below_count && below[less] < above[i])
            less++;
        while (not_more < below_count && below[not_more] <= above[i])
            not_more++;
        wins += 0.5 * (double)(less + not_more);
    }
    return above_count && below_count ? wins / ((double)above_count * (double)below_count) : NAN;
}
