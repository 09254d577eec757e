/* Trilinear samples in single precision with a proven bound on their error, for small integers that are rounded to
 * integers afterwards. Almost always the bound shows that double precision would round to the same number; the few
 * samples where it does not (and all near the border, or beside a voxel that is no measurement) are left to the caller,
 * who takes them in double precision. So results stay equal to the reference's to the bit, at half the width.
 *
 * Positions are fixed-point: the first lane's with 40 bits behind the point, the others' from there with 24.
 */
#ifndef GK_QUICK_H
#define GK_QUICK_H

/* 1.5 * 2^23: adding and taking it off again rounds half to even. */
#define GK_QUICK_BIG 12582912.0f
#define GK_QUICK_ONE 16777216.0 /* 2^24 */
/* Lanes must lie farther inside the outermost centres than fixed-point positions can be wrong. */
#define GK_QUICK_EDGE 1e-6
/* Farthest that a lane may lie from the first one, in voxels: keeps positions and offsets within 32 bits. */
#define GK_QUICK_REACH 100.0
/* Most steps from the first position: the step's own rounding is then 2^-28 in all. */
#define GK_QUICK_STEPS 8192
/* Error of a sample, in units of the largest neighbour. With u = 2^-24 and values up to M: positions are 1.5 u off (one
 * part is cut, the other rounded), three times, over differences up to 2 M: 9 u M. The first blend rounds a product and
 * a sum: 3 u M (the difference of two small integers is exact); the second and third a difference too: 5 u M each.
 * 22 u M in all; 24 leaves room for what is of second order. */
#define GK_QUICK_ERROR (24.0f / 16777216.0f)

typedef struct {
    int32_t offset[3][GK_LANES]; /* of each lane from the first, in 2^-24 voxels */
} gk_quick;

/* Prepares for lanes that lie at these distances from the first one. Returns 0 where it cannot be done. */
static int gk_quick_start(gk_quick *q, const gk_volume *v, double lanes[3][GK_LANES]) {
    int axis, l;
    if (v->stride[0] != 1 || (v->type != GK_U8 && v->type != GK_I16 && v->type != GK_U16)) return 0;
    if (v->stride[1] < 0 || v->stride[2] < 0) return 0;
    if ((double)(v->stride[1] + v->stride[2] + 1) * (GK_QUICK_REACH + 2.0) > 2147483647.0) return 0;
    for (axis = 0; axis < 3; axis++) {
        if (v->size[axis] < 2 || v->size[axis] > (1 << 22)) return 0;
        for (l = 0; l < GK_LANES; l++) {
            const double away = lanes[axis][l];
            if (!(away < GK_QUICK_REACH) || !(away > -GK_QUICK_REACH)) return 0;
            q->offset[axis][l] = (int32_t)gk_round(away * GK_QUICK_ONE);
        }
    }
    return 1;
}

/* A position, from 0 to 2^22, or a step, with 40 bits behind the point. */
GK_FN int64_t gk_quick_fixed(double x) { return (int64_t)(x * 1099511627776.0); }

/* Marks the samples that might round to another number than the exact ones do; `doubt` is cleared eight beyond n. */
static void gk_quick_doubts(const float *restrict line, int64_t n, float most, uint8_t *restrict doubt) {
    const float big = GK_QUICK_BIG, sure = 0.5f - most * GK_QUICK_ERROR;
    int64_t i;
    for (i = 0; i < n; i++) doubt[i] = fabsf(line[i] - ((line[i] + big) - big)) > sure;
    memset(doubt + n, 0, 8);
}

/* Whether positions between low and high along an axis of n voxels can be taken. */
GK_FN int gk_quick_within(double low, double high, int64_t n) {
    return low >= GK_QUICK_EDGE && high <= (double)(n - 1) - GK_QUICK_EDGE;
}

#endif
