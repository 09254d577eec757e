/* Body of gk_types.h: the bin of one voxel, or -1. */
GK_FN int64_t GK_NAME(gk_bin_thread)(const void *data, const uint8_t *inside, int has_padding, double low, double high,
                                     const double *bounds, int64_t bins, double even, int endless, int64_t index) {
    const double v = (double)((const GK_T *)data)[index];
    if ((inside && !inside[index]) || !gk_measured(v, has_padding, low, high)) return -1;
    return gk_bin(v, bounds, bins, even, endless);
}
