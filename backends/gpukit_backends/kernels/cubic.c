/* Cubic B-splines on the CPU: entry points by voxel type. */
#include <stdlib.h>

#include "gk_common.h"
#include "gk_export.h"
#include "gk_rows.h"
#include "gk_spline.h"
#include "gk_block.h"


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

/* How many samples along i, j, k gpukit_cubic_blocks takes at a time. Returns 0 where it is no use. */
GK_EXPORT int gpukit_cubic_block(const double *m, const int64_t *size, int64_t *count) {
    return gk_block_size(m, size, count);
}

/* Rows of blocks of a resampled volume, [begin, end) of those along j times those along k, where all voxels are
 * measurements. Returns 0, or 1 where memory ran out. */
GK_EXPORT int gpukit_cubic_blocks(const gk_spline *s, const double *m, const int64_t *size, const int64_t *count,
                                  double fill, void *out, int out_type, int64_t begin, int64_t end) {
    double *box = (double *)malloc(GK_BLOCK_ROOM * sizeof(double)), row[GK_BLOCK_I];
    const int64_t across = (size[1] + count[1] - 1) / count[1];
    int64_t n, i, j, k;
    if (!box) return 1;
    for (n = begin; n < end; n++) {
        gk_block b;
        b.at[1] = n % across * count[1];
        b.at[2] = n / across * count[2];
        for (b.at[0] = 0; b.at[0] < size[0]; b.at[0] += count[0]) {
            int axis, any;
            for (axis = 0; axis < 3; axis++)
                b.count[axis] = size[axis] - b.at[axis] < count[axis] ? size[axis] - b.at[axis] : count[axis];
            any = gk_block_start(&b, m, s->full);
            if (any) gk_block_copy(&b, s, box);
            for (k = b.at[2]; k < b.at[2] + b.count[2]; k++)
                for (j = b.at[1]; j < b.at[1] + b.count[1]; j++) {
                    const double base[3] = {gk_base(m, j, k), gk_base(m + 4, j, k), gk_base(m + 8, j, k)};
                    int64_t from = b.at[0], to = any ? from + b.count[0] : from;
                    if (any && !b.inside)
                        for (axis = 0; axis < 3; axis++) gk_span(m + 4 * axis, base[axis], s->full[axis], &from, &to);
                    if (to < from) to = from;
                    from -= b.at[0];
                    to -= b.at[0];
                    gk_block_row(&b, box, m, base, (int)from, (int)to, row);
                    for (i = 0; i < from; i++) row[i] = fill;
                    for (i = to; i < b.count[0]; i++) row[i] = fill;
                    gk_store_row(out, out_type, (k * size[1] + j) * size[0] + b.at[0], row, b.count[0]);
                }
        }
    }
    free(box);
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
