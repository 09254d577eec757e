/* Light along a ray: what values look like, and how one sample adds to a pixel. Mirrors
 * gpukit/ops/raycast.py. Needs gk_pyramid.h. */
#ifndef GK_LOOK_H
#define GK_LOOK_H

/* Rays in input index space (see Rays in _scene.py), matrices row by row. */
typedef struct {
    double start[3], across[3], down[3], step[3], eye[3];
    double rate; /* 0 for parallel rays */
    double metric[9], dual[9];
} gk_rays;

/* What the values of one volume look like. */
typedef struct {
    const double *table;   /* n rows of red, green, blue, extinction per mm */
    const int32_t *filled; /* n + 1: how many of the first entries are not wholly transparent */
    int64_t n;
    double low, scale;
    double ambient, diffuse, specular, shininess;
    int32_t shaded;
} gk_look;

/* Everything that is drawn (see Scene in _scene.py). Null pointers and zero counts stand for what is not there. */
typedef struct {
    gk_look look;
    double opaque;
    const double *planes; /* n rows a, b, c, d: drawn is where a i + b j + c k + d >= 0 */
    int64_t planes_n;
    const double *factors; /* gradient opacity: n factors by size of the gradient */
    int64_t factors_n;
    double factors_low, factors_scale;
    const uint8_t *labels;       /* of the volume's size, contiguous */
    const double *media;         /* n rows of red, green, blue, extinction per mm, share of the volume that is kept */
    const int32_t *media_filled; /* n + 1: how many of the first labels have an extinction of their own */
    const int32_t *media_kept;   /* n + 1: how many of the first labels keep the volume */
    int64_t media_n;
    int32_t has_second;
    gk_volume second; /* float32, contiguous */
    gk_look second_look;
    double second_map[12]; /* index to the second volume's index, three rows of four */
    double second_dual[9];
} gk_scene;

/* One ray: where it starts, its step in index space, its direction in mm and the length of a step in mm. */
typedef struct {
    double start[3], step[3], view[3], length;
} gk_ray;

GK_FN void gk_apply(const double *m, const double *v, double *out) {
    int a;
    for (a = 0; a < 3; a++) out[a] = (m[3 * a] * v[0] + m[3 * a + 1] * v[1]) + m[3 * a + 2] * v[2];
}

/* Makes v a unit vector (unless it is zero) and returns its length. */
GK_FN double gk_unit(double *v) {
    const double size = sqrt((v[0] * v[0] + v[1] * v[1]) + v[2] * v[2]);
    const double safe = size > 0.0 ? size : 1.0;
    v[0] /= safe;
    v[1] /= safe;
    v[2] /= safe;
    return size;
}

GK_FN gk_ray gk_ray_of(const gk_rays *r, int64_t i, int64_t j) {
    gk_ray ray;
    int a;
    for (a = 0; a < 3; a++) {
        ray.start[a] = r->across[a] * (double)i + (r->down[a] * (double)j + r->start[a]);
        ray.step[a] = r->rate != 0.0 ? (ray.start[a] - r->eye[a]) * r->rate : r->step[a];
    }
    gk_apply(r->metric, ray.step, ray.view);
    ray.length = gk_unit(ray.view);
    return ray;
}

/* Place in the table, 0 to n - 1; 0 for NaN, so that the place is an index whatever the value is. */
GK_FN double gk_place(const gk_look *look, double value) {
    const double place = (value - look->low) * look->scale, last = (double)(look->n - 1);
    return place > 0.0 ? (place < last ? place : last) : 0.0;
}

/* Whether any value from low to high is drawn at all. */
GK_FN int gk_visible(const gk_look *look, double low, double high) {
    const int64_t a = (int64_t)gk_place(look, low);
    const int64_t b = (int64_t)ceil(gk_place(look, high)); /* the entry above takes part in the blend */
    return look->filled[b + 1] > look->filled[a];
}

/* Extinction per mm of a value; its colour goes to rgb. */
GK_FN double gk_look_up(const gk_look *look, double value, double *rgb) {
    const double t = gk_place(look, value);
    int64_t a = (int64_t)t;
    const double *row;
    double f;
    int c;
    if (a > look->n - 2) a = look->n - 2;
    f = t - (double)a;
    row = look->table + 4 * a;
    for (c = 0; c < 3; c++) rgb[c] = gk_mix(f, row[c], row[4 + c]);
    return gk_mix(f, row[3], row[7]);
}

