/* Body of gk_types.h: one part of the voxels of one type, sorted into their groups' holds and reduced when full. */
static void GK_NAME(gk_part)(const void *data, int64_t first, int64_t last, const void *group, int wide, int64_t groups,
                             int has_padding, double low, double high, double *hold, int32_t *held, double *out) {
    const GK_T *x = data;
    for (int64_t g = 0; g < groups; ++g) {
        gk_moments_clear(out + g * GK_MOMENTS);
        held[g] = 0;
    }
    if (groups == 1 && !wide) { /* the common case: compact without branches */
        const uint8_t *inside = group;
        for (int64_t i = first; i < last;) {
            int64_t stop = i + GK_HOLD < last ? i + GK_HOLD : last;
            int32_t count = 0;
            if (inside) {
                for (; i < stop; ++i) {
                    double v = (double)x[i];
                    hold[count] = v;
                    count += (inside[i] != 0) & gk_measured(v, has_padding, low, high);
                }
            } else if (GK_IS_FLOAT || has_padding) {
                for (; i < stop; ++i) {
                    double v = (double)x[i];
                    hold[count] = v;
                    count += gk_measured(v, has_padding, low, high);
                }
            } else {
                for (; i < stop; ++i) hold[count++] = (double)x[i];
            }
            gk_reduce(hold, count, out);
        }
        return;
    }
    for (int64_t i = first; i < last; ++i) {
        int64_t g = wide ? ((const uint16_t *)group)[i] : ((const uint8_t *)group)[i];
        double v = (double)x[i];
        if (g == 0 || !gk_measured(v, has_padding, low, high)) continue;
        --g;
        hold[g * GK_HOLD + held[g]] = v;
        if (++held[g] == GK_HOLD) {
            gk_reduce(hold + g * GK_HOLD, GK_HOLD, out + g * GK_MOMENTS);
            held[g] = 0;
        }
    }
    for (int64_t g = 0; g < groups; ++g) gk_reduce(hold + g * GK_HOLD, held[g], out + g * GK_MOMENTS);
}
