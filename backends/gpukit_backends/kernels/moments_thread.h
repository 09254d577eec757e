/* Body of gk_types.h: what one GPU thread does for statistics. Of `threads` it is number `index` and takes every voxel
 * index + m * threads, so that neighbours read neighbours; twice, because the second pass needs the mean. */
GK_FN void GK_NAME(gk_moments_thread)(const void *data, const uint8_t *inside, int64_t n, int has_padding, double low,
                                      double high, double *out, int64_t threads, int64_t index) {
    const GK_T *x = (const GK_T *)data;
    double own[GK_MOMENTS], mean, left = 0.0;
    gk_moments_clear(own);
    for (int64_t i = index; i < n; i += threads) {
        double v = (double)x[i];
        if ((inside && !inside[i]) || !gk_measured(v, has_padding, low, high)) continue;
        own[GK_N] += 1.0;
        own[GK_SUM] += v;
        own[GK_ENERGY] += v * v;
        own[GK_LOW] = v < own[GK_LOW] ? v : own[GK_LOW];
        own[GK_HIGH] = v > own[GK_HIGH] ? v : own[GK_HIGH];
    }
    if (own[GK_N] > 0.0) {
        mean = own[GK_SUM] / own[GK_N];
        for (int64_t i = index; i < n; i += threads) {
            double v = (double)x[i], d = v - mean, q = d * d;
            if ((inside && !inside[i]) || !gk_measured(v, has_padding, low, high)) continue;
            left += d;
            own[GK_M2] += q;
            own[GK_M3] += q * d;
            own[GK_M4] += q * q;
        }
        own[GK_MEAN] = mean + left / own[GK_N];
    }
    for (int i = 0; i < GK_MOMENTS; ++i) out[index * GK_MOMENTS + i] = own[i];
}
