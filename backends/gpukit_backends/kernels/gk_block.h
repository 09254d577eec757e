/* Cubic B-splines block by block: the coefficients that a block of neighbouring samples needs are copied together first,
 * mirrored where they reach over the border, so that they come from the memory in order and once, stay in the cache, and
 * all samples are alike. */
#ifndef GK_BLOCK_H
#define GK_BLOCK_H

/* Samples of a block along i, j, k. */
#define GK_BLOCK_I 64
#define GK_BLOCK_J 16
#define GK_BLOCK_K 16
/* Most coefficients of a block. */
#define GK_BLOCK_ROOM (3 << 15)

/* A block of samples, and the box of coefficients that it needs: `low` counts in the volume. */
typedef struct {
    int64_t at[3], count[3]; /* samples */
    int64_t low[3], size[3]; /* coefficients */
    int inside;              /* whether all samples are */
} gk_block;

/* Samples of a block along i, j, k that need no more than fits. Returns 0 where blocks are no use. */
static int gk_block_size(const double *m, const int64_t *size, int64_t *count) {
    const int64_t least[3] = {16, 4, 4}, most[3] = {GK_BLOCK_I, GK_BLOCK_J, GK_BLOCK_K};
    int axis, other;
    for (axis = 0; axis < 3; axis++) count[axis] = size[axis] < most[axis] ? size[axis] : most[axis];
    for (;;) {
        double room = 1.0;
        int longest = -1;
        for (axis = 0; axis < 3; axis++) {
            double extent = 5.0;
            for (other = 0; other < 3; other++) extent += fabs(m[4 * axis + other]) * (double)(count[other] - 1);
            room *= extent;
        }
        if (room <= (double)GK_BLOCK_ROOM) return 1;
        for (axis = 0; axis < 3; axis++)
            if (count[axis] > least[axis] && (longest < 0 || count[axis] > count[longest])) longest = axis;
        if (longest < 0) return 0;
        count[longest] = count[longest] / 2 > least[longest] ? count[longest] / 2 : least[longest];
    }
}

/* Works out what a block needs. Returns whether any of it can be inside. */
static int gk_block_start(gk_block *b, const double *m, const int64_t *full) {
    int axis;
    b->inside = 1;
    for (axis = 0; axis < 3; axis++) b->low[axis] = b->size[axis] = 0; /* of a block that is outside */
    for (axis = 0; axis < 3; axis++) {
        const double *row = m + 4 * axis;
        const int64_t i = b->at[0], j = b->at[1], k = b->at[2], I = i + b->count[0] - 1, J = j + b->count[1] - 1,
                      K = k + b->count[2] - 1;
        /* positions grow or fall steadily with i, j and k, also after rounding, so the corners tell */
        const int up_i = row[0] >= 0.0, up_j = row[1] >= 0.0, up_k = row[2] >= 0.0;
        const double least = gk_position(row, up_i ? i : I, gk_base(row, up_j ? j : J, up_k ? k : K)),
                     most = gk_position(row, up_i ? I : i, gk_base(row, up_j ? J : j, up_k ? K : k));
        const double from = -0.5 - GK_EDGE, to = (double)full[axis] - 0.5 + GK_EDGE;
        if (!(most >= from) || !(least <= to)) return 0;
        if (least < from || most > to) b->inside = 0;
        b->low[axis] = (int64_t)floor(gk_clamp(least, from, to)) - 1;
        b->size[axis] = (int64_t)floor(gk_clamp(most, from, to)) + 3 - b->low[axis];
    }
    return 1;
}

/* Where place `a` of an axis of n coefficients is, mirrored at the outermost centres. */
static int64_t gk_mirrored(int64_t a, int64_t n) {
    const int64_t period = n > 1 ? 2 * n - 2 : 1;
    if (a >= 0 && a < n) return a;
    a = (a % period + period) % period;
    return n == 1 ? 0 : a > n - 1 ? period - a : a;
}

/* The coefficients of a block, one row after the other. */
static void gk_block_copy(const gk_block *b, const gk_spline *s, double *restrict to) {
    const int64_t low = b->low[0], high = low + b->size[0];
    const int64_t first = low < 0 ? 0 : low, last = high > s->full[0] ? s->full[0] : high;
    int64_t i, j, k;
    for (k = 0; k < b->size[2]; k++)
        for (j = 0; j < b->size[1]; j++, to += b->size[0]) {
            const double *restrict row = s->data + (gk_mirrored(b->low[2] + k, s->full[2]) - s->first[2]) * s->plane +
                                         (gk_mirrored(b->low[1] + j, s->full[1]) - s->first[1]) * s->row - s->first[0];
            for (i = low; i < first; i++) to[i - low] = row[gk_mirrored(i, s->full[0])];
            memcpy(to + (first - low), row + first, (size_t)(last - first) * sizeof(double));
            for (i = last; i < high; i++) to[i - low] = row[gk_mirrored(i, s->full[0])];
        }
}

/* Samples [from, to) of a row of a block, all inside, whose first sample would be at `base`. */
static void gk_block_row(const gk_block *b, const double *restrict box, const double *m, const double *base, int from,
                         int to, double *restrict row) {
    const int64_t pitch = b->size[0], plane = b->size[0] * b->size[1];
    const int32_t pitches[3] = {1, (int32_t)pitch, (int32_t)plane};
    double w[3][4][GK_BLOCK_I], sum[4 * GK_BLOCK_I];
    int32_t place[GK_BLOCK_I];
    int axis, l;
    for (l = from; l < to; l++) place[l] = 0;
    for (axis = 0; axis < 3; axis++) {
        const double step = m[4 * axis], first = base[axis], origin = (double)(b->low[axis] + 1);
        const double start = (double)b->at[0];
        const int32_t apart = pitches[axis];
        double f[GK_BLOCK_I], *restrict w0 = w[axis][0], *restrict w1 = w[axis][1], *restrict w2 = w[axis][2],
                              *restrict w3 = w[axis][3];
        for (l = from; l < to; l++) {
            const double x = (step * (start + (double)l) + first) - origin;
            const int32_t low = (int32_t)x;
            f[l] = x - (double)low;
            place[l] += low * apart;
        }
        for (l = from; l < to; l++) {
            const double a = f[l], g = 1.0 - a, p = a * a, q = g * g;
            w0[l] = q * (g * (1.0 / 6.0));
            w1[l] = p * (0.5 * a - 1.0) + 2.0 / 3.0;
            w2[l] = q * (0.5 * g - 1.0) + 2.0 / 3.0;
            w3[l] = p * (a * (1.0 / 6.0));
        }
    }
    for (l = from; l < to; l++) {
        const double yw[4] = {w[1][0][l], w[1][1][l], w[1][2][l], w[1][3][l]};
        const double zw[4] = {w[2][0][l], w[2][1][l], w[2][2][l], w[2][3][l]};
        gk_cubic_four(box + place[l], pitch, plane, yw, zw, sum + 4 * l);
    }
    for (l = from; l < to; l++)
        row[l] = (sum[4 * l] * w[0][0][l] + sum[4 * l + 1] * w[0][1][l]) +
                 (sum[4 * l + 2] * w[0][2][l] + sum[4 * l + 3] * w[0][3][l]);
}

#endif
