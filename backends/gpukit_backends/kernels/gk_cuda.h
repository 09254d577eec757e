/* What the CUDA kernels share: plain scalars as arguments, one thread per element, 64-bit indices throughout. */
#ifndef GK_CUDA_H
#define GK_CUDA_H

#include "gk_common.h"
#include "gk_pyramid.h"

/* A contiguous volume: address, sizes along i, j, k, and which values are no measurement. */
#define GK_VOLUME_ARGS \
    const void *data, int64_t ni, int64_t nj, int64_t nk, int32_t has_padding, double low, double high
#define GK_VOLUME gk_contiguous(data, ni, nj, nk, has_padding, low, high)

/* Three rows of a map, and the sizes of the output along i, j, k. */
#define GK_MAP_ARGS                                                                                             \
    double m0, double m1, double m2, double m3, double m4, double m5, double m6, double m7, double m8, double m9, \
        double m10, double m11, int64_t oi, int64_t oj, int64_t ok
#define GK_MAP                                                          \
    const double m[12] = {m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11}; \
    const int64_t size[3] = {oi, oj, ok}

#define GK_KERNEL extern "C" __global__ void __launch_bounds__(256)
#define GK_INDEX ((int64_t)blockIdx.x * blockDim.x + threadIdx.x)

GK_FN gk_volume gk_contiguous(const void *data, int64_t ni, int64_t nj, int64_t nk, int32_t has_padding, double low,
                              double high) {
    gk_volume v;
    v.data = data;
    v.size[0] = ni;
    v.size[1] = nj;
    v.size[2] = nk;
    v.stride[0] = 1;
    v.stride[1] = ni;
    v.stride[2] = ni * nj;
    v.has_padding = has_padding;
    v.type = 0; /* the kernel's name says the type */
    v.low = low;
    v.high = high;
    return v;
}

GK_FN gk_pyramid gk_bricks_of(const gk_volume *v, const float *bounds) {
    gk_pyramid p;
    int axis;
    p.bounds = bounds;
    for (axis = 0; axis < 3; axis++) p.size[axis] = gk_bricks(v->size[axis]);
    return p;
}

/* One kernel per voxel type. */
#define GK_EACH_TYPE(make) make(_u8) make(_i16) make(_u16) make(_i32) make(_f32) make(_f64)

#endif
