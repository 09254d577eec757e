/* Ray casting on NVIDIA devices: one thread per pixel, after one thread per brick that says what is visible there. */
#include "gk_cuda.h"
#include "gk_look.h"

#define GK_BODY "gk_ray_thread.h"
#include "gk_types.h"

/* `rays` and `scene` lie in device memory, and so does what they point to. */
#define GK_MAKE(type)                                                                                                \
    GK_KERNEL gpukit_raycast##type(GK_VOLUME_ARGS, const uint8_t *kinds, const gk_rays *rays, const gk_scene *scene, \
                                   int64_t oi, int64_t oj, int64_t ok, float *out, int64_t count) {                  \
        const gk_volume v = GK_VOLUME;                                                                               \
        const gk_pyramid p = gk_bricks_of(&v, 0);                                                                    \
        const int64_t size[3] = {oi, oj, ok};                                                                        \
        const int64_t index = GK_INDEX;                                                                              \
        if (index < count) gk_ray_thread##type(&v, &p, kinds, rays, scene, size, out, index);                        \
    }                                                                                                                \
    GK_KERNEL gpukit_raybricks##type(GK_VOLUME_ARGS, const float *bounds, const float *label_bounds,                 \
                                     const float *second_bounds, const gk_scene *scene, uint8_t *kinds,              \
                                     int64_t count) {                                                                \
        const gk_volume v = GK_VOLUME;                                                                               \
        const gk_pyramid p = gk_bricks_of(&v, bounds);                                                               \
        const int64_t index = GK_INDEX;                                                                              \
        if (index < count)                                                                                           \
            kinds[index] = (uint8_t)gk_brick_kind(scene, &v, &p, label_bounds, second_bounds, index);                \
    }
GK_EACH_TYPE(GK_MAKE)
