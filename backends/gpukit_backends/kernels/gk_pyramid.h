/* Smallest and largest measurement of each brick of 8 x 8 x 8 cells.
 *
 * A cell is the space between eight neighbouring voxels, so a brick looks at 9 x 9 x 9 voxels: a sample anywhere in it
 * is a blend of these and lies between their extremes. Voxels that are no measurement do not count; a brick of none has
 * low > high. Bounds are floats, rounded outwards where the voxel type has more digits.
 */
#ifndef GK_PYRAMID_H
#define GK_PYRAMID_H

#define GK_BRICK 8
#define GK_BRICK_SHIFT 3
#define GK_FLOAT_MAX 3.402823466e38f
#define GK_DOUBLE_INF ((double)INFINITY)

typedef struct {
    const float *bounds; /* [nbk][nbj][nbi][2]: low, high */
    int64_t size[3];     /* bricks along i, j, k */
} gk_pyramid;

GK_FN int64_t gk_bricks(int64_t voxels) { return (voxels + GK_BRICK - 1) / GK_BRICK; }

/* Writes a brick's extremes, rounded outwards; low > high says that it holds no measurement. */
GK_FN void gk_brick_store(float *to, double low, double high) {
    const float lo = (float)low, hi = (float)high;
    if (low > high) {
        to[0] = GK_FLOAT_MAX;
        to[1] = -GK_FLOAT_MAX;
        return;
    }
    to[0] = (double)lo > low ? nextafterf(lo, -GK_FLOAT_MAX) : lo;
    to[1] = (double)hi < high ? nextafterf(hi, GK_FLOAT_MAX) : hi;
}

/* Cells whose samples can lie between positions low and high along an axis of n voxels, clamped; as brick indices. */
GK_FN void gk_brick_range(double low, double high, int64_t n, int64_t *first, int64_t *last) {
    *first = (int64_t)gk_clamp(low, 0.0, (double)(n - 1)) >> GK_BRICK_SHIFT;
    *last = (int64_t)gk_clamp(high, 0.0, (double)(n - 1)) >> GK_BRICK_SHIFT;
}

/* Extremes over a box of positions; low > high where it holds no measurement. */
GK_FN void gk_bounds(const gk_pyramid *p, const int64_t *n, const double *box_low, const double *box_high, float *low,
                     float *high) {
    int64_t a[3], b[3], i, j, k;
    float lo = GK_FLOAT_MAX, hi = -GK_FLOAT_MAX;
    int axis;
    for (axis = 0; axis < 3; axis++) gk_brick_range(box_low[axis], box_high[axis], n[axis], &a[axis], &b[axis]);
    for (k = a[2]; k <= b[2]; k++)
        for (j = a[1]; j <= b[1]; j++) {
            const float *row = p->bounds + ((k * p->size[1] + j) * p->size[0]) * 2;
            for (i = a[0]; i <= b[0]; i++) {
                lo = row[2 * i] < lo ? row[2 * i] : lo;
                hi = row[2 * i + 1] > hi ? row[2 * i + 1] : hi;
            }
        }
    *low = lo;
    *high = hi;
}

/* 0: wholly outside the volume, 1: partly, 2: wholly inside. */
GK_FN int gk_box_state(const gk_volume *v, const double *low, const double *high) {
    int axis, state = 2;
    for (axis = 0; axis < 3; axis++) {
        const double n = (double)v->size[axis];
        if (!(high[axis] >= -0.5 - GK_EDGE) || !(low[axis] <= n - 0.5 + GK_EDGE)) return 0;
        if (!gk_within(low[axis], v->size[axis]) || !gk_within(high[axis], v->size[axis])) state = 1;
    }
    return state;
}

#endif
