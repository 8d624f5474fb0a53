#include "core/calibration.h"

#include <math.h>

void atoll_calibration_add(atoll_calibration *calibration, float score, bool right, double rate)
{
    int bin = (int)ceilf(score * ATOLL_CALIBRATION_BINS) - 1;
    bin = bin < 0 ? 0 : bin < ATOLL_CALIBRATION_BINS ? bin : ATOLL_CALIBRATION_BINS - 1;
    for (int i = 0; i < ATOLL_CALIBRATION_BINS && rate > 0; i++) {
        calibration->records[i] *= 1 - rate;
        calibration->gap[i] *= 1 - rate;
    }
    calibration->records[bin]++;
    calibration->gap[bin] += right - (double)score;
}

double atoll_calibration_error(const atoll_calibration *calibration)
{
    double error = 0, records = 0;
    for (int i = 0; i < ATOLL_CALIBRATION_BINS; i++) {
        error += fabs(calibration->gap[i]);
        records += calibration->records[i];
    }
    return records > 0 ? error / records : 0;
}
