/* Statistics on the CPU: moments of each group of voxels, part by part, then merged in the order of the parts, so that
 * the result is the same for any number of threads. */
#include <stdlib.h>

#include "gk_moments.h"
#include "gk_export.h"

/* Values of one group that are reduced together; their sums keep all digits. */
#define GK_HOLD 512
#define GK_LANES 8

/* Moments of a few values, two passes over them in the cache; neighbours advance as lanes. */
static void gk_reduce(const double *x, int64_t n, double *total) {
    double own[GK_MOMENTS], s[GK_LANES] = {0}, e[GK_LANES] = {0}, lo[GK_LANES], hi[GK_LANES];
    double r[GK_LANES] = {0}, a[GK_LANES] = {0}, b[GK_LANES] = {0}, c[GK_LANES] = {0}, mean, left = 0.0;
    int64_t i = 0, whole = n - n % GK_LANES;
    if (n == 0) return;
    gk_moments_clear(own);
    for (int l = 0; l < GK_LANES; ++l) lo[l] = HUGE_VAL, hi[l] = -HUGE_VAL;
    for (i = 0; i < whole; i += GK_LANES)
        for (int l = 0; l < GK_LANES; ++l) {
            double v = x[i + l];
            s[l] += v;
            e[l] += v * v;
            lo[l] = v < lo[l] ? v : lo[l];
            hi[l] = v > hi[l] ? v : hi[l];
        }
    for (; i < n; ++i) {
        double v = x[i];
        s[0] += v;
        e[0] += v * v;
        lo[0] = v < lo[0] ? v : lo[0];
        hi[0] = v > hi[0] ? v : hi[0];
    }
    for (int l = 0; l < GK_LANES; ++l) {
        own[GK_SUM] += s[l];
        own[GK_ENERGY] += e[l];
        own[GK_LOW] = lo[l] < own[GK_LOW] ? lo[l] : own[GK_LOW];
        own[GK_HIGH] = hi[l] > own[GK_HIGH] ? hi[l] : own[GK_HIGH];
    }
    mean = own[GK_SUM] / (double)n;
    for (i = 0; i < whole; i += GK_LANES)
        for (int l = 0; l < GK_LANES; ++l) {
            double d = x[i + l] - mean, q = d * d;
            r[l] += d;
            a[l] += q;
            b[l] += q * d;
            c[l] += q * q;
        }
    for (; i < n; ++i) {
        double d = x[i] - mean, q = d * d;
        r[0] += d;
        a[0] += q;
        b[0] += q * d;
        c[0] += q * q;
    }
    for (int l = 0; l < GK_LANES; ++l) {
        left += r[l];
        own[GK_M2] += a[l];
        own[GK_M3] += b[l];
        own[GK_M4] += c[l];
    }
    own[GK_N] = (double)n;
    own[GK_MEAN] = mean + left / (double)n; /* what rounding left over in the first pass */
    gk_moments_merge(total, own);
}

#define GK_BODY "statistics_parts.h"
#include "gk_types.h"

/* Parts [begin, end) of `size` voxels each, the last one up to n. group holds 0 for voxels that take no part and
 * g + 1 for those of group g, in bytes or, where wide, in 16 bits; NULL puts all into group 0. out: [part][group][9].
 * Returns 0, or 1 where memory ran out. */
GK_EXPORT int gpukit_moments(const void *data, int type, int64_t n, const void *group, int wide, int64_t groups,
                             int has_padding, double low, double high, int64_t size, double *out, int64_t begin,
                             int64_t end) {
    double *hold = malloc((size_t)groups * GK_HOLD * sizeof *hold);
    int32_t *held = calloc((size_t)groups, sizeof *held);
    int failed = !hold || !held;
    for (int64_t p = begin; p < end && !failed; ++p) {
        int64_t first = p * size, last = first + size < n ? first + size : n;
        double *to = out + p * groups * GK_MOMENTS;
#define GK_PART(name) name(data, first, last, group, wide, groups, has_padding, low, high, hold, held, to)
        switch (type) {
            case GK_U8: GK_PART(gk_part_u8); break;
            case GK_I16: GK_PART(gk_part_i16); break;
            case GK_U16: GK_PART(gk_part_u16); break;
            case GK_I32: GK_PART(gk_part_i32); break;
            case GK_F32: GK_PART(gk_part_f32); break;
            default: GK_PART(gk_part_f64); break;
        }
#undef GK_PART
    }
    free(hold);
    free(held);
    return failed;
}

/* All parts of each group into the first part. */
GK_EXPORT void gpukit_moments_merge(double *out, int64_t parts, int64_t groups) {
    for (int64_t p = 1; p < parts; ++p)
        for (int64_t g = 0; g < groups; ++g)
            gk_moments_merge(out + g * GK_MOMENTS, out + (p * groups + g) * GK_MOMENTS);
}
