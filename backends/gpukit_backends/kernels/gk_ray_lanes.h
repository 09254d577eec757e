/* Arithmetic of sixteen rays side by side, in float or double: plain loops that the compiler turns into vectors. */
#ifndef GK_RAY_LANES_H
#define GK_RAY_LANES_H

#if defined(__GNUC__) || defined(__clang__)
#define GK_PREFETCH(p) __builtin_prefetch(p)
#else
#define GK_PREFETCH(p) (void)(p)
#endif

/* Voxel types whose values a float holds are blended in float. */
typedef float gk_real_u8;
typedef float gk_real_i16;
typedef float gk_real_u16;
typedef double gk_real_i32;
typedef float gk_real_f32;
typedef double gk_real_f64;

/* exp(-x) for x of 0 or more: 2 to a whole number by its exponent bits, the rest by a polynomial (Taylor's, whose
 * error for half an octave is below a float's). */
static void gk_fade_f(const float *restrict x, float *restrict out) {
    int32_t bits[GK_LANES];
    float scale[GK_LANES], rest[GK_LANES];
    int l;
    for (l = 0; l < GK_LANES; l++) {
        float y = x[l] * -1.44269504089f;
        int32_t whole;
        y = y > -126.0f ? y : -126.0f;
        whole = (int32_t)(y - 0.5f);
        rest[l] = (y - (float)whole) * 0.69314718056f;
        bits[l] = (whole + 127) << 23;
    }
    memcpy(scale, bits, sizeof(scale));
    for (l = 0; l < GK_LANES; l++) {
        const float r = rest[l];
        float p = 1.0f / 5040.0f;
        p = p * r + 1.0f / 720.0f;
        p = p * r + 1.0f / 120.0f;
        p = p * r + 1.0f / 24.0f;
        p = p * r + 1.0f / 6.0f;
        p = p * r + 0.5f;
        p = p * r + 1.0f;
        p = p * r + 1.0f;
        out[l] = p * scale[l];
    }
}

static void gk_fade_d(const double *restrict x, double *restrict out) {
    int l;
    for (l = 0; l < GK_LANES; l++) out[l] = exp(-x[l]);
}

#define GK_FADE(x, out) _Generic((out), float *: gk_fade_f, double *: gk_fade_d)(x, out)

/* x to a power, in place; by squares where the power is a small whole number. */
#define GK_POWER(real)                                                       \
    {                                                                        \
        real square[GK_LANES];                                               \
        const int whole = (int)(power < 1024.0 ? power : 0.0);               \
        int e, l;                                                            \
        if ((double)whole != power) {                                        \
            for (l = 0; l < GK_LANES; l++) x[l] = (real)pow((double)x[l], power); \
            return;                                                          \
        }                                                                    \
        for (l = 0; l < GK_LANES; l++) {                                     \
            square[l] = x[l];                                                \
            x[l] = (real)1;                                                  \
        }                                                                    \
        for (e = whole; e; e >>= 1) {                                        \
            if (e & 1)                                                       \
                for (l = 0; l < GK_LANES; l++) x[l] *= square[l];            \
            for (l = 0; l < GK_LANES; l++) square[l] *= square[l];           \
        }                                                                    \
    }
static void gk_power_f(float *restrict x, double power) GK_POWER(float)
static void gk_power_d(double *restrict x, double power) GK_POWER(double)
#undef GK_POWER
#define GK_RAISE(x, power) _Generic((x), float *: gk_power_f, double *: gk_power_d)(x, power)

#endif
