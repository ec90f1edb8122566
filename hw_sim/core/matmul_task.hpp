// A MATMUL as it waits in the MXU's queue: the address generators of its operands.
#pragma once

#include <array>
#include <cstdint>

#include "config.hpp"
#include "generated/isa.hpp"
#include "nest.hpp"

namespace weft {

/// Where depthwise results appear in the stream of input vectors.
struct Window {
    std::uint32_t input_columns = 1, input_plane = 1;
    std::uint32_t output_columns = 1, output_plane = 1;
    std::uint32_t rows_before = 0, columns_before = 0;
    std::uint32_t row_shift = 0, column_shift = 0;

    /// The number of the result that vector `step` completes, or −1.
    [[nodiscard]] std::int64_t result(std::uint32_t step) const;
};

/// Scratchpad addresses in bytes, accumulator addresses in rows.
struct MatmulTask {
    static constexpr std::size_t OUTER = 4;

    std::uint8_t wait = 0;
    std::uint8_t signal = 0;
    std::uint8_t reduce_mask = 0;
    bool accumulate = false;
    bool depthwise = false;
    std::uint32_t number = 0;  ///< of its event
    std::uint32_t weight_rows = 1;
    std::int64_t weight_row_bytes = 0;
    std::array<std::uint32_t, OUTER> count{};
    std::array<std::int64_t, OUTER> input_stride{}, weight_stride{}, row_stride{};
    std::int64_t input = 0, weight = 0, row = 0;
    Nest inputs;  ///< of one tile
    Nest rows;    ///< of one tile's results
    Window window;
};

[[nodiscard]] MatmulTask make_task(const isa::Matmul& matmul, const Config& config);

/// The outer loops of a MATMUL: one step per weight tile.
class Tiles {
public:
    void start(const MatmulTask& task);
    /// Goes to the next tile; false when there is none.
    bool next(const MatmulTask& task);
    /// Whether this is the first of the steps that add into the same rows.
    [[nodiscard]] bool first(const MatmulTask& task) const;
    [[nodiscard]] bool last(const MatmulTask& task) const;

    std::int64_t input = 0, weight = 0, row = 0;

private:
    std::array<std::uint32_t, MatmulTask::OUTER> digit_{};
};

}  // namespace weft
