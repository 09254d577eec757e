/* Arithmetic of sixteen rays side by side, in float or double: plain loops that the compiler turns into vectors. */
#ifndef GK_RAY_LANES_H
#define GK_RAY_LANES_H

#if defined(__GNUC__) || defined(__clang__)
#define GK_INLINE inline __attribute__((always_inline)) /* compiled anew for each set of constant arguments */
#else
#define GK_INLINE inline
#endif

/* A word of memory that need not be aligned. Written so, and not as a copy, the compiler puts many of them side by side
 * into a vector without a detour through memory. */
#if defined(__GNUC__) || defined(__clang__)
typedef uint16_t gk_loose_uint16_t __attribute__((aligned(1), may_alias));
typedef uint32_t gk_loose_uint32_t __attribute__((aligned(1), may_alias));
#define GK_PEEK(word, p) (*(const GK_JOIN(gk_loose_, word) *)(p))
#else
static inline uint16_t gk_peek_uint16_t(const void *p) {
    uint16_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}
static inline uint32_t gk_peek_uint32_t(const void *p) {
    uint32_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}
#define GK_PEEK(word, p) GK_JOIN(gk_peek_, word)(p)
#endif

#define GK_SQUARES 6

/* The tables of a look in float, and between which places (exclusive) it has any extinction. */
typedef struct {
    const float *colors;     /* n of red, then of green, then of blue */
    const float *extinction; /* n per mm */
    double first, last;
    int squares; /* whether the shininess is a small whole number, which then has these binary digits */
    float digit[GK_SQUARES], other[GK_SQUARES], least;
} gk_tables;

/* Powers by squares: of each, whether it counts. */
static void gk_tables_power(gk_tables *tables, double power) {
    const int whole = power < (double)(1 << GK_SQUARES) ? (int)power : 0;
    int n;
    tables->squares = (double)whole == power;
    tables->least = 1e-6f;
    for (n = 0; n < GK_SQUARES; n++) {
        tables->digit[n] = (float)((whole >> n) & 1);
        tables->other[n] = 1.0f - tables->digit[n];
    }
}

/* Whether sixteen lanes can be in a box of positions: rows are contiguous, no axis is a single voxel, and offsets within
 * it fit 32 bits. */
static inline int gk_for_lanes(const gk_volume *v, const double *low, const double *high) {
    double reach = 0.0;
    int axis;
    for (axis = 0; axis < 3; axis++) {
        if (v->size[axis] < 2) return 0;
        reach += (gk_clamp(high[axis] - low[axis], 0.0, (double)v->size[axis]) + 8.0) * (double)v->stride[axis];
    }
    return v->stride[0] == 1 && reach < 1073741824.0;
}

/* Bounds of padding in the type that lanes are blended in, rounded inwards: the same voxels lie between them. */
static inline float gk_up_f(double x) {
    const float f = (float)x;
    return (double)f < x ? nextafterf(f, INFINITY) : f;
}
static inline float gk_down_f(double x) { return -gk_up_f(-x); }
static inline double gk_up_d(double x) { return x; }
static inline double gk_down_d(double x) { return x; }

/* Voxel types whose values a float holds are blended in float. */
typedef float gk_real_u8;
typedef float gk_real_i16;
typedef float gk_real_u16;
typedef double gk_real_i32;
typedef float gk_real_f32;
typedef double gk_real_f64;

/* Less than 1e-37 of the light passes a piece of this optical depth. */
#define GK_DEEPEST 86.0

/* exp(-x) for x from 0 to GK_DEEPEST: 2 to a whole number by its exponent bits, the rest by a polynomial (Taylor's, whose
 * error for half an octave is below a float's). */
static inline float gk_fade_f(float x) {
    const float y = x * -1.44269504089f;
    const int32_t whole = (int32_t)(y - 0.5f), bits = (whole + 127) << 23;
    const float r = (y - (float)whole) * 0.69314718056f;
    float p = 1.0f / 5040.0f, scale;
    memcpy(&scale, &bits, sizeof(scale));
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * scale;
}
static inline double gk_fade_d(double x) { return exp(-x); }
#define GK_FADE(x) _Generic((x), float: gk_fade_f, double: gk_fade_d)(x)

#endif
