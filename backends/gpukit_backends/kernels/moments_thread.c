/* The GPU threads of statistics, run on the CPU one after another; only tests call this. */
#include "gk_moments.h"
#include "gk_export.h"

#define GK_BODY "moments_thread.h"
#include "gk_types.h"

GK_EXPORT void gpukit_threads_moments(const void *data, int type, const uint8_t *inside, int64_t n, int has_padding,
                                      double low, double high, double *out, int64_t threads, int64_t fewer) {
#define GK_RUN(T) gk_moments_thread##T(data, inside, n, has_padding, low, high, out, threads, index)
    for (int64_t index = 0; index < threads; ++index) switch (type) {
            case GK_U8: GK_RUN(_u8); break;
            case GK_I16: GK_RUN(_i16); break;
            case GK_U16: GK_RUN(_u16); break;
            case GK_I32: GK_RUN(_i32); break;
            case GK_F32: GK_RUN(_f32); break;
            default: GK_RUN(_f64); break;
        }
#undef GK_RUN
    for (int64_t index = 0; index < fewer; ++index) gk_moments_fold(out, threads, fewer, index);
    gk_moments_fold(out, fewer, 1, 0);
}
