/* Projections on the CPU: entry points by voxel type. */
#include <stdlib.h>

#include "gk_common.h"
#include "gk_export.h"
#include "gk_pyramid.h"
#include "gk_rows.h"
#include "gk_tile.h"

#define GK_BODY "slab_rows.h"
#include "gk_types.h"

/* Rows of tiles [begin, end), each four rows of pixels. `bounds` may be null: then every sample is looked at. */
GK_EXPORT int gpukit_slab(const gk_volume *v, const float *bounds, const double *m, const int64_t *size, int order,
                          int way, double fill, void *out, int out_type, int64_t begin, int64_t end) {
    gk_pyramid pyramid, *p = 0;
    if (bounds) {
        int axis;
        pyramid.bounds = bounds;
        for (axis = 0; axis < 3; axis++) pyramid.size[axis] = gk_bricks(v->size[axis]);
        p = &pyramid;
    }
    switch (v->type) {
        case GK_U8: return gk_slab_u8(v, p, m, size, order, way, fill, out, out_type, begin, end);
        case GK_I16: return gk_slab_i16(v, p, m, size, order, way, fill, out, out_type, begin, end);
        case GK_U16: return gk_slab_u16(v, p, m, size, order, way, fill, out, out_type, begin, end);
        case GK_I32: return gk_slab_i32(v, p, m, size, order, way, fill, out, out_type, begin, end);
        case GK_F32: return gk_slab_f32(v, p, m, size, order, way, fill, out, out_type, begin, end);
        default: return gk_slab_f64(v, p, m, size, order, way, fill, out, out_type, begin, end);
    }
}
