/* Histogram on NVIDIA devices: each thread finds the bin of one voxel and counts it. */
#include "gk_cuda.h"
#include "gk_bins.h"

#define GK_BODY "bins_thread.h"
#include "gk_types.h"

#define GK_MAKE(type)                                                                                           \
    GK_KERNEL gpukit_bins##type(const void *data, const uint8_t *inside, int32_t has_padding, double low,       \
                                double high, const double *bounds, int64_t bins, double even, int32_t endless,  \
                                unsigned long long *counts, int64_t count) {                                    \
        if (GK_INDEX < count) {                                                                                 \
            const int64_t bin = gk_bin_thread##type(data, inside, has_padding, low, high, bounds, bins, even,   \
                                                    endless, GK_INDEX);                                         \
            if (bin >= 0) atomicAdd(counts + bin, 1ULL);                                                        \
        }                                                                                                       \
    }
GK_EACH_TYPE(GK_MAKE)
