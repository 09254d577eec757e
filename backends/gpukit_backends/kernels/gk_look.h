/* Light along a ray: what values look like, and how one sample adds to a pixel. Mirrors gpukit/ops/raycast.py. */
#ifndef GK_LOOK_H
#define GK_LOOK_H

/* Rays in input index space (see Rays in raycast.py), matrices row by row. */
typedef struct {
    double start[3], across[3], down[3], step[3], eye[3];
    double rate; /* 0 for parallel rays */
    double metric[9], dual[9];
} gk_rays;

typedef struct {
    const double *table;   /* n rows of red, green, blue, extinction per mm */
    const int32_t *filled; /* n + 1: how many of the first entries are not wholly transparent */
    int64_t n;
    double low, scale;
    double ambient, diffuse, specular, shininess;
    double opaque;
    int32_t shaded;
} gk_look;

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

/* Place in the table, 0 to n - 1. */
GK_FN double gk_place(const gk_look *look, double value) {
    return gk_clamp((value - look->low) * look->scale, 0.0, (double)(look->n - 1));
}

/* Whether any value from low to high is drawn at all. */
GK_FN int gk_visible(const gk_look *look, double low, double high) {
    const int64_t a = (int64_t)gk_place(look, low);
    int64_t b = (int64_t)gk_place(look, high) + 1; /* the entry above takes part in the blend */
    if (b > look->n - 1) b = look->n - 1;
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

#endif
