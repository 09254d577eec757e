/* Single points, [begin, end) of n, for the type in hand. */
#include "gk_sample.h"
#include "gk_lanes.h"

static void GK_NAME(gk_points)(const gk_volume *v, const double *points, int order, double fill, double *out,
                               int64_t begin, int64_t end) {
    int64_t n;
    int l;
    for (n = begin; n < end; n += GK_LANES) {
        double x[GK_LANES], y[GK_LANES], z[GK_LANES], value[GK_LANES];
        uint8_t valid[GK_LANES], inside[GK_LANES];
        const int lanes = end - n < GK_LANES ? (int)(end - n) : GK_LANES;
        for (l = 0; l < GK_LANES; l++) {
            const double *at = points + 3 * (n + (l < lanes ? l : 0));
            inside[l] = (uint8_t)gk_inside(v, at[0], at[1], at[2]); /* NaN is not inside */
            x[l] = inside[l] ? at[0] : 0.0;
            y[l] = inside[l] ? at[1] : 0.0;
            z[l] = inside[l] ? at[2] : 0.0;
        }
        if (order == 0)
            GK_NAME(gk_nearest_lanes)(v, x, y, z, value, valid);
        else
            GK_NAME(gk_linear_lanes)(v, x, y, z, value, valid);
        for (l = 0; l < lanes; l++) out[n + l] = inside[l] & valid[l] ? value[l] : fill;
    }
}
