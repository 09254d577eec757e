/* The class that wins at each voxel of another grid, where scores of classes are interpolated linearly between voxels.
 *
 * Weights of linear interpolation are not negative and have the sum one. So where one class has the largest score at all
 * corners of a cell it has the largest anywhere in it, and nothing is interpolated. Elsewhere the winner is sought among
 * the classes that win at some corner. What any other class can reach is bounded by the largest score but those; only
 * where that bound does not decide are all classes interpolated.
 */
#include <stdlib.h>

#include "gk_common.h"
#include "gk_export.h"

#define GK_BLOCK 256
#define GK_MIXED 0xFFFFu   /* a cell whose corners do not agree */
#define GK_NONE 0x8000u    /* added to a class that is not reached: background */
#define GK_MARGIN 1e-5     /* what rounding of single precision can add to a bound, as a share */

enum { GK_PLAIN = 0, GK_SOFTMAX = 1, GK_SIGMOID = 2, GK_REGIONS = 3 };

/* Scores of classes on a grid, axes counted i, j, k; what is found of each voxel lies in arrays [k][j][i]. */
typedef struct {
    const float *scores;
    const float *weights; /* sums of weights by which scores are divided, or 0 */
    int64_t classes, class_stride;
    int64_t size[3], stride[3], weight_stride[3];
    int32_t order[3]; /* axes from that of the smallest stride to that of the largest */
    int32_t nearest;  /* axis along which nothing is interpolated, or -1 */
    int32_t way;
    int32_t unused;
    uint16_t *first, *second; /* classes of the largest scores; the first with GK_NONE where it is not reached */
    float *bound, *rest;      /* the second and the third largest score */
    float *share;             /* softmax: one over the sum of exp(score - largest) */
    uint16_t *cell;           /* of the cell above each voxel: the class on which its corners agree, or GK_MIXED */
} gk_contest;

static inline int64_t gk_step(const gk_contest *w, int axis) { return w->size[axis] > 1 && axis != w->nearest; }

/* exp(x) for x <= 0 to two units in the last place; plain arithmetic, so that loops over it become vectors. NaN, the
 * difference of two infinite scores, gives exp(-87), because no integer stands for it. */
