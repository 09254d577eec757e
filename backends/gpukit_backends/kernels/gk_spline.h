/* Cubic B-splines through the voxels, mirrored at the outermost centres, as in gpukit/ops/_spline.py. */
#ifndef GK_SPLINE_H
#define GK_SPLINE_H

/* Coefficients of a box of a volume, counted i, j, k. */
typedef struct {
    const double *data;
    int64_t first[3]; /* where the box begins in the volume */
    int64_t size[3];  /* of the box */
    int64_t full[3];  /* of the volume */
    int64_t row, plane; /* from one to the next, in coefficients; no powers of two, which would share places in a cache */
} gk_spline;

/* The four coefficients that count at x along an axis, as places in the box, and their weights. */
GK_FN void gk_taps(double x, int64_t n, int64_t first, int64_t *at, double *w) {
    const double c = gk_clamp(x, -1.0, (double)n), low = floor(c), f = c - low, g = 1.0 - f;
    const int64_t period = n > 1 ? 2 * n - 2 : 1;
    int64_t t, a = (int64_t)low - 1;
    w[0] = g * g * g * (1.0 / 6.0);
    w[1] = 2.0 / 3.0 - 0.5 * f * f * (2.0 - f);
    w[2] = 2.0 / 3.0 - 0.5 * g * g * (2.0 - g);
    w[3] = f * f * f * (1.0 / 6.0);
    for (t = 0; t < 4; t++, a++) {
        int64_t b = a;
        if (b < 0 || b > n - 1) {
            b = (b + 2 * period) % period;
            if (b > n - 1) b = period - b;
            if (n == 1) b = 0;
        }
        at[t] = b - first;
    }
}

/* What four by four rows from p on make of four neighbours: one statement, so that the four become a vector. */
GK_FN void gk_cubic_four(const double *restrict p, int64_t row, int64_t plane, const double *restrict yw,
                         const double *restrict zw, double *restrict sum) {
    const double y0 = yw[0], y1 = yw[1], y2 = yw[2], y3 = yw[3], z0 = zw[0], z1 = zw[1], z2 = zw[2], z3 = zw[3];
    const double *q = p + plane, *r = q + plane, *s = r + plane;
    int a;
    for (a = 0; a < 4; a++)
        sum[a] = (z0 * ((y0 * p[a] + y1 * p[row + a]) + (y2 * p[2 * row + a] + y3 * p[3 * row + a])) +
                  z1 * ((y0 * q[a] + y1 * q[row + a]) + (y2 * q[2 * row + a] + y3 * q[3 * row + a]))) +
                 (z2 * ((y0 * r[a] + y1 * r[row + a]) + (y2 * r[2 * row + a] + y3 * r[3 * row + a])) +
                  z3 * ((y0 * s[a] + y1 * s[row + a]) + (y2 * s[2 * row + a] + y3 * s[3 * row + a])));
}

/* Whether the four coefficients at every axis are neighbours in memory order, none mirrored. */
GK_FN int gk_cubic_plain(const int64_t *xi, const int64_t *yi, const int64_t *zi) {
    return xi[3] - xi[0] == 3 && xi[1] > xi[0] && yi[3] - yi[0] == 3 && yi[1] > yi[0] && zi[3] - zi[0] == 3 &&
           zi[1] > zi[0];
}

/* Value of the spline. */
GK_FN double gk_cubic(const gk_spline *s, double x, double y, double z) {
    int64_t xi[4], yi[4], zi[4];
    double xw[4], yw[4], zw[4], sum[4] = {0.0, 0.0, 0.0, 0.0};
    int a, b, c;
    gk_taps(x, s->full[0], s->first[0], xi, xw);
    gk_taps(y, s->full[1], s->first[1], yi, yw);
    gk_taps(z, s->full[2], s->first[2], zi, zw);
    if (gk_cubic_plain(xi, yi, zi)) {
        gk_cubic_four(s->data + zi[0] * s->plane + yi[0] * s->row + xi[0], s->row, s->plane, yw, zw, sum);
    } else {
        for (c = 0; c < 4; c++)
            for (b = 0; b < 4; b++) {
                const double *row = s->data + zi[c] * s->plane + yi[b] * s->row, w = zw[c] * yw[b];
                for (a = 0; a < 4; a++) sum[a] += w * row[xi[a]];
            }
    }
    return (sum[0] * xw[0] + sum[1] * xw[1]) + (sum[2] * xw[2] + sum[3] * xw[3]);
}

#endif
