/* Ray casting, tiles of 4 x 4 pixels, tile rows [begin, end), for the type in hand.
 *
 * The sixteen rays of a tile advance together, eight samples at a time. Where only the volume's own values can be
 * visible, and where all neighbours of all samples exist, the sixteen samples are blended, looked up, lit and added as
 * lanes; everywhere else by the function that a GPU thread runs. Blocks in which nothing can be visible are leapt over.
 */
#include "gk_sample.h"
#include "gk_light.h"

#define GK_BLOCK 8
#define GK_REAL GK_JOIN(gk_real, GK_SUFFIX)

typedef struct {
    gk_ray ray[GK_LANES];
    int wanted[GK_LANES];
    GK_REAL light[GK_LANES]; /* what still passes */
    GK_REAL length[GK_LANES];
    GK_REAL toward[3][GK_LANES]; /* the view, so that the product with an index gradient is that in mm */
    GK_REAL pixel[GK_LANES][4];
} GK_NAME(gk_rays_of_tile);

/* Sample k of one lane by the general rule. */
static void GK_NAME(gk_one)(const gk_volume *v, const gk_scene *s, const gk_rays *rays, GK_NAME(gk_rays_of_tile) * t, int l,
                            int64_t k) {
    const gk_ray *ray = &t->ray[l];
    double at[3], pixel[4];
    int axis;
    for (axis = 0; axis < 3; axis++) at[axis] = ray->start[axis] + (double)k * ray->step[axis];
    if (!gk_inside(v, at[0], at[1], at[2])) return;
    for (axis = 0; axis < 3; axis++) pixel[axis] = t->pixel[l][axis];
    pixel[3] = t->light[l];
    GK_NAME(gk_light_sample)(v, s, ray, rays->dual, at, pixel);
    for (axis = 0; axis < 3; axis++) t->pixel[l][axis] = (GK_REAL)pixel[axis];
    t->light[l] = (GK_REAL)pixel[3];
}

/* Two neighbours along i as numbers. */
#ifdef GK_PAIR
#define GK_TWO(name) GK_PAIR name[GK_LANES]
#define GK_LOAD(name, p) memcpy(&name[l], p, sizeof(GK_PAIR))
#define GK_LOW(name) ((GK_REAL)GK_PAIR_LOW(name[l]))
#define GK_HIGH(name) ((GK_REAL)GK_PAIR_HIGH(name[l]))
#else
#define GK_TWO(name) GK_T name[2][GK_LANES]
#define GK_LOAD(name, p) (name[0][l] = (p)[0], name[1][l] = (p)[1])
#define GK_LOW(name) ((GK_REAL)name[0][l])
#define GK_HIGH(name) ((GK_REAL)name[1][l])
#endif
#define GK_BLEND(f, a, b) ((a) + (f) * ((b) - (a)))
#define GK_LOST(x) ((double)(x) != (double)(x)) | (has_padding & ((double)(x) >= low) & ((double)(x) <= high))

/* Has the memory of samples [k0, k1) fetched, along the rays of the tile's diagonal: lines come from afar, and a ray
 * across rows takes a new one with each sample. */
static void GK_NAME(gk_fetch)(const gk_volume *v, const GK_NAME(gk_rays_of_tile) * t, int64_t k0, int64_t k1) {
    const GK_T *data = (const GK_T *)v->data;
    const int64_t sj = v->stride[1], sk = v->stride[2];
    int64_t k;
    int l;
    for (l = 0; l < GK_LANES; l += 5) {
        const gk_ray *ray = &t->ray[l];
        for (k = k0; k < k1; k++) {
            const double x = ray->start[0] + (double)k * ray->step[0], y = ray->start[1] + (double)k * ray->step[1],
                         z = ray->start[2] + (double)k * ray->step[2];
            const int64_t i = (int64_t)gk_clamp(x, 0.0, (double)(v->size[0] - 1)), j = (int64_t)gk_clamp(y, 0.0, (double)(v->size[1] - 1)),
                          m = (int64_t)gk_clamp(z, 0.0, (double)(v->size[2] - 2 > 0 ? v->size[2] - 2 : 0));
            const GK_T *at = data + m * sk + j * sj + i;
            GK_PREFETCH(at);
            GK_PREFETCH(at + sk);
        }
    }
}

