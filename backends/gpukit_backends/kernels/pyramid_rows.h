/* Building the brick pyramid, brick rows [begin, end) of nbk * nbj, for the type in hand. */
#include "gk_sample.h"

/* Takes one row of voxels into the running extremes of its columns. */
static void GK_NAME(gk_row_extremes)(const gk_volume *v, const GK_T *restrict row, int64_t n, GK_T *restrict low,
                                     GK_T *restrict high) {
    int64_t i;
    if (!v->has_padding) { /* NaN fails both comparisons, so it never counts */
        for (i = 0; i < n; i++) {
            low[i] = row[i] < low[i] ? row[i] : low[i];
            high[i] = row[i] > high[i] ? row[i] : high[i];
        }
        return;
    }
    {
        const double a = v->low, b = v->high;
        for (i = 0; i < n; i++) {
            const int out = ((double)row[i] >= a) & ((double)row[i] <= b);
            low[i] = !out & (row[i] < low[i]) ? row[i] : low[i];
            high[i] = !out & (row[i] > high[i]) ? row[i] : high[i];
        }
    }
}

static int GK_NAME(gk_build_pyramid)(const gk_volume *v, float *bounds, int64_t begin, int64_t end) {
    const int64_t ni = v->size[0], nj = v->size[1], nk = v->size[2];
    const int64_t nbi = gk_bricks(ni), nbj = gk_bricks(nj);
    GK_T *low = (GK_T *)malloc((size_t)ni * sizeof(GK_T)), *high = (GK_T *)malloc((size_t)ni * sizeof(GK_T));
    const int failed = !low || !high;
    int64_t r, i, j, k;
    for (r = begin; !failed && r < end; r++) {
        const int64_t bj = r % nbj, bk = r / nbj;
        const int64_t j1 = bj * GK_BRICK + GK_BRICK < nj ? bj * GK_BRICK + GK_BRICK : nj - 1;
        const int64_t k1 = bk * GK_BRICK + GK_BRICK < nk ? bk * GK_BRICK + GK_BRICK : nk - 1;
        for (i = 0; i < ni; i++) {
            low[i] = (GK_T)GK_T_MAX;
            high[i] = (GK_T)GK_T_MIN;
        }
        for (k = bk * GK_BRICK; k <= k1; k++)
            for (j = bj * GK_BRICK; j <= j1; j++)
                GK_NAME(gk_row_extremes)(v, (const GK_T *)v->data + k * v->stride[2] + j * v->stride[1], ni, low, high);
        for (i = 0; i < nbi; i++) {
            const int64_t a = i * GK_BRICK, b = a + GK_BRICK < ni ? a + GK_BRICK : ni - 1;
            GK_T lo = low[a], hi = high[a];
            int64_t n;
            for (n = a + 1; n <= b; n++) {
                lo = low[n] < lo ? low[n] : lo;
                hi = high[n] > hi ? high[n] : hi;
            }
            gk_brick_store(bounds + (r * nbi + i) * 2, (double)lo, (double)hi);
        }
    }
    free(low);
    free(high);
    return failed;
}
