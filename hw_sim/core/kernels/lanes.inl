// Vectors of LANES float32 or int32 lanes and the VPU's arithmetic on them, in the compiler's portable vector form.
// Included, inside an unnamed namespace, by each set of kernels: the same text becomes each CPU family's instructions.

template <int LANES>
struct Lane {
    typedef float Floats __attribute__((vector_size(4 * LANES)));
    typedef std::int32_t Ints __attribute__((vector_size(4 * LANES)));
    typedef std::uint32_t Words __attribute__((vector_size(4 * LANES)));
};

template <typename V, typename T>
WEFT_INLINE V load_as(const T* from) {
    V value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <typename V, typename T>
WEFT_INLINE void store_as(T* to, const V& value) {
    std::memcpy(to, &value, sizeof value);
}

template <typename F>
WEFT_INLINE F splat(float value) {
    return value - F{};  // value − 0 is value, −0 and NaN included
}

template <int LANES>
struct Arithmetic {
    using F = typename Lane<LANES>::Floats;
    using I = typename Lane<LANES>::Ints;

    WEFT_INLINE static I bits(const F& x) { return reinterpret_cast<I>(x); }
    WEFT_INLINE static F floats(const I& x) { return reinterpret_cast<F>(x); }

    /// x > y ? x : y; NaN if either is.
    WEFT_INLINE static F maximum(const F& x, const F& y) {
        const F larger = x > y ? x : y;
        return x == x ? larger : x;
    }
    /// x < y ? x : y; NaN if either is.
    WEFT_INLINE static F minimum(const F& x, const F& y) {
        const F smaller = x < y ? x : y;
        return x == x ? smaller : x;
    }
    /// To the nearest whole number, ties to even: adding 2²³ to a smaller magnitude leaves no room for a fraction.
    WEFT_INLINE static F rint(const F& x) {
        constexpr float TWO_23 = 8388608.0f;
        const F magnitude = floats(bits(x) & 0x7FFFFFFF);
        const F rounded = (magnitude + TWO_23) - TWO_23;
        const F chosen = magnitude < TWO_23 ? rounded : magnitude;
        return floats(bits(chosen) | (bits(x) & INT32_MIN));
    }
    WEFT_INLINE static F floor(const F& x) {
        const F nearest = rint(x);
        return nearest > x ? nearest - 1.0f : nearest;
    }
    /// rint, saturated to 32 bits; NaN gives 0.
    WEFT_INLINE static I to_integer(const F& x) {
        constexpr float TWO_31 = 2147483648.0f;
        const F rounded = rint(x);
        const I representable = (rounded >= -TWO_31) & (rounded < TWO_31);  // false for NaN
        const I inside = __builtin_convertvector(floats(bits(rounded) & representable), I);
        return inside | ((rounded >= TWO_31) & INT32_MAX) | ((rounded < -TWO_31) & INT32_MIN);
    }
    /// to_integer + zero, saturated to 32 bits.
    WEFT_INLINE static I to_integer(const F& x, std::int32_t zero) {
        using W = typename Lane<LANES>::Words;
        const I value = to_integer(x);
        const I sum = reinterpret_cast<I>(reinterpret_cast<W>(value) + static_cast<std::uint32_t>(zero));
        const I overflow = ((value ^ sum) & (sum ^ zero)) < 0;
        const I limit = (value >> 31) ^ INT32_MAX;
        return overflow ? limit : sum;
    }
    /// to_integer + zero, saturated to [low, high] ⊂ 16 bits, for 16-bit zeros: what is cut off beforehand saturates anyway.
    WEFT_INLINE static I to_narrow(const F& x, std::int32_t zero, std::int32_t low, std::int32_t high) {
        constexpr float CUT = 131072.0f;
        constexpr float ROUND = 12582912.0f;  // 1.5 × 2²³: its sum with |x| ≤ 2²² holds rint(x) in the low bits
        const F number = x == x ? x : F{};
        const F below = number < CUT ? number : splat<F>(CUT);
        const F cut = below > -CUT ? below : splat<F>(-CUT);
        const I value = bits(cut + ROUND) + (zero - 0x4B400000);
        const I floored = value > low ? value : I{} + low;
        return floored < high ? floored : I{} + high;
    }
    /// Every NaN as 0x7fc00000.
    WEFT_INLINE static F canonical(const F& x) { return x == x ? x : floats(I{} + 0x7FC00000); }
    /// 1.0 where the mask is set, else 0.0.
    WEFT_INLINE static F truth(const I& mask) { return floats(mask & 0x3F800000); }
};