/* Samples [k0, k1) of a tile, all of them at least a voxel away from the volume's border. `keep` is the share of the
 * extinction that the label leaves. */
static void GK_NAME(gk_lit_block)(const gk_volume *restrict v, const gk_scene *restrict s, const gk_rays *restrict rays,
                                  GK_NAME(gk_rays_of_tile) *restrict t, const float *restrict table, int64_t k0, int64_t k1,
                                  double keep) {
    const gk_look *look = &s->look;
    const GK_T *restrict data = (const GK_T *)v->data;
    const int64_t sj = v->stride[1], sk = v->stride[2];
    const double low = v->low, high = v->high;
    const int has_padding = v->has_padding, check = v->has_padding || GK_IS_FLOAT;
    const int slopes = look->shaded || s->factors_n;
    const GK_REAL least = (GK_REAL)(1.0 - s->opaque);
    const GK_REAL zero = (GK_REAL)look->low, scale = (GK_REAL)look->scale, top = (GK_REAL)(look->n - 1);
    const int32_t last = (int32_t)look->n - 2;
    GK_REAL f[3][GK_LANES], step[3][GK_LANES];
    int64_t base[GK_LANES];
    int64_t k;
    int l, axis, c;
    for (l = 0; l < GK_LANES; l++) {
        int64_t cell[3];
        for (axis = 0; axis < 3; axis++) {
            const double a = t->ray[l].start[axis] + (double)k0 * t->ray[l].step[axis];
            const double b = t->ray[l].start[axis] + (double)(k1 - 1) * t->ray[l].step[axis];
            cell[axis] = (int64_t)(a < b ? a : b);
            f[axis][l] = (GK_REAL)(a - (double)cell[axis]);
            step[axis][l] = (GK_REAL)t->ray[l].step[axis];
        }
        base[l] = cell[2] * sk + cell[1] * sj + cell[0];
    }
    for (k = k0; k < k1; k++) {
        const GK_REAL dk = (GK_REAL)(k - k0);
        GK_REAL fx[GK_LANES], fy[GK_LANES], fz[GK_LANES], value[GK_LANES], mu[GK_LANES], place[GK_LANES];
        GK_REAL gx[GK_LANES], gy[GK_LANES], gz[GK_LANES];
        int32_t ix[GK_LANES], iy[GK_LANES], iz[GK_LANES], entry[GK_LANES];
        int64_t at[GK_LANES];
        uint8_t odd[GK_LANES];
        int any = 0;
        GK_TWO(p00);
        GK_TWO(p01);
        GK_TWO(p10);
        GK_TWO(p11);
        for (l = 0; l < GK_LANES; l++) {
            const GK_REAL x = f[0][l] + dk * step[0][l], y = f[1][l] + dk * step[1][l], z = f[2][l] + dk * step[2][l];
            ix[l] = (int32_t)x;
            iy[l] = (int32_t)y;
            iz[l] = (int32_t)z;
            fx[l] = x - (GK_REAL)ix[l];
            fy[l] = y - (GK_REAL)iy[l];
            fz[l] = z - (GK_REAL)iz[l];
        }
        for (l = 0; l < GK_LANES; l++) {
            const GK_T *p;
            at[l] = base[l] + (int64_t)iz[l] * sk + (int64_t)iy[l] * sj + (int64_t)ix[l];
            p = data + at[l];
            GK_LOAD(p00, p);
            GK_LOAD(p01, p + sj);
            GK_LOAD(p10, p + sk);
            GK_LOAD(p11, p + sk + sj);
        }
        for (l = 0; l < GK_LANES; l++) {
            const GK_REAL a00 = GK_BLEND(fz[l], GK_LOW(p00), GK_LOW(p10)), a01 = GK_BLEND(fz[l], GK_LOW(p01), GK_LOW(p11));
            const GK_REAL b00 = GK_BLEND(fz[l], GK_HIGH(p00), GK_HIGH(p10)), b01 = GK_BLEND(fz[l], GK_HIGH(p01), GK_HIGH(p11));
            const GK_REAL a = GK_BLEND(fy[l], a00, a01), b = GK_BLEND(fy[l], b00, b01);
            value[l] = GK_BLEND(fx[l], a, b);
        }
        for (l = 0; l < GK_LANES; l++) odd[l] = 0;
        if (check) {
            for (l = 0; l < GK_LANES; l++) {
                odd[l] = (uint8_t)((GK_LOST(GK_LOW(p00))) | (GK_LOST(GK_LOW(p01))) | (GK_LOST(GK_LOW(p10))) |
                                   (GK_LOST(GK_LOW(p11))) | (GK_LOST(GK_HIGH(p00))) | (GK_LOST(GK_HIGH(p01))) |
                                   (GK_LOST(GK_HIGH(p10))) | (GK_LOST(GK_HIGH(p11))));
                any |= odd[l];
            }
        }
        for (l = 0; l < GK_LANES; l++) {
            GK_REAL x = (value[l] - zero) * scale;
            x = x > (GK_REAL)0 ? x : (GK_REAL)0;
            x = x < top ? x : top;
            entry[l] = (int32_t)x;
            entry[l] = entry[l] > last ? last : entry[l];
            place[l] = x - (GK_REAL)entry[l];
        }
        for (l = 0; l < GK_LANES; l++) {
            const float *row = table + 4 * entry[l];
            mu[l] = GK_BLEND(place[l], (GK_REAL)row[3], (GK_REAL)row[7]);
        }
        for (l = 0; l < GK_LANES; l++) {
            const int drawn = (t->light[l] > least) & (odd[l] == 0);
            mu[l] = drawn ? mu[l] * (GK_REAL)keep : (GK_REAL)0;
            any |= mu[l] > (GK_REAL)0;
        }
        if (!any) continue;
        if (slopes) {
            GK_TWO(l00);
            GK_TWO(l01);
            GK_TWO(l10);
            GK_TWO(l11);
            GK_TWO(r00);
            GK_TWO(r01);
            GK_TWO(r10);
            GK_TWO(r11);
            GK_TWO(m0);
            GK_TWO(m1);
            GK_TWO(n0);
            GK_TWO(n1);
            GK_TWO(u0);
            GK_TWO(u1);
            GK_TWO(w0);
            GK_TWO(w1);
            /* a few arrays at a time: their addresses then stay in registers */
#define GK_FOUR(a, oa, b, ob, c, oc, d, od)   \
    for (l = 0; l < GK_LANES; l++) {          \
        const GK_T *p = data + at[l];         \
        GK_LOAD(a, p + (oa));                 \
        GK_LOAD(b, p + (ob));                 \
        GK_LOAD(c, p + (oc));                 \
        GK_LOAD(d, p + (od));                 \
    }
            GK_FOUR(l00, -1, l01, sj - 1, l10, sk - 1, l11, sk + sj - 1) /* before and after each of the four rows */
            GK_FOUR(r00, 1, r01, sj + 1, r10, sk + 1, r11, sk + sj + 1)
            GK_FOUR(m0, -sj, m1, sk - sj, n0, 2 * sj, n1, sk + 2 * sj) /* rows j - 1 and j + 2, slices k and k + 1 */
            GK_FOUR(u0, -sk, u1, sj - sk, w0, 2 * sk, w1, sj + 2 * sk) /* slices k - 1 and k + 2, rows j and j + 1 */
#undef GK_FOUR
            for (l = 0; l < GK_LANES; l++) {
                const GK_REAL x = fx[l], y = fy[l], z = fz[l], half = (GK_REAL)0.5;
                /* differences of neighbours on either side, blended like values */
                const GK_REAL d00 = GK_BLEND(x, GK_LOW(r00) - GK_LOW(l00), GK_HIGH(r00) - GK_LOW(p00));
                const GK_REAL d01 = GK_BLEND(x, GK_LOW(r01) - GK_LOW(l01), GK_HIGH(r01) - GK_LOW(p01));
                const GK_REAL d10 = GK_BLEND(x, GK_LOW(r10) - GK_LOW(l10), GK_HIGH(r10) - GK_LOW(p10));
                const GK_REAL d11 = GK_BLEND(x, GK_LOW(r11) - GK_LOW(l11), GK_HIGH(r11) - GK_LOW(p11));
                const GK_REAL v00 = GK_BLEND(x, GK_LOW(p00), GK_HIGH(p00)), v01 = GK_BLEND(x, GK_LOW(p01), GK_HIGH(p01));
                const GK_REAL v10 = GK_BLEND(x, GK_LOW(p10), GK_HIGH(p10)), v11 = GK_BLEND(x, GK_LOW(p11), GK_HIGH(p11));
                const GK_REAL q0 = GK_BLEND(y, v01 - GK_BLEND(x, GK_LOW(m0), GK_HIGH(m0)), GK_BLEND(x, GK_LOW(n0), GK_HIGH(n0)) - v00);
                const GK_REAL q1 = GK_BLEND(y, v11 - GK_BLEND(x, GK_LOW(m1), GK_HIGH(m1)), GK_BLEND(x, GK_LOW(n1), GK_HIGH(n1)) - v10);
                const GK_REAL s0 = GK_BLEND(z, v10 - GK_BLEND(x, GK_LOW(u0), GK_HIGH(u0)), GK_BLEND(x, GK_LOW(w0), GK_HIGH(w0)) - v00);
                const GK_REAL s1 = GK_BLEND(z, v11 - GK_BLEND(x, GK_LOW(u1), GK_HIGH(u1)), GK_BLEND(x, GK_LOW(w1), GK_HIGH(w1)) - v01);
                gx[l] = half * GK_BLEND(z, GK_BLEND(y, d00, d01), GK_BLEND(y, d10, d11));
                gy[l] = half * GK_BLEND(z, q0, q1);
                gz[l] = half * GK_BLEND(y, s0, s1);
            }
            if (check) {
                for (l = 0; l < GK_LANES; l++) {
                    int lost = (GK_LOST(GK_LOW(l00))) | (GK_LOST(GK_LOW(l01))) | (GK_LOST(GK_LOW(l10))) | (GK_LOST(GK_LOW(l11)));
                    lost |= (GK_LOST(GK_HIGH(r00))) | (GK_LOST(GK_HIGH(r01))) | (GK_LOST(GK_HIGH(r10))) | (GK_LOST(GK_HIGH(r11)));
                    lost |= (GK_LOST(GK_LOW(m0))) | (GK_LOST(GK_HIGH(m0))) | (GK_LOST(GK_LOW(m1))) | (GK_LOST(GK_HIGH(m1)));
                    lost |= (GK_LOST(GK_LOW(n0))) | (GK_LOST(GK_HIGH(n0))) | (GK_LOST(GK_LOW(n1))) | (GK_LOST(GK_HIGH(n1)));
                    lost |= (GK_LOST(GK_LOW(u0))) | (GK_LOST(GK_HIGH(u0))) | (GK_LOST(GK_LOW(u1))) | (GK_LOST(GK_HIGH(u1)));
                    lost |= (GK_LOST(GK_LOW(w0))) | (GK_LOST(GK_HIGH(w0))) | (GK_LOST(GK_LOW(w1))) | (GK_LOST(GK_HIGH(w1)));
                    odd[l] |= (uint8_t)lost;
                    mu[l] = odd[l] ? (GK_REAL)0 : mu[l];
                }
            }
        }
        {
            GK_REAL thick[GK_LANES], passing[GK_LANES], gain[GK_LANES], dull[GK_LANES], shine[GK_LANES];
            if (slopes) {
                GK_REAL size[GK_LANES], facing[GK_LANES];
                GK_REAL d[9];
                for (c = 0; c < 9; c++) d[c] = (GK_REAL)rays->dual[c];
                for (l = 0; l < GK_LANES; l++) {
                    const GK_REAL nx = d[0] * gx[l] + d[1] * gy[l] + d[2] * gz[l];
                    const GK_REAL ny = d[3] * gx[l] + d[4] * gy[l] + d[5] * gz[l];
                    const GK_REAL nz = d[6] * gx[l] + d[7] * gy[l] + d[8] * gz[l];
                    const GK_REAL along = gx[l] * t->toward[0][l] + gy[l] * t->toward[1][l] + gz[l] * t->toward[2][l];
                    const GK_REAL square = nx * nx + ny * ny + nz * nz;
                    size[l] = _Generic((GK_REAL)0, float: sqrtf, double: sqrt)(square);
                    facing[l] = along < (GK_REAL)0 ? -along : along;
                    facing[l] = size[l] > (GK_REAL)0 ? facing[l] / size[l] : (GK_REAL)1;
                    facing[l] = facing[l] < (GK_REAL)1 ? facing[l] : (GK_REAL)1;
                }
                if (s->factors_n)
                    for (l = 0; l < GK_LANES; l++) mu[l] *= (GK_REAL)gk_factor(s, (double)size[l]);
                if (look->shaded) {
                    const GK_REAL ambient = (GK_REAL)look->ambient, diffuse = (GK_REAL)look->diffuse;
                    const GK_REAL specular = (GK_REAL)look->specular;
                    for (l = 0; l < GK_LANES; l++) {
                        dull[l] = ambient + diffuse * facing[l];
                        shine[l] = facing[l];
                    }
                    GK_RAISE(shine, look->shininess);
                    for (l = 0; l < GK_LANES; l++) shine[l] *= specular;
                }
            }
            for (l = 0; l < GK_LANES; l++) thick[l] = mu[l] * t->length[l];
            GK_FADE(thick, passing);
            for (l = 0; l < GK_LANES; l++) {
                gain[l] = t->light[l] * ((GK_REAL)1 - passing[l]);
                gain[l] = mu[l] > (GK_REAL)0 ? gain[l] : (GK_REAL)0;
                t->light[l] *= mu[l] > (GK_REAL)0 ? passing[l] : (GK_REAL)1;
            }
            for (l = 0; l < GK_LANES; l++) {
                const float *row = table + 4 * entry[l];
                GK_REAL rgb[4];
                if (!(gain[l] > (GK_REAL)0)) continue;
                for (c = 0; c < 4; c++) rgb[c] = GK_BLEND(place[l], (GK_REAL)row[c], (GK_REAL)row[4 + c]);
                if (look->shaded)
                    for (c = 0; c < 4; c++) {
                        rgb[c] = rgb[c] * dull[l] + shine[l];
                        rgb[c] = rgb[c] < (GK_REAL)1 ? rgb[c] : (GK_REAL)1;
                    }
                for (c = 0; c < 4; c++) t->pixel[l][c] += gain[l] * rgb[c];
            }
        }
        if (check)
            for (l = 0; l < GK_LANES; l++)
                if (odd[l] && t->wanted[l] && t->light[l] > least) GK_NAME(gk_one)(v, s, rays, t, l, k);
    }
}
#undef GK_TWO
#undef GK_LOAD
#undef GK_LOW
#undef GK_HIGH
#undef GK_BLEND
#undef GK_LOST

