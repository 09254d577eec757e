/* Runs of equal values in the rows of label maps: which rows each label reaches, and the rows packed (PS3.5 G.3.1). */
#include <string.h>

#include "gk_common.h"
#include "gk_export.h"

/* Longest run or literal that one code stands for. */
#define GK_CODE 128

#if defined(__GNUC__) && defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* How many bytes are the same at the front of words that differ in `x`. */
#define GK_SAME(x) (__builtin_ctzll(x) >> 3)
#endif

/* Where the run that begins at element `i` ends; 32 bytes at a time. `width` is a constant where this is inlined. */
static inline int64_t gk_run_end(const uint8_t *row, int64_t i, int64_t n, const int width) {
    const uint8_t *first = row + i * width, *p = first + width, *end = row + n * width;
    uint64_t all, a, b, c, d;
    if (p >= end || memcmp(p, first, (size_t)width)) return i + 1;
    for (int s = 0; s < 8; s += width) memcpy((uint8_t *)&all + s, first, (size_t)width);
    for (; p + 32 <= end; p += 32) {
        memcpy(&a, p, 8), memcpy(&b, p + 8, 8), memcpy(&c, p + 16, 8), memcpy(&d, p + 24, 8);
        if ((a ^ all) | (b ^ all) | (c ^ all) | (d ^ all)) break;
    }
    for (; p + 8 <= end; p += 8) {
        memcpy(&a, p, 8);
#ifdef GK_SAME
        if (a ^ all) return (p + GK_SAME(a ^ all) - row) / width;
#else
        if (a ^ all) break;
#endif
    }
    while (p < end && !memcmp(p, first, (size_t)width)) p += width;
    return (p - row) / width;
}

static inline void gk_rows_of(const uint8_t *plane, const int64_t *size, const int32_t *place, int32_t *rows,
                              const int width) {
    for (int64_t j = 0; j < size[1]; j++) {
        const uint8_t *row = plane + j * size[0] * width;
        for (int64_t i = 0; i < size[0]; i = gk_run_end(row, i, size[0], width)) {
            uint16_t value = row[i];
            if (width == 2) memcpy(&value, row + 2 * i, 2);
            if (place[value] < 0) continue;
            int32_t *found = rows + 2 * place[value];
            if (!found[1]) found[0] = (int32_t)j;
            found[1] = (int32_t)j + 1;
        }
    }
}

/* First row and row after the last of each place in planes begin to end; `rows` ([plane][place][2]) comes as zeros.
 * `place` is a table over all values; negative ones do not count. */
GK_EXPORT int gpukit_label_rows(const uint8_t *data, int32_t width, const int64_t *size, const int32_t *place,
                                int64_t places, int32_t *rows, int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; k++) {
        const uint8_t *plane = data + k * size[0] * size[1] * width;
        if (width == 1) gk_rows_of(plane, size, place, rows + 2 * k * places, 1);
        else gk_rows_of(plane, size, place, rows + 2 * k * places, 2);
    }
    return 0;
}

/* What is told of labels while a row is packed: `places` tables of first and last rows, and the row in hand. */
typedef struct {
    const int32_t *place; /* null: nothing is told */
    int32_t *rows;
    int32_t row;
} gk_told;

/* One row of bytes as codes; returns where the next goes. A run of two or more is repeated, single bytes are literal. */
static inline uint8_t *gk_pack_row(const uint8_t *row, int64_t n, uint8_t *out, const gk_told *told) {
    uint8_t *literal = 0; /* the code that is being added to */
    for (int64_t i = 0; i < n;) {
        int64_t length = gk_run_end(row, i, n, 1) - i;
        const uint8_t value = row[i];
        i += length;
        if (told->place && told->place[value] >= 0) {
            int32_t *found = told->rows + 2 * told->place[value];
            if (!found[1]) found[0] = told->row;
            found[1] = told->row + 1;
        }
        for (; length >= 2; length -= length < GK_CODE ? length : GK_CODE) {
            *out++ = (uint8_t)(257 - (length < GK_CODE ? length : GK_CODE));
            *out++ = value;
            literal = 0;
        }
        if (length) {
            if (literal && *literal < GK_CODE - 1) (*literal)++;
            else literal = out, *out++ = 0;
            *out++ = value;
        }
    }
    return out;
}

static void gk_byte_of(const uint16_t *values, int64_t n, int shift, uint8_t *out) {
    for (int64_t i = 0; i < n; i++) out[i] = (uint8_t)(values[i] >> shift);
}

/* Planes begin to end, packed row by row: a segment a byte of a value, the most significant first, each at its own
 * `room` bytes of `out` (counted from plane `begin`), even in length; `lengths` says how long. `row` takes one row.
 * Where `place` is given, `rows` is filled as by gpukit_label_rows, in the same look at the pixels. */
GK_EXPORT int gpukit_run_length(const uint8_t *data, int32_t width, const int64_t *size, uint8_t *row, uint8_t *out,
                                int64_t room, int64_t *lengths, const int32_t *place, int64_t places, int32_t *rows,
                                int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; k++) {
        gk_told told = {width == 1 ? place : 0, rows + 2 * k * places, 0};
        if (width == 2 && place) gk_rows_of(data + k * size[0] * size[1] * 2, size, place, told.rows, 2);
        for (int32_t n = 0; n < width; n++) {
            uint8_t *start = out + ((k - begin) * width + n) * room, *at = start, *before = start;
            const uint8_t *plane = data + k * size[0] * size[1] * width;
            for (int64_t j = 0; j < size[1]; j++) {
                const uint8_t *from = plane + j * size[0] * width;
                /* Many rows are as the one before them, most of all the empty ones. */
                if (j && !memcmp(from, from - size[0] * width, (size_t)(size[0] * width))) {
                    const int64_t size_before = at - before;
                    if (told.place) /* the labels of that row reach this one too */
                        for (int64_t i = 0; i < places; i++) told.rows[2 * i + 1] += told.rows[2 * i + 1] == j;
                    memcpy(at, before, (size_t)size_before);
                    before = at, at += size_before;
                    continue;
                }
                before = at;
                if (width == 2) {
                    gk_byte_of((const uint16_t *)from, size[0], n ? 0 : 8, row);
                    from = row;
                }
                told.row = (int32_t)j;
                at = gk_pack_row(from, size[0], at, &told);
            }
            if ((at - start) % 2) *at++ = 0;
            lengths[k * width + n] = at - start;
        }
    }
    return 0;
}
