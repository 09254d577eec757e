/* Trilinear resampling where the map keeps axes apart, rows [begin, end) of nk * nj output rows, for the type in hand. */

/* One source row, blended between two slices. */
static void GK_NAME(gk_blend_slices)(const GK_T *restrict a, const GK_T *restrict b, int64_t step, double f,
                                     double *restrict out, int64_t n) {
    int64_t i;
    if (step == 1)
        for (i = 0; i < n; i++) out[i] = gk_mix(f, (double)a[i], (double)b[i]);
    else
        for (i = 0; i < n; i++) out[i] = gk_mix(f, (double)a[i * step], (double)b[i * step]);
}

#ifdef GK_PAIR
/* The same in single precision; returns the largest magnitude seen. */
static float GK_NAME(gk_blend_quick)(const GK_T *restrict a, const GK_T *restrict b, float f, float *restrict out,
                                     int64_t n) {
    GK_T low = 0, high = 0;
    int64_t i;
    for (i = 0; i < n; i++) out[i] = (float)a[i] + f * (float)((int32_t)b[i] - (int32_t)a[i]);
    for (i = 0; i < n; i++) {
        const GK_T least = a[i] < b[i] ? a[i] : b[i], most = a[i] > b[i] ? a[i] : b[i];
        low = least < low ? least : low;
        high = most > high ? most : high;
    }
    return -(float)low > (float)high ? -(float)low : (float)high;
}

/* What is kept from row to row. */
typedef struct {
    float *kept[2], *mixed, *line, *weight;
    float peak[2];
    uint8_t *doubt;
    int64_t held[2], k;
    int64_t rest; /* rows to take in double precision, since too little was certain */
} GK_NAME(gk_axes_quick);

/* Output row at (y, z) in single precision, as far as that is certain (see gk_quick.h; here fractions are rounded to
 * single precision, half of what positions are off there). */
static void GK_NAME(gk_resample_axes_quick)(GK_NAME(gk_axes_quick) * t, const gk_volume *v, const double *scale,
                                            const double *offset, double y, double z, int64_t k, const int32_t *low,
                                            int64_t first, int64_t last, GK_T *to) {
    const int64_t n = v->size[0], *stride = v->stride;
    const GK_T *data = (const GK_T *)v->data;
    double fy, fz;
    const int64_t j0 = gk_corner(y, v->size[1], &fy), k0 = gk_corner(z, v->size[2], &fz), j1 = j0 + 1;
    int64_t i, fixed = 0;
    int which;
    if (t->k != k) t->held[0] = t->held[1] = -1;
    t->k = k;
    if (t->held[1] == j0 || t->held[0] == j1) { /* walking up or down: the rows change places */
        const int64_t h = t->held[0];
        float *p = t->kept[0], q = t->peak[0];
        t->held[0] = t->held[1];
        t->kept[0] = t->kept[1];
        t->peak[0] = t->peak[1];
        t->held[1] = h;
        t->kept[1] = p;
        t->peak[1] = q;
    }
    for (which = 0; which < 2; which++) {
        const int64_t source = which ? j1 : j0;
        const GK_T *row = data + k0 * stride[2] + source * stride[1];
        if (t->held[which] == source) continue;
        t->held[which] = source;
        t->peak[which] = GK_NAME(gk_blend_quick)(row, row + stride[2], (float)fz, t->kept[which], n);
    }
    {
        const float *restrict a = t->kept[0], *restrict b = t->kept[1], f = (float)fy;
        float *restrict c = t->mixed;
        for (i = 0; i < n; i++) c[i] = a[i] + f * (b[i] - a[i]);
    }
    {
        const float *restrict c = t->mixed, *restrict w = t->weight;
        float *restrict line = t->line;
        for (i = first; i < last; i++) {
            const float a = c[low[i]], b = c[low[i] + 1];
            line[i] = a + w[i] * (b - a);
        }
        for (i = first; i < last; i++) to[i] = (GK_T)(int32_t)((line[i] + GK_QUICK_BIG) - GK_QUICK_BIG);
    }
    gk_quick_doubts(t->line + first, last - first, t->peak[0] > t->peak[1] ? t->peak[0] : t->peak[1], t->doubt);
    for (i = 0; i < last - first; i++) {
        uint64_t any;
        double exact;
        memcpy(&any, t->doubt + i, 8);
        if (!any) {
            i += 7;
            continue;
        }
        if (!t->doubt[i]) continue;
        GK_NAME(gk_linear)(v, scale[0] * (double)(first + i) + offset[0], y, z, &exact, 0);
        gk_store(to, v->type, first + i, exact);
        fixed++;
    }
    if (fixed * 8 > last - first) t->rest = 64; /* halves, as exact doubling makes them: single precision cannot tell */
}
#endif

/* Trilinear where the map keeps axes apart: `v` is seen through its strides in the order of the output's axes, and
 * position along axis a is scale[a] * index + offset[a]. Two blended source rows are kept, since the next output row
 * mostly needs them again. */
