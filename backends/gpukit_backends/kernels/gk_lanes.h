/* Sixteen samples side by side, for the type in hand. Only the loads are scalar; the arithmetic is written as plain
 * loops over lanes, which the compiler turns into vectors of whatever width the processor has. */

/* Trilinear values of sixteen samples that are inside. A lane that touches a voxel which is no measurement is left to
 * gk_linear; valid[l] then says whether there is a value. */
static void GK_NAME(gk_linear_lanes)(const gk_volume *restrict v, const double *restrict x, const double *restrict y,
                                     const double *restrict z, double *restrict value, uint8_t *restrict valid) {
    const double ni = (double)(v->size[0] - 1), nj = (double)(v->size[1] - 1), nk = (double)(v->size[2] - 1);
    const int32_t mi = v->size[0] > 1 ? (int32_t)v->size[0] - 2 : 0, mj = v->size[1] > 1 ? (int32_t)v->size[1] - 2 : 0,
                  mk = v->size[2] > 1 ? (int32_t)v->size[2] - 2 : 0;
    const int64_t di = v->size[0] > 1 ? v->stride[0] : 0, dj = v->size[1] > 1 ? v->stride[1] : 0,
                  dk = v->size[2] > 1 ? v->stride[2] : 0;
    const int64_t si = v->stride[0], sj = v->stride[1], sk = v->stride[2];
    const GK_T *restrict data = (const GK_T *)v->data;
    double fx[GK_LANES], fy[GK_LANES], fz[GK_LANES];
    int32_t ix[GK_LANES], iy[GK_LANES], iz[GK_LANES];
    int l;
    for (l = 0; l < GK_LANES; l++) {
        const double cx = gk_clamp(x[l], 0.0, ni), cy = gk_clamp(y[l], 0.0, nj), cz = gk_clamp(z[l], 0.0, nk);
        int32_t a = (int32_t)cx, b = (int32_t)cy, c = (int32_t)cz;
        a = a > mi ? mi : a;
        b = b > mj ? mj : b;
        c = c > mk ? mk : c;
        ix[l] = a;
        iy[l] = b;
        iz[l] = c;
        fx[l] = cx - (double)a;
        fy[l] = cy - (double)b;
        fz[l] = cz - (double)c;
    }
#ifdef GK_PAIR
    if (di == 1) {
        GK_PAIR p00[GK_LANES], p01[GK_LANES], p10[GK_LANES], p11[GK_LANES];
        for (l = 0; l < GK_LANES; l++) {
            const GK_T *restrict p = data + ((int64_t)iz[l] * sk + (int64_t)iy[l] * sj + (int64_t)ix[l]);
            memcpy(&p00[l], p, sizeof(GK_PAIR));
            memcpy(&p01[l], p + dj, sizeof(GK_PAIR));
            memcpy(&p10[l], p + dk, sizeof(GK_PAIR));
            memcpy(&p11[l], p + dk + dj, sizeof(GK_PAIR));
        }
        for (l = 0; l < GK_LANES; l++) {
            const double a00 = GK_PAIR_LOW(p00[l]), a01 = GK_PAIR_LOW(p01[l]), a10 = GK_PAIR_LOW(p10[l]),
                         a11 = GK_PAIR_LOW(p11[l]);
            const double b00 = GK_PAIR_HIGH(p00[l]), b01 = GK_PAIR_HIGH(p01[l]), b10 = GK_PAIR_HIGH(p10[l]),
                         b11 = GK_PAIR_HIGH(p11[l]);
            value[l] = gk_mix(fx[l], gk_mix(fy[l], gk_mix(fz[l], a00, a10), gk_mix(fz[l], a01, a11)),
                              gk_mix(fy[l], gk_mix(fz[l], b00, b10), gk_mix(fz[l], b01, b11)));
            valid[l] = 1;
        }
        if (v->has_padding) {
            uint8_t lost[GK_LANES];
            const double low = v->low, high = v->high;
#define GK_OUT(p)                                                                                          \
    (((double)GK_PAIR_LOW(p) >= low) & ((double)GK_PAIR_LOW(p) <= high)) |                                 \
        (((double)GK_PAIR_HIGH(p) >= low) & ((double)GK_PAIR_HIGH(p) <= high))
            int any = 0;
            for (l = 0; l < GK_LANES; l++) {
                lost[l] = (uint8_t)(GK_OUT(p00[l]) | GK_OUT(p01[l]) | GK_OUT(p10[l]) | GK_OUT(p11[l]));
                any |= lost[l];
            }
#undef GK_OUT
            if (any)
                for (l = 0; l < GK_LANES; l++)
                    if (lost[l]) valid[l] = (uint8_t)GK_NAME(gk_linear)(v, x[l], y[l], z[l], &value[l], 0);
        }
        return;
    }
#endif
    {
        GK_T c[8][GK_LANES];
        int any = 0;
        for (l = 0; l < GK_LANES; l++) {
            const GK_T *restrict p = data + ((int64_t)iz[l] * sk + (int64_t)iy[l] * sj + (int64_t)ix[l] * si);
            c[0][l] = p[0];
            c[1][l] = p[di];
            c[2][l] = p[dj];
            c[3][l] = p[dj + di];
            c[4][l] = p[dk];
            c[5][l] = p[dk + di];
            c[6][l] = p[dk + dj];
            c[7][l] = p[dk + dj + di];
        }
        for (l = 0; l < GK_LANES; l++) {
            const double f = fz[l];
            const double r00 = gk_mix(f, (double)c[0][l], (double)c[4][l]);
            const double r01 = gk_mix(f, (double)c[1][l], (double)c[5][l]);
            const double r10 = gk_mix(f, (double)c[2][l], (double)c[6][l]);
            const double r11 = gk_mix(f, (double)c[3][l], (double)c[7][l]);
            const double s = gk_mix(fx[l], gk_mix(fy[l], r00, r10), gk_mix(fy[l], r01, r11));
            value[l] = s;
            valid[l] = 1;
            any |= s != s;
        }
        if (any || v->has_padding)
            for (l = 0; l < GK_LANES; l++) {
                int a, lost = value[l] != value[l];
                if (v->has_padding)
                    for (a = 0; a < 8; a++) lost |= GK_NAME(gk_bad)(v, c[a][l]);
                if (lost) valid[l] = (uint8_t)GK_NAME(gk_linear)(v, x[l], y[l], z[l], &value[l], 0);
            }
    }
}

/* Nearest voxels of sixteen samples that are inside. */
static void GK_NAME(gk_nearest_lanes)(const gk_volume *restrict v, const double *restrict x, const double *restrict y,
                                      const double *restrict z, double *restrict value, uint8_t *restrict valid) {
    int l;
    for (l = 0; l < GK_LANES; l++) valid[l] = (uint8_t)GK_NAME(gk_nearest)(v, x[l], y[l], z[l], &value[l]);
}
