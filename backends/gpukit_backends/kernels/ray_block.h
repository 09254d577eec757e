/* Samples [k0, k1) of a tile of sixteen rays, where only the volume's own values can be visible, for the type in hand.
 *
 * Sixteen samples are blended, looked up, lit and added side by side. With `edge` (known when this is compiled) some may
 * lie within a voxel of the volume's border or beyond it: positions and neighbours are then clamped, as in gk_sample.h
 * and gk_light.h, and samples outside are left out. Lanes next to a voxel that is no measurement are left to gk_one.
 */

#define GK_BLEND(f, a, b) ((a) + (f) * ((b) - (a)))
#define GK_LOST(x) (((x) != (x)) | ((has_padding != 0) & ((x) >= low) & ((x) <= high)))

/* Declares the two neighbours along i, `off` elements from where a lane is, as numbers name##0 and name##1. The pair is
 * one load where it fits a word. */
#ifdef GK_PAIR
#define GK_TWO_AT(name, off, lane)                                      \
    const GK_PAIR name##_pair = GK_PEEK(GK_PAIR, origin + (off) + (lane)); \
    const GK_REAL name##0 = (GK_REAL)GK_PAIR_LOW(name##_pair), name##1 = (GK_REAL)GK_PAIR_HIGH(name##_pair);
#else
#define GK_TWO_AT(name, off, lane) \
    const GK_REAL name##0 = (GK_REAL)(origin + (off))[lane], name##1 = (GK_REAL)(origin + (off) + 1)[lane];