/* Ambient, diffuse and specular light on a surface whose normal has this cosine to the view. */
GK_FN void gk_shade(const gk_look *look, double facing, double *rgb) {
    const double dull = look->ambient + look->diffuse * facing, shine = look->specular * pow(facing, look->shininess);
    int c;
    for (c = 0; c < 3; c++) rgb[c] = gk_clamp(rgb[c] * dull + shine, 0.0, 1.0);
}

/* Adds a sample to a pixel: pixel holds red, green, blue and the light that still passes. */
GK_FN void gk_add(double *pixel, double mu, double length, const double *rgb) {
    const double passing = exp(-mu * length), gain = pixel[3] * (1.0 - passing);
    int c;
    for (c = 0; c < 3; c++) pixel[c] += gain * rgb[c];
    pixel[3] *= passing;
}

/* Whether a position is on the drawn side of every plane. */
GK_FN int gk_unclipped(const gk_scene *s, const double *at) {
    int64_t n;
    for (n = 0; n < s->planes_n; n++) {
        const double *p = s->planes + 4 * n;
        if (!((p[0] * at[0] + p[1] * at[1]) + (p[2] * at[2] + p[3]) >= 0.0)) return 0;
    }
    return 1;
}

/* Planes and a box of positions: 0 all of it is cut away, 1 part of it may be, 2 nothing is. */
GK_FN int gk_planes_state(const gk_scene *s, const double *low, const double *high) {
    int64_t n;
    int axis, state = 2;
    for (n = 0; n < s->planes_n; n++) {
        const double *p = s->planes + 4 * n;
        double least = p[3], most = p[3], size = p[3] < 0.0 ? -p[3] : p[3];
        for (axis = 0; axis < 3; axis++) {
            const double a = p[axis] * low[axis], b = p[axis] * high[axis];
            least += a < b ? a : b;
            most += a < b ? b : a;
            size += (a < 0.0 ? -a : a) + (b < 0.0 ? -b : b);
        }
        size *= 1e-12; /* more than rounding can move the test of a position */
        if (most < -size) return 0;
        if (least < size) state = 1;
    }
    return state;
}

/* Factor of the extinction where the gradient has this size per mm. */
GK_FN double gk_factor(const gk_scene *s, double size) {
    const double t = gk_clamp((size - s->factors_low) * s->factors_scale, 0.0, (double)(s->factors_n - 1));
    int64_t a = (int64_t)t;
    if (a > s->factors_n - 2) a = s->factors_n - 2;
    return gk_mix(t - (double)a, s->factors[a], s->factors[a + 1]);
}

/* Row of the label of a voxel; labels that have none are background. */
GK_FN const double *gk_medium(const gk_scene *s, int64_t voxel) {
    const int64_t label = s->labels[voxel];
    return s->media + 5 * (label < s->media_n ? label : 0);
}

/* What labels put at a position: columns [first, 5) of the media, the colours times their extinction, blended like
 * values. Returns the extinction. */
GK_FN double gk_media_at(const gk_scene *s, const int64_t *size, const double *at, double *row, int first) {
    double fx, fy, fz;
    const int64_t i = gk_corner(at[0], size[0], &fx), j = gk_corner(at[1], size[1], &fy),
                  k = gk_corner(at[2], size[2], &fz);
    const int64_t di = size[0] > 1 ? 1 : 0, dj = size[1] > 1 ? size[0] : 0, dk = size[2] > 1 ? size[0] * size[1] : 0;
    const int64_t voxel = (k * size[1] + j) * size[0] + i;
    int a, c;
    for (c = first; c < 5; c++) row[c] = 0.0;
    for (a = 0; a < 8; a++) {
        const double w = ((a >> 2) ? fz : 1.0 - fz) * (((a >> 1) & 1) ? fy : 1.0 - fy) * ((a & 1) ? fx : 1.0 - fx);
        const double *medium = gk_medium(s, voxel + (a >> 2) * dk + ((a >> 1) & 1) * dj + (a & 1) * di);
        for (c = first; c < 3; c++) row[c] += w * (medium[c] * medium[3]);
        row[3] += w * medium[3];
        row[4] += w * medium[4];
    }
    return row[3];
}

/* Cosine between a gradient in index space and the view, 0 to 1, and 1 where the field is flat; *size is the gradient
 * per mm. */
GK_FN double gk_facing(const double *dual, const double *gradient, const double *view, double *size) {
    double normal[3], cosine;
    gk_apply(dual, gradient, normal);
    *size = gk_unit(normal);
    if (!(*size > 0.0)) return 1.0;
    cosine = (normal[0] * view[0] + normal[1] * view[1]) + normal[2] * view[2];
    return cosine < 0.0 ? -cosine : cosine;
}

