/* Ray casting on NVIDIA devices: one thread per pixel. */
#include "gk_cuda.h"
#include "gk_look.h"

#define GK_BODY "gk_ray_thread.h"
#include "gk_types.h"

/* `numbers` holds gk_rays as 34 doubles, then low, scale, ambient, diffuse, specular, shininess and opaque. */
#define GK_MAKE(type)                                                                                              \
    GK_KERNEL gpukit_raycast##type(GK_VOLUME_ARGS, const float *bounds, const double *numbers, const double *table, \
                                   const int32_t *filled, int64_t n, int32_t shaded, int64_t oi, int64_t oj,       \
                                   int64_t ok, float *out, int64_t count) {                                        \
        const gk_volume v = GK_VOLUME;                                                                             \
        const gk_pyramid p = gk_bricks_of(&v, bounds);                                                             \
        const int64_t size[3] = {oi, oj, ok};                                                                      \
        const double *w = numbers + 34;                                                                            \
        const gk_look look = {table, filled, n, w[0], w[1], w[2], w[3], w[4], w[5], w[6], shaded};                 \
        const int64_t index = GK_INDEX;                                                                            \
        if (index < count) gk_ray_thread##type(&v, &p, (const gk_rays *)numbers, &look, size, out, index);         \
    }
GK_EACH_TYPE(GK_MAKE)
