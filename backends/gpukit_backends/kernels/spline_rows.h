/* Rows of a slice in double precision, one beside the other, for the type in hand. */

/* GK_WIDE rows of n values `step` apart, times a factor: value i of row l to strip[i * GK_WIDE + l]. */
static void GK_NAME(gk_strip_read)(const GK_T *const *rows, int64_t n, int64_t step, double gain, double *restrict strip) {
    int64_t i, from;
    int l;
    for (from = 0; from + 8 <= n; from += 8)
        for (l = 0; l < GK_WIDE; l++) {
            const GK_T *restrict row = rows[l] + from * step;
            double *restrict to = strip + from * GK_WIDE + l;
            for (i = 0; i < 8; i++) to[i * GK_WIDE] = gain * (double)row[i * step];
        }
    for (l = 0; l < GK_WIDE; l++)
        for (i = from; i < n; i++) strip[i * GK_WIDE + l] = gain * (double)rows[l][i * step];
}

/* Rows of slice k from j on, at most GK_WIDE; returns how many there are. */
static int GK_NAME(gk_strip_load)(const gk_volume *v, int64_t j, int64_t k, double gain, double *restrict strip) {
    const GK_T *slice = (const GK_T *)v->data + k * v->stride[2], *rows[GK_WIDE];
    const int lines = v->size[1] - j < GK_WIDE ? (int)(v->size[1] - j) : GK_WIDE;
    int l;
    for (l = 0; l < GK_WIDE; l++) rows[l] = slice + (j + (l < lines ? l : 0)) * v->stride[1];
    if (v->stride[0] == 1) GK_NAME(gk_strip_read)(rows, v->size[0], 1, gain, strip);
    else GK_NAME(gk_strip_read)(rows, v->size[0], v->stride[0], gain, strip);
    return lines;
}
