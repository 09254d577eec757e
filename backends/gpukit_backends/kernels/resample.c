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

/* The same for rows [begin, end) of every slice, where gpukit_resample_planes_take says that it can be done. */
GK_EXPORT int gpukit_resample_planes(const gk_volume *v, const double *scale, const double *offset, const int64_t *size,
                                     double fill, void *out, int64_t begin, int64_t end) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    (void)v, (void)scale, (void)offset, (void)size, (void)fill, (void)out, (void)begin, (void)end;
    return 1;
#else
    int64_t inside[3][2];
    int axis;
    for (axis = 0; axis < 3; axis++) {
        const double span[4] = {scale[axis], 0.0, 0.0, offset[axis]};
        inside[axis][0] = 0;
        inside[axis][1] = size[axis];
        gk_span(span, offset[axis], v->size[axis], &inside[axis][0], &inside[axis][1]);
        if (inside[axis][1] <= inside[axis][0]) inside[axis][0] = inside[axis][1] = 0;
    }
    if (inside[0][0] == inside[0][1]) inside[0][0] = inside[0][1] = inside[2][0] = inside[2][1] = 0;
    switch (v->type) {
        case GK_U8: return gk_resample_planes_u8(v, scale, offset, size, inside, fill, (uint8_t *)out, begin, end);
        case GK_I16: return gk_resample_planes_i16(v, scale, offset, size, inside, fill, (int16_t *)out, begin, end);
        default: return gk_resample_planes_u16(v, scale, offset, size, inside, fill, (uint16_t *)out, begin, end);
    }
#endif
}

/* Whether gpukit_resample_planes takes a volume: small integers, neighbours along i side by side, at least two voxels
 * along each axis. */
GK_EXPORT int gpukit_resample_planes_take(const gk_volume *v) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    (void)v;
    return 0;
#else
    return (v->type == GK_U8 || v->type == GK_I16 || v->type == GK_U16) && v->stride[0] == 1 && v->size[0] > 1 &&
           v->size[1] > 1 && v->size[2] > 1;
#endif
}
