/* Where along a tile of rays anything can be visible: kinds of bricks, and how far from each the next visible one is. */
#ifndef GK_SKIP_H
#define GK_SKIP_H

/* More than rounding can move a position that lies between the corner rays of a tile. */
#define GK_SLACK 1e-6

typedef struct {
    gk_pyramid bricks;     /* their counts; the bounds are not used */
    const uint8_t *kinds;  /* of each brick */
    const uint8_t *clears; /* 0 where anything is visible, else the distance in bricks to the next one that is */
    double low[3], high[3]; /* box around all visible bricks, as positions; low > high where there is none */
} gk_skip;

/* Smallest distance of the bricks that a box touches; where it is 0, *kinds says what is visible. */
static inline int gk_clear(const gk_skip *s, const int64_t *n, const double *low, const double *high, int *kinds) {
    int64_t a[3], b[3], i, j, k;
    int axis, clear = 255, found = 0;
    for (axis = 0; axis < 3; axis++) gk_brick_range(low[axis], high[axis], n[axis], &a[axis], &b[axis]);
    for (k = a[2]; k <= b[2]; k++)
        for (j = a[1]; j <= b[1]; j++) {
            const int64_t row = (k * s->bricks.size[1] + j) * s->bricks.size[0];
            for (i = a[0]; i <= b[0]; i++) {
                clear = s->clears[row + i] < clear ? s->clears[row + i] : clear;
                found |= s->kinds[row + i];
            }
        }
    *kinds = found;
    return clear;
}

/* Samples [*first, *beyond) between which the rays within four corners can be in the box of visible bricks. */
static void gk_stretch(const gk_skip *s, const gk_ray *corner, int64_t nk, int64_t *first, int64_t *beyond) {
    double from = 0.0, to = (double)(nk - 1);
    int axis, l;
    for (axis = 0; axis < 3; axis++) {
        double enter = GK_DOUBLE_INF, leave = -GK_DOUBLE_INF, low = GK_DOUBLE_INF, high = -GK_DOUBLE_INF;
        int up = 1, down = 1;
        for (l = 0; l < 4; l++) {
            const double start = corner[l].start[axis], step = corner[l].step[axis];
            const double divisor = step > 1e-9 || step < -1e-9 ? step : 1.0; /* else a and b are not used */
            double a = (s->low[axis] - start) / divisor, b = (s->high[axis] - start) / divisor;
            low = start < low ? start : low;
            high = start > high ? start : high;
            up &= step > 1e-9;
            down &= step < -1e-9;
            if (a > b) {
                const double c = a;
                a = b;
                b = c;
            }
            enter = a < enter ? a : enter;
            leave = b > leave ? b : leave;
        }
        if (up || down) { /* between the corners, rays enter and leave between where these do */
            from = enter > from ? enter : from;
            to = leave < to ? leave : to;
        }
    }
    if (!(s->low[0] <= s->high[0]) || !(from <= to)) {
        *first = *beyond = 0;
        return;
    }
    *first = (int64_t)(from > 1.0 ? from - 1.0 : 0.0);
    *beyond = to + 2.0 < (double)nk ? (int64_t)(to + 2.0) : nk;
}

#endif
