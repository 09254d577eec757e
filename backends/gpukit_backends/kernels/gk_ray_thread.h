/* What one GPU thread does for ray casting, for the type in hand: one pixel. */
#include "gk_sample.h"
#include "gk_light.h"

GK_FN void GK_NAME(gk_ray_thread)(const gk_volume *v, const gk_pyramid *p, const uint8_t *kinds, const gk_rays *rays,
                                  const gk_scene *s, const int64_t *size, float *out, int64_t index) {
    const gk_ray ray = gk_ray_of(rays, index % size[0], index / size[0]);
    const int64_t block = 8;
    double pixel[4] = {0.0, 0.0, 0.0, 1.0};
    int64_t k, k0;
    int axis;
    for (k0 = 0; k0 < size[2] && 1.0 - pixel[3] < s->opaque; k0 += block) {
        const int64_t k1 = k0 + block < size[2] ? k0 + block : size[2];
        double low[3], high[3];
        for (axis = 0; axis < 3; axis++) {
            const double a = ray.start[axis] + (double)k0 * ray.step[axis];
            const double b = ray.start[axis] + (double)(k1 - 1) * ray.step[axis];
            low[axis] = a < b ? a : b;
            high[axis] = a < b ? b : a;
        }
        if (!gk_box_state(v, low, high) || !gk_planes_state(s, low, high)) continue;
        if (!(gk_kinds(kinds, p, v->size, low, high) & GK_DRAWN)) continue;
        for (k = k0; k < k1 && 1.0 - pixel[3] < s->opaque; k++) {
            double at[3];
            for (axis = 0; axis < 3; axis++) at[axis] = ray.start[axis] + (double)k * ray.step[axis];
            if (gk_inside(v, at[0], at[1], at[2])) GK_NAME(gk_light_sample)(v, s, &ray, rays->dual, at, pixel);
        }
    }
    for (axis = 0; axis < 3; axis++) out[4 * index + axis] = (float)pixel[axis];
    out[4 * index + 3] = (float)(1.0 - pixel[3]);
}
