/* One sample of a ray with its gradient, for the type in hand. Needs gk_sample.h and gk_look.h. */

/* Value at a position of the clamped volume, or `other` where there is no measurement. */
GK_FN double GK_NAME(gk_value_or)(const gk_volume *v, const double *at, double other) {
    double value;
    return GK_NAME(gk_linear)(v, at[0], at[1], at[2], &value, 0) ? value : other;
}

/* Central differences of a voxel to either side, per voxel. */
GK_FN void GK_NAME(gk_gradient)(const gk_volume *v, const double *at, double value, double *gradient) {
    double here[3], q[3];
    int axis;
    for (axis = 0; axis < 3; axis++) here[axis] = gk_clamp(at[axis], 0.0, (double)(v->size[axis] - 1));
    for (axis = 0; axis < 3; axis++) {
        const double last = (double)(v->size[axis] - 1);
        double ahead;
        q[0] = here[0];
        q[1] = here[1];
        q[2] = here[2];
        q[axis] = gk_clamp(here[axis] + 1.0, 0.0, last);
        ahead = GK_NAME(gk_value_or)(v, q, value);
        q[axis] = gk_clamp(here[axis] - 1.0, 0.0, last);
        gradient[axis] = (ahead - GK_NAME(gk_value_or)(v, q, value)) * 0.5;
    }
}

#ifndef GK_LIGHT_SECOND
#define GK_LIGHT_SECOND
/* The second volume is float32, whatever the first is. */
GK_FN int gk_linear_f32(const gk_volume *v, double x, double y, double z, double *value, int *beside);
GK_FN void gk_gradient_f32(const gk_volume *v, const double *at, double value, double *gradient);

/* Adds `mu` of a colour to the media at one place. */
GK_FN double gk_blend(double *sum, double mu, const double *rgb) {
    int c;
    for (c = 0; c < 3; c++) sum[c] += mu * rgb[c];
    return mu;
}

/* The second volume at a position of the first; returns its extinction, its colours times that are added to `sum`. */
GK_FN double gk_second(const gk_scene *s, const double *at, const double *view, double keep, double *sum) {
    double q[3], rgb[3], value, mu, gradient[3], size;
    int axis;
    for (axis = 0; axis < 3; axis++) {
        const double *row = s->second_map + 4 * axis;
        q[axis] = (row[0] * at[0] + row[1] * at[1]) + (row[2] * at[2] + row[3]);
    }
    if (!gk_inside(&s->second, q[0], q[1], q[2])) return 0.0;
    if (!gk_linear_f32(&s->second, q[0], q[1], q[2], &value, 0)) return 0.0;
    mu = gk_look_up(&s->second_look, value, rgb) * keep;
    if (!(mu > 0.0)) return 0.0;
    if (s->second_look.shaded) {
        gk_gradient_f32(&s->second, q, value, gradient);
        gk_shade(&s->second_look, gk_facing(s->second_dual, gradient, view, &size), rgb);
    }
    return gk_blend(sum, mu, rgb);
}
#endif

/* Adds the sample at a position inside the volume to a pixel. */
GK_FN void GK_NAME(gk_light_sample)(const gk_volume *v, const gk_scene *s, const gk_ray *ray, const double *dual,
                                    const double *at, double *pixel) {
    double sum[3] = {0.0, 0.0, 0.0}, row[5] = {0.0, 0.0, 0.0, 0.0, 1.0}, rgb[3], value, mu, total = 0.0;
    int c;
    if (!gk_unclipped(s, at)) return;
    if (s->labels) gk_media_at(s, v->size, at, row, 0);
    if (row[4] > 0.0) {
        if (GK_NAME(gk_linear)(v, at[0], at[1], at[2], &value, 0)) {
            mu = gk_look_up(&s->look, value, rgb) * row[4];
            if (mu > 0.0 && (s->look.shaded || s->factors_n)) {
                double gradient[3], size, facing;
                GK_NAME(gk_gradient)(v, at, value, gradient);
                facing = gk_facing(dual, gradient, ray->view, &size);
                if (s->factors_n) mu *= gk_factor(s, size);
                if (s->look.shaded) gk_shade(&s->look, facing, rgb);
            }
            if (mu > 0.0) total += gk_blend(sum, mu, rgb);
        }
        if (s->has_second) total += gk_second(s, at, ray->view, row[4], sum);
    }
    if (row[3] > 0.0) {
        for (c = 0; c < 3; c++) rgb[c] = row[c] / row[3];
        if (s->look.shaded) gk_shade(&s->look, gk_media_facing(s, v->size, at, dual, ray->view), rgb);
        total += gk_blend(sum, row[3], rgb);
    }
    if (!(total > 0.0)) return;
    for (c = 0; c < 3; c++) sum[c] /= total;
    gk_add(pixel, total, ray->length, sum);
}
