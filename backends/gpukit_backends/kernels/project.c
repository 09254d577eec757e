/* Projections along an axis of the array on the CPU: entry point by voxel type. */
#include "gk_common.h"
#include "gk_export.h"

#define GK_BODY "project_axis.h"
#include "gk_types.h"

/* Results [begin, end) of a maximum (`least` 0) or minimum along `axis` (0 is i, 1 is j, 2 is k) of a volume whose
 * voxels along i are side by side. `checked`: voxels from `low` to `high`, which the type must be able to hold, are no
 * measurement. A line without any gives `none`. Always returns 0. */
GK_EXPORT int gpukit_project(const gk_volume *v, int axis, int least, int checked, double low, double high, double none,
                             void *out, int64_t begin, int64_t end) {
    switch (v->type) {
        case GK_U8: gk_project_u8(v, axis, least, checked, low, high, none, out, begin, end); break;
        case GK_I16: gk_project_i16(v, axis, least, checked, low, high, none, out, begin, end); break;
        case GK_U16: gk_project_u16(v, axis, least, checked, low, high, none, out, begin, end); break;
        case GK_I32: gk_project_i32(v, axis, least, checked, low, high, none, out, begin, end); break;
        case GK_F32: gk_project_f32(v, axis, least, checked, low, high, none, out, begin, end); break;
        default: gk_project_f64(v, axis, least, checked, low, high, none, out, begin, end);
    }
    return 0;
}
