/* Trilinear resampling of small integers where the map keeps axes apart, in single precision as far as that is certain
 * (see gk_quick.h), for the type in hand. Bands of rows go through all slices: each source slice is interpolated along i
 * and j once, into a plane that stays in the cache, and each output slice is a blend of two planes. So a voxel costs
 * one load of a pair of neighbours; the rest is arithmetic on whole rows.
 *
 * The error is bounded as in gk_quick.h, whatever the order of axes, but fractions are only rounded here: they are u / 2
 * off, three times, over differences up to 2 M, which makes 3 u M rather than 9. With 13 u M for the three blends that is
 * 16 u M; 17 leaves room for what is of second order. */

/* Bytes of a plane of one band. */
#define GK_BAND 131072
/* Share of the error in gk_quick.h. */
#define GK_BAND_ERROR (17.0f / 24.0f)

/* What a range of rows works with. Rows are those of the output that are inside, from `first` on along i. */
typedef struct {
    const int32_t *low; /* lower neighbour along i, and the weight of the upper one */
    const float *weight;
    int64_t first, count;
    GK_PAIR *pairs;
    float *kept[2], *plane[2], *peak[2], *line; /* rows interpolated along i; planes; largest magnitude in their rows */
    float kept_peak[2];
    int64_t kept_j[2], held[2];
    uint8_t *doubt;
} GK_NAME(gk_planes);

/* A source row interpolated along i; returns the largest magnitude in it. */
static float GK_NAME(gk_planes_row)(const GK_NAME(gk_planes) * t, const GK_T *restrict row, int64_t n, float *restrict to) {
    const int32_t *restrict low = t->low;
    const float *restrict w = t->weight;
    GK_PAIR *restrict pairs = t->pairs;
    const int64_t count = t->count;
    GK_T least = 0, most = 0;
    int64_t i;
    for (i = 0; i < count; i++) memcpy(&pairs[i], row + low[i], sizeof(GK_PAIR));
    for (i = 0; i < count; i++) {
        const int32_t a = GK_PAIR_LOW(pairs[i]), b = GK_PAIR_HIGH(pairs[i]);
        to[i] = (float)a + w[i] * (float)(b - a);
    }
    for (i = 0; i < n; i++) {
        least = row[i] < least ? row[i] : least;
        most = row[i] > most ? row[i] : most;
    }
    return -(float)least > (float)most ? -(float)least : (float)most;
}

/* Rows [j0, j1) of the output's grid in source slice k, into plane `which`. */
static void GK_NAME(gk_planes_slice)(GK_NAME(gk_planes) * t, const gk_volume *v, const double *scale,
                                     const double *offset, int64_t k, int64_t j0, int64_t j1, int which) {
    const GK_T *slice = (const GK_T *)v->data + k * v->stride[2];
    const int64_t count = t->count;
    int64_t i, j;
    int side;
    t->held[which] = k;
    t->kept_j[0] = t->kept_j[1] = -1;
    for (j = j0; j < j1; j++) {
        double fraction;
        const int64_t low = gk_corner(scale[1] * (double)j + offset[1], v->size[1], &fraction);
        const float f = (float)fraction;
        if (t->kept_j[1] == low || t->kept_j[0] == low + 1) { /* walking up or down: the rows change places */
            const int64_t at = t->kept_j[0];
            float *p = t->kept[0], q = t->kept_peak[0];
            t->kept_j[0] = t->kept_j[1];
            t->kept[0] = t->kept[1];
            t->kept_peak[0] = t->kept_peak[1];
            t->kept_j[1] = at;
            t->kept[1] = p;
            t->kept_peak[1] = q;
        }
        for (side = 0; side < 2; side++) {
            if (t->kept_j[side] == low + side) continue;
            t->kept_j[side] = low + side;
            t->kept_peak[side] = GK_NAME(gk_planes_row)(t, slice + (low + side) * v->stride[1], v->size[0], t->kept[side]);
        }
        {
            const float *restrict a = t->kept[0], *restrict b = t->kept[1];
            float *restrict to = t->plane[which] + (j - j0) * count;
            for (i = 0; i < count; i++) to[i] = a[i] + f * (b[i] - a[i]);
        }
        t->peak[which][j - j0] = t->kept_peak[0] > t->kept_peak[1] ? t->kept_peak[0] : t->kept_peak[1];
    }
}

