/* Rows copied side by side, so that they can be worked on along themselves. Needs gk_filter.h. */
#ifndef GK_STRIP_H
#define GK_STRIP_H

#define GK_BODY "spline_rows.h"
#include "gk_types.h"

static int gk_strip_load(const gk_volume *v, int64_t j, int64_t k, double gain, double *restrict strip) {
    switch (v->type) {
        case GK_U8: return gk_strip_load_u8(v, j, k, gain, strip);
        case GK_I16: return gk_strip_load_i16(v, j, k, gain, strip);
        case GK_U16: return gk_strip_load_u16(v, j, k, gain, strip);
        case GK_I32: return gk_strip_load_i32(v, j, k, gain, strip);
        case GK_F32: return gk_strip_load_f32(v, j, k, gain, strip);
        default: return gk_strip_load_f64(v, j, k, gain, strip);
    }
}

/* Back to `lines` rows of n values, `pitch` apart. */
static void gk_strip_store(const double *restrict strip, int64_t n, int lines, double *restrict out, int64_t pitch) {
    int64_t i, from;
    int l;
    for (from = 0; from + 8 <= n; from += 8)
        for (l = 0; l < lines; l++) {
            const double *restrict of = strip + from * GK_WIDE + l;
            double *restrict to = out + l * pitch + from;
            for (i = 0; i < 8; i++) to[i] = of[i * GK_WIDE];
        }
    for (l = 0; l < lines; l++)
        for (i = from; i < n; i++) out[l * pitch + i] = strip[i * GK_WIDE + l];
}

#endif