#endif
#define GK_TWO(name, off) GK_TWO_AT(name, off, at[l])
/* Declares name##a to name##d: the voxels i - 1 to i + 2 of a row, or the outermost ones where the row ends. */
#define GK_ROW(name, off)                                                           \
    GK_REAL name##a, name##b, name##c, name##d;                                     \
    if (edge) {                                                                     \
        GK_TWO(name##_mid, off)                                                     \
        GK_TWO_AT(name##_low, off, at[l] + before[0][l])                            \
        GK_TWO_AT(name##_high, off, at[l] + after[0][l])                            \
        name##a = name##_low0;                                                      \
        name##b = name##_mid0;                                                      \
        name##c = name##_mid1;                                                      \
        name##d = name##_high1;                                                     \
    } else {                                                                        \
        GK_TWO(name##_low, (off)-1)                                                 \
        GK_TWO(name##_high, (off) + 1)                                              \
        name##a = name##_low0;                                                      \
        name##b = name##_low1;                                                      \
        name##c = name##_high0;                                                     \
        name##d = name##_high1;                                                     \
    }
#define GK_LOST_TWO(name) ((GK_LOST(name##0)) | (GK_LOST(name##1)))

/* What a block's lanes have in common. */
typedef struct {
    const GK_T *origin;                 /* the voxel that offsets are counted from */
    int32_t base[GK_LANES];             /* offset of each lane's first cell */
    GK_REAL f[3][GK_LANES], step[3][GK_LANES]; /* first position from that cell's corner on, and its steps */
    GK_REAL least[3][GK_LANES], most[3][GK_LANES]; /* the volume's outermost centres from there, at an edge */
    int32_t last[3][GK_LANES];          /* the last cell from there, at an edge */
} GK_NAME(gk_block);

/* Where the sixteen rays are during samples [k0, k1), `low` being the least position of any. */
static GK_INLINE void GK_NAME(gk_block_start)(const gk_volume *restrict v, const GK_NAME(gk_rays_of_tile) *restrict t,
                                           GK_NAME(gk_block) *restrict b, int64_t k0, int64_t k1, const double *low,
                                           const int edge) {
    int32_t cell[3][GK_LANES];
    int64_t corner[3];
    int l, axis;
    for (axis = 0; axis < 3; axis++) {
        const double n = (double)v->size[axis], start = (double)k0, end = (double)(k1 - 1);
        const double from = gk_clamp(low[axis] - 1.0, 0.0, n - 1.0);
        corner[axis] = (int64_t)from;
        for (l = 0; l < GK_LANES; l++) {
            const double a = t->start[axis][l] + start * t->step[axis][l], c = t->start[axis][l] + end * t->step[axis][l];
            const double least = a < c ? a : c;
            const int32_t at = (int32_t)(edge ? gk_clamp(least, 0.0, n - 2.0) : least);
            cell[axis][l] = at - (int32_t)corner[axis];
            b->f[axis][l] = (GK_REAL)(a - (double)at);
            b->step[axis][l] = (GK_REAL)t->step[axis][l];
            if (edge) {
                b->least[axis][l] = (GK_REAL)-at;
                b->most[axis][l] = (GK_REAL)(n - 1.0 - (double)at);
                b->last[axis][l] = (int32_t)(n - 2.0) - at;
            }
        }
    }
    b->origin = (const GK_T *)v->data + (corner[2] * v->stride[2] + corner[1] * v->stride[1] + corner[0]);
    for (l = 0; l < GK_LANES; l++)
        b->base[l] = cell[2][l] * (int32_t)v->stride[2] + cell[1][l] * (int32_t)v->stride[1] + cell[0][l];
}

/* Adds a sample of each lane to its pixel: entry and place in the tables, gradient per voxel, extinction. */
static inline void GK_NAME(gk_add_lanes)(const gk_scene *restrict s, const gk_rays *restrict rays,
                                         GK_NAME(gk_rays_of_tile) *restrict t, const gk_tables *restrict tables,
                                         const int32_t *restrict entry, const GK_REAL *restrict place,
                                         const GK_REAL *restrict gx, const GK_REAL *restrict gy,
                                         const GK_REAL *restrict gz, GK_REAL *restrict mu) {
    const gk_look *look = &s->look;
    GK_REAL thick[GK_LANES], gain[GK_LANES], dull[GK_LANES], shine[GK_LANES];
    int l, c;
    for (l = 0; l < GK_LANES; l++) {
        dull[l] = (GK_REAL)1;
        shine[l] = (GK_REAL)0;
    }
    if (look->shaded || s->factors_n) {
        GK_REAL size[GK_LANES], facing[GK_LANES], d[9];
        for (c = 0; c < 9; c++) d[c] = (GK_REAL)rays->dual[c];
        for (l = 0; l < GK_LANES; l++) {
            const GK_REAL nx = d[0] * gx[l] + d[1] * gy[l] + d[2] * gz[l];
            const GK_REAL ny = d[3] * gx[l] + d[4] * gy[l] + d[5] * gz[l];
            const GK_REAL nz = d[6] * gx[l] + d[7] * gy[l] + d[8] * gz[l];
            const GK_REAL along = gx[l] * t->toward[0][l] + gy[l] * t->toward[1][l] + gz[l] * t->toward[2][l];
            const GK_REAL square = nx * nx + ny * ny + nz * nz;
            size[l] = _Generic((GK_REAL)0, float: sqrtf, double: sqrt)(square);
            facing[l] = (along < (GK_REAL)0 ? -along : along) / (size[l] > (GK_REAL)0 ? size[l] : (GK_REAL)1);
            facing[l] = size[l] > (GK_REAL)0 ? facing[l] : (GK_REAL)1;
            facing[l] = facing[l] < (GK_REAL)1 ? facing[l] : (GK_REAL)1; /* and where it is no number */
        }
        if (s->factors_n)
            for (l = 0; l < GK_LANES; l++)
                if (mu[l] > (GK_REAL)0) mu[l] *= (GK_REAL)gk_factor(s, (double)size[l]);
        if (look->shaded) {
            const GK_REAL ambient = (GK_REAL)look->ambient, diffuse = (GK_REAL)look->diffuse;
            const GK_REAL specular = (GK_REAL)look->specular;
            for (l = 0; l < GK_LANES; l++) dull[l] = ambient + diffuse * facing[l];
            if (tables->squares) {
                /* squares are kept from getting too small to matter: a processor takes a hundred times as long for
                 * numbers near the end of its range */
                const GK_REAL tiny = (GK_REAL)tables->least;
                for (l = 0; l < GK_LANES; l++) {
                    GK_REAL square = facing[l] > tiny ? facing[l] : tiny;
                    GK_REAL product = specular * (square * (GK_REAL)tables->digit[0] + (GK_REAL)tables->other[0]);
                    int n;
                    for (n = 1; n < GK_SQUARES; n++) {
                        square *= square;
                        square = square > tiny ? square : tiny;
                        product *= square * (GK_REAL)tables->digit[n] + (GK_REAL)tables->other[n];
                    }
                    shine[l] = product;
                }
            } else {
                for (l = 0; l < GK_LANES; l++) shine[l] = specular * (GK_REAL)pow((double)facing[l], look->shininess);
            }
        }
    }
    for (l = 0; l < GK_LANES; l++) {
        const GK_REAL depth = mu[l] * t->length[l];
        thick[l] = depth < (GK_REAL)GK_DEEPEST ? depth : (GK_REAL)GK_DEEPEST;
    }
    for (l = 0; l < GK_LANES; l++) {
        const GK_REAL passing = GK_FADE(thick[l]); /* all of it, exactly, where mu is 0 */
        gain[l] = t->light[l] * ((GK_REAL)1 - passing);
        t->light[l] *= passing;
    }
    for (c = 0; c < 3; c++) {
        const float *restrict column = tables->colors + c * look->n;
        GK_REAL *restrict to = t->pixel[c];
        for (l = 0; l < GK_LANES; l++) {
            const GK_REAL a = (GK_REAL)column[entry[l]], b = (GK_REAL)(column + 1)[entry[l]];
            GK_REAL shade = GK_BLEND(place[l], a, b) * dull[l] + shine[l];
            shade = shade < (GK_REAL)1 ? shade : (GK_REAL)1;
            to[l] += gain[l] * shade;
        }
    }
}

/* Whether sample k of a lane is in the volume and not cut away. */
static inline int GK_NAME(gk_lane_inside)(const gk_volume *v, const gk_scene *s, const GK_NAME(gk_rays_of_tile) *t, int l,
                                          int64_t k) {
    const double at[3] = {t->start[0][l] + (double)k * t->step[0][l], t->start[1][l] + (double)k * t->step[1][l],
                          t->start[2][l] + (double)k * t->step[2][l]};
    return gk_inside(v, at[0], at[1], at[2]) && gk_unclipped(s, at);
}

/* Samples [k0, k1). `keep` is the share of the extinction that the label leaves. */
static GK_INLINE void GK_NAME(gk_lit_samples)(const gk_volume *restrict v, const gk_scene *restrict s,
                                           const gk_rays *restrict rays, GK_NAME(gk_rays_of_tile) *restrict t,
                                           const gk_tables *restrict tables, int64_t k0, int64_t k1, const double *at_low,
                                           double keep, const int edge, const int check) {
    const gk_look *look = &s->look;
    const int64_t sj = v->stride[1], sk = v->stride[2];
    const int64_t back_j = edge ? 0 : -sj, ahead_j = edge ? sj : 2 * sj, back_k = edge ? 0 : -sk, ahead_k = edge ? sk : 2 * sk;
    const int has_padding = v->has_padding;
    const GK_REAL low = _Generic((GK_REAL)0, float: gk_up_f, double: gk_up_d)(v->low), high = _Generic((GK_REAL)0, float: gk_down_f, double: gk_down_d)(v->high);
    const int slopes = look->shaded || s->factors_n;
    const GK_REAL least = (GK_REAL)(1.0 - s->opaque);
    const GK_REAL zero = (GK_REAL)look->low, scale = (GK_REAL)look->scale, top = (GK_REAL)(look->n - 1);
    const GK_REAL dark = (GK_REAL)tables->first, bright = (GK_REAL)tables->last;
    const int32_t last = (int32_t)look->n - 2;
    const float *restrict extinction = tables->extinction;
    GK_NAME(gk_block) b;
    const GK_T *restrict origin;
    int64_t k;
    int l;
    GK_NAME(gk_block_start)(v, t, &b, k0, k1, at_low, edge);
    origin = b.origin;
    for (k = k0; k < k1; k++) {
        const GK_REAL dk = (GK_REAL)(k - k0);
        GK_REAL fx[GK_LANES], fy[GK_LANES], fz[GK_LANES], mu[GK_LANES], place[GK_LANES];
        GK_REAL gx[GK_LANES], gy[GK_LANES], gz[GK_LANES];
        int32_t at[GK_LANES], entry[GK_LANES], before[3][GK_LANES], after[3][GK_LANES], drawn[GK_LANES], odd[GK_LANES],
            lost[GK_LANES];
        int32_t any = 0, some = 0;
        for (l = 0; l < GK_LANES; l++) {
            GK_REAL x = b.f[0][l] + dk * b.step[0][l], y = b.f[1][l] + dk * b.step[1][l], z = b.f[2][l] + dk * b.step[2][l];
            int32_t ix, iy, iz;
            if (edge) {
                x = x > b.least[0][l] ? x : b.least[0][l];
                y = y > b.least[1][l] ? y : b.least[1][l];
                z = z > b.least[2][l] ? z : b.least[2][l];
                x = x < b.most[0][l] ? x : b.most[0][l];
                y = y < b.most[1][l] ? y : b.most[1][l];
                z = z < b.most[2][l] ? z : b.most[2][l];
            }
            ix = (int32_t)x;
            iy = (int32_t)y;
            iz = (int32_t)z;
            if (edge) {
                ix = ix < b.last[0][l] ? ix : b.last[0][l];
                iy = iy < b.last[1][l] ? iy : b.last[1][l];
                iz = iz < b.last[2][l] ? iz : b.last[2][l];
                before[0][l] = (GK_REAL)ix > b.least[0][l] ? -1 : 0;
                before[1][l] = (GK_REAL)iy > b.least[1][l] ? -(int32_t)sj : 0;
                before[2][l] = (GK_REAL)iz > b.least[2][l] ? -(int32_t)sk : 0;
                after[0][l] = ix < b.last[0][l] ? 1 : 0;
                after[1][l] = iy < b.last[1][l] ? (int32_t)sj : 0;
                after[2][l] = iz < b.last[2][l] ? (int32_t)sk : 0;
            }
            fx[l] = x - (GK_REAL)ix;
            fy[l] = y - (GK_REAL)iy;
            fz[l] = z - (GK_REAL)iz;
            at[l] = b.base[l] + iz * (int32_t)sk + iy * (int32_t)sj + ix;
        }
        for (l = 0; l < GK_LANES; l++) {
            GK_TWO(p00, 0)
            GK_TWO(p01, sj)
            GK_TWO(p10, sk)
            GK_TWO(p11, sk + sj)
            const GK_REAL a00 = GK_BLEND(fz[l], p000, p100), a01 = GK_BLEND(fz[l], p010, p110);
            const GK_REAL b00 = GK_BLEND(fz[l], p001, p101), b01 = GK_BLEND(fz[l], p011, p111);
            const GK_REAL left = GK_BLEND(fy[l], a00, a01), right = GK_BLEND(fy[l], b00, b01);
            const GK_REAL value = GK_BLEND(fx[l], left, right);
            GK_REAL x = (value - zero) * scale;
            x = x > (GK_REAL)0 ? x : (GK_REAL)0;
            place[l] = x < top ? x : top;
            drawn[l] = (place[l] > dark) & (place[l] < bright) & (t->light[l] > least);
        }
        if (edge)
            for (l = 0; l < GK_LANES; l++) drawn[l] &= GK_NAME(gk_lane_inside)(v, s, t, l, k);
        if (check) {
            for (l = 0; l < GK_LANES; l++) {
                GK_TWO(p00, 0)
                GK_TWO(p01, sj)
                GK_TWO(p10, sk)
                GK_TWO(p11, sk + sj)
                odd[l] = (GK_LOST_TWO(p00)) | (GK_LOST_TWO(p01)) | (GK_LOST_TWO(p10)) | (GK_LOST_TWO(p11));
            }
            for (l = 0; l < GK_LANES; l++) {
                drawn[l] &= odd[l] ^ 1;
                some |= odd[l];
            }
        }
        for (l = 0; l < GK_LANES; l++) any |= drawn[l];
        if (!(any | some)) continue;
        for (l = 0; l < GK_LANES; l++) {
            entry[l] = (int32_t)place[l];
            entry[l] = entry[l] > last ? last : entry[l];
            place[l] -= (GK_REAL)entry[l];
        }
        for (l = 0; l < GK_LANES; l++) {
            const GK_REAL a = (GK_REAL)extinction[entry[l]], d = (GK_REAL)extinction[entry[l] + 1];
            const GK_REAL found = GK_BLEND(place[l], a, d) * (GK_REAL)keep;
            mu[l] = drawn[l] ? found : (GK_REAL)0;
        }
        if (slopes && any) {
            for (l = 0; l < GK_LANES; l++) {
                const GK_REAL x = fx[l], y = fy[l], z = fz[l], half = (GK_REAL)0.5;
                const int32_t jm = at[l] + (edge ? before[1][l] : 0), km = at[l] + (edge ? before[2][l] : 0);
                const int32_t jp = at[l] + (edge ? after[1][l] : 0), kp = at[l] + (edge ? after[2][l] : 0);
                GK_ROW(r00, 0)
                GK_ROW(r01, sj)
                GK_ROW(r10, sk)
                GK_ROW(r11, sk + sj)
                GK_TWO_AT(m0, back_j, jm) /* rows j - 1 and j + 2, slices k and k + 1 */
                GK_TWO_AT(m1, back_j + sk, jm)
                GK_TWO_AT(n0, ahead_j, jp)
                GK_TWO_AT(n1, ahead_j + sk, jp)
                GK_TWO_AT(u0, back_k, km) /* slices k - 1 and k + 2, rows j and j + 1 */
                GK_TWO_AT(u1, back_k + sj, km)
                GK_TWO_AT(w0, ahead_k, kp)
                GK_TWO_AT(w1, ahead_k + sj, kp)
                /* differences of neighbours on either side, blended like values */
                const GK_REAL d00 = GK_BLEND(x, r00c - r00a, r00d - r00b), d01 = GK_BLEND(x, r01c - r01a, r01d - r01b);
                const GK_REAL d10 = GK_BLEND(x, r10c - r10a, r10d - r10b), d11 = GK_BLEND(x, r11c - r11a, r11d - r11b);
                const GK_REAL v00 = GK_BLEND(x, r00b, r00c), v01 = GK_BLEND(x, r01b, r01c);
                const GK_REAL v10 = GK_BLEND(x, r10b, r10c), v11 = GK_BLEND(x, r11b, r11c);
                const GK_REAL q0 = GK_BLEND(y, v01 - GK_BLEND(x, m00, m01), GK_BLEND(x, n00, n01) - v00);
                const GK_REAL q1 = GK_BLEND(y, v11 - GK_BLEND(x, m10, m11), GK_BLEND(x, n10, n11) - v10);
                const GK_REAL s0 = GK_BLEND(z, v10 - GK_BLEND(x, u00, u01), GK_BLEND(x, w00, w01) - v00);
                const GK_REAL s1 = GK_BLEND(z, v11 - GK_BLEND(x, u10, u11), GK_BLEND(x, w10, w11) - v01);
                gx[l] = half * GK_BLEND(z, GK_BLEND(y, d00, d01), GK_BLEND(y, d10, d11));
                gy[l] = half * GK_BLEND(z, q0, q1);
                gz[l] = half * GK_BLEND(y, s0, s1);
                if (check) {
                    lost[l] = (GK_LOST(r00a)) | (GK_LOST(r01a)) | (GK_LOST(r10a)) | (GK_LOST(r11a)) | (GK_LOST(r00d)) |
                                         (GK_LOST(r01d)) | (GK_LOST(r10d)) | (GK_LOST(r11d)) | (GK_LOST_TWO(m0)) |
                                         (GK_LOST_TWO(m1)) | (GK_LOST_TWO(n0)) | (GK_LOST_TWO(n1)) | (GK_LOST_TWO(u0)) |
                                         (GK_LOST_TWO(u1)) | (GK_LOST_TWO(w0)) | (GK_LOST_TWO(w1));
                }
            }
            if (check)
                for (l = 0; l < GK_LANES; l++) {
                    odd[l] |= lost[l];
                    some |= odd[l];
                    mu[l] = odd[l] ? (GK_REAL)0 : mu[l];
                }
        }
        if (any) GK_NAME(gk_add_lanes)(s, rays, t, tables, entry, place, gx, gy, gz, mu);
        if (some)
            for (l = 0; l < GK_LANES; l++)
                if (odd[l] && t->wanted[l] && t->light[l] > least) GK_NAME(gk_one)(v, s, rays, t, l, k);
    }
}

static void GK_NAME(gk_lit_block)(const gk_volume *v, const gk_scene *s, const gk_rays *rays, GK_NAME(gk_rays_of_tile) *t,
                                  const gk_tables *tables, int64_t k0, int64_t k1, const double *low, double keep, int edge) {
#if GK_IS_FLOAT
    if (edge)
        GK_NAME(gk_lit_samples)(v, s, rays, t, tables, k0, k1, low, keep, 1, 1);
    else
        GK_NAME(gk_lit_samples)(v, s, rays, t, tables, k0, k1, low, keep, 0, 1);
#else
    if (edge)
        GK_NAME(gk_lit_samples)(v, s, rays, t, tables, k0, k1, low, keep, 1, 1);
    else if (v->has_padding)
        GK_NAME(gk_lit_samples)(v, s, rays, t, tables, k0, k1, low, keep, 0, 1);
    else
        GK_NAME(gk_lit_samples)(v, s, rays, t, tables, k0, k1, low, keep, 0, 0);
#endif
}
#undef GK_BLEND
#undef GK_LOST
#undef GK_TWO
#undef GK_ROW
#undef GK_LOST_TWO
