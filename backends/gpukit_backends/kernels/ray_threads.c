/* The per-thread functions of CUDA's ray casting, run on the CPU one index after another; for tests only, as in threads.c. */
#include "gk_common.h"
#include "gk_export.h"
#include "gk_pyramid.h"
#include "gk_look.h"

#define GK_BODY "gk_ray_thread.h"
#include "gk_types.h"

/* Pixels [begin, end). */
GK_EXPORT void gpukit_threads_raycast(const gk_volume *v, const uint8_t *kinds, const gk_rays *rays, const gk_scene *s,
                                      const int64_t *size, float *out, int64_t begin, int64_t end) {
    gk_pyramid p;
    int axis;
    p.bounds = 0;
    for (axis = 0; axis < 3; axis++) p.size[axis] = gk_bricks(v->size[axis]);
    for (; begin < end; begin++) switch (v->type) {
            case GK_U8: gk_ray_thread_u8(v, &p, kinds, rays, s, size, out, begin); break;
            case GK_I16: gk_ray_thread_i16(v, &p, kinds, rays, s, size, out, begin); break;
            case GK_U16: gk_ray_thread_u16(v, &p, kinds, rays, s, size, out, begin); break;
            case GK_I32: gk_ray_thread_i32(v, &p, kinds, rays, s, size, out, begin); break;
            case GK_F32: gk_ray_thread_f32(v, &p, kinds, rays, s, size, out, begin); break;
            default: gk_ray_thread_f64(v, &p, kinds, rays, s, size, out, begin);
        }
}
