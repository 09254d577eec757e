/* Sampling at points on the CPU: entry points by voxel type. */
#include "gk_common.h"
#include "gk_export.h"
#include "gk_rows.h"

#define GK_BODY "sample_points.h"
#include "gk_types.h"

/* Points [begin, end), each (i, j, k). Always returns 0. */
GK_EXPORT int gpukit_sample(const gk_volume *v, const double *points, int order, double fill, double *out,
                            int64_t begin, int64_t end) {
    switch (v->type) {
        case GK_U8: gk_points_u8(v, points, order, fill, out, begin, end); break;
        case GK_I16: gk_points_i16(v, points, order, fill, out, begin, end); break;
        case GK_U16: gk_points_u16(v, points, order, fill, out, begin, end); break;
        case GK_I32: gk_points_i32(v, points, order, fill, out, begin, end); break;
        case GK_F32: gk_points_f32(v, points, order, fill, out, begin, end); break;
        default: gk_points_f64(v, points, order, fill, out, begin, end);
    }
    return 0;
}
