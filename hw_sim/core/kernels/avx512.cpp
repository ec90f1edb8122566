// Kernels for CPUs with AVX-512 and its byte dot products (VNNI).
//
// A dense tile as u8 × s8 dot products of four: acc[c] += Σ x[k]·w[k][c]. int8 inputs become uint8 by flipping the sign bit (and
// the zero point by adding 128); the zero point's share, −zero·Σ_k w[k][c], is the same for every vector and starts each
// sum. Weights with their zero point subtracted have up to 10 bits: they are written as a sum of planes of int8.
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

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#define WEFT_INLINE inline __attribute__((always_inline))

namespace weft::bulk {
namespace {

constexpr int WIDTH = 16;
#include "lanes.inl"
#include "steps.inl"

template <int CHUNK, bool SIGNED>
WEFT_INLINE auto widen(const std::uint8_t* from) {
    if constexpr (CHUNK == 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        return SIGNED ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
    } else if constexpr (CHUNK == 8) {
        const __m128i bytes = _mm_loadu_si64(from);
        return SIGNED ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
    } else {
        const __m128i bytes = _mm_loadu_si32(from);
        return SIGNED ? _mm_cvtepi8_epi32(bytes) : _mm_cvtepu8_epi32(bytes);
    }
}

template <int CHUNK>
WEFT_INLINE auto narrow(const typename Lane<CHUNK>::Ints& from) {
    if constexpr (CHUNK == 16)
        return _mm512_cvtepi32_epi8((__m512i)from);
    else if constexpr (CHUNK == 8)
        return _mm_cvtsi128_si64(_mm256_cvtepi32_epi8((__m256i)from));
    else
        return _mm_cvtsi128_si32(_mm_cvtepi32_epi8((__m128i)from));
}

#include "vector_pipeline.inl"
#include "vector_stages.inl"

/// Sixteen columns, or eight or four where the machine has no more, of one row of accumulators.
template <int COLUMNS>
struct Row;

template <>
struct Row<16> {
    using V = __m512i;
    WEFT_INLINE static V all(std::int32_t value) { return _mm512_set1_epi32(value); }
    WEFT_INLINE static V load(const std::int32_t* from) { return _mm512_loadu_si512(from); }
    WEFT_INLINE static void store(std::int32_t* to, V value) { _mm512_storeu_si512(to, value); }
    WEFT_INLINE static V add(V x, V y) { return _mm512_add_epi32(x, y); }
    WEFT_INLINE static V flip(V x) { return _mm512_xor_si512(x, all(static_cast<std::int32_t>(0x80808080u))); }
    WEFT_INLINE static V dot(V sum, V x, V w) { return _mm512_dpbusd_epi32(sum, x, w); }
    WEFT_INLINE static V low(__m512i x) { return x; }
};

template <>
struct Row<8> {
    using V = __m256i;
    WEFT_INLINE static V all(std::int32_t value) { return _mm256_set1_epi32(value); }
    WEFT_INLINE static V load(const std::int32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const V*>(from)); }
    WEFT_INLINE static void store(std::int32_t* to, V value) { _mm256_storeu_si256(reinterpret_cast<V*>(to), value); }
    WEFT_INLINE static V add(V x, V y) { return _mm256_add_epi32(x, y); }
    WEFT_INLINE static V flip(V x) { return _mm256_xor_si256(x, all(static_cast<std::int32_t>(0x80808080u))); }
    WEFT_INLINE static V dot(V sum, V x, V w) { return _mm256_dpbusd_epi32(sum, x, w); }
    WEFT_INLINE static V low(__m512i x) { return _mm512_castsi512_si256(x); }
};

template <>
struct Row<4> {
    using V = __m128i;
    WEFT_INLINE static V all(std::int32_t value) { return _mm_set1_epi32(value); }
    WEFT_INLINE static V load(const std::int32_t* from) { return _mm_loadu_si128(reinterpret_cast<const V*>(from)); }
    WEFT_INLINE static void store(std::int32_t* to, V value) { _mm_storeu_si128(reinterpret_cast<V*>(to), value); }
    WEFT_INLINE static V add(V x, V y) { return _mm_add_epi32(x, y); }
    WEFT_INLINE static V flip(V x) { return _mm_xor_si128(x, all(static_cast<std::int32_t>(0x80808080u))); }
    WEFT_INLINE static V dot(V sum, V x, V w) { return _mm_dpbusd_epi32(sum, x, w); }
    WEFT_INLINE static V low(__m512i x) { return _mm512_castsi512_si128(x); }
};

constexpr std::size_t MAX_PLANES = 4;  // −383..383 = at most 4 of −128..127
constexpr std::size_t MAX_GROUPS = MAX_LANES / 4;

/// A block of 16 columns: for each plane and each group of four k, the weights w[4g..4g+3][c] in the bytes of word c.
struct PackedColumns {
    std::array<__m512i, MAX_PLANES * MAX_GROUPS> words;
    __m512i start;  // what every sum begins with: −zero · Σ_k w[k][c]
    std::size_t planes;
};

/// Four rows of 16 bytes → words of their columns.
WEFT_INLINE __m512i interleave(const std::array<__m128i, 4>& rows) {
    const __m128i low01 = _mm_unpacklo_epi8(rows[0], rows[1]);
    const __m128i low23 = _mm_unpacklo_epi8(rows[2], rows[3]);
    const __m128i high01 = _mm_unpackhi_epi8(rows[0], rows[1]);
    const __m128i high23 = _mm_unpackhi_epi8(rows[2], rows[3]);
    const __m256i left = _mm256_set_m128i(_mm_unpackhi_epi16(low01, low23), _mm_unpacklo_epi16(low01, low23));
    const __m256i right = _mm256_set_m128i(_mm_unpackhi_epi16(high01, high23), _mm_unpacklo_epi16(high01, high23));
    return _mm512_inserti64x4(_mm512_castsi256_si512(left), right, 1);
}

/// Packs the columns at `weights`; those beyond `lanes` are zero. Each plane takes what saturating to int8 leaves of the rest.
void pack(const std::int16_t* weights, std::uint32_t lanes, std::int32_t zero, PackedColumns& packed) {
    const __mmask16 valid = lanes >= 16 ? 0xFFFF : static_cast<__mmask16>((1u << lanes) - 1);
    const std::size_t groups = lanes / 4;
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sums = _mm512_setzero_si512();
    std::size_t planes = 1;
    for (std::size_t group = 0; group < groups; ++group) {
        std::array<__m256i, 4> rest;
        for (std::size_t k = 0; k < 4; ++k)
            rest[k] = _mm256_maskz_loadu_epi16(valid, weights + (4 * group + k) * lanes);
        for (std::size_t plane = 0; plane < MAX_PLANES; ++plane) {
            std::array<__m128i, 4> bytes;
            __m256i left = _mm256_setzero_si256();
            for (std::size_t k = 0; k < 4; ++k) {
                bytes[k] = _mm256_cvtsepi16_epi8(rest[k]);
                rest[k] = _mm256_sub_epi16(rest[k], _mm256_cvtepi8_epi16(bytes[k]));
                left = _mm256_or_si256(left, rest[k]);
            }
            if (plane >= planes) {  // the groups before had no such plane
                std::fill_n(packed.words.begin() + static_cast<std::ptrdiff_t>(plane * groups), groups,
                            _mm512_setzero_si512());
                planes = plane + 1;
            }
            const __m512i word = interleave(bytes);
            packed.words[plane * groups + group] = word;
            sums = _mm512_dpbusd_epi32(sums, ones, word);
            if (_mm256_testz_si256(left, left) != 0 && plane + 1 >= planes) break;
        }
    }
    packed.planes = planes;
    packed.start = _mm512_mullo_epi32(sums, _mm512_set1_epi32(-zero));
}

/// The four inputs of a group, in every word.
template <int COLUMNS, bool FLIP>
WEFT_INLINE typename Row<COLUMNS>::V broadcast(const std::uint8_t* input, std::size_t group) {
    std::int32_t word;
    std::memcpy(&word, input + 4 * group, sizeof word);
    const auto all = Row<COLUMNS>::all(word);
    return FLIP ? Row<COLUMNS>::flip(all) : all;
}

/// Streams the vectors against BLOCKS × PLANES × GROUPS weight registers: all groups of `BLOCKS` column blocks.
template <int COLUMNS, int BLOCKS, int PLANES, int GROUPS, bool FLIP, bool REPLACE>
void stream(const DenseTile& tile, const PackedColumns* packed, std::int32_t* rows) {
    using R = Row<COLUMNS>;
    using V = typename R::V;
    V weights[BLOCKS][PLANES * GROUPS];
    V start[BLOCKS];
    for (int b = 0; b < BLOCKS; ++b) {
        start[b] = R::low(packed[b].start);
        for (int w = 0; w < PLANES * GROUPS; ++w) weights[b][w] = R::low(packed[b].words[static_cast<std::size_t>(w)]);
    }
    for_each_step(tile.loops, tile.input, rows, [&](const std::uint8_t* input, std::int32_t* row) {
        V even[BLOCKS];
        V odd[BLOCKS];
        for (int b = 0; b < BLOCKS; ++b) {
            even[b] = start[b];
            odd[b] = REPLACE ? R::all(0) : R::load(row + b * COLUMNS);
        }
        for (int g = 0; g < GROUPS; ++g) {
            const V x = broadcast<COLUMNS, FLIP>(input, static_cast<std::size_t>(g));
            for (int b = 0; b < BLOCKS; ++b)
                for (int w = g; w < PLANES * GROUPS; w += GROUPS) {
                    V& sum = (g + w / GROUPS) % 2 == 0 ? even[b] : odd[b];
                    sum = R::dot(sum, x, weights[b][w]);
                }
        }
        for (int b = 0; b < BLOCKS; ++b) R::store(row + b * COLUMNS, R::add(even[b], odd[b]));
    });
}

/// Any number of planes, weights from the cache.
template <int COLUMNS, bool FLIP, bool REPLACE>
void stream_planes(const DenseTile& tile, const PackedColumns& packed, std::int32_t* rows) {
    using R = Row<COLUMNS>;
    const std::size_t groups = tile.lanes / 4;
    for_each_step(tile.loops, tile.input, rows, [&](const std::uint8_t* input, std::int32_t* row) {
        auto sum = R::low(packed.start);
        for (std::size_t g = 0; g < groups; ++g) {
            const auto x = broadcast<COLUMNS, FLIP>(input, g);
            for (std::size_t plane = 0; plane < packed.planes; ++plane)
                sum = R::dot(sum, x, R::low(packed.words[plane * groups + g]));
        }
        R::store(row, REPLACE ? sum : R::add(sum, R::load(row)));
    });
}

/// One block of columns with as many planes as it needs.
template <int COLUMNS, int GROUPS, bool FLIP, bool REPLACE>
void stream_block(const DenseTile& tile, const PackedColumns& packed, std::int32_t* rows) {
    if (packed.planes == 1) return stream<COLUMNS, 1, 1, GROUPS, FLIP, REPLACE>(tile, &packed, rows);
    if constexpr (GROUPS <= 8)
        if (packed.planes == 2) return stream<COLUMNS, 1, 2, GROUPS, FLIP, REPLACE>(tile, &packed, rows);
    stream_planes<COLUMNS, FLIP, REPLACE>(tile, packed, rows);
}

template <bool FLIP, bool REPLACE>
void dense_tile(const DenseTile& tile) {
    const std::int32_t zero = tile.input_zero + (FLIP ? 128 : 0);
    std::int32_t* rows = tile.accumulators;
    std::array<PackedColumns, 2> packed;
    pack(tile.weights, tile.lanes, zero, packed[0]);
    switch (tile.lanes) {
        case 4: return stream_block<4, 1, FLIP, REPLACE>(tile, packed[0], rows);
        case 8: return stream_block<8, 2, FLIP, REPLACE>(tile, packed[0], rows);
        case 16: return stream_block<16, 4, FLIP, REPLACE>(tile, packed[0], rows);
        case 32:
            pack(tile.weights + 16, tile.lanes, zero, packed[1]);
            if (packed[0].planes == 1 && packed[1].planes == 1)
                return stream<16, 2, 1, 8, FLIP, REPLACE>(tile, packed.data(), rows);
            stream_block<16, 8, FLIP, REPLACE>(tile, packed[0], rows);
            return stream_block<16, 8, FLIP, REPLACE>(tile, packed[1], rows + 16);
        default:
            stream_block<16, 16, FLIP, REPLACE>(tile, packed[0], rows);
            for (std::uint32_t column = 16; column < tile.lanes; column += 16) {
                pack(tile.weights + column, tile.lanes, zero, packed[0]);
                stream_block<16, 16, FLIP, REPLACE>(tile, packed[0], rows + column);
            }
    }
}

void dense(const DenseTile& tile) {
    if (tile.input_signed) return tile.replace ? dense_tile<true, true>(tile) : dense_tile<true, false>(tile);
    tile.replace ? dense_tile<false, true>(tile) : dense_tile<false, false>(tile);
}

WEFT_INLINE __m512i multiply_add(__m512i sum, __m512i x, __m512i w) { return _mm512_dpwssd_epi32(sum, x, w); }
WEFT_INLINE __m256i multiply_add(__m256i sum, __m256i x, __m256i w) { return _mm256_dpwssd_epi32(sum, x, w); }
WEFT_INLINE __m128i multiply_add(__m128i sum, __m128i x, __m128i w) { return _mm_dpwssd_epi32(sum, x, w); }

/// One block of lanes of a depthwise tile. Inputs are the low halves of words, and weights have zero high halves, so that a
/// dot product of pairs is one product. The zero point's share, −zero·Σ w, starts every sum.
template <int COLUMNS, bool SIGNED>
void depthwise_block(const DepthwiseTile& tile, std::uint32_t lane) {
    using R = Row<COLUMNS>;
    alignas(64) std::array<std::int32_t, MAX_LANES * COLUMNS> weights;
    alignas(64) std::array<std::int32_t, COLUMNS> start{};
    for (std::uint32_t tap = 0; tap < tile.taps; ++tap)
        for (std::uint32_t c = 0; c < COLUMNS; ++c) {
            const std::int32_t weight = tile.weights[std::size_t{tap} * tile.lanes + lane + c];
            weights[tap * COLUMNS + c] = weight & 0xFFFF;
            start[c] -= tile.input_zero * weight;
        }
    const auto begin = R::load(start.data());
    for_each_step(tile.loops, tile.input + lane, tile.accumulators + lane,
                  [&](const std::uint8_t* input, std::int32_t* row) {
                      auto sum = begin;
                      for (std::uint32_t tap = 0; tap < tile.taps; ++tap)
                          sum = multiply_add(sum, widen<COLUMNS, SIGNED>(input + tile.tap_offsets[tap]),
                                             R::load(weights.data() + tap * COLUMNS));
                      R::store(row, tile.replace ? sum : R::add(sum, R::load(row)));
                  });
}

template <bool SIGNED>
void depthwise_tile(const DepthwiseTile& tile) {
    if (tile.lanes == 4) return depthwise_block<4, SIGNED>(tile, 0);
    if (tile.lanes == 8) return depthwise_block<8, SIGNED>(tile, 0);
    for (std::uint32_t lane = 0; lane < tile.lanes; lane += 16) depthwise_block<16, SIGNED>(tile, lane);
}

void depthwise(const DepthwiseTile& tile) {
    tile.input_signed ? depthwise_tile<true>(tile) : depthwise_tile<false>(tile);
}

constexpr Kernels KERNELS{"avx512", dense, depthwise, run_vector};

}  // namespace

const Kernels* const AVX512_KERNELS = &KERNELS;

}  // namespace weft::bulk
#else
namespace weft::bulk {
const Kernels* const AVX512_KERNELS = nullptr;
}
#endif
