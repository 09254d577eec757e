/* Ray casting on the CPU: entry points by voxel type. */
#include <stdlib.h>

#include "gk_common.h"
#include "gk_export.h"
#include "gk_pyramid.h"
#include "gk_look.h"
#include "gk_rows.h"
#include "gk_ray_lanes.h"
#include "gk_skip.h"

#define GK_BODY "ray_rows.h"
#include "gk_types.h"

static void gk_counts(const gk_volume *v, const float *bounds, gk_pyramid *p) {
    int axis;
    p->bounds = bounds;
    for (axis = 0; axis < 3; axis++) p->size[axis] = gk_bricks(v->size[axis]);
}

/* Kinds of the bricks of brick rows [begin, end). Always returns 0. */
GK_EXPORT int gpukit_ray_kinds(const gk_volume *v, const float *bounds, const float *label_bounds,
                               const float *second_bounds, const gk_scene *s, uint8_t *kinds, int64_t begin,
                               int64_t end) {
    gk_pyramid p;
    int64_t index;
    gk_counts(v, bounds, &p);
    for (index = begin * p.size[0]; index < end * p.size[0]; index++)
        kinds[index] = (uint8_t)gk_brick_kind(s, v, &p, label_bounds, second_bounds, index);
    return 0;
}

/* One row of distances from rows next to it that are done, then along itself in one direction. */
static void gk_sweep(uint8_t *restrict row, int64_t n, const uint8_t *const *others, int count, int backwards) {
    int64_t i;
    int o;
    for (o = 0; o < count; o++) {
        const uint8_t *restrict q = others[o];
        row[0] = q[0] + 1 < row[0] ? (uint8_t)(q[0] + 1) : row[0];
        for (i = 1; i + 1 < n; i++) {
            uint8_t least = q[i - 1] < q[i] ? q[i - 1] : q[i];
            least = q[i + 1] < least ? q[i + 1] : least;
            least = least < 254 ? (uint8_t)(least + 1) : (uint8_t)255;
            row[i] = least < row[i] ? least : row[i];
        }
        if (n > 1) {
            const uint8_t a = q[0] < q[1] ? q[0] : q[1], b = q[n - 1] < q[n - 2] ? q[n - 1] : q[n - 2];
            row[0] = a + 1 < row[0] ? (uint8_t)(a + 1) : row[0];
            row[n - 1] = b + 1 < row[n - 1] ? (uint8_t)(b + 1) : row[n - 1];
        }
    }
    if (!backwards)
        for (i = 1; i < n; i++) row[i] = row[i - 1] + 1 < row[i] ? (uint8_t)(row[i - 1] + 1) : row[i];
    else
        for (i = n - 2; i >= 0; i--) row[i] = row[i + 1] + 1 < row[i] ? (uint8_t)(row[i + 1] + 1) : row[i];
}

/* For each brick how many bricks away (along the longest axis) the next visible one is, at most 255; `box` becomes the
 * first and last visible brick along i, j and k, or 1, 0 where there is none. `size` counts bricks along i, j, k. */
GK_EXPORT int gpukit_ray_clears(const uint8_t *kinds, const int64_t *size, uint8_t *clears, int64_t *box) {
    const int64_t ni = size[0], nj = size[1], nk = size[2];
    const uint8_t *others[4];
    int64_t i, j, k;
    int axis, count;
    for (axis = 0; axis < 3; axis++) {
        box[2 * axis] = size[axis];
        box[2 * axis + 1] = -1;
    }
    for (k = 0; k < nk; k++)
        for (j = 0; j < nj; j++)
            for (i = 0; i < ni; i++) {
                const int64_t at = (k * nj + j) * ni + i, here[3] = {i, j, k};
                const int drawn = (kinds[at] & GK_DRAWN) != 0;
                clears[at] = drawn ? 0 : 255;
                if (drawn)
                    for (axis = 0; axis < 3; axis++) {
                        box[2 * axis] = here[axis] < box[2 * axis] ? here[axis] : box[2 * axis];
                        box[2 * axis + 1] = here[axis] > box[2 * axis + 1] ? here[axis] : box[2 * axis + 1];
                    }
            }
    for (k = 0; k < nk; k++)
        for (j = 0; j < nj; j++) {
            uint8_t *row = clears + (k * nj + j) * ni;
            count = 0;
            if (j > 0) others[count++] = row - ni;
            if (k > 0) {
                others[count++] = row - nj * ni;
                if (j > 0) others[count++] = row - nj * ni - ni;
                if (j + 1 < nj) others[count++] = row - nj * ni + ni;
            }
            gk_sweep(row, ni, others, count, 0);
        }
    for (k = nk - 1; k >= 0; k--)
        for (j = nj - 1; j >= 0; j--) {
            uint8_t *row = clears + (k * nj + j) * ni;
            count = 0;
            if (j + 1 < nj) others[count++] = row + ni;
            if (k + 1 < nk) {
                others[count++] = row + nj * ni;
                if (j > 0) others[count++] = row + nj * ni - ni;
                if (j + 1 < nj) others[count++] = row + nj * ni + ni;
            }
            gk_sweep(row, ni, others, count, 1);
        }
    return 0;
}

/* Rows of tiles [begin, end), each four rows of pixels. Returns 1 where there is no memory. */
GK_EXPORT int gpukit_raycast(const gk_volume *v, const uint8_t *kinds, const uint8_t *clears, const int64_t *box,
                             const gk_rays *rays, const gk_scene *s, const int64_t *size, float *out, int64_t begin,
                             int64_t end) {
    const int64_t entries = s->look.n;
    float *table = (float *)malloc((size_t)(4 * entries) * sizeof(float));
    gk_tables tables;
    gk_skip skip;
    int64_t n;
    int axis, column;
    if (!table) return 1;
    tables.colors = table;
    tables.extinction = table + 3 * entries;
    tables.first = (double)entries;
    tables.last = -1.0;
    gk_tables_power(&tables, s->look.shininess);
    for (n = 0; n < entries; n++) {
        for (column = 0; column < 4; column++) table[column * entries + n] = (float)s->look.table[4 * n + column];
        if (s->look.filled[n + 1] == s->look.filled[n]) continue;
        tables.first = (double)(n - 1) < tables.first ? (double)(n - 1) : tables.first;
        tables.last = (double)(n + 1);
    }
    gk_counts(v, 0, &skip.bricks);
    skip.kinds = kinds;
    skip.clears = clears;
    for (axis = 0; axis < 3; axis++) { /* the outer bricks reach half a voxel beyond the outer centres */
        skip.low[axis] = (double)(box[2 * axis] * GK_BRICK) - 0.5 - GK_EDGE;
        skip.high[axis] = (double)((box[2 * axis + 1] + 1) * GK_BRICK) + 0.5 + GK_EDGE;
        if (box[2 * axis] > box[2 * axis + 1]) skip.high[axis] = skip.low[axis] - 1.0;
    }
    switch (v->type) {
        case GK_U8: gk_cast_u8(v, &skip, rays, s, &tables, size, out, begin, end); break;
        case GK_I16: gk_cast_i16(v, &skip, rays, s, &tables, size, out, begin, end); break;
        case GK_U16: gk_cast_u16(v, &skip, rays, s, &tables, size, out, begin, end); break;
        case GK_I32: gk_cast_i32(v, &skip, rays, s, &tables, size, out, begin, end); break;
        case GK_F32: gk_cast_f32(v, &skip, rays, s, &tables, size, out, begin, end); break;
        default: gk_cast_f64(v, &skip, rays, s, &tables, size, out, begin, end);
    }
    free(table);
    return 0;
}
