/* Power sums about the mean that merge, as in gpukit/ops/_moments.py: n, mean, m2, m3, m4, sum, energy, low, high. */
#ifndef GK_MOMENTS_H
#define GK_MOMENTS_H

#include "gk_common.h"

enum { GK_N = 0, GK_MEAN, GK_M2, GK_M3, GK_M4, GK_SUM, GK_ENERGY, GK_LOW, GK_HIGH, GK_MOMENTS };

GK_FN void gk_moments_clear(double *a) {
    for (int i = 0; i < GK_MOMENTS; ++i) a[i] = 0.0;
    a[GK_LOW] = (double)INFINITY;
    a[GK_HIGH] = -(double)INFINITY;
}

/* a becomes the moments of both sets together (P. Pebay, SAND2008-6212). */
GK_FN void gk_moments_merge(double *a, const double *b) {
    double na = a[GK_N], nb = b[GK_N], n = na + nb, d, part;
    if (nb == 0.0) return;
    if (na == 0.0) {
        for (int i = 0; i < GK_MOMENTS; ++i) a[i] = b[i];
        return;
    }
    d = b[GK_MEAN] - a[GK_MEAN];
    part = d * d * na * nb;
    a[GK_M4] += b[GK_M4] + part * d * d * (na * na - na * nb + nb * nb) / (n * n * n) +
                6.0 * d * d * (na * na * b[GK_M2] + nb * nb * a[GK_M2]) / (n * n) +
                4.0 * d * (na * b[GK_M3] - nb * a[GK_M3]) / n;
    a[GK_M3] += b[GK_M3] + part * d * (na - nb) / (n * n) + 3.0 * d * (na * b[GK_M2] - nb * a[GK_M2]) / n;
    a[GK_M2] += b[GK_M2] + part / n;
    a[GK_MEAN] += d * nb / n;
    a[GK_N] = n;
    a[GK_SUM] += b[GK_SUM];
    a[GK_ENERGY] += b[GK_ENERGY];
    if (b[GK_LOW] < a[GK_LOW]) a[GK_LOW] = b[GK_LOW];
    if (b[GK_HIGH] > a[GK_HIGH]) a[GK_HIGH] = b[GK_HIGH];
}

/* Of `rows` moments, thread `index` of `threads` merges every index + m * threads into row `index`. */
GK_FN void gk_moments_fold(double *rows_of, int64_t rows, int64_t threads, int64_t index) {
    for (int64_t r = index + threads; r < rows; r += threads)
        gk_moments_merge(rows_of + index * GK_MOMENTS, rows_of + r * GK_MOMENTS);
}

/* Whether a value is a measurement: not NaN, not in the padding. */
GK_FN int gk_measured(double x, int has_padding, double low, double high) {
    return x == x && !(has_padding && x >= low && x <= high);
}

#endif
