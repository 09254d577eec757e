/* Statistics on NVIDIA devices: a row of moments a thread, then the rows merged by fewer threads, in a fixed order. */
#include "gk_cuda.h"
#include "gk_moments.h"

#define GK_BODY "moments_thread.h"
#include "gk_types.h"

#define GK_MAKE(type)                                                                                              \
    GK_KERNEL gpukit_moments##type(const void *data, const uint8_t *inside, int64_t n, int32_t has_padding,        \
                                   double low, double high, double *out, int64_t count) {                          \
        if (GK_INDEX < count)                                                                                      \
            gk_moments_thread##type(data, inside, n, has_padding, low, high, out, count, GK_INDEX);                \
    }                                                                                                              \
    GK_KERNEL gpukit_fold##type(double *out, int64_t rows, int64_t count) {                                        \
        if (GK_INDEX < count) gk_moments_fold(out, rows, count, GK_INDEX);                                         \
    }
GK_EACH_TYPE(GK_MAKE)
