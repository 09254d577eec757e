/* Histogram on the CPU. Small types are counted value by value, the others are put into their bin at once. */
#include <stdlib.h>

#include "gk_bins.h"
#include "gk_export.h"

/* Tables that neighbours are counted in by turns: in one alone, a run of equal values (air) would wait for itself. */
#define GK_TURNS 4

/* How often each value occurs, added to table[value - lowest value of the type]; values of 8 and 16 bits. Eight voxels
 * that a mask leaves out are passed over at once. Returns 0, or 1 where memory ran out. */
GK_EXPORT int gpukit_count_values(const void *data, int type, const uint8_t *inside, int64_t *table, int64_t begin,
                                  int64_t end) {
    const int64_t values = type == GK_U8 ? 256 : 65536, most = (int64_t)1 << 31;
    uint32_t *turns = malloc((size_t)(GK_TURNS * values) * sizeof *turns);
    if (!turns) return 1;
#define GK_COUNT(T, flip)                                                                              \
    do {                                                                                               \
        const T *x = data;                                                                             \
        if (inside) {                                                                                  \
            for (; i + 8 <= stop; i += 8) {                                                            \
                uint64_t any;                                                                          \
                memcpy(&any, inside + i, 8);                                                           \
                if (!any) continue;                                                                    \
                for (int l = 0; l < 8; ++l)                                                            \
                    turns[(l & (GK_TURNS - 1)) * values + (T)(x[i + l] ^ (flip))] += inside[i + l] != 0; \
            }                                                                                          \
            for (; i < stop; ++i) turns[(T)(x[i] ^ (flip))] += inside[i] != 0;                         \
        } else {                                                                                       \
            for (; i + GK_TURNS <= stop; i += GK_TURNS)                                                \
                for (int l = 0; l < GK_TURNS; ++l) ++turns[l * values + (T)(x[i + l] ^ (flip))];       \
            for (; i < stop; ++i) ++turns[(T)(x[i] ^ (flip))];                                         \
        }                                                                                              \
    } while (0)
    for (int64_t i = begin; i < end;) {
        const int64_t stop = end - i < most ? end : i + most; /* a turn's counts have 32 bits */
        memset(turns, 0, (size_t)(GK_TURNS * values) * sizeof *turns);
        if (type == GK_U8) GK_COUNT(uint8_t, 0);
        else if (type == GK_I16) GK_COUNT(uint16_t, 0x8000); /* the sign's bit turned over puts -32768 first */
        else GK_COUNT(uint16_t, 0);
        for (int64_t v = 0; v < values; ++v)
            for (int l = 0; l < GK_TURNS; ++l) table[v] += turns[l * values + v];
    }
#undef GK_COUNT
    free(turns);
    return 0;
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