static int GK_NAME(gk_resample_axes)(const gk_volume *v, const double *scale, const double *offset,
                                     const int64_t *size, double fill, void *out, int out_type, int64_t begin,
                                     int64_t end) {
    const int64_t ni = size[0], nj = size[1], n = v->size[0];
    const GK_T *data = (const GK_T *)v->data;
    double *row = (double *)malloc((size_t)ni * sizeof(double)), *blend = (double *)malloc((size_t)n * 3 * sizeof(double));
    double *weight = (double *)malloc((size_t)ni * sizeof(double));
    int32_t *low = (int32_t *)malloc((size_t)ni * sizeof(int32_t));
    int64_t held[2] = {-1, -1}, held_k = -1, r, i, first = 0, last = ni;
    double *kept[2];
    const double span[4] = {scale[0], 0.0, 0.0, offset[0]};
    int failed = !row || !blend || !weight || !low;
#ifdef GK_PAIR
    GK_NAME(gk_axes_quick) quick = {{0, 0}, 0, 0, 0, {0.0f, 0.0f}, 0, {-1, -1}, -1, 0};
    float *scratch = (float *)calloc((size_t)(3 * n + 3 * (ni + GK_LANES)), sizeof(float));
    const int fast = scratch && out_type == v->type && v->stride[0] == 1 && n > 1 && v->size[1] > 1 && v->size[2] > 1;
    if (scratch) {
        quick.kept[0] = scratch;
        quick.kept[1] = scratch + n;
        quick.mixed = scratch + 2 * n;
        quick.line = scratch + 3 * n;
        quick.weight = quick.line + ni + GK_LANES;
        quick.doubt = (uint8_t *)(quick.weight + ni + GK_LANES);
    }
#endif
    if (!failed) {
        const int64_t up = n > 1 ? 1 : 0;
        kept[0] = blend;
        kept[1] = blend + n;
        gk_span(span, offset[0], n, &first, &last);
        if (last < first) last = first;
        for (i = first; i < last; i++) {
            double f;
            low[i] = (int32_t)gk_corner(scale[0] * (double)i + offset[0], n, &f);
            weight[i] = f;
#ifdef GK_PAIR
            if (fast) quick.weight[i] = (float)f;
#endif
        }
        for (r = begin; r < end; r++) {
            const int64_t j = r % nj, k = r / nj;
            const double y = scale[1] * (double)j + offset[1], z = scale[2] * (double)k + offset[2];
            int64_t j0, j1, k0, k1;
            double fy, fz, *mixed = blend + 2 * n;
            int which, odd = 0;
            if (!gk_within(y, v->size[1]) || !gk_within(z, v->size[2]) || first == last) {
                for (i = 0; i < ni; i++) row[i] = fill;
                gk_store_row(out, out_type, r * ni, row, ni);
                continue;
            }
#ifdef GK_PAIR
            if (fast && quick.rest-- <= 0) {
                GK_T *to = (GK_T *)out + r * ni;
                quick.rest = 0;
                GK_NAME(gk_resample_axes_quick)(&quick, v, scale, offset, y, z, k, low, first, last, to);
                for (i = 0; i < first; i++) gk_store(to, out_type, i, fill);
                for (i = last; i < ni; i++) gk_store(to, out_type, i, fill);
                continue;
            }
#endif
            j0 = gk_corner(y, v->size[1], &fy);
            k0 = gk_corner(z, v->size[2], &fz);
            j1 = v->size[1] > 1 ? j0 + 1 : j0;
            k1 = v->size[2] > 1 ? k0 + 1 : k0;
            if (held_k != k) held[0] = held[1] = -1;
            held_k = k;
            if (held[1] == j0 || held[0] == j1) { /* walking up or down: the rows change places */
                const int64_t t = held[0];
                double *p = kept[0];
                held[0] = held[1];
                kept[0] = kept[1];
                held[1] = t;
                kept[1] = p;
            }
            for (which = 0; which < 2; which++) {
                const int64_t source = which ? j1 : j0;
                if (held[which] == source) continue;
                held[which] = source;
                GK_NAME(gk_blend_slices)(data + k0 * v->stride[2] + source * v->stride[1],
                                         data + k1 * v->stride[2] + source * v->stride[1], v->stride[0], fz,
                                         kept[which], n);
            }
            {
                const double *restrict a = kept[0], *restrict b = kept[1];
                double *restrict c = mixed;
                for (i = 0; i < n; i++) c[i] = gk_mix(fy, a[i], b[i]);
            }
            for (i = 0; i < first; i++) row[i] = fill;
            for (i = last; i < ni; i++) row[i] = fill;
            for (i = first; i < last; i++) {
                const double s = gk_mix(weight[i], mixed[low[i]], mixed[low[i] + up]);
                row[i] = s;
                odd |= s != s;
            }
#if GK_IS_FLOAT
            if (odd)
                for (i = first; i < last; i++)
                    if (row[i] != row[i] &&
                        !GK_NAME(gk_linear)(v, scale[0] * (double)i + offset[0], y, z, &row[i], 0))
                        row[i] = fill;
#else
            (void)odd;
#endif
            gk_store_row(out, out_type, r * ni, row, ni);
        }
    }
    free(row);
    free(blend);
    free(weight);
    free(low);
#ifdef GK_PAIR
    free(scratch);
#endif
    return failed;
}
