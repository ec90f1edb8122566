// The portable kernels: plain loops and the compiler's vectors of 16 bytes, which every CPU family has or imitates.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "../address_stream.hpp"
#include "kernels.hpp"

#pragma GCC diagnostic ignored "-Wpsabi"
#define WEFT_INLINE inline __attribute__((always_inline))

namespace weft::bulk {
namespace {

constexpr int WIDTH = 4;
#include "lanes.inl"
#include "steps.inl"

template <int CHUNK, bool SIGNED>
WEFT_INLINE typename Lane<CHUNK>::Ints widen(const std::uint8_t* from) {
    typename Lane<CHUNK>::Ints result;
    for (int i = 0; i < CHUNK; ++i) result[i] = SIGNED ? static_cast<std::int8_t>(from[i]) : from[i];
    return result;
}

template <int CHUNK>
WEFT_INLINE std::array<std::uint8_t, CHUNK> narrow(const typename Lane<CHUNK>::Ints& from) {
    std::array<std::uint8_t, CHUNK> result;
    for (std::size_t i = 0; i < CHUNK; ++i) result[i] = static_cast<std::uint8_t>(from[i]);
    return result;
}

#include "vector_pipeline.inl"
#include "vector_stages.inl"

using Lanes16 = std::array<std::int16_t, MAX_LANES>;  // 16 × 16 bits: a product that vectors have everywhere
using Lanes32 = std::array<std::int32_t, MAX_LANES>;

/// The input vector with its zero point subtracted.
void widen_input(const std::uint8_t* input, bool is_signed, std::int32_t zero, std::uint32_t lanes, Lanes16& x) {
    if (is_signed)
        for (std::uint32_t i = 0; i < lanes; ++i) x[i] = static_cast<std::int16_t>(static_cast<std::int8_t>(input[i]) - zero);
    else
        for (std::uint32_t i = 0; i < lanes; ++i) x[i] = static_cast<std::int16_t>(input[i] - zero);
}

void write_row(std::int32_t* row, const Lanes32& sums, std::uint32_t lanes, bool replace) {
    for (std::uint32_t c = 0; c < lanes; ++c) {
        const std::uint32_t before = replace ? 0u : static_cast<std::uint32_t>(row[c]);
        row[c] = static_cast<std::int32_t>(before + static_cast<std::uint32_t>(sums[c]));
    }
}

void dense(const DenseTile& tile) {
    for_each_step(tile.loops, tile.input, tile.accumulators, [&](const std::uint8_t* input, std::int32_t* row) {
        Lanes16 x;
        Lanes32 sums{};
        widen_input(input, tile.input_signed, tile.input_zero, tile.lanes, x);
        for (std::uint32_t k = 0; k < tile.lanes; ++k) {
            const std::int16_t* weights = tile.weights + std::size_t{k} * tile.lanes;
            for (std::uint32_t c = 0; c < tile.lanes; ++c) sums[c] += x[k] * weights[c];
        }
        write_row(row, sums, tile.lanes, tile.replace);
    });
}

void depthwise(const DepthwiseTile& tile) {
    for_each_step(tile.loops, tile.input, tile.accumulators, [&](const std::uint8_t* input, std::int32_t* row) {
        Lanes16 x;
        Lanes32 sums{};
        for (std::uint32_t tap = 0; tap < tile.taps; ++tap) {
            const std::int16_t* weights = tile.weights + std::size_t{tap} * tile.lanes;
            widen_input(input + tile.tap_offsets[tap], tile.input_signed, tile.input_zero, tile.lanes, x);
            for (std::uint32_t c = 0; c < tile.lanes; ++c) sums[c] += x[c] * weights[c];
        }
        write_row(row, sums, tile.lanes, tile.replace);
    });
}

constexpr Kernels KERNELS{"scalar", dense, depthwise, run_vector};

}  // namespace

const Kernels* const SCALAR_KERNELS = &KERNELS;

}  // namespace weft::bulk
