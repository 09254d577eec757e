/* What one GPU thread does, for the type in hand: one voxel, one ray, one point, one brick. The CUDA kernels are
 * wrappers that only find the index; the CPU build runs the same functions one after another in its tests. */
#include "gk_sample.h"

#define GK_BLOCK 8

/* Value at a position, whatever the order; 0 where there is none. */
GK_FN int GK_NAME(gk_value)(const gk_volume *v, double x, double y, double z, int order, double *value) {
    if (!gk_inside(v, x, y, z)) return 0;
    return order == 0 ? GK_NAME(gk_nearest)(v, x, y, z, value) : GK_NAME(gk_linear)(v, x, y, z, value, 0);
}

/* Voxel `index` of a resampled volume. */
GK_FN void GK_NAME(gk_resample_thread)(const gk_volume *v, const double *m, const int64_t *size, int order, double fill,
                                       void *out, int out_type, int64_t index) {
    const int64_t i = index % size[0], j = index / size[0] % size[1], k = index / size[0] / size[1];
    double value;
    const double x = gk_position(m, i, gk_base(m, j, k)), y = gk_position(m + 4, i, gk_base(m + 4, j, k)),
                 z = gk_position(m + 8, i, gk_base(m + 8, j, k));
    gk_store(out, out_type, index, GK_NAME(gk_value)(v, x, y, z, order, &value) ? value : fill);
}

/* Point `index` of a list. */
GK_FN void GK_NAME(gk_point_thread)(const gk_volume *v, const double *points, int order, double fill, double *out,
                                    int64_t index) {
    const double *at = points + 3 * index;
    double value;
    out[index] = GK_NAME(gk_value)(v, at[0], at[1], at[2], order, &value) ? value : fill;
}

/* Pixel `index` of a projection. Ways: 0 max, 1 min, 2 mean. `p` may have no bounds. */
GK_FN void GK_NAME(gk_slab_thread)(const gk_volume *v, const gk_pyramid *p, const double *m, const int64_t *size,
                                   int order, int way, double fill, void *out, int out_type, int64_t index) {
    const int64_t i = index % size[0], j = index / size[0];
    double best = way == 0 ? -GK_DOUBLE_INF : way == 1 ? GK_DOUBLE_INF : 0.0, count = 0.0, value;
    int64_t k, k0;
    for (k0 = 0; k0 < size[2]; k0 += GK_BLOCK) {
        const int64_t k1 = k0 + GK_BLOCK < size[2] ? k0 + GK_BLOCK : size[2];
        double low[3], high[3];
        int axis;
        for (axis = 0; axis < 3; axis++) {
            const double a = gk_position(m + 4 * axis, i, gk_base(m + 4 * axis, j, k0));
            const double b = gk_position(m + 4 * axis, i, gk_base(m + 4 * axis, j, k1 - 1));
            low[axis] = a < b ? a : b;
            high[axis] = a < b ? b : a;
        }
        if (!gk_box_state(v, low, high)) continue;
        if (p->bounds && way != 2) {
            float lo, hi;
            gk_bounds(p, v->size, low, high, &lo, &hi);
            if (lo > hi || (way == 0 ? (double)hi <= best : (double)lo >= best)) continue;
        }
        for (k = k0; k < k1; k++) {
            const double x = gk_position(m, i, gk_base(m, j, k)), y = gk_position(m + 4, i, gk_base(m + 4, j, k)),
                         z = gk_position(m + 8, i, gk_base(m + 8, j, k));
            if (!GK_NAME(gk_value)(v, x, y, z, order, &value)) continue;
            count += 1.0;
            best = way == 2 ? best + value : way == 0 ? (value > best ? value : best) : (value < best ? value : best);
        }
    }
    gk_store(out, out_type, index, count == 0.0 ? fill : way == 2 ? best / count : best);
}

/* Brick `index` of the pyramid. */
GK_FN void GK_NAME(gk_pyramid_thread)(const gk_volume *v, float *bounds, int64_t index) {
    const int64_t nbi = gk_bricks(v->size[0]), nbj = gk_bricks(v->size[1]);
    const int64_t b[3] = {index % nbi, index / nbi % nbj, index / nbi / nbj};
    int64_t first[3], last[3], i, j, k;
    double low = GK_DOUBLE_INF, high = -GK_DOUBLE_INF;
    int axis;
    for (axis = 0; axis < 3; axis++) {
        first[axis] = b[axis] * GK_BRICK;
        last[axis] = first[axis] + GK_BRICK < v->size[axis] ? first[axis] + GK_BRICK : v->size[axis] - 1;
    }
    for (k = first[2]; k <= last[2]; k++)
        for (j = first[1]; j <= last[1]; j++)
            for (i = first[0]; i <= last[0]; i++) {
                const GK_T value = ((const GK_T *)v->data)[k * v->stride[2] + j * v->stride[1] + i * v->stride[0]];
                if (GK_NAME(gk_bad)(v, value)) continue;
                low = (double)value < low ? (double)value : low;
                high = (double)value > high ? (double)value : high;
            }
    gk_brick_store(bounds + 2 * index, low, high);
}
#undef GK_BLOCK