static inline float gk_exp(float x) {
    const float t = x > -87.0f ? x : -87.0f;
    const float n = (t * 1.44269504f + 12582912.0f) - 12582912.0f; /* rounded: 1.5 * 2^23 */
    const float r = (t - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.0f / 5040.0f;
    int32_t bits;
    float scale;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    bits = ((int32_t)n + 127) << 23;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* Voxel 0 of row `row` along the axis of the smallest stride, as an index of each axis. */
static inline void gk_row(const gk_contest *w, int64_t row, int64_t *at) {
    at[w->order[0]] = 0;
    at[w->order[1]] = row % w->size[w->order[1]];
    at[w->order[2]] = row / w->size[w->order[1]];
}

static inline int64_t gk_dot(const int64_t *at, const int64_t *stride) {
    return at[0] * stride[0] + at[1] * stride[1] + at[2] * stride[2];
}

/* The three largest scores of `count` neighbouring voxels. */
static void gk_largest(const float *restrict x, int64_t step, int64_t classes, int64_t class_stride, int64_t count,
                       float *restrict a, float *restrict b, float *restrict d, int32_t *restrict la,
                       int32_t *restrict lb) {
    int64_t c, l;
    for (l = 0; l < count; l++) {
        a[l] = x[l * step];
        b[l] = d[l] = -INFINITY;
        la[l] = lb[l] = 0;
    }
    for (c = 1; c < classes; c++) {
        const float *restrict y = x + c * class_stride;
        const int32_t name = (int32_t)c;
        if (step == 1)
            for (l = 0; l < count; l++) {
                const float v = y[l], first = a[l], second = b[l];
                const float less = v > first ? first : v;
                const float least = less > second ? second : less;
                lb[l] = v > first ? la[l] : v > second ? name : lb[l];
                la[l] = v > first ? name : la[l];
                a[l] = v > first ? v : first;
                b[l] = less > second ? less : second;
                d[l] = least > d[l] ? least : d[l];
            }
        else
            for (l = 0; l < count; l++) {
                const float v = y[l * step];
                if (!(v > d[l])) continue;
                if (v > a[l]) {
                    d[l] = b[l], b[l] = a[l], a[l] = v;
                    lb[l] = la[l], la[l] = name;
                } else if (v > b[l]) {
                    d[l] = b[l], b[l] = v;
                    lb[l] = name;
                } else {
                    d[l] = v;
                }
            }
    }
}

/* The last class whose score is above zero, of `count` neighbouring voxels. */
static void gk_last(const float *restrict x, int64_t step, int64_t classes, int64_t class_stride, int64_t count,
                    int32_t *restrict la) {
    int64_t c, l;
    for (l = 0; l < count; l++) la[l] = GK_NONE;
    for (c = 0; c < classes; c++)
        for (l = 0; l < count; l++) la[l] = x[c * class_stride + l * step] > 0.0f ? (int32_t)c : la[l];
}

/* Rows [begin, end) along the axis of the smallest stride: which classes are ahead in each voxel. Returns 0. */
GK_EXPORT int gpukit_contest_rows(const gk_contest *w, int64_t begin, int64_t end) {
    const int axis = w->order[0];
    const int64_t n = w->size[axis], step = w->stride[axis];
    const int64_t own[3] = {1, w->size[0], w->size[0] * w->size[1]};
    float a[GK_BLOCK], b[GK_BLOCK], d[GK_BLOCK];
    int32_t la[GK_BLOCK], lb[GK_BLOCK];
    int64_t row, from, l;
    for (row = begin; row < end; row++) {
        int64_t at[3];
        gk_row(w, row, at);
        for (from = 0; from < n; from += GK_BLOCK) {
            const int64_t count = n - from < GK_BLOCK ? n - from : GK_BLOCK;
            int64_t to;
            const float *x;
            at[axis] = from;
            x = w->scores + gk_dot(at, w->stride);
            to = gk_dot(at, own);
            if (w->way == GK_REGIONS) {
                gk_last(x, step, w->classes, w->class_stride, count, la);
            } else {
                gk_largest(x, step, w->classes, w->class_stride, count, a, b, d, la, lb);
                if (w->way == GK_SIGMOID)
                    for (l = 0; l < count; l++) la[l] |= a[l] < 0.0f ? (int32_t)GK_NONE : 0;
            }
            if (w->weights) {
                const float *weight = w->weights + gk_dot(at, w->weight_stride);
                for (l = 0; l < count; l++)
                    if (weight[l * w->weight_stride[axis]] == 0.0f) {
                        la[l] = w->way == GK_PLAIN || w->way == GK_SOFTMAX ? 0 : (int32_t)GK_NONE;
                        lb[l] = 0;
                        b[l] = d[l] = 0.0f;
                    }
            }
            for (l = 0; l < count; l++) w->first[to + l * own[axis]] = (uint16_t)la[l];
            if (w->way != GK_REGIONS)
                for (l = 0; l < count; l++) {
                    w->second[to + l * own[axis]] = (uint16_t)lb[l];
                    w->bound[to + l * own[axis]] = b[l];
                    w->rest[to + l * own[axis]] = d[l];
                }
        }
    }
    return 0;
}

/* Rows [begin, end) along i: whether the corners of each cell agree. Returns 0. */
GK_EXPORT int gpukit_contest_cells(const gk_contest *w, int64_t begin, int64_t end) {
    const int64_t ni = w->size[0], nj = w->size[1], si = gk_step(w, 0);
    int64_t row, i;
    for (row = begin; row < end; row++) {
        const int64_t j = row % nj, k = row / nj;
        const int64_t sj = j + 1 < nj ? gk_step(w, 1) * ni : 0, sk = k + 1 < w->size[2] ? gk_step(w, 2) * ni * nj : 0;
        const uint16_t *restrict p = w->first + row * ni, *restrict q = p + sj, *restrict r = p + sk,
                       *restrict s = p + sj + sk;
        uint16_t *restrict cell = w->cell + row * ni;
        for (i = 0; i < ni; i++) {
            const int64_t o = i + 1 < ni ? i + si : i;
            const uint16_t one = p[i];
            const uint16_t differ = (uint16_t)((p[o] ^ one) | (q[i] ^ one) | (q[o] ^ one) | (r[i] ^ one) |
                                               (r[o] ^ one) | (s[i] ^ one) | (s[o] ^ one));
            const uint16_t none = (uint16_t)(one & p[o] & q[i] & q[o] & r[i] & r[o] & s[i] & s[o] & GK_NONE);
            cell[i] = none ? GK_NONE : differ ? GK_MIXED : one;
        }
    }
    return 0;
}

/* Whether a voxel is a corner of a cell whose corners do not agree. */
static int gk_beside(const gk_contest *w, const int64_t *at) {
    const int64_t own[3] = {1, w->size[0], w->size[0] * w->size[1]};
    int corner, axis;
    for (corner = 0; corner < 8; corner++) {
        int64_t there[3];
        int out = 0;
        for (axis = 0; axis < 3; axis++) {
            const int64_t back = corner >> axis & 1 ? gk_step(w, axis) : 0;
            there[axis] = at[axis] - back;
            out |= there[axis] < 0;
        }
        if (!out && w->cell[gk_dot(there, own)] == GK_MIXED) return 1;
    }
    return 0;
}

/* Rows [begin, end) along the axis of the smallest stride: sums of softmax, where they will be needed. Returns 0. */
GK_EXPORT int gpukit_contest_shares(const gk_contest *w, int64_t begin, int64_t end) {
    const int axis = w->order[0];
    const int64_t n = w->size[axis], step = w->stride[axis];
    const int64_t own[3] = {1, w->size[0], w->size[0] * w->size[1]};
    int64_t row, from, c;
    for (row = begin; row < end; row++) {
        int64_t at[3];
        gk_row(w, row, at);
        for (from = 0; from < n; from += GK_BLOCK) {
            const int64_t stop = n - from < GK_BLOCK ? n : from + GK_BLOCK;
            int64_t offset[GK_BLOCK], place[GK_BLOCK], count = 0, l;
            float top[GK_BLOCK], sum[GK_BLOCK], over[GK_BLOCK], x[GK_BLOCK];
            for (l = from; l < stop; l++) {
                at[axis] = l;
                if (!gk_beside(w, at)) continue;
                offset[count] = gk_dot(at, w->stride);
                place[count] = gk_dot(at, own);
                over[count] = w->weights ? w->weights[gk_dot(at, w->weight_stride)] : 1.0f;
                over[count] = over[count] == 0.0f ? 0.0f : 1.0f / over[count];
                top[count] = w->scores[offset[count] + w->first[place[count]] * w->class_stride];
                sum[count++] = 0.0f;
            }
            for (c = 0; c < w->classes && count; c++) {
                const float *y = w->scores + c * w->class_stride;
                if (step == 1 && count == offset[count - 1] - offset[0] + 1)
                    for (l = 0; l < count; l++) x[l] = y[offset[0] + l];
                else
                    for (l = 0; l < count; l++) x[l] = y[offset[l]];
                for (l = 0; l < count; l++) sum[l] += gk_exp((x[l] - top[l]) * over[l]);
            }
            for (l = 0; l < count; l++) w->share[place[l]] = 1.0f / sum[l];
        }
    }
    return 0;
}

/* One voxel of the result between corners that do not agree. */
typedef struct {
    int64_t at[8], score[8]; /* where the corners lie in the arrays [k][j][i] and in the scores */
    double factor[8];
    float over[8], top[8], share[8]; /* one over the weight (0: no window was there); softmax's largest and share */
    int count;                       /* corners that have a part */
} gk_spot;

static inline double gk_value(const gk_contest *w, const gk_spot *s, int n, float raw, int background) {
    if (s->over[n] == 0.0f) return background ? 1.0 : 0.0;
    switch (w->way) {
        case GK_SOFTMAX: return (double)(gk_exp((raw - s->top[n]) * s->over[n]) * s->share[n]);
        case GK_SIGMOID: {
            const float x = raw * s->over[n], e = gk_exp(x < 0.0f ? x : -x);
            return (double)(x < 0.0f ? e / (1.0f + e) : 1.0f / (1.0f + e));
        }
        default: return (double)raw * (double)s->over[n];
    }
}

/* One class between the corners, rounded to single precision as images of scores are. */
static inline float gk_between(const gk_contest *w, const gk_spot *s, int64_t c) {
    const float *scores = w->scores + c * w->class_stride;
    const int background = c == 0 && (w->way == GK_PLAIN || w->way == GK_SOFTMAX);
    double sum = 0.0;
    int n;
    for (n = 0; n < s->count; n++) sum += s->factor[n] * gk_value(w, s, n, scores[s->score[n]], background);
    return (float)sum;
}

/* The winner, with GK_NONE where it is background. */
static uint32_t gk_win(const gk_contest *w, const gk_spot *s) {
    uint16_t known[8];
    int some = 0, n, m;
    int64_t c;
    float best = -INFINITY;
    uint32_t winner = 0;
    double reach = 0.0;
    if (w->way == GK_REGIONS) {
        for (c = w->classes - 1; c >= 0; c--)
            if (gk_between(w, s, c) > 0.0f) return (uint32_t)c;
        return GK_NONE;
    }
    for (n = 0; n < s->count; n++) { /* the corners' classes, in order */
        const uint16_t one = (uint16_t)(w->first[s->at[n]] & ~GK_NONE);
        for (m = some; m > 0 && known[m - 1] > one; m--) {}
        if (m > 0 && known[m - 1] == one) continue;
        memmove(known + m + 1, known + m, (size_t)(some - m) * sizeof *known);
        known[m] = one;
        some++;
    }
    for (m = 0; m < some; m++) {
        const float v = gk_between(w, s, known[m]);
        if (v > best) {
            best = v;
            winner = known[m];
        }
    }
    for (n = 0; n < s->count; n++) {
        float most = w->bound[s->at[n]];
        for (m = 0; m < some; m++)
            if (w->second[s->at[n]] == known[m]) most = w->rest[s->at[n]];
        reach += s->factor[n] * gk_value(w, s, n, most, 0);
    }
    if (!((double)best > reach + GK_MARGIN * (fabs(reach) + fabs((double)best)))) {
        best = -INFINITY;
        for (c = 0; c < w->classes; c++) {
            const float v = gk_between(w, s, c);
            if (v > best) {
                best = v;
                winner = (uint32_t)c;
            }
        }
    }
    return w->way == GK_SIGMOID && best < 0.5f ? GK_NONE : winner;
}

/* Narrows [*from, *to) to indices whose position along one axis may lie within [low, high], with one to spare. */
static void gk_narrow(double slope, double base, double low, double high, int64_t *from, int64_t *to) {
    double a, b;
    if (slope == 0.0) {
        if (base < low || base > high) *to = *from;
        return;
    }
    a = (low - base) / slope;
    b = (high - base) / slope;
    if (a > b) {
        const double t = a;
        a = b;
        b = t;
    }
    if (a - 1.0 > (double)*from) *from = a - 1.0 > (double)*to ? *to : (int64_t)(a - 1.0);
    if (b + 2.0 < (double)*to) *to = b + 2.0 < (double)*from ? *from : (int64_t)(b + 2.0);
}

static void gk_put(void *out, int wide, int64_t at, int32_t value) {
    if (wide)
        ((int32_t *)out)[at] = value;
    else
        ((uint8_t *)out)[at] = (uint8_t)value;
}

/* Rows [begin, end) of the result, which has size[] voxels from start[] on; row a of m gives the position along axis a.
 * A voxel counts where low[a] <= position <= high[a], and where that is not the outer face, below high[a] (open[a]); it
 * is 0 elsewhere. first[] is the number of the scores' first plane. table[] has the value of each class and, last, that
 * of the background. Returns 0. */
GK_EXPORT int gpukit_contest_labels(const gk_contest *w, const double *m, const int64_t *start, const int64_t *size,
                                    const double *low, const double *high, const int32_t *open, const int64_t *first,
                                    double tie, const int32_t *table, void *out, int wide, int64_t begin, int64_t end) {
    const int64_t own[3] = {1, w->size[0], w->size[0] * w->size[1]};
    int64_t row, i;
    int axis, corner;
    for (row = begin; row < end; row++) {
        const int64_t j = start[1] + row % size[1], k = start[2] + row / size[1];
        int64_t from = start[0], to = start[0] + size[0];
        double base[3];
        for (axis = 0; axis < 3; axis++) {
            base[axis] = gk_base(m + 4 * axis, j, k);
            gk_narrow(m[4 * axis], base[axis], low[axis], high[axis], &from, &to);
        }
        memset((char *)out + row * size[0] * (wide ? 4 : 1), 0, (size_t)(size[0] * (wide ? 4 : 1)));
        for (; from < to; from += GK_BLOCK) {
            const int count = to - from < GK_BLOCK ? (int)(to - from) : GK_BLOCK;
            double part[3][GK_BLOCK];
            int32_t index[3][GK_BLOCK];
            uint8_t inside[GK_BLOCK];
            int l;
            for (l = 0; l < count; l++) inside[l] = 1;
            for (axis = 0; axis < 3; axis++) {
                const double slope = m[4 * axis], rest = base[axis], lo = low[axis], hi = high[axis];
                const double shift = (double)first[axis], last = (double)(w->size[axis] - 1);
                const int32_t most = (int32_t)(w->size[axis] - 1 - gk_step(w, axis));
                const int32_t shut = !open[axis], near = axis == w->nearest;
                for (l = 0; l < count; l++) {
                    const double y = slope * (double)(from + l) + rest;
                    double c = gk_clamp(y - shift, 0.0, last) + (near ? 0.5 + tie : 0.0);
                    int32_t n = (int32_t)c;
                    n = n > most ? most : n;
                    inside[l] &= (uint8_t)((y >= lo) & ((y < hi) | (shut & (y == hi))));
                    index[axis][l] = n;
                    part[axis][l] = near ? 0.0 : c - (double)n;
                }
            }
            for (l = 0; l < count; l++) {
                const int64_t at = index[0][l] + index[1][l] * own[1] + index[2][l] * own[2];
                uint32_t winner;
                gk_spot s;
                if (!inside[l]) continue;
                winner = w->cell[at];
                if (winner == GK_MIXED) {
                    const int64_t where = index[0][l] * w->stride[0] + index[1][l] * w->stride[1] +
                                          index[2][l] * w->stride[2];
                    s.count = 0;
                    for (corner = 0; corner < 8; corner++) {
                        double factor = 1.0;
                        int64_t place = at, score = where;
                        for (axis = 0; axis < 3; axis++) {
                            const int up = corner >> axis & 1;
                            factor *= up ? part[axis][l] : 1.0 - part[axis][l];
                            place += up ? own[axis] : 0;
                            score += up ? w->stride[axis] : 0;
                        }
                        if (factor == 0.0) continue; /* also where there is no such corner */
                        s.at[s.count] = place;
                        s.score[s.count] = score;
                        s.factor[s.count] = factor;
                        s.over[s.count] = 1.0f;
                        if (w->weights) {
                            const int64_t there[3] = {index[0][l] + (corner & 1), index[1][l] + (corner >> 1 & 1),
                                                      index[2][l] + (corner >> 2)};
                            const float weight = w->weights[gk_dot(there, w->weight_stride)];
                            s.over[s.count] = weight == 0.0f ? 0.0f : 1.0f / weight;
                        }
                        if (w->way == GK_SOFTMAX) {
                            s.top[s.count] = w->scores[score + w->first[place] * w->class_stride];
                            s.share[s.count] = w->share[place];
                        }
                        s.count++;
                    }
                    winner = gk_win(w, &s);
                }
                gk_put(out, wide, row * size[0] + (from + l - start[0]),
                       winner & GK_NONE ? table[w->classes] : table[winner]);
            }
        }
    }
    return 0;
}
