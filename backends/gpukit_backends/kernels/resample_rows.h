/* Resampling by any affine map, rows [begin, end) of nk * nj output rows, for the type in hand. */
#include "gk_sample.h"
#include "gk_lanes.h"
#ifdef GK_PAIR
#include "gk_quick_lanes.h"
#endif

/* Samples [from, to) of one output row in double precision, from the position (bx, by, bz) of its first; all inside. */
static void GK_NAME(gk_resample_span)(const gk_volume *v, const double *m, double bx, double by, double bz, int order,
                                      double fill, double *row, int64_t from, int64_t to) {
    int64_t i;
    for (i = from; i < to; i += GK_LANES) {
        double x[GK_LANES], y[GK_LANES], z[GK_LANES], value[GK_LANES];
        uint8_t valid[GK_LANES];
        const int64_t n = to - i < GK_LANES ? to - i : GK_LANES;
        int l;
        for (l = 0; l < GK_LANES; l++) {
            const double at = (double)(i + l);
            x[l] = m[0] * at + bx;
            y[l] = m[4] * at + by;
            z[l] = m[8] * at + bz;
        }
        /* lanes past the end of the span are computed too: clamped, so they read inside the volume */
        if (order == 0)
            GK_NAME(gk_nearest_lanes)(v, x, y, z, value, valid);
        else
            GK_NAME(gk_linear_lanes)(v, x, y, z, value, valid);
        for (l = 0; l < n; l++) row[i + l] = valid[l] ? value[l] : fill;
    }
}

#ifdef GK_PAIR
/* The same in single precision for the output `to` of the volume's own type, as far as that is certain. `line` and
 * `doubt` are scratch for a row. */
static void GK_NAME(gk_resample_quick)(const gk_volume *v, const gk_quick *q, const double *m, double bx, double by,
                                       double bz, double fill, double *row, float *line, uint8_t *doubt, GK_T *to,
                                       int64_t from, int64_t end) {
    const int64_t x0 = gk_quick_fixed(gk_position(m, from, bx)), y0 = gk_quick_fixed(gk_position(m + 4, from, by)),
                  z0 = gk_quick_fixed(gk_position(m + 8, from, bz));
    const int64_t dx = gk_quick_fixed(m[0]), dy = gk_quick_fixed(m[4]), dz = gk_quick_fixed(m[8]);
    GK_T low[2 * GK_LANES], high[2 * GK_LANES];
    float most = 0.0f;
    int64_t i, n;
    int l;
    memset(low, 0, sizeof low);
    memset(high, 0, sizeof high);
    for (i = from; i < end; i += GK_LANES) {
        if (i > end - GK_LANES) i = end - GK_LANES; /* some lanes once more, rather than a ragged end */
        n = i - from;
        if (GK_NAME(gk_quick_lanes)(v, q, x0 + n * dx, y0 + n * dy, z0 + n * dz, low, high, line + i)) continue;
        GK_NAME(gk_resample_span)(v, m, bx, by, bz, 1, fill, row, i, i + GK_LANES);
        for (l = 0; l < GK_LANES; l++) { /* rounded already, so nothing is left to be uncertain of */
            GK_T exact;
            gk_store(&exact, v->type, 0, row[i + l]);
            line[i + l] = (float)exact;
        }
    }
    for (l = 0; l < 2 * GK_LANES; l++) {
        const float a = (float)high[l], b = -(float)low[l];
        most = a > most ? a : most;
        most = b > most ? b : most;
    }
    for (i = from; i < end; i++) to[i] = (GK_T)(int32_t)((line[i] + GK_QUICK_BIG) - GK_QUICK_BIG);
    gk_quick_doubts(line + from, end - from, most, doubt);
    for (n = 0; n < end - from; n++) {
        uint64_t any;
        double exact;
        memcpy(&any, doubt + n, 8);
        if (!any) {
            n += 7;
            continue;
        }
        if (!doubt[n]) continue;
        i = from + n;
        if (!GK_NAME(gk_linear)(v, gk_position(m, i, bx), gk_position(m + 4, i, by), gk_position(m + 8, i, bz), &exact, 0))
            exact = fill;
        gk_store(to, v->type, i, exact);
    }
}
#endif

static int GK_NAME(gk_resample)(const gk_volume *v, const double *m, const int64_t *size, int order, double fill,
                                void *out, int out_type, int64_t begin, int64_t end) {
    const int64_t ni = size[0], nj = size[1];
    double *row = (double *)malloc((size_t)(ni + GK_LANES) * (sizeof(double) + sizeof(float) + 1));
    int64_t r, i;
#ifdef GK_PAIR
    gk_quick quick;
    double lanes[3][GK_LANES];
    int l, axis, fast;
    for (axis = 0; axis < 3; axis++)
        for (l = 0; l < GK_LANES; l++) lanes[axis][l] = m[4 * axis] * (double)l;
    fast = order == 1 && out_type == v->type && ni <= GK_QUICK_STEPS && gk_quick_start(&quick, v, lanes);
#endif
    if (!row) return 1;
    for (r = begin; r < end; r++) {
        const int64_t j = r % nj, k = r / nj;
        const double bx = gk_base(m, j, k), by = gk_base(m + 4, j, k), bz = gk_base(m + 8, j, k);
        int64_t first = 0, last = ni;
        gk_span(m, bx, v->size[0], &first, &last);
        gk_span(m + 4, by, v->size[1], &first, &last);
        gk_span(m + 8, bz, v->size[2], &first, &last);
        if (last < first) last = first;
        for (i = 0; i < first; i++) row[i] = fill;
        for (i = last; i < ni; i++) row[i] = fill;
#ifdef GK_PAIR
        if (fast) {
            const double base[3] = {bx, by, bz};
            int64_t from = first, to = last;
            for (axis = 0; axis < 3; axis++)
                gk_span_between(m + 4 * axis, base[axis], GK_QUICK_EDGE, (double)(v->size[axis] - 1) - GK_QUICK_EDGE,
                                &from, &to);
            if (to - from >= GK_LANES) {
                GK_T *at = (GK_T *)out + r * ni;
                float *line = (float *)(row + ni + GK_LANES);
                GK_NAME(gk_resample_span)(v, m, bx, by, bz, order, fill, row, first, from);
                GK_NAME(gk_resample_span)(v, m, bx, by, bz, order, fill, row, to, last);
                gk_store_row(out, out_type, r * ni, row, from);
                gk_store_row(out, out_type, r * ni + to, row + to, ni - to);
                GK_NAME(gk_resample_quick)(v, &quick, m, bx, by, bz, fill, row, line, (uint8_t *)(line + ni + GK_LANES), at,
                                           from, to);
                continue;
            }
        }
#endif
        GK_NAME(gk_resample_span)(v, m, bx, by, bz, order, fill, row, first, last);
        gk_store_row(out, out_type, r * ni, row, ni);
    }
    free(row);
    return 0;
}

#include "resample_axes.h"
#ifdef GK_PAIR
#include "resample_planes.h"
#endif
