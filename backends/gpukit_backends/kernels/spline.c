/* Coefficients of cubic B-splines on the CPU: the recursive filter along one axis after the other, many lines side by
 * side. Lines are copied to a strip that stays in the cache, filtered there forwards and backwards, and copied back, so
 * each pass goes through the memory once, whatever the axis. */
#include <stdlib.h>

#include "gk_common.h"
#include "gk_export.h"

/* Lines side by side. */
#define GK_WIDE 16
/* Pole of the filter, and after how many voxels it has forgotten a value (to 1e-34). */
#define GK_POLE (-0.26794919243112270647)
#define GK_FORGETS 60

/* Weights of the first n values of a line in what it starts from, which is the line mirrored before its first value.
 * They are the same for all lines, and powers are dear. */
static void gk_strip_weights(double *weight, int64_t n) {
    const double z = GK_POLE;
    int64_t k;
    for (k = 1; k < n && k < GK_FORGETS; k++)
        weight[k] = k == n - 1 ? pow(z, (double)k) : pow(z, (double)k) + pow(z, (double)(2 * n - 2 - k));
    weight[0] = 1.0 - pow(z, (double)(2 * n - 2)); /* what the sum is divided by */
}

/* Filters n x GK_WIDE values in place. */
static void gk_strip(double *restrict s, int64_t n, const double *restrict weight) {
    const double z = GK_POLE, gain = z / (z * z - 1.0);
    const int64_t horizon = n < GK_FORGETS ? n : GK_FORGETS;
    double start[GK_WIDE];
    int64_t k;
    int l;
    for (k = 0; k < n * GK_WIDE; k++) s[k] *= 6.0;
    for (l = 0; l < GK_WIDE; l++) start[l] = s[l];
    for (k = 1; k < horizon; k++)
        for (l = 0; l < GK_WIDE; l++) start[l] += weight[k] * s[k * GK_WIDE + l];
    for (l = 0; l < GK_WIDE; l++) s[l] = start[l] / weight[0];
    for (k = 1; k < n; k++)
        for (l = 0; l < GK_WIDE; l++) s[k * GK_WIDE + l] += z * s[(k - 1) * GK_WIDE + l];
    for (l = 0; l < GK_WIDE; l++)
        s[(n - 1) * GK_WIDE + l] = gain * (s[(n - 1) * GK_WIDE + l] + z * s[(n - 2) * GK_WIDE + l]);
    for (k = n - 2; k >= 0; k--)
        for (l = 0; l < GK_WIDE; l++) s[k * GK_WIDE + l] = z * (s[(k + 1) * GK_WIDE + l] - s[k * GK_WIDE + l]);
}

/* Rows [begin, end) of nk * nj, from the volume (seen through its strides) to `out` with rows `pitch` and
 * planes `plane` apart, filtered along i. Returns 0, or 1 where memory ran out. */
GK_EXPORT int gpukit_spline_rows(const gk_volume *v, double *out, int64_t pitch, int64_t plane, int64_t begin,
                                 int64_t end) {
    const int64_t n = v->size[0], nj = v->size[1];
    double *strip = (double *)calloc((size_t)(n * GK_WIDE), sizeof(double)), weight[GK_FORGETS];
    int64_t r, i;
    int l;
    if (!strip) return 1;
    gk_strip_weights(weight, n);
    for (r = begin; r < end; r += GK_WIDE) {
        const int lines = end - r < GK_WIDE ? (int)(end - r) : GK_WIDE;
        for (l = 0; l < lines; l++) {
            const int64_t at = (r + l) % nj * v->stride[1] + (r + l) / nj * v->stride[2], step = v->stride[0];
#define GK_READ(T)                                                                                   \
    {                                                                                                \
        const T *row = (const T *)v->data + at;                                                      \
        for (i = 0; i < n; i++) strip[i * GK_WIDE + l] = (double)row[i * step];                      \
    }                                                                                                \
    break;
            switch (v->type) {
                case GK_U8: GK_READ(uint8_t)
                case GK_I16: GK_READ(int16_t)
                case GK_U16: GK_READ(uint16_t)
                case GK_I32: GK_READ(int32_t)
                case GK_F32: GK_READ(float)
                default: GK_READ(double)
            }
#undef GK_READ
        }
        if (n > 1) gk_strip(strip, n, weight);
        for (l = 0; l < lines; l++) {
            double *row = out + (r + l) % nj * pitch + (r + l) / nj * plane;
            for (i = 0; i < n; i++) row[i] = strip[i * GK_WIDE + l];
        }
    }
    free(strip);
    return 0;
}

/* Filters along another axis, in place: for each of `outer` planes, n values `stride` apart, `across` lines side by side
 * in memory; `planes` apart. Works on strips [begin, end) of outer * ceil(across / GK_WIDE). */
GK_EXPORT int gpukit_spline_axis(double *data, int64_t n, int64_t stride, int64_t across, int64_t planes, int64_t begin,
                                 int64_t end) {
    const int64_t strips = (across + GK_WIDE - 1) / GK_WIDE;
    double *strip = (double *)calloc((size_t)(n * GK_WIDE), sizeof(double)), weight[GK_FORGETS];
    int64_t s, k;
    if (!strip) return 1;
    gk_strip_weights(weight, n);
    for (s = begin; s < end && n > 1; s++) {
        const int64_t from = s % strips * GK_WIDE, lines = across - from < GK_WIDE ? across - from : GK_WIDE;
        double *first = data + s / strips * planes + from;
        for (k = 0; k < n; k++) memcpy(strip + k * GK_WIDE, first + k * stride, (size_t)lines * sizeof(double));
        gk_strip(strip, n, weight);
        for (k = 0; k < n; k++) memcpy(first + k * stride, strip + k * GK_WIDE, (size_t)lines * sizeof(double));
    }
    free(strip);
    return 0;
}
