/* One sample of a ray with its gradient, for the type in hand. Needs gk_sample.h and gk_look.h. */

/* Value at a position of the clamped volume, or `other` where there is no measurement. */
GK_FN double GK_NAME(gk_value_or)(const gk_volume *v, const double *at, double other) {
    double value;
    if (!gk_inside(v, at[0], at[1], at[2])) return other;
    return GK_NAME(gk_linear)(v, at[0], at[1], at[2], &value, 0) ? value : other;
}

/* Cosine between gradient and view, 0 to 1; 1 where the field is flat. */
GK_FN double GK_NAME(gk_facing)(const gk_volume *v, const double *at, double value, const double *view,
                                const double *dual) {
    double gradient[3], normal[3], cosine;
    int axis;
    for (axis = 0; axis < 3; axis++) {
        double q[3], ahead, behind;
        q[0] = at[0];
        q[1] = at[1];
        q[2] = at[2];
        q[axis] = gk_clamp(at[axis] + 1.0, 0.0, (double)(v->size[axis] - 1));
        ahead = GK_NAME(gk_value_or)(v, q, value);
        q[axis] = gk_clamp(at[axis] - 1.0, 0.0, (double)(v->size[axis] - 1));
        behind = GK_NAME(gk_value_or)(v, q, value);
        gradient[axis] = (ahead - behind) * 0.5;
    }
    gk_apply(dual, gradient, normal);
    if (!(gk_unit(normal) > 0.0)) return 1.0;
    cosine = (normal[0] * view[0] + normal[1] * view[1]) + normal[2] * view[2];
    return cosine < 0.0 ? -cosine : cosine;
}

/* Adds the sample of a value at a position. */
GK_FN void GK_NAME(gk_light_sample)(const gk_volume *v, const gk_look *look, const gk_ray *ray, const double *dual,
                                    const double *at, double value, double *pixel) {
    double rgb[3];
    const double mu = gk_look_up(look, value, rgb);
    if (!(mu > 0.0)) return;
    if (look->shaded) gk_shade(look, GK_NAME(gk_facing)(v, at, value, ray->view, dual), rgb);
    gk_add(pixel, mu, ray->length, rgb);
}
