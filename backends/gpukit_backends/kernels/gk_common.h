/* What every kernel needs, in plain C that the C compiler and NVRTC both take.
 *
 * Rules of this folder: no intrinsics, no global state, 64-bit offsets, double arithmetic in the order of the reference
 * in gpukit/ops. Fused multiply-add is switched off in both compilers, so results are equal to the reference's to the
 * bit wherever only + - * / take part.
 */
#ifndef GK_COMMON_H
#define GK_COMMON_H

#if defined(__CUDACC_RTC__)
#define INFINITY __int_as_float(0x7f800000)
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <math.h>
#include <stdint.h>
#include <string.h>
#endif

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define GK_FN static __device__ __forceinline__
#else
#define GK_FN static inline
#endif

#define GK_JOIN2(a, b) a##b
#define GK_JOIN(a, b) GK_JOIN2(a, b)
/* GK_NAME(gk_linear) is gk_linear_i16 while the type in hand is int16_t */
#define GK_NAME(name) GK_JOIN(name, GK_SUFFIX)

/* Beyond the outermost centres by half a voxel and this much is still inside: the same number as in _mapping.py. */
#define GK_EDGE 1e-6

/* Types that kernels take, with the numbers by which Python names them. */
enum { GK_U8 = 0, GK_I16 = 1, GK_U16 = 2, GK_I32 = 3, GK_F32 = 4, GK_F64 = 5 };

/* A volume in memory: three sizes and strides in elements, counted i, j, k, and which values are no measurement. */
typedef struct {
    const void *data;
    int64_t size[3];
    int64_t stride[3];
    int32_t has_padding;
    int32_t type;
    double low, high;
} gk_volume;

GK_FN double gk_clamp(double x, double low, double high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* Half to even, for |x| < 2^51. */
GK_FN double gk_round(double x) {
    const double big = 6755399441055744.0; /* 1.5 * 2^52 */
    return (x + big) - big;
}

GK_FN double gk_mix(double f, double low, double high) { return low + f * (high - low); }

/* Writes one value: integers rounded half to even and clipped, NaN as 0. */
GK_FN void gk_store(void *out, int type, int64_t at, double value) {
    const double v = value == value ? value : 0.0;
    switch (type) {
        case GK_U8: ((uint8_t *)out)[at] = (uint8_t)gk_round(gk_clamp(v, 0.0, 255.0)); break;
        case GK_I16: ((int16_t *)out)[at] = (int16_t)gk_round(gk_clamp(v, -32768.0, 32767.0)); break;
        case GK_U16: ((uint16_t *)out)[at] = (uint16_t)gk_round(gk_clamp(v, 0.0, 65535.0)); break;
        case GK_I32: ((int32_t *)out)[at] = (int32_t)gk_round(gk_clamp(v, -2147483648.0, 2147483647.0)); break;
        case GK_F32: ((float *)out)[at] = (float)value; break;
        default: ((double *)out)[at] = value;
    }
}

/* Within half a voxel of the outermost centres. */
GK_FN int gk_within(double x, int64_t n) { return x >= -0.5 - GK_EDGE && x <= (double)n - 0.5 + GK_EDGE; }

GK_FN int gk_inside(const gk_volume *v, double x, double y, double z) {
    return gk_within(x, v->size[0]) && gk_within(y, v->size[1]) && gk_within(z, v->size[2]);
}

/* Index of the nearest centre (halves go up), clamped. */
GK_FN int64_t gk_nearest_index(double x, int64_t n) { return (int64_t)gk_clamp(x + 0.5, 0.0, (double)(n - 1)); }

/* Lower neighbour and weight of the upper one, clamped to the outermost centres. */
GK_FN int64_t gk_corner(double x, int64_t n, double *f) {
    double c = gk_clamp(x, 0.0, (double)(n - 1));
    int64_t low = (int64_t)c;
    if (low > n - 2) low = n > 1 ? n - 2 : 0;
    *f = c - (double)low;
    return low;
}

/* Row a of the map (m0 m1 m2 m3): position along input axis a of output voxel (i, j, k). The order of additions is the
 * reference's. */
GK_FN double gk_base(const double *row, int64_t j, int64_t k) {
    return (row[1] * (double)j + row[2] * (double)k) + row[3];
}
GK_FN double gk_position(const double *row, int64_t i, double base) { return row[0] * (double)i + base; }

#endif
