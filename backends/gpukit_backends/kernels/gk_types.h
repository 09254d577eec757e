/* Includes the file named by GK_BODY once per voxel type. In it GK_T is the type (GK_T_MIN, GK_T_MAX its range), GK_SUFFIX its name, GK_IS_FLOAT says
 * whether it can hold NaN, and GK_PAIR, where defined, is an unsigned word that holds two neighbours. */
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define GK_LITTLE 1
#else
#define GK_LITTLE 0
#endif

#define GK_T uint8_t
#define GK_T_MIN 0
#define GK_T_MAX 255
#define GK_SUFFIX _u8
#define GK_IS_FLOAT 0
#if GK_LITTLE
#define GK_PAIR uint16_t
#define GK_PAIR_LOW(p) ((int32_t)((p) & 0xff))
#define GK_PAIR_HIGH(p) ((int32_t)((p) >> 8))
#endif
#include GK_BODY
#undef GK_T
#undef GK_T_MIN
#undef GK_T_MAX
#undef GK_SUFFIX
#undef GK_IS_FLOAT
#undef GK_PAIR
#undef GK_PAIR_LOW
#undef GK_PAIR_HIGH

#define GK_T int16_t
#define GK_T_MIN -32768
#define GK_T_MAX 32767
#define GK_SUFFIX _i16
#define GK_IS_FLOAT 0
#if GK_LITTLE
#define GK_PAIR uint32_t
#define GK_PAIR_LOW(p) ((int32_t)((p) << 16) >> 16)
#define GK_PAIR_HIGH(p) ((int32_t)(p) >> 16)
#endif
#include GK_BODY
#undef GK_T
#undef GK_T_MIN
#undef GK_T_MAX
#undef GK_SUFFIX
#undef GK_IS_FLOAT
#undef GK_PAIR
#undef GK_PAIR_LOW
#undef GK_PAIR_HIGH

#define GK_T uint16_t
#define GK_T_MIN 0
#define GK_T_MAX 65535
#define GK_SUFFIX _u16
#define GK_IS_FLOAT 0
#if GK_LITTLE
#define GK_PAIR uint32_t
#define GK_PAIR_LOW(p) ((int32_t)((p) & 0xffffu))
#define GK_PAIR_HIGH(p) ((int32_t)((p) >> 16))
#endif
#include GK_BODY
#undef GK_T
#undef GK_T_MIN
#undef GK_T_MAX
#undef GK_SUFFIX
#undef GK_IS_FLOAT
#undef GK_PAIR
#undef GK_PAIR_LOW
#undef GK_PAIR_HIGH

#define GK_T int32_t
#define GK_T_MIN (-2147483647 - 1)
#define GK_T_MAX 2147483647
#define GK_SUFFIX _i32
#define GK_IS_FLOAT 0
#include GK_BODY
#undef GK_T
#undef GK_T_MIN
#undef GK_T_MAX
#undef GK_SUFFIX
#undef GK_IS_FLOAT

#define GK_T float
#define GK_T_MIN -INFINITY
#define GK_T_MAX INFINITY
#define GK_SUFFIX _f32
#define GK_IS_FLOAT 1
#include GK_BODY
#undef GK_T
#undef GK_T_MIN
#undef GK_T_MAX
#undef GK_SUFFIX
#undef GK_IS_FLOAT

#define GK_T double
#define GK_T_MIN -INFINITY
#define GK_T_MAX INFINITY
#define GK_SUFFIX _f64
#define GK_IS_FLOAT 1
#include GK_BODY
#undef GK_T
#undef GK_T_MIN
#undef GK_T_MAX
#undef GK_SUFFIX
#undef GK_IS_FLOAT
#undef GK_LITTLE
