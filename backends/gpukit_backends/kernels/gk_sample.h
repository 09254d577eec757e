/* One sample of a volume, for the type in hand (see gk_types.h). These are the functions that define a value on every
 * device: the CUDA kernels call them per thread, the CPU's lanes fall back to them, and must agree with them. */

/* Whether a voxel is no measurement. */
GK_FN int GK_NAME(gk_bad)(const gk_volume *v, GK_T value) {
#if GK_IS_FLOAT
    if (value != value) return 1;
#endif
    return v->has_padding && (double)value >= v->low && (double)value <= v->high;
}

/* The nearest voxel; returns whether it is a measurement. The sample must be inside. */
GK_FN int GK_NAME(gk_nearest)(const gk_volume *v, double x, double y, double z, double *value) {
    const int64_t at = gk_nearest_index(z, v->size[2]) * v->stride[2] + gk_nearest_index(y, v->size[1]) * v->stride[1] +
                       gk_nearest_index(x, v->size[0]) * v->stride[0];
    const GK_T found = ((const GK_T *)v->data)[at];
    *value = (double)found;
    return !GK_NAME(gk_bad)(v, found);
}

/* Trilinear: along k, then j, then i. Where a neighbour is no measurement, the weights of the others are scaled up to
 * one; returns 0 where the nearest voxel is none. *beside (if not null) says whether a neighbour was none. */
GK_FN int GK_NAME(gk_linear)(const gk_volume *v, double x, double y, double z, double *value, int *beside) {
    double fx, fy, fz, w, nearest, total = 0.0, weight = 0.0;
    const int64_t i = gk_corner(x, v->size[0], &fx), j = gk_corner(y, v->size[1], &fy),
                  k = gk_corner(z, v->size[2], &fz);
    const int64_t di = v->size[0] > 1 ? v->stride[0] : 0, dj = v->size[1] > 1 ? v->stride[1] : 0,
                  dk = v->size[2] > 1 ? v->stride[2] : 0;
    const GK_T *p = (const GK_T *)v->data + k * v->stride[2] + j * v->stride[1] + i * v->stride[0];
    GK_T c[8];
    int a, lost = 0;
    for (a = 0; a < 8; a++) {
        c[a] = p[(a >> 2) * dk + ((a >> 1) & 1) * dj + (a & 1) * di];
        lost |= GK_NAME(gk_bad)(v, c[a]);
    }
    if (beside) *beside = lost;
    if (!lost) {
        const double r00 = gk_mix(fz, (double)c[0], (double)c[4]), r01 = gk_mix(fz, (double)c[1], (double)c[5]);
        const double r10 = gk_mix(fz, (double)c[2], (double)c[6]), r11 = gk_mix(fz, (double)c[3], (double)c[7]);
        *value = gk_mix(fx, gk_mix(fy, r00, r10), gk_mix(fy, r01, r11));
        return 1;
    }
    if (!GK_NAME(gk_nearest)(v, x, y, z, &nearest)) return 0;
    for (a = 0; a < 8; a++) {
        if (GK_NAME(gk_bad)(v, c[a])) continue;
        w = ((a >> 2) ? fz : 1.0 - fz) * (((a >> 1) & 1) ? fy : 1.0 - fy) * ((a & 1) ? fx : 1.0 - fx);
        weight += w;
        total += w * (double)c[a];
    }
    *value = total / weight;
    return 1;
}
