/* Projection along the depth of any grid, tiles of 4 x 4 pixels, tile rows [begin, end), for the type in hand.
 *
 * The sixteen rays of a tile advance together. A ray is cut into blocks of eight samples; for a maximum (minimum) the
 * blocks are visited from the most promising on, and once the pyramid says that no block left can beat what every ray
 * of the tile already has, the tile is done. The result does not depend on the order of visits.
 */
#include "gk_sample.h"
#include "gk_lanes.h"

#define GK_BLOCK 8

/* Samples [k0, k1) of a tile. Ways: 0 max, 1 min, 2 mean. `whole` says that all of them are inside. */
static void GK_NAME(gk_slab_block)(const gk_volume *restrict v, const double *restrict m, const gk_tile *restrict t,
                                   int64_t k0, int64_t k1, int whole, int order, int way, double *restrict best,
                                   double *restrict count) {
    int64_t k;
    int l;
    for (k = k0; k < k1; k++) {
        double x[GK_LANES], y[GK_LANES], z[GK_LANES], value[GK_LANES];
        uint8_t valid[GK_LANES];
        const double kx = m[2] * (double)k, ky = m[6] * (double)k, kz = m[10] * (double)k;
        for (l = 0; l < GK_LANES; l++) {
            x[l] = t->i[0][l] + ((t->j[0][l] + kx) + m[3]);
            y[l] = t->i[1][l] + ((t->j[1][l] + ky) + m[7]);
            z[l] = t->i[2][l] + ((t->j[2][l] + kz) + m[11]);
        }
        if (order == 0)
            GK_NAME(gk_nearest_lanes)(v, x, y, z, value, valid);
        else
            GK_NAME(gk_linear_lanes)(v, x, y, z, value, valid);
        if (!whole)
            for (l = 0; l < GK_LANES; l++) valid[l] = valid[l] & (uint8_t)gk_inside(v, x[l], y[l], z[l]);
        if (way == 0)
            for (l = 0; l < GK_LANES; l++) {
                const double a = valid[l] ? value[l] : -GK_DOUBLE_INF;
                best[l] = a > best[l] ? a : best[l];
            }
        else if (way == 1)
            for (l = 0; l < GK_LANES; l++) {
                const double a = valid[l] ? value[l] : GK_DOUBLE_INF;
                best[l] = a < best[l] ? a : best[l];
            }
        else
            for (l = 0; l < GK_LANES; l++) best[l] += valid[l] ? value[l] : 0.0;
        for (l = 0; l < GK_LANES; l++) count[l] += (double)valid[l];
    }
}

static int GK_NAME(gk_slab)(const gk_volume *v, const gk_pyramid *p, const double *m, const int64_t *size, int order,
                            int way, double fill, void *out, int out_type, int64_t begin, int64_t end) {
    const int64_t ni = size[0], nj = size[1], nk = size[2], blocks = (nk + GK_BLOCK - 1) / GK_BLOCK;
    const int64_t width = (ni + 3) / 4 * 4;
    float *promise = (float *)malloc((size_t)blocks * sizeof(float));
    uint8_t *state = (uint8_t *)malloc((size_t)blocks); /* 0 done or empty, 1 partly outside, 2 inside */
    double *rows = (double *)malloc((size_t)width * 4 * sizeof(double));
    const int failed = !promise || !state || !rows;
    int64_t r, i, b;
    int l;
    for (r = begin; !failed && r < end; r++) {
        for (i = 0; i < ni; i += 4) {
            gk_tile t;
            double best[GK_LANES], count[GK_LANES];
            gk_tile_start(&t, m, size, i, r * 4);
            for (l = 0; l < GK_LANES; l++) {
                best[l] = way == 0 ? -GK_DOUBLE_INF : way == 1 ? GK_DOUBLE_INF : 0.0;
                count[l] = 0.0;
            }
            for (b = 0; b < blocks; b++) {
                const int64_t k0 = b * GK_BLOCK, k1 = k0 + GK_BLOCK < nk ? k0 + GK_BLOCK : nk;
                double low[3], high[3];
                gk_tile_box(m, i, r * 4, k0, k1 - 1, low, high);
                state[b] = (uint8_t)gk_box_state(v, low, high);
                if (state[b] && p && way != 2) {
                    float lo, hi;
                    gk_bounds(p, v->size, low, high, &lo, &hi);
                    if (lo > hi) state[b] = 0;
                    promise[b] = way == 0 ? hi : -lo;
                } else {
                    promise[b] = GK_FLOAT_MAX;
                }
            }
            if (!p || way == 2) {
                for (b = 0; b < blocks; b++)
                    if (state[b])
                        GK_NAME(gk_slab_block)(v, m, &t, b * GK_BLOCK, b * GK_BLOCK + GK_BLOCK < nk ? b * GK_BLOCK + GK_BLOCK : nk,
                                               state[b] == 2, order, way, best, count);
            } else {
                for (;;) {
                    int64_t pick = -1;
                    double reached = GK_DOUBLE_INF;
                    for (b = 0; b < blocks; b++)
                        if (state[b] && (pick < 0 || promise[b] > promise[pick])) pick = b;
                    if (pick < 0) break;
                    for (l = 0; l < GK_LANES; l++) {
                        const double have = way == 0 ? best[l] : -best[l];
                        if (t.wanted[l] && have < reached) reached = have;
                    }
                    if ((double)promise[pick] <= reached) break;
                    GK_NAME(gk_slab_block)(v, m, &t, pick * GK_BLOCK,
                                           pick * GK_BLOCK + GK_BLOCK < nk ? pick * GK_BLOCK + GK_BLOCK : nk,
                                           state[pick] == 2, order, way, best, count);
                    state[pick] = 0;
                }
            }
            for (l = 0; l < GK_LANES; l++)
                rows[(l >> 2) * width + i + (l & 3)] =
                    count[l] == 0.0 ? fill : way == 2 ? best[l] / count[l] : best[l];
        }
        for (l = 0; l < 4 && r * 4 + l < nj; l++) gk_store_row(out, out_type, (r * 4 + l) * ni, rows + l * width, ni);
    }
    free(promise);
    free(state);
    free(rows);
    return failed;
}
#undef GK_BLOCK
