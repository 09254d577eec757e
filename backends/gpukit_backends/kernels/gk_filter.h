/* The recursive filter that turns values into coefficients of cubic B-splines, as in gpukit/ops/_spline.py: lines side
 * by side in memory, which advance together. */
#ifndef GK_FILTER_H
#define GK_FILTER_H

/* Pole of the filter, and after how many voxels it has forgotten a value (to 1e-23). */
#define GK_POLE (-0.26794919243112270647)
#define GK_FORGETS 40
/* Each axis multiplies by this; done once, where values are read. */
#define GK_GAIN 6.0
/* Lines side by side where they run along i, so that they have to be copied. */
#define GK_WIDE 16
/* Bytes of a group of lines that stay in the cache between the ways there and back. */
#define GK_GROUP (1 << 19)

/* Weights of the first n values of a line in what it starts from, which is the line mirrored before its first value.
 * They are the same for all lines, and powers are dear. */
static void gk_filter_weights(double *weight, int64_t n) {
    const double z = GK_POLE;
    int64_t k;
    for (k = 1; k < n && k < GK_FORGETS; k++)
        weight[k] = k == n - 1 ? pow(z, (double)k) : pow(z, (double)k) + pow(z, (double)(2 * n - 2 - k));
    weight[0] = n > 1 ? 1.0 / (1.0 - pow(z, (double)(2 * n - 2))) : 1.0;
}

/* to += f * from, `width` values. */
static inline void gk_filter_add(double *restrict to, const double *restrict from, double f, int64_t width) {
    int64_t l;
    for (l = 0; l < width; l++) to[l] += f * from[l];
}

/* Filters `width` lines of n > 1 values in place, one value of each line side by side, the next `stride` apart. */
static inline void gk_filter(double *restrict s, int64_t n, int64_t stride, int64_t width, const double *restrict weight) {
    const double z = GK_POLE, gain = z / (z * z - 1.0);
    double *restrict to = s + (n - 1) * stride;
    int64_t k, l;
    for (k = 1; k < n && k < GK_FORGETS; k++) gk_filter_add(s, s + k * stride, weight[k], width);
    for (l = 0; l < width; l++) s[l] *= weight[0];
    for (k = 1; k < n; k++) gk_filter_add(s + k * stride, s + (k - 1) * stride, z, width);
    {
        const double *restrict before = to - stride;
        for (l = 0; l < width; l++) to[l] = gain * (to[l] + z * before[l]);
    }
    for (k = n - 2; k >= 0; k--) {
        double *restrict here = s + k * stride;
        const double *restrict after = here + stride;
        for (l = 0; l < width; l++) here[l] = z * (after[l] - here[l]);
    }
}

/* The same for many lines, in groups that stay in the cache. */
static void gk_filter_lines(double *restrict s, int64_t n, int64_t stride, int64_t width, const double *restrict weight) {
    const int64_t fit = GK_GROUP / (int64_t)sizeof(double) / n, group = fit < 2 * GK_WIDE ? 2 * GK_WIDE : fit;
    int64_t l;
    for (l = 0; l < width; l += group) gk_filter(s + l, n, stride, width - l < group ? width - l : group, weight);
}

#endif
