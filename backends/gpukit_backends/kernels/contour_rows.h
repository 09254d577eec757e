/* Surfaces, the part that looks at voxels; included once per type. */

/* Voxels at least `threshold` as one bit each, slice by slice. The bits have a frame of one node that is outside: voxel
 * (i, j, k) is bit i + 1 of row j + 1 of layer k + 1. `buffer` has a byte for each bit of a row. `bounds` gets, for each
 * slice, the lowest value inside and the highest one outside. The threshold is within the type's range. */
static void GK_NAME(gk_contour_bits)(const gk_volume *v, double threshold, uint64_t *bits, int64_t words,
                                     uint8_t *buffer, double *bounds, int64_t begin, int64_t end) {
    const int64_t ni = v->size[0], nj = v->size[1], step = v->stride[0];
#if GK_IS_FLOAT
    GK_T least = (GK_T)threshold, low = (GK_T)v->low, high = (GK_T)v->high;
    if ((double)least < threshold) least = GK_NEXT(least, INFINITY);
    if (v->has_padding && (double)low < v->low) low = GK_NEXT(low, INFINITY);
    if (v->has_padding && (double)high > v->high) high = GK_NEXT(high, -INFINITY);
    const int padded = v->has_padding;
#else
    const double t = ceil(threshold), l = ceil(v->low), h = floor(v->high);
    const GK_T least = t < (double)GK_T_MIN ? GK_T_MIN : t > (double)GK_T_MAX ? GK_T_MAX : (GK_T)t;
    const int padded = v->has_padding && l <= h && l <= (double)GK_T_MAX && h >= (double)GK_T_MIN;
    const GK_T low = padded && l > (double)GK_T_MIN ? (GK_T)l : GK_T_MIN;
    const GK_T high = padded && h < (double)GK_T_MAX ? (GK_T)h : GK_T_MAX;
#endif
#if GK_IS_FLOAT
#define GK_IN(x) (((x) >= least) & ((x) <= most))
    const GK_T most = sizeof(GK_T) == sizeof(float) ? (GK_T)FLT_MAX : (GK_T)DBL_MAX;
#else
#define GK_IN(x) ((x) >= least)
#endif
/* One row: which voxels are inside, the lowest value inside and the highest one outside. Two loops, each in one width of
 * data, because compilers make vectors of such. */
#define GK_ROW(at, counts)                                                     \
    {                                                                          \
        for (int64_t i = 0; i < ni; i++) {                                     \
            const GK_T x = from[at];                                           \
            to[i] = GK_IN(x) & (counts);                                       \
        }                                                                      \
        for (int64_t i = 0; i < ni; i++) {                                     \
            const GK_T x = from[at];                                           \
            const GK_T one = (GK_IN(x) & (counts)) ? x : GK_T_MAX;             \
            const GK_T other = ((x < least) & (counts)) ? x : GK_T_MIN;        \
            lowest = one < lowest ? one : lowest;                              \
            highest = other > highest ? other : highest;                       \
        }                                                                      \
    }
    for (int64_t k = begin; k < end; k++) {
        GK_T lowest = GK_T_MAX, highest = GK_T_MIN;
        for (int64_t j = 0; j < nj; j++) {
            const GK_T *from = (const GK_T *)v->data + k * v->stride[2] + j * v->stride[1];
            uint8_t *to = buffer + 1;
            if (step != 1) GK_ROW(i * step, !padded | (x < low) | (x > high))
            else if (padded) GK_ROW(i, (x < low) | (x > high))
            else GK_ROW(i, 1)
            gk_contour_pack(buffer, bits + ((k + 1) * (nj + 2) + j + 1) * words, words);
        }
        bounds[2 * k] = (double)lowest;
        bounds[2 * k + 1] = (double)highest;
#if !GK_IS_FLOAT
        /* The ends of the range are values too: were they there? */
        if (lowest == GK_T_MAX || highest == GK_T_MIN) {
            int ins = lowest != GK_T_MAX, outs = highest != GK_T_MIN;
            for (int64_t j = 0; j < nj && !(ins && outs); j++) {
                const GK_T *from = (const GK_T *)v->data + k * v->stride[2] + j * v->stride[1];
                for (int64_t i = 0; i < ni; i++) {
                    const GK_T x = from[i * step];
                    const int counts = !padded | (x < low) | (x > high);
                    ins |= counts & GK_IN(x);
                    outs |= counts & !GK_IN(x);
                }
            }
            if (!ins) bounds[2 * k] = INFINITY;
            if (!outs) bounds[2 * k + 1] = -INFINITY;
        }
#endif
    }
#undef GK_ROW
#undef GK_IN
}

/* The value of a voxel, NaN where there is none: outside the volume, padding, not finite. */
static inline double GK_NAME(gk_contour_value)(const gk_volume *v, int64_t i, int64_t j, int64_t k) {
    if (i < 0 || j < 0 || k < 0 || i >= v->size[0] || j >= v->size[1] || k >= v->size[2]) return NAN;
    const double x = (double)((const GK_T *)v->data)[k * v->stride[2] + j * v->stride[1] + i * v->stride[0]];
    if (v->has_padding && x >= v->low && x <= v->high) return NAN;
    return x - x == 0.0 ? x : NAN;
}