/* The same for the extinction of labels. */
GK_FN double gk_media_facing(const gk_scene *s, const int64_t *n, const double *at, const double *dual,
                             const double *view) {
    double gradient[3], row[5], q[3], size;
    int axis, other;
    for (axis = 0; axis < 3; axis++) {
        const double last = (double)(n[axis] - 1);
        for (other = 0; other < 3; other++) q[other] = gk_clamp(at[other], 0.0, (double)(n[other] - 1));
        q[axis] = gk_clamp(q[axis] + 1.0, 0.0, last);
        gradient[axis] = gk_media_at(s, n, q, row, 3);
        q[axis] = gk_clamp(gk_clamp(at[axis], 0.0, last) - 1.0, 0.0, last);
        gradient[axis] = (gradient[axis] - gk_media_at(s, n, q, row, 3)) * 0.5;
    }
    return gk_facing(dual, gradient, view, &size);
}

/* Kinds of bricks, combined with |. */
enum { GK_SEEN = 1, /* the volume's values may be visible */
       GK_MIXED = 2, /* something else may be */
       GK_UNEVEN = 4 /* labels change within the brick */ };
#define GK_DRAWN (GK_SEEN | GK_MIXED)

/* What may be visible in brick `index` of the volume. `bounds` may be null (everything may), as may the others where
 * there are no labels and no second volume. */
GK_FN int gk_brick_kind(const gk_scene *s, const gk_volume *v, const gk_pyramid *p, const float *label_bounds,
                        const float *second_bounds, int64_t index) {
    int kind = 0, second = 0, axis, c;
    if (p->bounds) {
        const float lo = p->bounds[2 * index], hi = p->bounds[2 * index + 1];
        if (lo <= hi && gk_visible(&s->look, (double)lo, (double)hi)) kind = GK_SEEN;
    } else {
        kind = GK_SEEN;
    }
    if (s->has_second) {
        const int64_t b[3] = {index % p->size[0], index / p->size[0] % p->size[1], index / p->size[0] / p->size[1]};
        double low[3], high[3];
        gk_pyramid q;
        float lo, hi;
        for (axis = 0; axis < 3; axis++) {
            const double *row = s->second_map + 4 * axis;
            low[axis] = high[axis] = row[3];
            for (c = 0; c < 3; c++) { /* the outer half voxels belong to the outer bricks */
                const double x0 = row[c] * ((double)(b[c] * GK_BRICK) - 0.51);
                const double x1 = row[c] * ((double)(b[c] * GK_BRICK + GK_BRICK) + 0.51);
                low[axis] += x0 < x1 ? x0 : x1;
                high[axis] += x0 < x1 ? x1 : x0;
            }
            q.size[axis] = gk_bricks(s->second.size[axis]);
        }
        q.bounds = second_bounds;
        if (gk_box_state(&s->second, low, high)) {
            gk_bounds(&q, s->second.size, low, high, &lo, &hi);
            second = lo <= hi && gk_visible(&s->second_look, (double)lo, (double)hi);
        }
    }
    if (s->labels) {
        const int64_t n = s->media_n;
        int64_t lo = (int64_t)label_bounds[2 * index], hi = (int64_t)label_bounds[2 * index + 1];
        const int uniform = lo == hi;
        int own, kept;
        if (hi >= n) lo = 0; /* labels without a row are background */
        hi = hi < n ? hi : n - 1;
        own = s->media_filled[hi + 1] > s->media_filled[lo];
        kept = s->media_kept[hi + 1] > s->media_kept[lo];
        if (!kept) kind = second = 0;
        if (own) kind |= GK_MIXED;
        if (!uniform) kind |= GK_UNEVEN;
    }
    return second ? kind | GK_MIXED : kind;
}

/* Kinds of all bricks that a box of positions touches. */
GK_FN int gk_kinds(const uint8_t *kinds, const gk_pyramid *p, const int64_t *n, const double *low, const double *high) {
    int64_t a[3], b[3], i, j, k;
    int axis, found = 0;
    for (axis = 0; axis < 3; axis++) gk_brick_range(low[axis], high[axis], n[axis], &a[axis], &b[axis]);
    for (k = a[2]; k <= b[2]; k++)
        for (j = a[1]; j <= b[1]; j++)
            for (i = a[0]; i <= b[0]; i++) found |= kinds[(k * p->size[1] + j) * p->size[0] + i];
    return found;
}

#endif
