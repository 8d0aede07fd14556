// Defines the PTX instructions that ptx.py translates to calls, by the rules of the PTX ISA. Registers are plain bits;
// the instructions give them a type.
#pragma once

#include <math.h>
#include <string.h>

#include <type_traits>

#include "../kernel_abi.h"

using namespace emulator;

typedef bool pred;
typedef unsigned char u8;
typedef unsigned short u16, b16;
typedef unsigned u32, b32;
typedef unsigned long long u64, b64;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef float f32;
typedef double f64;

// Set by the driver when it loads the shared object.
extern "C" {
const Runtime* emulator_runtime;
}

// The low bits of a register as a T.
template <class T, class Register>
inline T get(Register bits) {
    static_assert(sizeof(T) <= sizeof(Register), "a register is too narrow");
    T value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// Writes a register. A wider one is filled with the sign of an integer, or zeros.
template <class T, class Register>
inline void set(Register& to, T value) {
    static_assert(sizeof(T) <= sizeof(Register), "a register is too narrow");
    if constexpr (std::is_integral_v<T>) to = (Register)value;
    else {
        to = 0;
        memcpy(&to, &value, sizeof value);
    }
}

// Arithmetic in float32 returns the same NaN for all NaNs.
inline f32 canonical(f32 x) { return x == x ? x : get<f32>(0x7fffffffu); }
inline f64 canonical(f64 x) { return x; }

// For sums and products that wrap: signed overflow is undefined in C++.
template <class T>
using wrapping = std::make_unsigned_t<T>;

#define OP1(name, expression) template <class T> inline T op_##name(T a) { return (T)(expression); }
#define OP2(name, expression) template <class T> inline T op_##name(T a, T b) { return (T)(expression); }
#define OP3(name, expression) template <class T> inline T op_##name(T a, T b, T c) { return (T)(expression); }

OP2(add, wrapping<T>(a) + wrapping<T>(b))
OP2(sub, wrapping<T>(a) - wrapping<T>(b))
OP2(mul_lo, wrapping<T>(a) * wrapping<T>(b))
OP3(mad_lo, wrapping<T>(a) * wrapping<T>(b) + wrapping<T>(c))
// Division by zero is unspecified in PTX: here the result is all ones.
OP2(div, b == 0 ? T(-1) : a / b)
OP2(rem, b == 0 ? T(-1) : a % b)
OP2(min, a < b ? a : b)
OP2(max, a < b ? b : a)
template <> inline f32 op_max(f32 a, f32 b) { return canonical(fmaxf(a, b)); }
template <> inline f64 op_min(f64 a, f64 b) { return fmin(a, b); }
OP2(max_NaN, a == a && b == b ? op_max(a, b) : canonical((T)NAN))
template <class T>
inline auto op_mul_wide(T a, T b) {
    return (std::conditional_t<std::is_signed_v<T>, s64, u64>)a * b;
}

OP2(and, a & b)
OP2(or, a | b)
OP2(xor, a ^ b)
OP1(not, (std::is_same_v<T, pred>) ? T(!a) : T(~a))
// A shift by the width or more shifts all bits out.
template <class T>
inline T op_shl(T a, u32 by) {
    return by >= 8 * sizeof(T) ? T(0) : T(a << by);
}
template <class T>
inline T op_shr(T a, u32 by) {
    return by >= 8 * sizeof(T) ? T(std::is_signed_v<T> && a < 0 ? -1 : 0) : T(a >> by);
}

// Replaces `length` bits of `b`, beginning at `from`, with the low bits of `a`. Only 8 bits of both numbers count.
template <class T>
inline T op_bfi(T a, T b, u32 from, u32 length) {
    from &= 255, length &= 255;
    T mask = op_shl<T>(length >= 8 * sizeof(T) ? T(-1) : T((T(1) << length) - 1), from);
    return T((op_shl<T>(a, from) & mask) | (b & ~mask));
}

// The C++ is compiled with -ffp-contract=off, so that a + b rounds to nearest and is never fused.
OP2(add_rn, canonical(a + b))
OP2(sub_rn, canonical(a - b))
OP2(mul_rn, canonical(a * b))
OP2(div_rn, canonical(a / b))
inline f32 fused(f32 a, f32 b, f32 c) { return fmaf(a, b, c); }
inline f64 fused(f64 a, f64 b, f64 c) { return fma(a, b, c); }
OP3(fma_rn, canonical(fused(a, b, c)))
OP1(sqrt_rn, canonical(sizeof(T) == 4 ? (T)sqrtf((f32)a) : (T)sqrt(a)))
OP1(rcp_rn, canonical(1 / a))
// The high 32 bits of the reciprocal of the high 32 bits. Subnormals count as zero.
template <class T>
inline T op_rcp_approx_ftz(T a) {
    const u64 high = 0xffffffff00000000;
    f64 x = get<f64>(get<u64>(a) & high);
    x = fabs(x) < 0x1p-1022 ? copysign(0.0, x) : x;
    f64 result = get<f64>(get<u64>(1 / x) & high);
    return fabs(result) < 0x1p-1022 ? copysign(0.0, result) : result;
}
OP1(neg, (std::is_same_v<T, s32>) ? (T)(0 - (u32)a) : -a)
OP1(abs, canonical(sizeof(T) == 4 ? (T)fabsf((f32)a) : (T)fabs(a)))

// With a NaN, ordered comparisons are false and unordered ones (ltu) are true.
#define COMPARISON(name, operation)                                                             \
    template <class T> inline bool op_setp_##name(T a, T b) { return a == a && b == b && a operation b; } \
    template <class T> inline bool op_setp_##name##u(T a, T b) { return a != a || b != b || a operation b; }
COMPARISON(eq, ==)
COMPARISON(ne, !=)
COMPARISON(lt, <)
COMPARISON(le, <=)
COMPARISON(gt, >)
COMPARISON(ge, >=)
template <class T> inline bool op_setp_nan(T a, T b) { return a != a || b != b; }
template <class T>
inline T op_selp(T a, T b, bool first) {
    return first ? a : b;
}

template <class To, class From> inline To op_cvt(From a) { return (To)a; }
template <class To, class From> inline To op_cvt_rn(From a) { return canonical((To)a); }
// Rounds towards negative infinity. What float64 cannot hold of a sum decides too; a sum of exactly 0 is -0, but for
// 0 + 0.
template <class T> inline T op_add_rm(T a, T b) {
    const double x = a, y = b, sum = x + y, of_y = sum - x, rest = (x - (sum - of_y)) + (y - of_y);
    const T near = (T)sum;
    if (sum == 0) return (get<u32>(a) | get<u32>(b)) == 0 ? T(0) : -T(0);
    return canonical(near > sum || (near == sum && rest < 0) ? nextafterf(near, -INFINITY) : near);
}
template <class To, class From> inline To op_cvt_rzi(From a) { return canonical(truncf(a)); }

// The nearest bfloat16, ties to even; all NaNs become the same. Compares distances, which are exact in float64: the
// kernels' own to_bf16 is written in another way, so that each checks the other.
inline u16 to_bf16(f32 x) {
    if (x != x) return 0x7fff;
    u32 bits = get<u32>(x), below = bits & 0xffff0000u;
    f64 low = get<f32>(below), high = get<f32>(below + 0x10000u);
    if (isinf(low)) return below >> 16;
    if (isinf(high)) high = copysign(0x1p128, high);
    f64 to_low = fabs(x - low), to_high = fabs(high - x);
    bool up = to_high < to_low || (to_high == to_low && (below >> 16 & 1));
    return (below >> 16) + up;
}
