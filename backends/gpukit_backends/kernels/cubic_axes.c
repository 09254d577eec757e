/* Cubic B-splines where the map keeps axes apart: along each axis lines are filtered and, while they are in the cache,
 * sampled, so that a voxel takes four products an axis rather than 64. Slices come first, along i and j, to a stack of
 * slices with the rows and columns of the output; then that is filtered and sampled along k. */
#include <stdlib.h>

#include "gk_common.h"
#include "gk_export.h"
#include "gk_filter.h"
#include "gk_rows.h"
#include "gk_spline.h"
#include "gk_strip.h"

/* Along each axis: voxels of the volume, where the box of it that is used begins, and which samples of the output are
 * inside. Position = scale * index + offset. */
typedef struct {
    int64_t full[3], first[3], at[3], count[3];
    double scale[3], offset[3];
} gk_apart;

/* The four places in the box, times `pitch`, and weights of samples that are inside along an axis. */
static void gk_apart_taps(const gk_apart *a, int axis, int64_t pitch, int64_t *place, double *weight) {
    int64_t n, t;
    for (n = 0; n < a->count[axis]; n++) {
        gk_taps(a->scale[axis] * (double)(a->at[axis] + n) + a->offset[axis], a->full[axis], a->first[axis], place + 4 * n,
                weight + 4 * n);
        for (t = 0; t < 4; t++) place[4 * n + t] *= pitch;
    }
}

/* Four rows by their weights. */
static inline void gk_apart_blend(const double *restrict from, const int64_t *place, const double *weight, int64_t width,
                                  double *restrict to) {
    const double *restrict p = from + place[0], *restrict q = from + place[1], *restrict r = from + place[2],
                           *restrict s = from + place[3];
    const double a = weight[0], b = weight[1], c = weight[2], d = weight[3];
    int64_t l;
    for (l = 0; l < width; l++) to[l] = (a * p[l] + b * q[l]) + (c * r[l] + d * s[l]);
}

/* Which samples of an output of this size are inside. */
GK_EXPORT void gpukit_cubic_apart_inside(gk_apart *a, const int64_t *size) {
    int axis;
    for (axis = 0; axis < 3; axis++) {
        const double row[4] = {a->scale[axis], 0.0, 0.0, a->offset[axis]};
        int64_t from = 0, to = size[axis];
        gk_span(row, a->offset[axis], a->full[axis], &from, &to);
        a->at[axis] = from;
        a->count[axis] = to > from ? to - from : 0;
    }
}

/* Slices [begin, end) of the box `v` (seen through its strides) to `out`, with rows `row` and planes `plane` apart.
 * Returns 0, or 1 where memory ran out. */
GK_EXPORT int gpukit_cubic_apart_slices(const gk_volume *v, const gk_apart *a, double *out, int64_t row, int64_t plane,
                                        int64_t begin, int64_t end) {
    const int64_t ni = v->size[0], nj = v->size[1], ci = a->count[0], cj = a->count[1];
    double *memory = (double *)malloc(((size_t)((ni + ci) * GK_WIDE + nj * row + 4 * (ci + cj))) * sizeof(double));
    int64_t *place = (int64_t *)malloc((size_t)(4 * (ci + cj)) * sizeof(int64_t)), i, j, k;
    double *strip = memory, *taken, *slice, *wi, *wj, weight[2][GK_FORGETS], gain = 1.0;
    int axis;
    if (!memory || !place) {
        free(memory);
        free(place);
        return 1;
    }
    taken = strip + ni * GK_WIDE;
    slice = taken + ci * GK_WIDE;
    wi = slice + nj * row;
    wj = wi + 4 * ci;
    gk_apart_taps(a, 0, GK_WIDE, place, wi);
    gk_apart_taps(a, 1, row, place + 4 * ci, wj);
    for (axis = 0; axis < 3; axis++) gain *= v->size[axis] > 1 ? GK_GAIN : 1.0;
    for (axis = 0; axis < 2; axis++) gk_filter_weights(weight[axis], v->size[axis]);
    for (k = begin; k < end; k++) {
        for (j = 0; j < nj; j += GK_WIDE) {
            const int lines = gk_strip_load(v, j, k, gain, strip);
            if (ni > 1) gk_filter(strip, ni, GK_WIDE, GK_WIDE, weight[0]);
            for (i = 0; i < ci; i++) gk_apart_blend(strip, place + 4 * i, wi + 4 * i, GK_WIDE, taken + i * GK_WIDE);
            gk_strip_store(taken, ci, lines, slice + j * row, row);
        }
        if (nj > 1) gk_filter_lines(slice, nj, row, ci, weight[1]);
        for (j = 0; j < cj; j++)
            gk_apart_blend(slice, place + 4 * (ci + j), wj + 4 * j, ci, out + k * plane + j * row);
    }
    free(memory);
    free(place);
    return 0;
}

/* Rows [begin, end) of all slices of the output, from the `depth` slices that the above has made, which are filtered in
 * place. Returns 0, or 1 where memory ran out. */
GK_EXPORT int gpukit_cubic_apart_depth(const gk_apart *a, double *slices, int64_t depth, int64_t row, int64_t plane,
                                       const int64_t *size, double fill, void *out, int out_type, int64_t begin,
                                       int64_t end) {
    const int64_t ci = a->count[0], ck = a->count[2], from = a->at[0], ni = size[0];
    double *line = (double *)malloc((size_t)(ni + 4 * ck) * sizeof(double)), *wk = line + ni, weight[GK_FORGETS];
    int64_t *place = (int64_t *)malloc((size_t)(4 * ck + 1) * sizeof(int64_t)), i, j, k;
    if (!line || !place) {
        free(line);
        free(place);
        return 1;
    }
    gk_apart_taps(a, 2, plane, place, wk);
    gk_filter_weights(weight, depth);
    for (j = begin; j < end; j++) {
        const int64_t at = j - a->at[1];
        const int some = at >= 0 && at < a->count[1] && ci > 0 && ck > 0;
        double *lines = slices + at * row;
        if (some && depth > 1) gk_filter_lines(lines, depth, plane, ci, weight);
        for (k = 0; k < size[2]; k++) {
            const int64_t n = k - a->at[2], first = some && n >= 0 && n < ck ? from : ni;
            for (i = 0; i < first; i++) line[i] = fill;
            if (first < ni) gk_apart_blend(lines, place + 4 * n, wk + 4 * n, ci, line + from);
            for (i = first + ci; i < ni; i++) line[i] = fill;
            gk_store_row(out, out_type, (k * size[1] + j) * ni, line, ni);
        }
    }
    free(line);
    free(place);
    return 0;
}
