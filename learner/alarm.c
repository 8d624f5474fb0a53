#include "learner/alarm.h"

#include <math.h>

static double bet(double p)
{
    return 0.5 / sqrt(p);
}

bool atoll_alarm_hear(atoll_alarm *alarm, const atoll_novelty *familiarities, float familiarity, float probability)
{
    alarm->familiarity = (1 + alarm->familiarity) * bet(atoll_novelty_rank(familiarities, familiarity));
    alarm->probability = (1 + alarm->probability) * bet(atoll_novelty_rank(&alarm->probabilities, probability));
    atoll_novelty_learn(&alarm->probabilities, probability);
    if (alarm->familiarity + alarm->probability < 2 * ATOLL_ALARM_RECORDS)
        return false;
    alarm->familiarity = alarm->probability = 0;
    alarm->rung++;
    return true;
}
