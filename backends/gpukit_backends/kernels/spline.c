/* Coefficients of cubic B-splines on the CPU. Slices are filtered along rows and columns while they are in the cache, and
 * then all of them along their third axis, so each coefficient goes to the memory twice. */
#include <stdlib.h>

#include "gk_common.h"
#include "gk_export.h"
#include "gk_filter.h"
#include "gk_strip.h"

/* Slices [begin, end) of a volume (seen through its strides) to `out`, with rows `row` and planes `plane` apart, filtered
 * along i and j. Returns 0, or 1 where memory ran out. */
GK_EXPORT int gpukit_spline_slices(const gk_volume *v, double *out, int64_t row, int64_t plane, int64_t begin,
                                   int64_t end) {
    const int64_t ni = v->size[0], nj = v->size[1];
    double *strip = (double *)malloc((size_t)(ni * GK_WIDE) * sizeof(double)), weight[2][GK_FORGETS], gain = 1.0;
    int64_t j, k;
    int axis;
    if (!strip) return 1;
    for (axis = 0; axis < 3; axis++) gain *= v->size[axis] > 1 ? GK_GAIN : 1.0;
    for (axis = 0; axis < 2; axis++) gk_filter_weights(weight[axis], v->size[axis]);
    for (k = begin; k < end; k++) {
        double *slice = out + k * plane;
        for (j = 0; j < nj; j += GK_WIDE) {
            const int lines = gk_strip_load(v, j, k, gain, strip);
            if (ni > 1) gk_filter(strip, ni, GK_WIDE, GK_WIDE, weight[0]);
            gk_strip_store(strip, ni, lines, slice + j * row, row);
        }
        if (nj > 1) gk_filter_lines(slice, nj, row, ni, weight[1]);
    }
    free(strip);
    return 0;
}

/* Filters along k, in place, rows [begin, end) of all slices: nk slices `plane` apart, rows of ni `row` apart. */
GK_EXPORT int gpukit_spline_depth(double *data, int64_t ni, int64_t nk, int64_t row, int64_t plane, int64_t begin,
                                  int64_t end) {
    double weight[GK_FORGETS];
    int64_t j;
    gk_filter_weights(weight, nk);
    for (j = begin; j < end && nk > 1; j++) gk_filter_lines(data + j * row, nk, plane, ni, weight);
    return 0;
}
