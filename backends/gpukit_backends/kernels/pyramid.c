/* The brick pyramid on the CPU. */
#include <stdlib.h>

#include "gk_common.h"
#include "gk_export.h"
#include "gk_pyramid.h"

#define GK_BODY "pyramid_rows.h"
#include "gk_types.h"

/* Brick rows [begin, end) of the pyramid of a volume whose rows are contiguous. */
GK_EXPORT int gpukit_pyramid(const gk_volume *v, float *bounds, int64_t begin, int64_t end) {
    switch (v->type) {
        case GK_U8: return gk_build_pyramid_u8(v, bounds, begin, end);
        case GK_I16: return gk_build_pyramid_i16(v, bounds, begin, end);
        case GK_U16: return gk_build_pyramid_u16(v, bounds, begin, end);
        case GK_I32: return gk_build_pyramid_i32(v, bounds, begin, end);
        case GK_F32: return gk_build_pyramid_f32(v, bounds, begin, end);
        default: return gk_build_pyramid_f64(v, bounds, begin, end);
    }
}
