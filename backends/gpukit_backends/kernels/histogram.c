/* Histogram on the CPU. Small types are counted value by value, the others are put into their bin at once. */
#include "gk_bins.h"
#include "gk_export.h"

/* How often each value occurs: table[value - lowest value of the type]. Types of 8 and 16 bits. */
GK_EXPORT void gpukit_count_values(const void *data, int type, const uint8_t *inside, int64_t *table, int64_t begin,
                                   int64_t end) {
#define GK_COUNT(T, shift)                                                            \
    do {                                                                              \
        const T *x = data;                                                            \
        if (inside) {                                                                 \
            for (int64_t i = begin; i < end; ++i) table[(int64_t)x[i] + (shift)] += inside[i] != 0; \
        } else {                                                                      \
            for (int64_t i = begin; i < end; ++i) ++table[(int64_t)x[i] + (shift)];   \
        }                                                                             \
    } while (0)
    if (type == GK_U8) GK_COUNT(uint8_t, 0);
    else if (type == GK_I16) GK_COUNT(int16_t, 32768);
    else GK_COUNT(uint16_t, 0);
#undef GK_COUNT
}

/* Counts of the values [begin, end) per bin; `endless`: the last bin holds +infinity too. */
GK_EXPORT void gpukit_count_bins(const void *data, int type, const uint8_t *inside, int has_padding, double low,
                                 double high, const double *bounds, int64_t bins, double even, int endless,
                                 int64_t *counts, int64_t begin, int64_t end) {
#define GK_COUNT(T)                                                              \
    do {                                                                         \
        const T *x = data;                                                       \
        for (int64_t i = begin; i < end; ++i) {                                  \
            double v = (double)x[i];                                             \
            int64_t b;                                                           \
            if (inside && !inside[i]) continue;                                  \
            if (!gk_measured(v, has_padding, low, high)) continue;               \
            b = gk_bin(v, bounds, bins, even, endless);                          \
            if (b >= 0) ++counts[b];                                             \
        }                                                                        \
    } while (0)
    if (type == GK_I32) GK_COUNT(int32_t);
    else if (type == GK_F32) GK_COUNT(float);
    else GK_COUNT(double);
#undef GK_COUNT
}