/* The point where the surface crosses the edge from framed node (x, y, z) along an axis. */
static inline void GK_NAME(gk_contour_point)(const gk_volume *v, double level, const double *m, int axis, int64_t x,
                                             int64_t y, int64_t z, double *out) {
    const int64_t i = x - 1, j = y - 1, k = z - 1;
    const double from = GK_NAME(gk_contour_value)(v, i, j, k);
    const double to = GK_NAME(gk_contour_value)(v, i + (axis == 0), j + (axis == 1), k + (axis == 2));
    double p[3] = {(double)i, (double)j, (double)k}, t = (level - from) / (to - from);
    t = t == t ? gk_clamp(t, GK_CONTOUR_NEAR, 1.0 - GK_CONTOUR_NEAR) : 0.5;
    p[axis] = p[axis] + t;
    for (int a = 0; a < 3; a++, m += 4) out[a] = ((m[0] * p[0] + m[1] * p[1]) + m[2] * p[2]) + m[3];
}

/* Points and faces of layers [begin, end) of cells. `at` has, for each layer, the numbers of its first x-, y- and z-edge
 * point and of its first face. */
static int GK_NAME(gk_contour_fill)(const gk_volume *v, double level, const uint64_t *bits, int64_t words,
                                    const int8_t *table, const int64_t *at, const double *m, double *points,
                                    int64_t *faces, int64_t begin, int64_t end) {
    const int64_t rows = v->size[1] + 2, n = words * 64 + 1;
    const int swap = (m[0] * (m[5] * m[10] - m[6] * m[9]) - m[1] * (m[4] * m[10] - m[6] * m[8]) +
                      m[2] * (m[4] * m[9] - m[5] * m[8])) < 0.0;
    int64_t *ids = malloc((size_t)(10 * n) * sizeof *ids);
    if (!ids) return 1;
    int64_t *const xs[2][2] = {{ids, ids + n}, {ids + 2 * n, ids + 3 * n}}; /* [layer][row] */
    int64_t *const ys[2][2] = {{ids + 4 * n, ids + 5 * n}, {ids + 6 * n, ids + 7 * n}};
    int64_t *const zs[2] = {ids + 8 * n, ids + 9 * n};
    for (int64_t z = begin; z < end; z++) {
        const uint64_t *lower = bits + z * rows * words, *upper = lower + rows * words;
        int64_t x0 = at[4 * z], y0 = at[4 * z + 1], z0 = at[4 * z + 2], face = at[4 * z + 3];
        int64_t x1 = at[4 * z + 4], y1 = at[4 * z + 5];
        for (int64_t y = 0; y < rows; y++) {
            /* number the edges that begin in row y, then make the cells between the row before and this one */
            const int now = (int)(y & 1), old = 1 - now, last = y + 1 == rows;
            for (int64_t w = 0; w < words; w++) {
                const gk_cells c = gk_contour_cells(lower + y * words, upper + y * words, last ? 0 : words, words, w);
                uint64_t e;
                if (!c.active) continue;
                for (e = c.a ^ c.a1; e; e &= e - 1) {
                    const int64_t x = 64 * w + gk_lowest_bit(e);
                    GK_NAME(gk_contour_point)(v, level, m, 0, x, y, z, points + 3 * x0);
                    xs[0][now][x] = x0++;
                }
                for (e = c.a ^ c.b; e; e &= e - 1) {
                    const int64_t x = 64 * w + gk_lowest_bit(e);
                    GK_NAME(gk_contour_point)(v, level, m, 1, x, y, z, points + 3 * y0);
                    ys[0][now][x] = y0++;
                }
                for (e = c.a ^ c.c; e; e &= e - 1) {
                    const int64_t x = 64 * w + gk_lowest_bit(e);
                    GK_NAME(gk_contour_point)(v, level, m, 2, x, y, z, points + 3 * z0);
                    zs[now][x] = z0++;
                }
                for (e = c.c ^ c.c1; e; e &= e - 1) xs[1][now][64 * w + gk_lowest_bit(e)] = x1++;
                for (e = c.c ^ c.d; e; e &= e - 1) ys[1][now][64 * w + gk_lowest_bit(e)] = y1++;
            }
            if (y == 0) continue;
            for (int64_t w = 0; w < words; w++) {
                const gk_cells c = gk_contour_cells(lower + (y - 1) * words, upper + (y - 1) * words, words, words, w);
                for (uint64_t e = c.active; e; e &= e - 1) {
                    const int bit = gk_lowest_bit(e);
                    const int64_t x = 64 * w + bit;
                    const int8_t *t = table + 15 * gk_contour_case(&c, bit);
                    const int64_t of[12] = {xs[0][old][x], xs[0][now][x],     xs[1][old][x], xs[1][now][x],
                                            ys[0][old][x], ys[0][old][x + 1], ys[1][old][x], ys[1][old][x + 1],
                                            zs[old][x],    zs[old][x + 1],    zs[now][x],    zs[now][x + 1]};
                    for (int s = 0; s < 5 && t[3 * s] >= 0; s++, face++) {
                        faces[3 * face] = of[t[3 * s]];
                        faces[3 * face + 1] = of[t[3 * s + 1 + swap]];
                        faces[3 * face + 2] = of[t[3 * s + 2 - swap]];
                    }
                }
            }
        }
    }
    free(ids);
    return 0;
}
