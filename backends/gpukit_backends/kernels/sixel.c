/* Pictures of numbered colours as sixel data (DEC STD 070): bands of six rows, one colour after another. */
#include <string.h>

#include "gk_common.h"
#include "gk_export.h"

/* From this length on a run is written as a number. */
#define GK_COUNTED 4

static inline uint8_t *gk_number(uint8_t *out, int64_t n) {
    uint8_t digits[20];
    int count = 0;
    do digits[count++] = (uint8_t)('0' + n % 10), n /= 10;
    while (n);
    while (count) *out++ = digits[--count];
    return out;
}

/* Bytes that one band takes at most: a run and a gap for each pixel, and the numbers of the colours. */
GK_EXPORT int64_t gpukit_sixel_room(int64_t columns) { return 6 * columns * 8 + 256 * 24 + 8; }

/* Rows begin to end (begin a multiple of 6) as sixel data; `masks` is 256 * columns zeros, and zeros again after it.
 * Returns how many bytes were written: at most gpukit_sixel_room for each band. */
GK_EXPORT int64_t gpukit_sixel_bands(const uint8_t *data, int64_t columns, int64_t rows, int64_t begin, int64_t end,
                                     uint8_t *masks, uint8_t *out) {
    uint8_t *at = out;
    for (int64_t first = begin; first < end; first += 6) {
        int64_t low[256], high[256]; /* first column of a colour and the one after its last */
        const int64_t last = first + 6 < rows ? first + 6 : rows;
        memset(high, 0, sizeof high);
        for (int64_t j = first; j < last; j++) {
            const uint8_t *row = data + j * columns;
            const uint8_t bit = (uint8_t)(1 << (j - first));
            for (int64_t i = 0; i < columns; i++) {
                const uint8_t color = row[i];
                masks[color * columns + i] |= bit;
                if (!high[color]) low[color] = i, high[color] = i + 1;
                else {
                    if (i < low[color]) low[color] = i;
                    if (i >= high[color]) high[color] = i + 1;
                }
            }
        }
        int any = 0;
        for (int color = 0; color < 256; color++) {
            if (!high[color]) continue;
            if (any) *at++ = '$';
            any = 1;
            *at++ = '#';
            at = gk_number(at, color);
            uint8_t *mask = masks + color * columns;
            for (int64_t i = 0; i < high[color];) {
                const uint8_t value = mask[i];
                int64_t stop = i ? i + 1 : (low[color] > 1 ? low[color] : 1);
                while (stop < high[color] && mask[stop] == value) stop++;
                const int64_t length = stop - i;
                if (length >= GK_COUNTED) {
                    *at++ = '!';
                    at = gk_number(at, length);
                    *at++ = (uint8_t)(63 + value);
                } else {
                    for (int64_t n = 0; n < length; n++) *at++ = (uint8_t)(63 + value);
                }
                i = stop;
            }
            memset(mask + low[color], 0, (size_t)(high[color] - low[color]));
        }
        if (last < rows) *at++ = '-';
    }
    return at - out;
}
