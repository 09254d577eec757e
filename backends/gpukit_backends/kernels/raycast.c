/* Ray casting on the CPU: entry points by voxel type. */
#include "gk_common.h"
#include "gk_export.h"
#include "gk_look.h"
#include "gk_pyramid.h"
#include "gk_rows.h"

#define GK_BODY "ray_rows.h"
#include "gk_types.h"

/* Rows of tiles [begin, end), each four rows of pixels. `bounds` may be null. Always returns 0. */
GK_EXPORT int gpukit_raycast(const gk_volume *v, const float *bounds, const gk_rays *rays, const gk_look *look,
                             const int64_t *size, float *out, int64_t begin, int64_t end) {
    gk_pyramid p;
    int axis;
    p.bounds = bounds;
    for (axis = 0; axis < 3; axis++) p.size[axis] = gk_bricks(v->size[axis]);
    switch (v->type) {
        case GK_U8: gk_cast_u8(v, &p, rays, look, size, out, begin, end); break;
        case GK_I16: gk_cast_i16(v, &p, rays, look, size, out, begin, end); break;
        case GK_U16: gk_cast_u16(v, &p, rays, look, size, out, begin, end); break;
        case GK_I32: gk_cast_i32(v, &p, rays, look, size, out, begin, end); break;
        case GK_F32: gk_cast_f32(v, &p, rays, look, size, out, begin, end); break;
        default: gk_cast_f64(v, &p, rays, look, size, out, begin, end);
    }
    return 0;
}
