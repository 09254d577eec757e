/* Files into the rows of an array. The system copies from its cache straight into the array; that nothing else is done
 * between two files lets as many threads as there are processors do it without waiting for one another. */
#if !defined(_WIN32)
#define _GNU_SOURCE /* O_CLOEXEC, pread */
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#endif

#include <stdint.h>

#include "gk_export.h"

GK_EXPORT int gpukit_reads_files(void) {
#if defined(_WIN32)
    return 0;
#else
    return 1;
#endif
}

#if !defined(_WIN32)
static int fill(const char *path, int64_t offset, uint8_t *target, int64_t size) {
    int file, whole;
    do file = open(path, O_RDONLY | O_CLOEXEC);
    while (file < 0 && errno == EINTR);
    if (file < 0) return 0;
    int64_t done = 0;
    while (done < size) { /* one call hands over at most 2 GiB */
        const ssize_t got = pread(file, target + done, (size_t)(size - done), (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        done += got;
    }
    whole = done == size;
    close(file);
    return whole;
}
#endif

/* Row rows[n] of out, row_bytes long, from byte offsets[n] of the file paths[n]; failed[n] tells whether it was not to be
 * had. Returns how many were not. */
GK_EXPORT int64_t gpukit_read_rows(const char *const *paths, const int64_t *offsets, const int64_t *rows, int64_t count,
                                   void *out, int64_t row_bytes, uint8_t *failed) {
    int64_t bad = 0;
    for (int64_t n = 0; n < count; n++) {
#if defined(_WIN32)
        failed[n] = 1;
#else
        failed[n] = !fill(paths[n], offsets[n], (uint8_t *)out + rows[n] * row_bytes, row_bytes);
#endif
        bad += failed[n];
    }
    return bad;
}
