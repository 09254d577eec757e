/* Projections on NVIDIA devices: one thread per brick of the pyramid, then one per pixel. */
#include "gk_cuda.h"

#define GK_BODY "gk_threads.h"
#include "gk_types.h"

#define GK_MAKE(type)                                                                                            \
    GK_KERNEL gpukit_pyramid##type(GK_VOLUME_ARGS, float *bounds, int64_t count) {                               \
        const gk_volume v = GK_VOLUME;                                                                           \
        const int64_t index = GK_INDEX;                                                                          \
        if (index < count) gk_pyramid_thread##type(&v, bounds, index);                                           \
    }                                                                                                            \
    GK_KERNEL gpukit_slab##type(GK_VOLUME_ARGS, const float *bounds, GK_MAP_ARGS, int32_t order, int32_t way,    \
                                double fill, void *out, int32_t out_type, int64_t count) {                       \
        const gk_volume v = GK_VOLUME;                                                                           \
        const gk_pyramid p = gk_bricks_of(&v, bounds);                                                           \
        GK_MAP;                                                                                                  \
        const int64_t index = GK_INDEX;                                                                          \
        if (index < count) gk_slab_thread##type(&v, &p, m, size, order, way, fill, out, out_type, index);        \
    }
GK_EACH_TYPE(GK_MAKE)
