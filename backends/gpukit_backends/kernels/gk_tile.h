/* Tiles of 4 x 4 neighbouring pixels: lane l is pixel (i + l % 4, j + l / 4). */
#ifndef GK_TILE_H
#define GK_TILE_H

typedef struct {
    double i[3][GK_LANES], j[3][GK_LANES]; /* the parts of the position that i and j make */
    uint8_t wanted[GK_LANES];              /* pixels of the picture, not of its ragged edge */
} gk_tile;

static void gk_tile_start(gk_tile *t, const double *m, const int64_t *size, int64_t i, int64_t j) {
    int axis, l;
    for (axis = 0; axis < 3; axis++)
        for (l = 0; l < GK_LANES; l++) {
            t->i[axis][l] = m[4 * axis] * (double)(i + (l & 3));
            t->j[axis][l] = m[4 * axis + 1] * (double)(j + (l >> 2));
        }
    for (l = 0; l < GK_LANES; l++) t->wanted[l] = (uint8_t)((i + (l & 3) < size[0]) & (j + (l >> 2) < size[1]));
}

/* Smallest and largest position that a tile takes between slices k0 and k1 (both included). Positions grow or fall
 * steadily with i, j and k, also after rounding, so the corners tell. */
static void gk_tile_box(const double *m, int64_t i, int64_t j, int64_t k0, int64_t k1, double *low, double *high) {
    int axis;
    for (axis = 0; axis < 3; axis++) {
        const double *row = m + 4 * axis;
        const int up_i = row[0] >= 0.0, up_j = row[1] >= 0.0, up_k = row[2] >= 0.0;
        low[axis] = gk_position(row, up_i ? i : i + 3, gk_base(row, up_j ? j : j + 3, up_k ? k0 : k1));
        high[axis] = gk_position(row, up_i ? i + 3 : i, gk_base(row, up_j ? j + 3 : j, up_k ? k1 : k0));
    }
}

#endif
