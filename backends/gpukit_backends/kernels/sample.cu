/* Sampling at points on NVIDIA devices: one thread per point. */
#include "gk_cuda.h"

#define GK_BODY "gk_threads.h"
#include "gk_types.h"

#define GK_MAKE(type)                                                                                       \
    GK_KERNEL gpukit_sample##type(GK_VOLUME_ARGS, const double *points, int32_t order, double fill,         \
                                  double *out, int64_t count) {                                             \
        const gk_volume v = GK_VOLUME;                                                                      \
        const int64_t index = GK_INDEX;                                                                     \
        if (index < count) gk_point_thread##type(&v, points, order, fill, out, index);                      \
    }
GK_EACH_TYPE(GK_MAKE)
