/* Ray casting, tiles of 4 x 4 pixels, tile rows [begin, end), for the type in hand.
 *
 * The sixteen rays of a tile advance together, eight samples at a time. Where only the volume's own values can be
 * visible, the sixteen samples are blended, looked up, lit and added as lanes (ray_block.h); everywhere else by the
 * function that a GPU thread runs. Blocks in which nothing can be visible are leapt over.
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
    double start[3][GK_LANES], step[3][GK_LANES]; /* of the rays, as lanes */
    GK_REAL toward[3][GK_LANES]; /* the view, so that the product with an index gradient is that in mm */
    GK_REAL pixel[3][GK_LANES];
} GK_NAME(gk_rays_of_tile);

/* Sample k of one lane by the general rule. */
static void GK_NAME(gk_one)(const gk_volume *v, const gk_scene *s, const gk_rays *rays, GK_NAME(gk_rays_of_tile) * t, int l,
                            int64_t k) {
    const gk_ray *ray = &t->ray[l];
    double at[3], pixel[4];
    int axis;
    for (axis = 0; axis < 3; axis++) at[axis] = ray->start[axis] + (double)k * ray->step[axis];
    if (!gk_inside(v, at[0], at[1], at[2])) return;
    for (axis = 0; axis < 3; axis++) pixel[axis] = t->pixel[axis][l];
    pixel[3] = t->light[l];
    GK_NAME(gk_light_sample)(v, s, ray, rays->dual, at, pixel);
    for (axis = 0; axis < 3; axis++) t->pixel[axis][l] = (GK_REAL)pixel[axis];
    t->light[l] = (GK_REAL)pixel[3];
}

#include "ray_block.h"

static void GK_NAME(gk_cast)(const gk_volume *v, const gk_skip *skip, const gk_rays *rays, const gk_scene *s,
                             const gk_tables *tables, const int64_t *size, float *out, int64_t begin, int64_t end) {
    const int64_t ni = size[0], nj = size[1], nk = size[2];
    const GK_REAL least = (GK_REAL)(1.0 - s->opaque);
    int64_t r, i, k, k0;
    int l, axis, c;
    for (r = begin; r < end; r++)
        for (i = 0; i < ni; i += 4) {
            GK_NAME(gk_rays_of_tile) t;
            int64_t first, beyond;
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
                for (c = 0; c < 3; c++) t.pixel[c][l] = (GK_REAL)0;
            }
            if (first < beyond)
                for (l = 0; l < GK_LANES; l++) {
                    t.ray[l] = gk_ray_of(rays, i + (l & 3), r * 4 + (l >> 2));
                    t.length[l] = (GK_REAL)t.ray[l].length;
                    for (axis = 0; axis < 3; axis++) {
                        t.start[axis][l] = t.ray[l].start[axis];
                        t.step[axis][l] = t.ray[l].step[axis];
                        t.toward[axis][l] = (GK_REAL)((rays->dual[axis] * t.ray[l].view[0] + rays->dual[3 + axis] * t.ray[l].view[1]) +
                                                      rays->dual[6 + axis] * t.ray[l].view[2]);
                    }
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
                if (planes && kinds == GK_SEEN && gk_for_lanes(v, low, high)) {
                    double keep = 1.0;
                    if (s->labels) { /* one label everywhere in these bricks */
                        int64_t at[3];
                        for (axis = 0; axis < 3; axis++) at[axis] = (int64_t)gk_clamp(low[axis], 0.0, (double)(v->size[axis] - 1));
                        keep = gk_medium(s, (at[2] * v->size[1] + at[1]) * v->size[0] + at[0])[4];
                    }
                    GK_NAME(gk_lit_block)(v, s, rays, &t, tables, k0, k1, low, keep, planes != 2 || !within);
                } else if (planes) {
                    for (l = 0; l < GK_LANES; l++)
                        for (k = k0; k < k1 && t.light[l] > least; k++) GK_NAME(gk_one)(v, s, rays, &t, l, k);
                }
                k0 = k1;
            }
            for (l = 0; l < GK_LANES; l++)
                if (t.wanted[l]) {
                    float *to = out + ((r * 4 + (l >> 2)) * ni + i + (l & 3)) * 4;
                    for (c = 0; c < 3; c++) to[c] = (float)t.pixel[c][l];
                    to[3] = (float)((GK_REAL)1 - t.light[l]);
                }
        }
}
#undef GK_BLOCK
#undef GK_REAL
