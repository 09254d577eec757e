/* The per-thread functions of the CUDA kernels, run on the CPU one index after another. Nothing but tests calls these:
 * they show that what a GPU thread computes is right, on machines that have no GPU. */
#include "gk_common.h"
#include "gk_export.h"
#include "gk_pyramid.h"

#define GK_BODY "gk_threads.h"
#include "gk_types.h"

/* Calls one function of the volume's type for each index in [begin, end). */
#define GK_FOR_EACH(function, ...)                                             \
    for (; begin < end; begin++) switch (v->type) {                            \
            case GK_U8: function##_u8(__VA_ARGS__, begin); break;              \
            case GK_I16: function##_i16(__VA_ARGS__, begin); break;            \
            case GK_U16: function##_u16(__VA_ARGS__, begin); break;            \
            case GK_I32: function##_i32(__VA_ARGS__, begin); break;            \
            case GK_F32: function##_f32(__VA_ARGS__, begin); break;            \
            default: function##_f64(__VA_ARGS__, begin);                       \
        }

GK_EXPORT void gpukit_threads_resample(const gk_volume *v, const double *m, const int64_t *size, int order, double fill,
                                       void *out, int out_type, int64_t begin, int64_t end) {
    GK_FOR_EACH(gk_resample_thread, v, m, size, order, fill, out, out_type)
}

GK_EXPORT void gpukit_threads_sample(const gk_volume *v, const double *points, int order, double fill, double *out,
                                     int64_t begin, int64_t end) {
    GK_FOR_EACH(gk_point_thread, v, points, order, fill, out)
}

GK_EXPORT void gpukit_threads_pyramid(const gk_volume *v, float *bounds, int64_t begin, int64_t end) {
    GK_FOR_EACH(gk_pyramid_thread, v, bounds)
}

GK_EXPORT void gpukit_threads_slab(const gk_volume *v, const float *bounds, const double *m, const int64_t *size,
                                   int order, int way, double fill, void *out, int out_type, int64_t begin,
                                   int64_t end) {
    gk_pyramid p;
    int axis;
    p.bounds = bounds;
    for (axis = 0; axis < 3; axis++) p.size[axis] = gk_bricks(v->size[axis]);
    GK_FOR_EACH(gk_slab_thread, v, &p, m, size, order, way, fill, out, out_type)
}
