// Address generators: nested loop counters, as weft_sim.isa.instruction.AddressStream describes them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "generated/isa.hpp"

namespace weft::bulk {

/// One loop of an address generator. Fields of the ISA bound |stride| by 2³¹ × 64 and count by 2¹⁶, so that sums over seven
/// loops stay far inside 64 bits.
struct Dimension {
    std::int64_t count = 1;
    std::int64_t stride = 0;
};

/// `base + Σ stride·digit`, digits in [0, count), outermost loop first.
template <std::size_t LOOPS>
struct AddressStream {
    std::int64_t base = 0;
    std::array<Dimension, LOOPS> dims{};

    /// Lowest address of any step.
    [[nodiscard]] std::int64_t lowest() const {
        std::int64_t result = base;
        for (const Dimension& dim : dims) result += std::min<std::int64_t>(0, (dim.count - 1) * dim.stride);
        return result;
    }
    /// Highest address at which any step starts.
    [[nodiscard]] std::int64_t highest() const {
        std::int64_t result = base;
        for (const Dimension& dim : dims) result += std::max<std::int64_t>(0, (dim.count - 1) * dim.stride);
        return result;
    }
    [[nodiscard]] std::int64_t steps() const {
        std::int64_t result = 1;
        for (const Dimension& dim : dims) result *= dim.count;
        return result;
    }
};

/// Builds a stream from an instruction's count and stride fields; each stride is multiplied by `unit`.
template <std::size_t LOOPS, typename Counts, typename Strides>
[[nodiscard]] AddressStream<LOOPS> make_stream(std::int64_t base, const Counts& counts, const Strides& strides,
                                               std::int64_t unit = 1) {
    AddressStream<LOOPS> result;
    result.base = base * unit;
    for (std::size_t i = 0; i < LOOPS; ++i) result.dims[i] = {counts[i], std::int64_t{strides[i]} * unit};
    return result;
}

/// The stream whose loops are `outer`'s, then `inner`'s.
template <std::size_t OUTER, std::size_t INNER>
[[nodiscard]] AddressStream<OUTER + INNER> join(const AddressStream<OUTER>& outer, const AddressStream<INNER>& inner) {
    AddressStream<OUTER + INNER> result;
    result.base = outer.base + inner.base;
    std::copy(outer.dims.begin(), outer.dims.end(), result.dims.begin());
    std::copy(inner.dims.begin(), inner.dims.end(), result.dims.begin() + OUTER);
    return result;
}

/// Walks a stream in runs of equal stride, merging loops that continue each other.
template <std::size_t LOOPS>
class Cursor {
public:
    explicit Cursor(const AddressStream<LOOPS>& stream) : address_(stream.base) {
        for (const Dimension& dim : stream.dims) {
            if (dim.count == 1) continue;
            if (used_ > 0 && dims_[used_ - 1].stride == dim.count * dim.stride)
                dims_[used_ - 1] = {dims_[used_ - 1].count * dim.count, dim.stride};
            else
                dims_[used_++] = dim;
        }
        if (used_ == 0) dims_[used_++] = {1, 0};
    }

    [[nodiscard]] std::int64_t address() const { return address_; }
    /// Distance of the steps of the current run.
    [[nodiscard]] std::int64_t stride() const { return dims_[used_ - 1].stride; }
    /// Steps left in the current run, this one included; never 0.
    [[nodiscard]] std::int64_t run() const { return dims_[used_ - 1].count - digits_[used_ - 1]; }

    /// Goes on by 1 to run() steps. Behind the last step the stream starts over.
    void advance(std::int64_t steps) {
        std::size_t loop = used_ - 1;
        address_ += steps * dims_[loop].stride;
        digits_[loop] += steps;
        while (digits_[loop] == dims_[loop].count) {
            address_ -= dims_[loop].count * dims_[loop].stride;
            digits_[loop] = 0;
            if (loop-- == 0) return;
            address_ += dims_[loop].stride;
            ++digits_[loop];
        }
    }

private:
    std::int64_t address_;
    std::size_t used_ = 0;
    std::array<Dimension, LOOPS> dims_{};
    std::array<std::int64_t, LOOPS> digits_{};
};

/// MATMUL's inner loops as the accumulators see them: a depthwise window leaves fewer rows and columns than it reads.
[[nodiscard]] inline std::array<std::uint32_t, 3> output_counts(const isa::Matmul& m) {
    if (m.mode != isa::MatmulMode::DEPTHWISE) return {m.inner_count_0, m.inner_count_1, m.inner_count_2};
    const unsigned rows = m.inner_count_1 - m.window_rows;
    const unsigned columns = m.inner_count_2 - m.window_columns;
    return {m.inner_count_0, (rows >> m.row_shift) + 1, (columns >> m.column_shift) + 1};
}

/// VECTOR's loops as the results see them: reduced loops count once.
[[nodiscard]] inline std::array<std::uint16_t, 5> result_counts(const isa::Vector& v) {
    std::array<std::uint16_t, 5> counts = v.counts();
    std::fill(counts.end() - v.reduce_loops, counts.end(), std::uint16_t{1});
    return counts;
}

/// Whether an operand comes from the accumulators (else, if from a memory, from the scratchpad).
[[nodiscard]] constexpr bool reads_rows(isa::Source source) {
    return source == isa::Source::ACCUMULATOR_S32 || source == isa::Source::ACCUMULATOR_F32;
}

}  // namespace weft::bulk
