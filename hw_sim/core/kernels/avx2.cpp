// Kernels for CPUs with AVX2: 16-bit products of operands whose zero points are subtracted, added in pairs.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "../address_stream.hpp"
#include "kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
// The compiler's own header leaves operands of its intrinsics uninitialized on purpose, and its vectors carry attributes.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wignored-attributes"
#pragma GCC diagnostic ignored "-Wpsabi"
#include <immintrin.h>

#pragma GCC target("avx2")
#define WEFT_INLINE inline __attribute__((always_inline))

namespace weft::bulk {
namespace {

constexpr int WIDTH = 8;
#include "lanes.inl"
#include "steps.inl"

template <int CHUNK, bool SIGNED>
WEFT_INLINE auto widen(const std::uint8_t* from) {
    if constexpr (CHUNK == 8) {
        const __m128i bytes = _mm_loadu_si64(from);
        return SIGNED ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
    } else {
        const __m128i bytes = _mm_loadu_si32(from);
        return SIGNED ? _mm_cvtepi8_epi32(bytes) : _mm_cvtepu8_epi32(bytes);
    }
}

template <int CHUNK>
WEFT_INLINE auto narrow(const typename Lane<CHUNK>::Ints& from) {
    const __m128i low_bytes = _mm_set1_epi32(0x0C080400);
    if constexpr (CHUNK == 8) {
        const __m128i low = _mm_shuffle_epi8(_mm256_castsi256_si128((__m256i)from), low_bytes);
        const __m128i high = _mm_shuffle_epi8(_mm256_extracti128_si256((__m256i)from, 1), low_bytes);
        return _mm_cvtsi128_si64(_mm_unpacklo_epi32(low, high));
    } else {
        return _mm_cvtsi128_si32(_mm_shuffle_epi8((__m128i)from, low_bytes));
    }
}

#include "vector_pipeline.inl"
#include "vector_stages.inl"

constexpr std::size_t STEPS = 4;  // input vectors that share each load of weights
constexpr std::size_t COLUMNS = 8;

/// Weights as pairs: word c of [column block][k / 2] holds w[k][c] and w[k + 1][c].
struct PackedTile {
    std::array<__m256i, MAX_LANES / 2 * MAX_LANES / COLUMNS> pairs;
};

/// Two rows of 8 columns → pairs. Only 4 columns exist on a machine of 4 lanes; the others are zero.
WEFT_INLINE __m256i pair_rows(const std::int16_t* weights, std::uint32_t lanes) {
    const auto row = [&](std::size_t k) {
        const auto* from = reinterpret_cast<const __m128i*>(weights + k * lanes);
        return lanes >= COLUMNS ? _mm_loadu_si128(from) : _mm_loadl_epi64(from);
    };
    const __m128i first = row(0);
    const __m128i second = row(1);
    return _mm256_set_m128i(_mm_unpackhi_epi16(first, second), _mm_unpacklo_epi16(first, second));
}

void pack(const DenseTile& tile, PackedTile& packed) {
    std::size_t next = 0;
    for (std::uint32_t column = 0; column < tile.lanes; column += COLUMNS)
        for (std::size_t k = 0; k < tile.lanes; k += 2)
            packed.pairs[next++] = pair_rows(tile.weights + k * tile.lanes + column, tile.lanes);
}

/// Some input vectors as int16 with the zero point subtracted, and the rows that their results go to.
struct Batch {
    alignas(32) std::array<std::array<std::int16_t, MAX_LANES>, STEPS> inputs{};
    std::array<std::int32_t*, STEPS> rows{};
    std::size_t used = 0;
};

template <bool SIGNED>
WEFT_INLINE void widen_input(const std::uint8_t* input, std::int32_t zero, std::uint32_t lanes, std::int16_t* to) {
    const __m128i zeros = _mm_set1_epi16(static_cast<std::int16_t>(zero));
    if (lanes < COLUMNS) {
        for (std::uint32_t k = 0; k < lanes; ++k)
            to[k] = static_cast<std::int16_t>((SIGNED ? static_cast<std::int8_t>(input[k]) : input[k]) - zero);
        return;
    }
    for (std::uint32_t k = 0; k < lanes; k += COLUMNS) {
        const __m128i bytes = _mm_loadu_si64(input + k);
        const __m128i wide = SIGNED ? _mm_cvtepi8_epi16(bytes) : _mm_cvtepu8_epi16(bytes);
        _mm_store_si128(reinterpret_cast<__m128i*>(to + k), _mm_sub_epi16(wide, zeros));
    }
}

WEFT_INLINE void write_row(std::int32_t* row, __m256i sum, std::uint32_t lanes, bool replace) {
    if (lanes < COLUMNS) {
        auto* to = reinterpret_cast<__m128i*>(row);
        const __m128i half = _mm256_castsi256_si128(sum);
        return _mm_storeu_si128(to, replace ? half : _mm_add_epi32(half, _mm_loadu_si128(to)));
    }
    auto* to = reinterpret_cast<__m256i*>(row);
    _mm256_storeu_si256(to, replace ? sum : _mm256_add_epi32(sum, _mm256_loadu_si256(to)));
}

/// BLOCKS column blocks at once; a batch that is not full computes vectors that nobody writes.
template <int BLOCKS>
void multiply_batch(const DenseTile& tile, const PackedTile& packed, const Batch& batch) {
    const std::size_t pairs = tile.lanes / 2;
    for (std::size_t block = 0; block * COLUMNS < tile.lanes; block += BLOCKS) {
        const __m256i* weights = packed.pairs.data() + block * pairs;
        __m256i sums[STEPS][BLOCKS] = {};
        for (std::size_t p = 0; p < pairs; ++p)
            for (std::size_t s = 0; s < STEPS; ++s) {
                std::int32_t pair;
                std::memcpy(&pair, batch.inputs[s].data() + 2 * p, sizeof pair);
                const __m256i x = _mm256_set1_epi32(pair);
                for (std::size_t b = 0; b < BLOCKS; ++b)
                    sums[s][b] = _mm256_add_epi32(sums[s][b], _mm256_madd_epi16(x, weights[b * pairs + p]));
            }
        for (std::size_t s = 0; s < batch.used; ++s)
            for (std::size_t b = 0; b < BLOCKS; ++b)
                write_row(batch.rows[s] + (block + b) * COLUMNS, sums[s][b], tile.lanes, tile.replace);
    }
}

template <bool SIGNED, int BLOCKS>
void dense_tile(const DenseTile& tile) {
    PackedTile packed;
    pack(tile, packed);
    Batch batch;
    for_each_step(tile.loops, tile.input, tile.accumulators, [&](const std::uint8_t* input, std::int32_t* row) {
        widen_input<SIGNED>(input, tile.input_zero, tile.lanes, batch.inputs[batch.used].data());
        batch.rows[batch.used++] = row;
        if (batch.used < STEPS) return;
        multiply_batch<BLOCKS>(tile, packed, batch);
        batch.used = 0;
    });
    if (batch.used > 0) multiply_batch<BLOCKS>(tile, packed, batch);
}

void dense(const DenseTile& tile) {
    const bool one_block = tile.lanes <= COLUMNS;
    if (tile.input_signed) return one_block ? dense_tile<true, 1>(tile) : dense_tile<true, 2>(tile);
    one_block ? dense_tile<false, 1>(tile) : dense_tile<false, 2>(tile);
}

/// Eight lanes of a depthwise tile (or all four). Inputs are the low halves of words and weights have zero high halves,
/// so a sum of pairs is one product; the zero point's share, −zero·Σ w, starts every sum.
template <bool SIGNED>
void depthwise_block(const DepthwiseTile& tile, std::uint32_t lane) {
    const std::uint32_t columns = std::min<std::uint32_t>(COLUMNS, tile.lanes);
    alignas(32) std::array<std::int32_t, MAX_LANES * COLUMNS> weights{};
    alignas(32) std::array<std::int32_t, COLUMNS> start{};
    for (std::uint32_t tap = 0; tap < tile.taps; ++tap)
        for (std::uint32_t c = 0; c < columns; ++c) {
            const std::int32_t weight = tile.weights[std::size_t{tap} * tile.lanes + lane + c];
            weights[tap * COLUMNS + c] = weight & 0xFFFF;
            start[c] -= tile.input_zero * weight;
        }
    const __m256i begin = _mm256_load_si256(reinterpret_cast<const __m256i*>(start.data()));
    for_each_step(tile.loops, tile.input + lane, tile.accumulators + lane,
                  [&](const std::uint8_t* input, std::int32_t* row) {
                      __m256i sum = begin;
                      for (std::uint32_t tap = 0; tap < tile.taps; ++tap) {
                          const std::uint8_t* from = input + tile.tap_offsets[tap];
                          const __m128i bytes = columns < COLUMNS ? _mm_loadu_si32(from) : _mm_loadu_si64(from);
                          const __m256i x = SIGNED ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
                          const auto* w = reinterpret_cast<const __m256i*>(weights.data() + tap * COLUMNS);
                          sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, _mm256_load_si256(w)));
                      }
                      write_row(row, sum, tile.lanes, tile.replace);
                  });
}

void depthwise(const DepthwiseTile& tile) {
    for (std::uint32_t lane = 0; lane < tile.lanes; lane += COLUMNS)
        tile.input_signed ? depthwise_block<true>(tile, lane) : depthwise_block<false>(tile, lane);
}

constexpr Kernels KERNELS{"avx2", dense, depthwise, run_vector};

}  // namespace

const Kernels* const AVX2_KERNELS = &KERNELS;

}  // namespace weft::bulk
#else
namespace weft::bulk {
const Kernels* const AVX2_KERNELS = nullptr;
}
#endif
