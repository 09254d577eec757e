/* Surfaces by cells (marching cubes) over bits: 64 cells are passed over with a few instructions where they are all
 * inside or all outside. Layers are counted first, so that each can be made for itself and in parallel. */
#include <float.h>
#include <stdlib.h>

#include "gk_common.h"
#include "gk_export.h"

/* No point comes closer to a voxel's centre than this share of the edge; the same number as in gpukit/ops/contour.py. */
#define GK_CONTOUR_NEAR 1e-3

#if defined(__GNUC__)
static inline int gk_lowest_bit(uint64_t x) { return __builtin_ctzll(x); }
static inline int gk_bit_count(uint64_t x) { return __builtin_popcountll(x); }
#else
static inline int gk_bit_count(uint64_t x) {
    x = x - (x >> 1 & 0x5555555555555555u);
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (int)((((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u) >> 56);
}
static inline int gk_lowest_bit(uint64_t x) { return gk_bit_count((x & (0 - x)) - 1); }
#endif

/* 64 cells: their corners' bits (a, b: rows y and y + 1 of the lower layer; c, d: of the upper one; 1: one node on) and
 * which of them the surface goes through. */
typedef struct {
    uint64_t a, b, c, d, a1, b1, c1, d1, active;
} gk_cells;

static inline uint64_t gk_contour_on(const uint64_t *row, int64_t words, int64_t w) {
    return row[w] >> 1 | (w + 1 < words ? row[w + 1] << 63 : 0);
}

/* `down` is the distance to the next row in words. */
static inline gk_cells gk_contour_cells(const uint64_t *lower, const uint64_t *upper, int64_t down, int64_t words,
                                        int64_t w) {
    gk_cells s;
    s.a = lower[w], s.b = lower[down + w], s.c = upper[w], s.d = upper[down + w];
    s.a1 = gk_contour_on(lower, words, w), s.b1 = gk_contour_on(lower + down, words, w);
    s.c1 = gk_contour_on(upper, words, w), s.d1 = gk_contour_on(upper + down, words, w);
    s.active = (s.a | s.b | s.c | s.d | s.a1 | s.b1 | s.c1 | s.d1) & ~(s.a & s.b & s.c & s.d & s.a1 & s.b1 & s.c1 & s.d1);
    return s;
}

static inline int gk_contour_case(const gk_cells *s, int bit) {
    return (int)((s->a >> bit & 1) | (s->a1 >> bit & 1) << 1 | (s->b >> bit & 1) << 2 | (s->b1 >> bit & 1) << 3 |
                 (s->c >> bit & 1) << 4 | (s->c1 >> bit & 1) << 5 | (s->d >> bit & 1) << 6 | (s->d1 >> bit & 1) << 7);
}

/* Bytes of 0 and 1 to bits. */
static void gk_contour_pack(const uint8_t *bytes, uint64_t *row, int64_t words) {
    for (int64_t w = 0; w < words; w++) {
        uint64_t all = 0;
        for (int n = 0; n < 8; n++) {
            const uint8_t *b = bytes + 64 * w + 8 * n;
            uint64_t one = 0;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            memcpy(&one, b, 8);
            one = one * 0x0102040810204080u >> 56; /* the eight lowest bits of the bytes, side by side */
#else
            for (int s = 0; s < 8; s++) one |= (uint64_t)b[s] << s;
#endif
            all |= one << (8 * n);
        }
        row[w] = all;
    }
}

#define GK_NEXT(x, to) (sizeof(x) == sizeof(float) ? nextafterf((float)(x), (float)(to)) : nextafter((x), (to)))
#define GK_BODY "contour_rows.h"
#include "gk_types.h"

#define GK_CALL(function, ...)                        \
    switch (v->type) {                                \
        case GK_U8: function##_u8(__VA_ARGS__); break;   \
        case GK_I16: function##_i16(__VA_ARGS__); break; \
        case GK_U16: function##_u16(__VA_ARGS__); break; \
        case GK_I32: function##_i32(__VA_ARGS__); break; \
        case GK_F32: function##_f32(__VA_ARGS__); break; \
        default: function##_f64(__VA_ARGS__);            \
    }

/* Slices [begin, end) of a volume; `bits` is zero and has (nk + 2) (nj + 2) rows of `words`. */
GK_EXPORT int gpukit_contour_bits(const gk_volume *v, double threshold, uint64_t *bits, int64_t words, double *bounds,
                                  int64_t begin, int64_t end) {
    uint8_t *buffer = calloc((size_t)words, 64);
    if (!buffer) return 1;
    GK_CALL(gk_contour_bits, v, threshold, bits, words, buffer, bounds, begin, end)
    free(buffer);
    return 0;
}

/* How many points on x-, y- and z-edges and how many faces layers [begin, end) have: four numbers each. `many` has the
 * number of faces of each case. */
GK_EXPORT int gpukit_contour_count(const uint64_t *bits, int64_t rows, int64_t words, const uint8_t *many,
                                   int64_t *counts, int64_t begin, int64_t end) {
    for (int64_t z = begin; z < end; z++) {
        int64_t x = 0, y = 0, up = 0, faces = 0;
        for (int64_t row = 0; row + 1 < rows; row++) {
            const uint64_t *lower = bits + (z * rows + row) * words, *upper = lower + rows * words;
            for (int64_t w = 0; w < words; w++) {
                const gk_cells c = gk_contour_cells(lower, upper, words, words, w);
                if (!c.active) continue;
                x += gk_bit_count(c.a ^ c.a1);
                y += gk_bit_count(c.a ^ c.b);
                up += gk_bit_count(c.a ^ c.c);
                for (uint64_t e = c.active; e; e &= e - 1) faces += many[gk_contour_case(&c, gk_lowest_bit(e))];
            }
        }
        counts[4 * z] = x, counts[4 * z + 1] = y, counts[4 * z + 2] = up, counts[4 * z + 3] = faces;
    }
    return 0;
}

GK_EXPORT int gpukit_contour_fill(const gk_volume *v, double level, const uint64_t *bits, int64_t words,
                                  const int8_t *table, const int64_t *at, const double *m, double *points,
                                  int64_t *faces, int64_t begin, int64_t end) {
    int failed = 0;
#define GK_ALL v, level, bits, words, table, at, m, points, faces, begin, end
    switch (v->type) {
        case GK_U8: failed = gk_contour_fill_u8(GK_ALL); break;
        case GK_I16: failed = gk_contour_fill_i16(GK_ALL); break;
        case GK_U16: failed = gk_contour_fill_u16(GK_ALL); break;
        case GK_I32: failed = gk_contour_fill_i32(GK_ALL); break;
        case GK_F32: failed = gk_contour_fill_f32(GK_ALL); break;
        default: failed = gk_contour_fill_f64(GK_ALL);
    }
#undef GK_ALL
    return failed;
}
