// The bulk kernels of each instruction, in one set per family of CPUs, and the form in which they are given work.
#pragma once

#include <array>
#include <cstdint>

#include "../functional.hpp"

namespace weft::bulk {

/// One loop over input vectors of a weight tile: distances in bytes of input and in words of the accumulators.
struct TileLoop {
    std::int64_t count = 1;
    std::int64_t input_stride = 0;
    std::int64_t accumulator_stride = 0;
};

constexpr std::size_t MAX_LANES = 64;
/// A weight tile: int16 [lanes][lanes] with the zero point subtracted; 0 wherever lanes or rows do not count.
using TileWeights = std::array<std::int16_t, MAX_LANES * MAX_LANES>;

/// One dense weight tile with its input vectors: accumulator[step][c] (+)= Σ_k (input[step][k] − zero) · W[k][c].
struct DenseTile {
    std::uint32_t lanes;
    const std::int16_t* weights;  ///< [k][c], 64-byte aligned
    const std::uint8_t* input;
    bool input_signed;
    std::int32_t input_zero;
    std::int32_t* accumulators;
    bool replace;
    std::array<TileLoop, 3> loops;  ///< outermost first
};

/// One depthwise weight tile: for every output (i, j) of every image and every lane, the sum over the window's taps.
struct DepthwiseTile {
    std::uint32_t lanes;
    const std::int16_t* weights;  ///< [tap][lane], 64-byte aligned
    const std::uint8_t* input;
    bool input_signed;
    std::int32_t input_zero;
    std::int32_t* accumulators;
    bool replace;
    std::uint32_t taps;
    const std::int64_t* tap_offsets;  ///< bytes from the window's first vector to each tap's
    std::array<TileLoop, 3> loops;    ///< images, output rows, output columns; input strides are those of windows
};

/// A VECTOR with the memories that it reads (perhaps snapshots, where it overwrites its own operands) and writes.
struct VectorTask {
    const isa::Vector& fields;
    std::uint32_t lanes;
    const std::uint8_t* scratchpad_in;
    const std::int32_t* accumulators_in;
    std::uint8_t* scratchpad_out;
    std::int32_t* accumulators_out;
    const std::uint32_t* table;  ///< TABLE_ENTRIES words, or nullptr
    std::int32_t* mailbox;       ///< nullptr unless that is the destination
};

/// Steps × lanes that a VECTOR kernel reads before it writes.
constexpr std::uint32_t VECTOR_BLOCK_WORDS = 1024;

struct Kernels {
    const char* name;
    void (*dense)(const DenseTile& tile);
    void (*depthwise)(const DepthwiseTile& tile);
    void (*vector)(const VectorTask& task);
};

/// The sets; those that the compiler cannot make for this CPU family are nullptr.
extern const Kernels* const SCALAR_KERNELS;
extern const Kernels* const AVX2_KERNELS;
extern const Kernels* const AVX512_KERNELS;

/// The fastest set that this CPU runs, or the one that the environment's WEFT_KERNELS names if it runs here.
[[nodiscard]] const Kernels& select_kernels();

void execute_load(const isa::Load& load, Memory& memory);
void execute_store(const isa::Store& store, Memory& memory);
void execute_fill(const isa::Fill& fill, Memory& memory);
void execute_matmul(const isa::Matmul& matmul, Memory& memory);
void execute_vector(const isa::Vector& vector, Memory& memory);
void execute_table(const isa::Table& table, Memory& memory);

}  // namespace weft::bulk
