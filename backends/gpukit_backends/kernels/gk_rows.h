/* Rows of results on the CPU: from a row of doubles to the type asked for. */
#ifndef GK_ROWS_H
#define GK_ROWS_H

#define GK_LANES 16

#define GK_STORE(T, low, high)                                            \
    {                                                                     \
        T *to = (T *)out + at;                                            \
        for (i = 0; i < n; i++) {                                         \
            double v = row[i];                                            \
            v = v == v ? v : 0.0;                                         \
            to[i] = (T)gk_round(gk_clamp(v, (double)(low), (double)(high))); \
        }                                                                 \
    }                                                                     \
    break;

/* Writes n doubles at element `at` of `out`: integers rounded half to even and clipped, NaN as 0. */
static inline void gk_store_row(void *restrict out, int type, int64_t at, const double *restrict row, int64_t n) {
    int64_t i;
    switch (type) {
        case GK_U8: GK_STORE(uint8_t, 0, UINT8_MAX)
        case GK_I16: GK_STORE(int16_t, INT16_MIN, INT16_MAX)
        case GK_U16: GK_STORE(uint16_t, 0, UINT16_MAX)
        case GK_I32: GK_STORE(int32_t, INT32_MIN, INT32_MAX)
        case GK_F32: {
            float *to = (float *)out + at;
            for (i = 0; i < n; i++) to[i] = (float)row[i];
        } break;
        default: memcpy((double *)out + at, row, (size_t)n * sizeof(double));
    }
}
#undef GK_STORE

/* Narrows [*first, *last) to the indices whose position along one input axis lies from `from` to `to`. Positions grow or
 * fall steadily, so the ends can be guessed and then moved until the exact rule holds. */
static inline void gk_span_between(const double *row, double base, double from, double to, int64_t *first, int64_t *last) {
    const double step = row[0];
    int64_t a = *first, b = *last;
#define GK_BETWEEN(i) (gk_position(row, i, base) >= from && gk_position(row, i, base) <= to)
    if (a >= b) return;
    if (step == 0.0) {
        if (!(base >= from && base <= to)) *last = a;
        return;
    }
    {
        double lo = (from - base) / step, hi = (to - base) / step;
        if (step < 0.0) {
            const double t = lo;
            lo = hi;
            hi = t;
        }
        if (!(hi >= (double)a - 2.0) || !(lo <= (double)b + 2.0)) {
            *last = a;
            return;
        }
        lo = gk_clamp(lo, (double)a, (double)b);
        hi = gk_clamp(hi, (double)a, (double)b);
        {
            int64_t f = (int64_t)lo, t = (int64_t)hi;
            f = f - 2 > a ? f - 2 : a;
            t = t + 3 < b ? t + 3 : b;
            while (f > a && GK_BETWEEN(f - 1)) f--;
            while (f < t && !GK_BETWEEN(f)) f++;
            while (t < b && GK_BETWEEN(t)) t++;
            while (t > f && !GK_BETWEEN(t - 1)) t--;
            *first = f;
            *last = t;
        }
    }
#undef GK_BETWEEN
}

/* Narrows [*first, *last) to the indices that are inside along one input axis of n voxels. */
static inline void gk_span(const double *row, double base, int64_t n, int64_t *first, int64_t *last) {
    gk_span_between(row, base, -0.5 - GK_EDGE, (double)n - 0.5 + GK_EDGE, first, last);
}

#endif
