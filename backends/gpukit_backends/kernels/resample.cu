/* Resampling on NVIDIA devices: one thread per voxel of the result. */
#include "gk_cuda.h"

#define GK_BODY "gk_threads.h"
#include "gk_types.h"

#define GK_MAKE(type)                                                                                            \
    GK_KERNEL gpukit_resample##type(GK_VOLUME_ARGS, GK_MAP_ARGS, int32_t order, double fill, void *out,          \
                                    int32_t out_type, int64_t count) {                                           \
        const gk_volume v = GK_VOLUME;                                                                           \
        GK_MAP;                                                                                                  \
        const int64_t index = GK_INDEX;                                                                          \
        if (index < count) gk_resample_thread##type(&v, m, size, order, fill, out, out_type, index);             \
    }
GK_EACH_TYPE(GK_MAKE)
