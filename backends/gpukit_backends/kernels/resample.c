/* Resampling on the CPU: entry points by voxel type. Each returns 0, or 1 where memory ran out. */
#include <stdlib.h>

#include "gk_common.h"
#include "gk_export.h"
#include "gk_rows.h"
#include "gk_quick.h"

#define GK_BODY "resample_rows.h"
#include "gk_types.h"

/* Rows [begin, end) of the output; m holds three rows of four. order 0 or 1. */
GK_EXPORT int gpukit_resample(const gk_volume *v, const double *m, const int64_t *size, int order, double fill,
                              void *out, int out_type, int64_t begin, int64_t end) {
    switch (v->type) {
        case GK_U8: return gk_resample_u8(v, m, size, order, fill, out, out_type, begin, end);
        case GK_I16: return gk_resample_i16(v, m, size, order, fill, out, out_type, begin, end);
        case GK_U16: return gk_resample_u16(v, m, size, order, fill, out, out_type, begin, end);
        case GK_I32: return gk_resample_i32(v, m, size, order, fill, out, out_type, begin, end);
        case GK_F32: return gk_resample_f32(v, m, size, order, fill, out, out_type, begin, end);
        default: return gk_resample_f64(v, m, size, order, fill, out, out_type, begin, end);
    }
}

/* The same for a map that keeps axes apart, linear, without padding. */
GK_EXPORT int gpukit_resample_axes(const gk_volume *v, const double *scale, const double *offset, const int64_t *size,
                                   double fill, void *out, int out_type, int64_t begin, int64_t end) {
    switch (v->type) {
        case GK_U8: return gk_resample_axes_u8(v, scale, offset, size, fill, out, out_type, begin, end);
        case GK_I16: return gk_resample_axes_i16(v, scale, offset, size, fill, out, out_type, begin, end);
        case GK_U16: return gk_resample_axes_u16(v, scale, offset, size, fill, out, out_type, begin, end);
        case GK_I32: return gk_resample_axes_i32(v, scale, offset, size, fill, out, out_type, begin, end);
        case GK_F32: return gk_resample_axes_f32(v, scale, offset, size, fill, out, out_type, begin, end);
        default: return gk_resample_axes_f64(v, scale, offset, size, fill, out, out_type, begin, end);
    }
}
