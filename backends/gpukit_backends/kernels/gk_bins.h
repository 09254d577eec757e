/* Which bin of a histogram a value falls into. */
#ifndef GK_BINS_H
#define GK_BINS_H

#include "gk_moments.h"

/* Bin b with bounds[b] <= x < bounds[b + 1], or -1. `even` > 0 is bins per unit where the bounds are nearly evenly
 * spaced: then a guess is at most a step or two off.
 * `endless`: the last bin holds +infinity too. */
GK_FN int64_t gk_bin(double x, const double *bounds, int64_t bins, double even, int endless) {
    int64_t b, low, high;
    if (endless && x == (double)INFINITY) return bins - 1;
    if (!(x >= bounds[0]) || !(x < bounds[bins])) return -1;
    if (even > 0.0) {
        b = (int64_t)((x - bounds[0]) * even);
        if (b > bins - 1) b = bins - 1;
        while (x < bounds[b]) --b;
        while (x >= bounds[b + 1]) ++b;
        return b;
    }
    low = 0, high = bins; /* bounds[low] <= x < bounds[high] */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (x < bounds[middle]) high = middle;
        else low = middle;
    }
    return low;
}

#endif
