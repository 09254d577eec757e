/* Sixteen samples in single precision, for the small integer type in hand; see gk_quick.h. */

/* Values of the lanes, the first of which lies at a fixed-point position. Takes the voxels into low and high (if not
 * null); returns 0 where one of them is no measurement. */
static inline int GK_NAME(gk_quick_lanes)(const gk_volume *restrict v, const gk_quick *restrict q, int64_t x, int64_t y,
                                          int64_t z, GK_T *restrict low, GK_T *restrict high, float *restrict value) {
    const int64_t i = x >> 40, j = y >> 40, k = z >> 40;
    const int32_t bx = (int32_t)(x >> 16) & 0xffffff, by = (int32_t)(y >> 16) & 0xffffff,
                  bz = (int32_t)(z >> 16) & 0xffffff;
    const int32_t sj = (int32_t)v->stride[1], sk = (int32_t)v->stride[2];
    const GK_T *restrict data = (const GK_T *)v->data + (i + j * v->stride[1] + k * v->stride[2]);
    const GK_T *restrict data01 = data + sj, *restrict data10 = data + sk, *restrict data11 = data + sj + sk;
    union {
        GK_PAIR pair[GK_LANES];
        GK_T voxel[2 * GK_LANES];
    } c00, c01, c10, c11;
    float fx[GK_LANES], fy[GK_LANES], fz[GK_LANES];
    int32_t at[GK_LANES];
    int l;
    for (l = 0; l < GK_LANES; l++) {
        const int32_t px = bx + q->offset[0][l], py = by + q->offset[1][l], pz = bz + q->offset[2][l];
        fx[l] = (float)(px & 0xffffff) * (1.0f / 16777216.0f);
        fy[l] = (float)(py & 0xffffff) * (1.0f / 16777216.0f);
        fz[l] = (float)(pz & 0xffffff) * (1.0f / 16777216.0f);
        at[l] = (pz >> 24) * sk + (py >> 24) * sj + (px >> 24);
    }
    for (l = 0; l < GK_LANES; l++) {
        const int64_t a = at[l];
        memcpy(&c00.pair[l], data + a, sizeof(GK_PAIR));
        memcpy(&c01.pair[l], data01 + a, sizeof(GK_PAIR));
        memcpy(&c10.pair[l], data10 + a, sizeof(GK_PAIR));
        memcpy(&c11.pair[l], data11 + a, sizeof(GK_PAIR));
    }
    for (l = 0; l < GK_LANES; l++) {
        const GK_PAIR p00 = c00.pair[l], p01 = c01.pair[l], p10 = c10.pair[l], p11 = c11.pair[l];
        const float a00 = (float)GK_PAIR_LOW(p00), a01 = (float)GK_PAIR_LOW(p01), a10 = (float)GK_PAIR_LOW(p10),
                    a11 = (float)GK_PAIR_LOW(p11);
        const float b00 = (float)GK_PAIR_HIGH(p00), b01 = (float)GK_PAIR_HIGH(p01), b10 = (float)GK_PAIR_HIGH(p10),
                    b11 = (float)GK_PAIR_HIGH(p11);
        const float a0 = a00 + fz[l] * (a10 - a00), a1 = a01 + fz[l] * (a11 - a01);
        const float b0 = b00 + fz[l] * (b10 - b00), b1 = b01 + fz[l] * (b11 - b01);
        const float a = a0 + fy[l] * (a1 - a0), b = b0 + fy[l] * (b1 - b0);
        value[l] = a + fx[l] * (b - a);
    }
    if (low)
        for (l = 0; l < 2 * GK_LANES; l++) {
            const GK_T a = c00.voxel[l], b = c01.voxel[l], c = c10.voxel[l], d = c11.voxel[l];
            const GK_T ab = a < b ? a : b, cd = c < d ? c : d, least = ab < cd ? ab : cd;
            const GK_T AB = a > b ? a : b, CD = c > d ? c : d, most = AB > CD ? AB : CD;
            low[l] = least < low[l] ? least : low[l];
            high[l] = most > high[l] ? most : high[l];
        }
    if (v->has_padding) {
        const double from = gk_clamp(v->low, (double)GK_T_MIN, (double)GK_T_MAX + 1.0),
                     to = gk_clamp(v->high, (double)GK_T_MIN - 1.0, (double)GK_T_MAX);
        const int32_t first = (int32_t)ceil(from), last = (int32_t)floor(to);
        int lost = 0;
        for (l = 0; l < 2 * GK_LANES; l++)
            lost |= (c00.voxel[l] >= first) & (c00.voxel[l] <= last) | (c01.voxel[l] >= first) & (c01.voxel[l] <= last) |
                    (c10.voxel[l] >= first) & (c10.voxel[l] <= last) | (c11.voxel[l] >= first) & (c11.voxel[l] <= last);
        if (lost) return 0;
    }
    return 1;
}
