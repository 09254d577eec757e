/* Cubic B-splines on the CPU: entry points by voxel type. */
#include <stdlib.h>

#include "gk_common.h"
#include "gk_export.h"
#include "gk_rows.h"
#include "gk_spline.h"

/* Samples worked on side by side. */
#define GK_RUN 64

/* Four weights for each of n fractions, side by side. */
static void gk_cubic_weights(const double *restrict f, int n, double *restrict w) {
    int l;
    for (l = 0; l < n; l++) {
        const double a = f[l], g = 1.0 - a;
        w[4 * l] = g * g * g * (1.0 / 6.0);
        w[4 * l + 1] = 2.0 / 3.0 - 0.5 * a * a * (2.0 - a);
        w[4 * l + 2] = 2.0 / 3.0 - 0.5 * g * g * (2.0 - g);
        w[4 * l + 3] = a * a * a * (1.0 / 6.0);
    }
}

/* Samples [from, to) of a row, all of whose coefficients lie in the box. */
static void gk_cubic_run(const gk_spline *s, const double *m, const double *base, int64_t from, int64_t to,
                         double *row) {
    int64_t i;
    for (i = from; i < to; i += GK_RUN) {
        const int n = to - i < GK_RUN ? (int)(to - i) : GK_RUN;
        double f[GK_RUN], w[3][4 * GK_RUN], sum[4 * GK_RUN];
        int32_t low[3][GK_RUN];
        int axis, l;
        for (axis = 0; axis < 3; axis++) {
            const double step = m[4 * axis], first = base[axis];
            int32_t *restrict at = low[axis];
            for (l = 0; l < n; l++) {
                const double x = step * (double)(i + l) + first;
                at[l] = (int32_t)x;
                f[l] = x - (double)at[l];
            }
            gk_cubic_weights(f, n, w[axis]);
        }
        for (l = 0; l < n; l++) {
            const int64_t a = (int64_t)low[0][l] - 1 - s->first[0], b = (int64_t)low[1][l] - 1 - s->first[1],
                          c = (int64_t)low[2][l] - 1 - s->first[2];
            gk_cubic_four(s->data + (c * s->plane + b * s->row + a), s->row, s->plane, w[1] + 4 * l, w[2] + 4 * l,
                          sum + 4 * l);
        }
        for (l = 0; l < n; l++)
            row[i + l] = (sum[4 * l] * w[0][4 * l] + sum[4 * l + 1] * w[0][4 * l + 1]) +
                         (sum[4 * l + 2] * w[0][4 * l + 2] + sum[4 * l + 3] * w[0][4 * l + 3]);
    }
}

#define GK_BODY "cubic_rows.h"
#include "gk_types.h"

#define GK_BY_TYPE(function, ...)                    \
    switch (v->type) {                               \
        case GK_U8: function##_u8(__VA_ARGS__); break;   \
        case GK_I16: function##_i16(__VA_ARGS__); break; \
        case GK_U16: function##_u16(__VA_ARGS__); break; \
        case GK_I32: function##_i32(__VA_ARGS__); break; \
        case GK_F32: function##_f32(__VA_ARGS__); break; \
        default: function##_f64(__VA_ARGS__);            \
    }

/* Rows [begin, end) of a resampled volume. `checked`: some voxels are no measurement. Returns 0, or 1 where memory ran
 * out. */
GK_EXPORT int gpukit_cubic_resample(const gk_volume *v, const gk_spline *s, int checked, const double *m,
                                    const int64_t *size, double fill, void *out, int out_type, int64_t begin,
                                    int64_t end) {
    double *row = (double *)malloc((size_t)size[0] * sizeof(double));
    if (!row) return 1;
    GK_BY_TYPE(gk_cubic_resample, v, s, checked, m, size, fill, row, out, out_type, begin, end)
    free(row);
    return 0;
}

/* Points [begin, end). Always returns 0. */
GK_EXPORT int gpukit_cubic_sample(const gk_volume *v, const gk_spline *s, int checked, const double *points, double fill,
                                  double *out, int64_t begin, int64_t end) {
    GK_BY_TYPE(gk_cubic_points, v, s, checked, points, fill, out, begin, end)
    return 0;
}

/* Rows [begin, end) of a projection. Returns 0, or 1 where memory ran out. */
GK_EXPORT int gpukit_cubic_slab(const gk_volume *v, const gk_spline *s, int checked, const double *m,
                                const int64_t *size, int way, double fill, void *out, int out_type, int64_t begin,
                                int64_t end) {
    double *row = (double *)malloc((size_t)size[0] * sizeof(double));
    if (!row) return 1;
    GK_BY_TYPE(gk_cubic_slab, v, s, checked, m, size, way, fill, row, out, out_type, begin, end)
    free(row);
    return 0;
}
