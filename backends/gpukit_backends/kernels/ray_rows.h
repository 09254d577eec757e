/* Ray casting, tiles of 4 x 4 pixels, tile rows [begin, end), for the type in hand. */
#include "gk_sample.h"
#include "gk_lanes.h"
#include "gk_light.h"

#define GK_BLOCK 8

static void GK_NAME(gk_cast)(const gk_volume *v, const gk_pyramid *p, const gk_rays *rays, const gk_look *look,
                             const int64_t *size, float *out, int64_t begin, int64_t end) {
    const int64_t ni = size[0], nj = size[1], nk = size[2];
    int64_t r, i, k, k0;
    int l, axis;
    for (r = begin; r < end; r++)
        for (i = 0; i < ni; i += 4) {
            gk_ray ray[GK_LANES];
            double start[3][GK_LANES], step[3][GK_LANES], pixel[GK_LANES][4];
            int wanted[GK_LANES];
            for (l = 0; l < GK_LANES; l++) {
                wanted[l] = i + (l & 3) < ni && r * 4 + (l >> 2) < nj;
                ray[l] = gk_ray_of(rays, i + (l & 3), r * 4 + (l >> 2));
                for (axis = 0; axis < 3; axis++) {
                    start[axis][l] = ray[l].start[axis];
                    step[axis][l] = ray[l].step[axis];
                    pixel[l][axis] = 0.0;
                }
                pixel[l][3] = 1.0;
            }
            for (k0 = 0; k0 < nk; k0 += GK_BLOCK) {
                const int64_t k1 = k0 + GK_BLOCK < nk ? k0 + GK_BLOCK : nk;
                double low[3], high[3];
                int state, going = 0;
                for (l = 0; l < GK_LANES; l++) going |= wanted[l] && 1.0 - pixel[l][3] < look->opaque;
                if (!going) break;
                for (axis = 0; axis < 3; axis++) {
                    low[axis] = GK_DOUBLE_INF;
                    high[axis] = -GK_DOUBLE_INF;
                    for (l = 0; l < GK_LANES; l++) {
                        const double a = start[axis][l] + (double)k0 * step[axis][l];
                        const double b = start[axis][l] + (double)(k1 - 1) * step[axis][l];
                        low[axis] = a < low[axis] ? a : low[axis];
                        low[axis] = b < low[axis] ? b : low[axis];
                        high[axis] = a > high[axis] ? a : high[axis];
                        high[axis] = b > high[axis] ? b : high[axis];
                    }
                }
                state = gk_box_state(v, low, high);
                if (!state) continue;
                if (p->bounds) {
                    float lo, hi;
                    gk_bounds(p, v->size, low, high, &lo, &hi);
                    if (lo > hi || !gk_visible(look, (double)lo, (double)hi)) continue;
                }
                for (k = k0; k < k1; k++) {
                    double x[GK_LANES], y[GK_LANES], z[GK_LANES], value[GK_LANES];
                    uint8_t valid[GK_LANES];
                    for (l = 0; l < GK_LANES; l++) {
                        x[l] = start[0][l] + (double)k * step[0][l];
                        y[l] = start[1][l] + (double)k * step[1][l];
                        z[l] = start[2][l] + (double)k * step[2][l];
                    }
                    GK_NAME(gk_linear_lanes)(v, x, y, z, value, valid);
                    for (l = 0; l < GK_LANES; l++) {
                        const double at[3] = {x[l], y[l], z[l]};
                        if (!valid[l] || !wanted[l] || !(1.0 - pixel[l][3] < look->opaque)) continue;
                        if (state != 2 && !gk_inside(v, x[l], y[l], z[l])) continue;
                        GK_NAME(gk_light_sample)(v, look, &ray[l], rays->dual, at, value[l], pixel[l]);
                    }
                }
            }
            for (l = 0; l < GK_LANES; l++)
                if (wanted[l]) {
                    float *to = out + ((r * 4 + (l >> 2)) * ni + i + (l & 3)) * 4;
                    to[0] = (float)pixel[l][0];
                    to[1] = (float)pixel[l][1];
                    to[2] = (float)pixel[l][2];
                    to[3] = (float)(1.0 - pixel[l][3]);
                }
        }
}
#undef GK_BLOCK