/* One row of two planes to the output; returns how many samples had to be taken in double precision. */
static int64_t GK_NAME(gk_planes_blend)(GK_NAME(gk_planes) * t, const gk_volume *v, const double *scale,
                                        const double *offset, int64_t row, double y, double z, float f, GK_T *restrict to) {
    const float *restrict a = t->plane[0] + row * t->count, *restrict b = t->plane[1] + row * t->count;
    const float most = t->peak[0][row] > t->peak[1][row] ? t->peak[0][row] : t->peak[1][row];
    const int64_t count = t->count;
    float *restrict line = t->line;
    int64_t i, fixed = 0;
    for (i = 0; i < count; i++) line[i] = a[i] + f * (b[i] - a[i]);
    for (i = 0; i < count; i++) to[i] = (GK_T)(int32_t)((line[i] + GK_QUICK_BIG) - GK_QUICK_BIG);
    gk_quick_doubts(line, count, most * GK_BAND_ERROR, t->doubt);
    for (i = 0; i < count; i++) {
        uint64_t any;
        double exact = 0.0;
        memcpy(&any, t->doubt + i, 8);
        if (!any) {
            i += 7;
            continue;
        }
        if (!t->doubt[i]) continue;
        GK_NAME(gk_linear)(v, scale[0] * (double)(t->first + i) + offset[0], y, z, &exact, 0);
        gk_store(to, v->type, i, exact);
        fixed++;
    }
    return fixed;
}

/* Rows [begin, end) of every slice. `inside` has the first and the end of what is inside along each axis. Returns 0, or
 * 1 where memory ran out. */
static int GK_NAME(gk_resample_planes)(const gk_volume *v, const double *scale, const double *offset,
                                       const int64_t *size, int64_t inside[3][2], double fill, GK_T *out, int64_t begin,
                                       int64_t end) {
    GK_NAME(gk_planes) t;
    const int64_t first = inside[0][0], count = inside[0][1] - first, ni = size[0], nj = size[1];
    const int64_t space = count + GK_LANES, fit = GK_BAND / (int64_t)sizeof(float) / space, band = fit > 16 ? fit : 16;
    float *memory = (float *)calloc((size_t)(2 * band * count + 2 * band + 6 * space), sizeof(float));
    int32_t *low;
    float *weight, *next = memory;
    int64_t i, j, k, from;
    GK_T empty;
    int side;
    if (!memory) return 1;
    for (side = 0; side < 2; side++) {
        t.plane[side] = next;
        t.kept[side] = next + band * count;
        t.peak[side] = t.kept[side] + space;
        next = t.peak[side] + band;
    }
    t.line = next;
    t.low = low = (int32_t *)(next + space);
    t.weight = weight = next + 2 * space;
    t.pairs = (GK_PAIR *)(next + 3 * space);
    t.first = first;
    t.count = count;
    t.doubt = (uint8_t *)malloc((size_t)space);
    if (!t.doubt) {
        free(memory);
        return 1;
    }
    for (i = 0; i < count; i++) {
        double f;
        low[i] = (int32_t)gk_corner(scale[0] * (double)(first + i) + offset[0], v->size[0], &f);
        weight[i] = (float)f;
    }
    gk_store(&empty, v->type, 0, fill);
    for (from = begin; from < end; from += band) {
        const int64_t to = from + band < end ? from + band : end;
        const int64_t j0 = from > inside[1][0] ? from : inside[1][0], j1 = to < inside[1][1] ? to : inside[1][1];
        int64_t rest = 0; /* slices to take in double precision, since too little was certain */
        t.held[0] = t.held[1] = -1;
        for (k = 0; k < size[2]; k++) {
            const double z = scale[2] * (double)k + offset[2];
            const int within = j0 < j1 && k >= inside[2][0] && k < inside[2][1];
            int64_t below, fixed = 0;
            double f;
            if (rest > 0) {
                rest--;
                if (GK_NAME(gk_resample_axes)(v, scale, offset, size, fill, out, v->type, k * nj + from, k * nj + to)) {
                    free(t.doubt);
                    free(memory);
                    return 1;
                }
                continue;
            }
            for (j = from; j < to; j++) {
                GK_T *row = out + (k * nj + j) * ni;
                const int some = within && j >= j0 && j < j1;
                for (i = 0; i < (some ? first : ni); i++) row[i] = empty;
                for (i = some ? first + count : ni; i < ni; i++) row[i] = empty;
            }
            if (!within) continue;
            below = gk_corner(z, v->size[2], &f);
            if (t.held[1] == below || t.held[0] == below + 1) {
                const int64_t at = t.held[0];
                float *p = t.plane[0], *q = t.peak[0];
                t.held[0] = t.held[1];
                t.plane[0] = t.plane[1];
                t.peak[0] = t.peak[1];
                t.held[1] = at;
                t.plane[1] = p;
                t.peak[1] = q;
            }
            for (side = 0; side < 2; side++)
                if (t.held[side] != below + side)
                    GK_NAME(gk_planes_slice)(&t, v, scale, offset, below + side, j0, j1, side);
            for (j = j0; j < j1; j++)
                fixed += GK_NAME(gk_planes_blend)(&t, v, scale, offset, j - j0, scale[1] * (double)j + offset[1], z,
                                                  (float)f, out + (k * nj + j) * ni + first);
            /* halves, as exact doubling makes them: single precision cannot tell */
            if (fixed * 8 > (j1 - j0) * count) rest = 8;
        }
    }
    free(t.doubt);
    free(memory);
    return 0;
}
#undef GK_BAND
#undef GK_BAND_ERROR
