#include "gk_export.h"

GK_EXPORT int gpukit_abi(void) { return GK_ABI; }

/* Whether this processor can run the AVX2 flavour: asked of the baseline one, before the other is loaded. */
GK_EXPORT int gpukit_has_avx2(void) {
#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") ? 1 : 0;
#else
    return 0;
#endif
}
