/* Values of a cubic B-spline, for the type in hand of the voxels (which say what is inside and what is no measurement;
 * beside such voxels the spline gives way to the linear rule). */
#include "gk_sample.h"

/* Returns whether there is a value. `checked`: voxels may be no measurement. */
static inline int GK_NAME(gk_cubic_value)(const gk_volume *v, const gk_spline *s, int checked, double x, double y,
                                          double z, double *value) {
    int beside = 0;
    if (!gk_inside(v, x, y, z)) return 0;
    if (checked && !GK_NAME(gk_linear)(v, x, y, z, value, &beside)) return 0;
    if (!beside) *value = gk_cubic(s, x, y, z);
    return 1;
}

static void GK_NAME(gk_cubic_resample)(const gk_volume *v, const gk_spline *s, int checked, const double *m,
                                       const int64_t *size, double fill, double *row, void *out, int out_type,
                                       int64_t begin, int64_t end) {
    int64_t r, i;
    for (r = begin; r < end; r++) {
        const int64_t j = r % size[1], k = r / size[1];
        const double base[3] = {gk_base(m, j, k), gk_base(m + 4, j, k), gk_base(m + 8, j, k)};
        for (i = 0; i < size[0]; i++) {
            double value;
            row[i] = GK_NAME(gk_cubic_value)(v, s, checked, gk_position(m, i, base[0]), gk_position(m + 4, i, base[1]),
                                             gk_position(m + 8, i, base[2]), &value)
                         ? value
                         : fill;
        }
        gk_store_row(out, out_type, r * size[0], row, size[0]);
    }
}

static void GK_NAME(gk_cubic_points)(const gk_volume *v, const gk_spline *s, int checked, const double *points,
                                     double fill, double *out, int64_t begin, int64_t end) {
    int64_t n;
    for (n = begin; n < end; n++) {
        const double *p = points + 3 * n;
        double value;
        out[n] = GK_NAME(gk_cubic_value)(v, s, checked, p[0], p[1], p[2], &value) ? value : fill;
    }
}

/* Rows of a projection; ways as in slab_rows.h. */
static void GK_NAME(gk_cubic_slab)(const gk_volume *v, const gk_spline *s, int checked, const double *m,
                                   const int64_t *size, int way, double fill, double *row, void *out, int out_type,
                                   int64_t begin, int64_t end) {
    int64_t i, j, k;
    for (j = begin; j < end; j++) {
        for (i = 0; i < size[0]; i++) {
            double best = way == 0 ? -(double)INFINITY : way == 1 ? (double)INFINITY : 0.0, count = 0.0, value;
            for (k = 0; k < size[2]; k++) {
                if (!GK_NAME(gk_cubic_value)(v, s, checked, gk_position(m, i, gk_base(m, j, k)),
                                             gk_position(m + 4, i, gk_base(m + 4, j, k)),
                                             gk_position(m + 8, i, gk_base(m + 8, j, k)), &value))
                    continue;
                count += 1.0;
                if (way == 2) best += value;
                else if (way == 0 ? value > best : value < best) best = value;
            }
            row[i] = count == 0.0 ? fill : way == 2 ? best / count : best;
        }
        gk_store_row(out, out_type, j * size[0], row, size[0]);
    }
}
