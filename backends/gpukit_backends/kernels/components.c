/* Connected components on the CPU: union-find in the label array itself. Every voxel points to one of its part that
 * does not come after it, so the root is the first voxel in C order and numbering needs one more pass. */
#include "gk_common.h"
#include "gk_export.h"

static inline int32_t gk_root(int32_t *up, int32_t v) {
    while (up[v] != v) {
        up[v] = up[up[v]]; /* halve the way for the next one */
        v = up[v];
    }
    return v;
}

static inline int32_t gk_join(int32_t *up, int32_t a, int32_t b) {
    a = gk_root(up, a);
    b = gk_root(up, b);
    if (a < b) {
        up[b] = a;
        return a;
    }
    up[a] = b;
    return b;
}

/* Join row (k, j) with row (k + dk, j + dj), which comes before it; neighbours up to `wide` columns aside. */
static void gk_rows_join(const uint8_t *mask, int32_t *up, int64_t row, int64_t other, int64_t n, int wide) {
    const uint8_t *m = mask + row, *o = mask + other;
    for (int64_t i = 0; i < n; ++i) {
        if (!m[i]) continue;
        if (!wide) {
            /* where both rows go on from the left, they are joined there already */
            if (o[i] && !(i > 0 && m[i - 1] && o[i - 1])) gk_join(up, (int32_t)(row + i), (int32_t)(other + i));
            continue;
        }
        if (o[i]) {
            gk_join(up, (int32_t)(row + i), (int32_t)(other + i));
            continue; /* its neighbours in that row hang together with it */
        }
        if (i > 0 && o[i - 1]) gk_join(up, (int32_t)(row + i), (int32_t)(other + i - 1));
        if (i + 1 < n && o[i + 1]) gk_join(up, (int32_t)(row + i), (int32_t)(other + i + 1));
    }
}

/* Join slice k with the slice before it. */
static void gk_slices_join(const uint8_t *mask, int32_t *up, const int64_t *size, int reach, int64_t k) {
    int64_t ni = size[0], nj = size[1];
    for (int64_t j = 0; j < nj; ++j)
        for (int64_t dj = -1; dj <= 1; ++dj) {
            int used = dj ? 2 : 1; /* axes in which the two rows differ */
            if (used > reach || j + dj < 0 || j + dj >= nj) continue;
            gk_rows_join(mask, up, (k * nj + j) * ni, ((k - 1) * nj + j + dj) * ni, ni, reach > used);
        }
}

/* Slices [begin, end) for themselves. size counts i, j, k; reach is the connectivity. */
GK_EXPORT int gpukit_components_join(const uint8_t *mask, int32_t *up, const int64_t *size, int reach, int64_t begin,
                                     int64_t end) {
    int64_t ni = size[0], nj = size[1];
    for (int64_t k = begin; k < end; ++k) {
        for (int64_t j = 0; j < nj; ++j) {
            int64_t row = (k * nj + j) * ni;
            for (int64_t i = 0; i < ni; ++i) {
                int32_t v = (int32_t)(row + i);
                if (!mask[v]) up[v] = -1;
                else up[v] = i > 0 && mask[v - 1] ? up[v - 1] : v;
            }
            if (j > 0) gk_rows_join(mask, up, row, row - ni, ni, reach > 1);
        }
        if (k > begin) gk_slices_join(mask, up, size, reach, k);
    }
    return 0;
}

/* Join slice k with the one before it, where two ranges of slices meet. */
GK_EXPORT void gpukit_components_seam(const uint8_t *mask, int32_t *up, const int64_t *size, int reach, int64_t k) {
    gk_slices_join(mask, up, size, reach, k);
}

/* Pointers into numbers: 0 outside, parts from 1 in the order of their first voxels. Returns how many. */
GK_EXPORT int64_t gpukit_components_number(int32_t *up, int64_t n) {
    int32_t count = 0;
    for (int64_t v = 0; v < n; ++v) {
        int32_t to = up[v];
        if (to < 0) up[v] = 0;
        else up[v] = to == v ? ++count : up[to]; /* what it points to lies before it and has its number */
    }
    return count;
}
