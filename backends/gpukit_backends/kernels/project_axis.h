/* Maximum and minimum along an axis of the array, for the type in hand: whole rows against what is there so far. Both
 * loops are plain, so the compiler makes vectors of them; a tile of results stays in the nearest cache meanwhile. */

/* Results worked on at a time. */
#define GK_TILE 8192
/* Lanes of a row that is reduced to one number. */
#define GK_ACROSS 64

/* Takes n values into the results so far. Values from `low` to `high` are no measurement (none where low > high). NaN
 * never beats anything. */
static void GK_NAME(gk_project_more)(GK_T *restrict best, const GK_T *restrict row, int64_t n, int least, int checked,
                                     GK_T low, GK_T high) {
    int64_t i;
    if (checked && least)
        for (i = 0; i < n; i++) {
            const GK_T a = row[i] >= low && row[i] <= high ? (GK_T)GK_T_MAX : row[i];
            best[i] = a < best[i] ? a : best[i];
        }
    else if (checked)
        for (i = 0; i < n; i++) {
            const GK_T a = row[i] >= low && row[i] <= high ? (GK_T)GK_T_MIN : row[i];
            best[i] = a > best[i] ? a : best[i];
        }
    else if (least)
        for (i = 0; i < n; i++) best[i] = row[i] < best[i] ? row[i] : best[i];
    else
        for (i = 0; i < n; i++) best[i] = row[i] > best[i] ? row[i] : best[i];
}

/* Takes four rows of n values, `step` apart, into the results so far, all of them measurements: results are read and
 * written a quarter as often. */
static void GK_NAME(gk_project_four)(GK_T *restrict best, const GK_T *restrict row, int64_t step, int64_t n, int least) {
    const GK_T *restrict r1 = row + step, *restrict r2 = r1 + step, *restrict r3 = r2 + step;
    int64_t i;
    if (least)
        for (i = 0; i < n; i++) {
            GK_T a = row[i] < best[i] ? row[i] : best[i];
            a = r1[i] < a ? r1[i] : a;
            a = r2[i] < a ? r2[i] : a;
            best[i] = r3[i] < a ? r3[i] : a;
        }
    else
        for (i = 0; i < n; i++) {
            GK_T a = row[i] > best[i] ? row[i] : best[i];
            a = r1[i] > a ? r1[i] : a;
            a = r2[i] > a ? r2[i] : a;
            best[i] = r3[i] > a ? r3[i] : a;
        }
}

/* Whether some of n values, `step` apart, is a measurement. */
static int GK_NAME(gk_project_any)(const GK_T *p, int64_t n, int64_t step, int checked, GK_T low, GK_T high) {
    int64_t k;
    for (k = 0; k < n; k++) {
        const GK_T a = p[k * step];
        if (a == a && !(checked && a >= low && a <= high)) return 1;
    }
    return 0;
}

/* Results [begin, end), counted along the two axes that remain, of which the first has `n` entries side by side in
 * memory, unless it is the axis i that goes: then each result is of one row. `axis` counts i, j, k. A line without any
 * measurement gives `none`. */
static void GK_NAME(gk_project)(const gk_volume *v, int axis, int least, int checked, double lowest, double highest,
                                double none, void *out, int64_t begin, int64_t end) {
    const GK_T *data = (const GK_T *)v->data;
    const GK_T low = checked ? (GK_T)lowest : 0, high = checked ? (GK_T)highest : 0;
    const GK_T start = least ? (GK_T)GK_T_MAX : (GK_T)GK_T_MIN, nothing = (GK_T)none;
    const int64_t depth = v->size[axis], step = v->stride[axis], side = axis == 0 ? v->size[1] : v->size[0];
    const int64_t near = v->stride[axis == 0 ? 1 : 0], far = v->stride[axis == 2 ? 1 : 2];
    int64_t at, i, k;
    for (at = begin; at < end;) {
        const int64_t u = at % side, w = at / side;
        const GK_T *first = data + u * near + w * far;
        GK_T *to = (GK_T *)out + at;
        int64_t n = 1;
        if (axis == 0) {
            GK_T lane[GK_ACROSS];
            for (i = 0; i < GK_ACROSS; i++) lane[i] = start;
            for (k = 0; k + GK_ACROSS <= depth; k += GK_ACROSS)
                GK_NAME(gk_project_more)(lane, first + k, GK_ACROSS, least, checked, low, high);
            GK_NAME(gk_project_more)(lane, first + k, depth - k, least, checked, low, high);
            for (i = GK_ACROSS / 2; i > 0; i /= 2) GK_NAME(gk_project_more)(lane, lane + i, i, least, 0, low, high);
            *to = lane[0];
        } else {
            /* rows that follow one another in memory count as one */
            n = near == 1 && far == side ? end - at : (end - at < side - u ? end - at : side - u);
            n = n < GK_TILE ? n : GK_TILE;
            for (i = 0; i < n; i++) to[i] = start;
            for (k = 0; !checked && k + 4 <= depth; k += 4)
                GK_NAME(gk_project_four)(to, first + k * step, step, n, least);
            for (; k < depth; k++) GK_NAME(gk_project_more)(to, first + k * step, n, least, checked, low, high);
        }
        if (checked || GK_IS_FLOAT)
            for (i = 0; i < n; i++)
                if (to[i] == start && !GK_NAME(gk_project_any)(first + i, depth, step, checked, low, high)) to[i] = nothing;
        at += n;
    }
}
#undef GK_TILE
#undef GK_ACROSS
