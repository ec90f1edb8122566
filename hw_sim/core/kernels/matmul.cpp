// MATMUL's outer loops: each weight tile is widened once, then a kernel streams the tile's input vectors.
#include "../address_stream.hpp"
#include "kernels.hpp"

namespace weft::bulk {
namespace {

/// One vector of weights as a row of the tile: `used` bytes minus zero, then 0. The count stays a variable: the compiler
/// makes vector instructions of such a loop, but unrolls a constant one into single bytes.
template <typename Byte>
void widen_row(const std::uint8_t* __restrict bytes, std::int32_t zero, std::uint32_t used, std::uint32_t lanes,
               std::int16_t* __restrict words) {
    const auto narrow_zero = static_cast<std::int16_t>(zero);
    for (std::uint32_t i = 0; i < used; ++i)
        words[i] = static_cast<std::int16_t>(static_cast<Byte>(bytes[i]) - narrow_zero);
    for (std::uint32_t i = used; i < lanes; ++i) words[i] = 0;
}

/// One vector of weights as a column of the tile: every word a row apart.
template <typename Byte>
void widen_column(const std::uint8_t* bytes, std::int32_t zero, std::uint32_t used, std::uint32_t lanes,
                  std::int16_t* words) {
    for (std::uint32_t k = 0; k < lanes; ++k)
        words[std::size_t{k} * lanes] =
            k < used ? static_cast<std::int16_t>(static_cast<Byte>(bytes[k]) - zero) : std::int16_t{0};
}

/// Widens the tile at `source`: W[k][c] − zero, and 0 where k or c is beyond what the instruction counts.
/// In depthwise mode k is a tap, and input lanes limit the columns instead of the rows.
template <typename Byte>
void widen_weights(const isa::Matmul& m, std::uint32_t lanes, const std::uint8_t* source, TileWeights& weights) {
    const bool columns = m.weight_order == isa::WeightOrder::COLUMNS;
    const bool depthwise = m.mode == isa::MatmulMode::DEPTHWISE;
    const std::uint32_t valid = columns || depthwise ? m.input_lanes : lanes;  // within a weight vector
    const std::uint32_t vectors = columns || depthwise ? std::uint32_t{m.weight_rows}
                                                       : std::min<std::uint32_t>(m.weight_rows, m.input_lanes);
    for (std::uint32_t v = 0; v < lanes; ++v) {
        const std::uint32_t used = v < vectors ? valid : 0;
        const std::uint8_t* bytes = used == 0 ? source : source + std::int64_t{v} * m.weight_vector_stride * lanes;
        if (columns)
            widen_column<Byte>(bytes, m.weight_zero, used, lanes, weights.data() + v);
        else
            widen_row<Byte>(bytes, m.weight_zero, used, lanes, weights.data() + std::size_t{v} * lanes);
    }
}

/// The inner loops, merged where input and accumulator addresses both continue; the used ones come last.
std::array<TileLoop, 3> dense_loops(const isa::Matmul& m, std::uint32_t lanes) {
    std::array<TileLoop, 3> loops;
    std::size_t first = 3;
    for (std::size_t i = 3; i-- > 0;) {
        const TileLoop loop{m.inner_counts()[i], std::int64_t{m.inner_input_strides()[i]} * lanes,
                            std::int64_t{m.inner_accumulator_strides()[i]} * lanes};
        if (loop.count == 1) continue;
        if (first < 3 && loop.input_stride == loops[first].input_stride * loops[first].count &&
            loop.accumulator_stride == loops[first].accumulator_stride * loops[first].count)
            loops[first].count *= loop.count;
        else
            loops[--first] = loop;
    }
    return loops;
}

/// Inner loops of windows: a step of outputs i and j moves the window by the vertical and horizontal stride.
std::array<TileLoop, 3> window_loops(const isa::Matmul& m, std::uint32_t lanes) {
    const std::array<std::uint32_t, 3> counts = output_counts(m);
    const std::array<std::int64_t, 3> steps{1, std::int64_t{1} << m.row_shift, std::int64_t{1} << m.column_shift};
    std::array<TileLoop, 3> loops;
    for (std::size_t i = 0; i < 3; ++i)
        loops[i] = {counts[i], std::int64_t{m.inner_input_strides()[i]} * steps[i] * lanes,
                    std::int64_t{m.inner_accumulator_strides()[i]} * lanes};
    return loops;
}

std::array<std::int64_t, MAX_LANES> window_offsets(const isa::Matmul& m, std::uint32_t lanes) {
    std::array<std::int64_t, MAX_LANES> offsets{};
    std::size_t tap = 0;
    for (std::int64_t r = 0; r < m.window_rows; ++r)
        for (std::int64_t s = 0; s < m.window_columns; ++s)
            offsets[tap++] = (r * m.inner_input_stride_1 + s * m.inner_input_stride_2) * lanes;
    return offsets;
}

/// The outer loops' digits and addresses: input and weight in bytes, accumulator in words.
class TileWalk {
public:
    TileWalk(const isa::Matmul& m, std::uint32_t lanes)
        : input(std::int64_t{m.input} * lanes),
          weight(std::int64_t{m.weight} * lanes),
          accumulator(std::int64_t{m.accumulator} * lanes),
          counts_(m.outer_counts()),
          mask_(m.reduce_mask) {
        for (std::size_t i = 0; i < 4; ++i)
            strides_[i] = {std::int64_t{m.outer_input_strides()[i]} * lanes,
                           std::int64_t{m.outer_weight_strides()[i]} * lanes,
                           std::int64_t{m.outer_accumulator_strides()[i]} * lanes};
    }

