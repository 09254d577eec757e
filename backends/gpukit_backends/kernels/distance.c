/* Squared Euclidean distance on the CPU, exact, one axis after the other: two sweeps along the rows, then along each
 * further axis the lower envelope of parabolas (P. Felzenszwalb, D. Huttenlocher, Theory of Computing 8, 2012). */
#include <stdlib.h>

#include "gk_common.h"
#include "gk_export.h"

/* Neighbouring lines that are fetched together, so that whole cache lines are used. */
#define GK_BLOCK 16

/* Rows [begin, end) of n voxels: squared distance along the row to the nearest voxel of the mask. */
GK_EXPORT int gpukit_distance_rows(const uint8_t *mask, float *out, int64_t n, double size, int64_t begin,
                                   int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
        const uint8_t *m = mask + row * n;
        float *d = out + row * n;
        int64_t last = -1;
        for (int64_t i = 0; i < n; ++i) {
            if (m[i]) last = i;
            d[i] = last < 0 ? HUGE_VALF : (float)(((double)(i - last) * size) * ((double)(i - last) * size));
        }
        last = -1;
        for (int64_t i = n - 1; i >= 0; --i) {
            if (m[i]) last = i;
            if (last >= 0) {
                float other = (float)(((double)(last - i) * size) * ((double)(last - i) * size));
                if (other < d[i]) d[i] = other;
            }
        }
    }
    return 0;
}

/* One line: f[q] becomes the smallest f[p] + ((q - p) * size)^2. v and z hold n and n + 1. The square of the size is not
 * zero: check_spacing bounds the size. */
static void gk_envelope(float *f, float *g, int64_t n, double size, int32_t *v, double *z) {
    double square = size * size;
    int64_t k = -1;
    for (int64_t q = 0; q < n; ++q) {
        double s = -HUGE_VAL;
        if (f[q] == HUGE_VALF) continue;
        while (k >= 0) { /* where the parabola from q comes below the last one */
            int64_t p = v[k];
            s = (((double)f[q] - (double)f[p]) / square + (double)(q * q - p * p)) / (2.0 * (double)(q - p));
            if (s > z[k]) break;
            --k;
        }
        if (k < 0) s = -HUGE_VAL;
        ++k;
        v[k] = (int32_t)q;
        z[k] = s;
    }
    if (k < 0) return; /* nothing on this line: stays infinite */
    z[k + 1] = HUGE_VAL;
    for (int64_t q = 0, at = 0; q < n; ++q) {
        double d;
        while (z[at + 1] < (double)q) ++at;
        d = (double)(q - v[at]) * size;
        g[q] = (float)(d * d + (double)f[v[at]]);
    }
    memcpy(f, g, (size_t)n * sizeof *f);
}

/* Along an axis of n voxels that lie `stride` apart: planes [begin, end), each of `across` neighbouring lines; a plane
 * starts `plane` after the one before. Returns 0, or 1 where memory ran out. */
GK_EXPORT int gpukit_distance_axis(float *data, int64_t n, int64_t stride, int64_t across, int64_t plane, double size,
                                   int64_t begin, int64_t end) {
    float *lines = malloc((size_t)n * (GK_BLOCK + 1) * sizeof *lines);
    int32_t *v = malloc((size_t)n * sizeof *v);
    double *z = malloc(((size_t)n + 1) * sizeof *z);
    int failed = !lines || !v || !z;
    for (int64_t p = begin; p < end && !failed; ++p)
        for (int64_t from = 0; from < across; from += GK_BLOCK) {
            int64_t width = across - from < GK_BLOCK ? across - from : GK_BLOCK;
            float *at = data + p * plane + from;
            for (int64_t q = 0; q < n; ++q)
                for (int64_t l = 0; l < width; ++l) lines[l * n + q] = at[q * stride + l];
            for (int64_t l = 0; l < width; ++l) gk_envelope(lines + l * n, lines + GK_BLOCK * n, n, size, v, z);
            for (int64_t q = 0; q < n; ++q)
                for (int64_t l = 0; l < width; ++l) at[q * stride + l] = lines[l * n + q];
        }
    free(lines);
    free(v);
    free(z);
    return failed;
}
