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
    return failed;
}