    /// Whether every reduction's digit is 0.
    [[nodiscard]] bool first_reduction_step() const {
        for (std::size_t i = 0; i < 4; ++i)
            if ((mask_ >> i & 1) != 0 && digits_[i] != 0) return false;
        return true;
    }

    /// Goes to the next tile; false behind the last.
    bool next() {
        for (std::size_t i = 4; i-- > 0;) {
            move(i, 1);
            if (++digits_[i] < counts_[i]) return true;
            move(i, -std::int64_t{counts_[i]});
            digits_[i] = 0;
        }
        return false;
    }

    std::int64_t input;
    std::int64_t weight;
    std::int64_t accumulator;

private:
    void move(std::size_t loop, std::int64_t steps) {
        input += steps * strides_[loop][0];
        weight += steps * strides_[loop][1];
        accumulator += steps * strides_[loop][2];
    }

    std::array<std::uint16_t, 4> counts_;
    unsigned mask_;
    std::array<std::array<std::int64_t, 3>, 4> strides_{};
    std::array<std::uint32_t, 4> digits_{};
};

}  // namespace

void execute_matmul(const isa::Matmul& m, Memory& memory) {
    const std::uint32_t lanes = memory.config.lanes;
    const bool dense = m.mode == isa::MatmulMode::DENSE;
    const std::array<TileLoop, 3> loops = dense ? dense_loops(m, lanes) : window_loops(m, lanes);
    const std::array<std::int64_t, MAX_LANES> offsets = window_offsets(m, lanes);
    alignas(64) TileWeights weights;
    std::int64_t widened = -1;  // where the tile in `weights` came from
    TileWalk walk(m, lanes);
    do {
        if (walk.weight != widened) {
            const std::uint8_t* source = memory.scratchpad.data() + walk.weight;
            if (m.weight_signed)
                widen_weights<std::int8_t>(m, lanes, source, weights);
            else
                widen_weights<std::uint8_t>(m, lanes, source, weights);
            widened = walk.weight;
        }
        const std::uint8_t* input = memory.scratchpad.data() + walk.input;
        std::int32_t* rows = memory.accumulators.data() + walk.accumulator;
        const bool replace = !m.accumulate && walk.first_reduction_step();
        if (dense)
            memory.kernels->dense(
                {lanes, weights.data(), input, m.input_signed, m.input_zero, rows, replace, loops});
        else
            memory.kernels->depthwise({lanes, weights.data(), input, m.input_signed, m.input_zero, rows, replace,
                                       m.weight_rows, offsets.data(), loops});
    } while (walk.next());
}

}  // namespace weft::bulk