static void GK_NAME(gk_cast)(const gk_volume *v, const gk_skip *skip, const gk_rays *rays, const gk_scene *s,
                             const float *table, const int64_t *size, float *out, int64_t begin, int64_t end) {
    const int64_t ni = size[0], nj = size[1], nk = size[2];
    const GK_REAL least = (GK_REAL)(1.0 - s->opaque);
    int64_t r, i, k, k0;
    int l, axis, c;
    for (r = begin; r < end; r++)
        for (i = 0; i < ni; i += 4) {
            GK_NAME(gk_rays_of_tile) t;
            int64_t first, beyond, fetched = 0;
            double fastest = 0.0;
            gk_ray corner[4];
            for (l = 0; l < 4; l++) {
                corner[l] = gk_ray_of(rays, i + (l & 1) * 3, r * 4 + (l >> 1) * 3);
                for (axis = 0; axis < 3; axis++) {
                    const double speed = corner[l].step[axis] < 0.0 ? -corner[l].step[axis] : corner[l].step[axis];
                    fastest = speed > fastest ? speed : fastest;
                }
            }
            gk_stretch(skip, corner, nk, &first, &beyond);
            for (l = 0; l < GK_LANES; l++) {
                t.wanted[l] = i + (l & 3) < ni && r * 4 + (l >> 2) < nj;
                t.light[l] = (GK_REAL)(t.wanted[l] ? 1.0 : 0.0);
                for (c = 0; c < 4; c++) t.pixel[l][c] = (GK_REAL)0;
            }
            if (first < beyond)
                for (l = 0; l < GK_LANES; l++) {
                    t.ray[l] = gk_ray_of(rays, i + (l & 3), r * 4 + (l >> 2));
                    t.length[l] = (GK_REAL)t.ray[l].length;
                    for (axis = 0; axis < 3; axis++)
                        t.toward[axis][l] = (GK_REAL)((rays->dual[axis] * t.ray[l].view[0] + rays->dual[3 + axis] * t.ray[l].view[1]) +
                                                      rays->dual[6 + axis] * t.ray[l].view[2]);
                }
            for (k0 = first; k0 < beyond;) {
                const int64_t k1 = k0 + GK_BLOCK < beyond ? k0 + GK_BLOCK : beyond;
                double low[3], high[3];
                int planes, kinds, going = 0, within = 1;
                for (axis = 0; axis < 3; axis++) {
                    double a = GK_DOUBLE_INF, b = -GK_DOUBLE_INF;
                    for (l = 0; l < 4; l++) {
                        const double x = corner[l].start[axis] + (double)k0 * corner[l].step[axis];
                        const double y = corner[l].start[axis] + (double)(k1 - 1) * corner[l].step[axis];
                        a = x < a ? x : a;
                        a = y < a ? y : a;
                        b = x > b ? x : b;
                        b = y > b ? y : b;
                    }
                    low[axis] = a - GK_SLACK;
                    high[axis] = b + GK_SLACK;
                    within &= low[axis] >= 1.0 + GK_SLACK && high[axis] <= (double)v->size[axis] - 2.0 - GK_SLACK;
                }
                {
                    const int clear = gk_clear(skip, v->size, low, high, &kinds);
                    if (clear) { /* from the last sample on, so many bricks are empty to every side */
                        const double leap = 8.0 * (double)(clear - 1) / fastest;
                        k0 = k1 + (leap < (double)(beyond - k1) ? (int64_t)leap : beyond - k1);
                        continue;
                    }
                }
                planes = gk_planes_state(s, low, high);
                for (l = 0; l < GK_LANES; l++) going |= t.light[l] > least;
                if (!going) break;
                if (planes == 2 && within && kinds == GK_SEEN && v->stride[0] == 1) {
                    double keep = 1.0;
                    if (s->labels) {
                        const double *at = low;
                        keep = gk_medium(s, ((int64_t)at[2] * v->size[1] + (int64_t)at[1]) * v->size[0] + (int64_t)at[0])[4];
                    }
                    if (fetched < k1) GK_NAME(gk_fetch)(v, &t, k0, k1);
                    fetched = k1 + GK_BLOCK < beyond ? k1 + GK_BLOCK : beyond;
                    GK_NAME(gk_fetch)(v, &t, k1, fetched);
                    GK_NAME(gk_lit_block)(v, s, rays, &t, table, k0, k1, keep);
                } else if (planes) {
                    for (l = 0; l < GK_LANES; l++)
                        for (k = k0; k < k1 && t.light[l] > least; k++) GK_NAME(gk_one)(v, s, rays, &t, l, k);
                }
                k0 = k1;
            }
            for (l = 0; l < GK_LANES; l++)
                if (t.wanted[l]) {
                    float *to = out + ((r * 4 + (l >> 2)) * ni + i + (l & 3)) * 4;
                    for (c = 0; c < 3; c++) to[c] = (float)t.pixel[l][c];
                    to[3] = (float)((GK_REAL)1 - t.light[l]);
                }
        }
}
#undef GK_BLOCK
#undef GK_REAL
