// Nested loop counters as address generators, and the banks they touch.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "signals.hpp"

namespace weft {

/// The offsets Σ stride·digit of up to seven nested loops, addressed by step number. Loops of one step are dropped and
/// loops that continue each other are merged, so that most nests have one or two levels.
class Nest {
public:
    static constexpr int LEVELS = 7;

    /// Adds the next loop, from the innermost outwards.
    void wrap(std::uint32_t count, std::int64_t stride) {
        if (count <= 1) return;
        const bool continues = levels_ > 0 && stride == stride_[top()] * count_[top()];
        if (continues) {
            count_[top()] *= count;
        } else {
            count_[slot(levels_)] = count;
            stride_[slot(levels_)] = stride;
            ++levels_;
        }
        const std::int64_t reach = stride * (static_cast<std::int64_t>(count) - 1);
        size_ *= count;
        lowest_ += std::min<std::int64_t>(reach, 0);
        highest_ += std::max<std::int64_t>(reach, 0);
    }

    [[nodiscard]] std::uint32_t size() const { return size_; }
    [[nodiscard]] std::int64_t lowest() const { return lowest_; }
    [[nodiscard]] std::int64_t highest() const { return highest_; }

    /// The offset of step `step` < size().
    [[nodiscard]] std::int64_t offset(std::uint32_t step) const {
        std::int64_t sum = 0;
        for (int level = 0; level + 1 < levels_; ++level) {
            const std::uint32_t count = count_[slot(level)];
            const std::uint32_t carry = step / count;
            sum += stride_[slot(level)] * (step - carry * count);
            step = carry;
        }
        return levels_ > 0 ? sum + stride_[top()] * step : sum;
    }

    /// A number of steps from `step` on whose addresses base + offset all lie in one bank of `bank` units (at least 1).
    [[nodiscard]] std::uint32_t bank_run(std::int64_t base, std::uint32_t step, std::int64_t bank) const {
        std::int64_t block = base + offset(step);
        const std::int64_t first = block / bank * bank;
        std::uint32_t run = 1, inner = 1, index = 0;
        std::int64_t low = 0, high = 0;
        for (int level = 0; level < levels_; ++level) {
            const std::uint32_t count = count_[slot(level)];
            const std::int64_t stride = stride_[slot(level)];
            const std::uint32_t digit = step % count;
            const std::int64_t reach = stride * (static_cast<std::int64_t>(count) - 1);
            if (level == 0) run = straight_run(block - first, stride, count - digit, bank);
            block -= stride * digit;
            low += std::min<std::int64_t>(reach, 0);
            high += std::max<std::int64_t>(reach, 0);
            if (block + low < first || block + high >= first + bank) return run;
            index += digit * inner;
            inner *= count;
            run = inner - index;
            step /= count;
        }
        return run;
    }

private:
    static std::size_t slot(int level) { return static_cast<std::size_t>(level); }
    [[nodiscard]] std::size_t top() const { return slot(levels_ - 1); }

    static std::uint32_t straight_run(std::int64_t at, std::int64_t stride, std::uint32_t steps, std::int64_t bank) {
        if (stride == 0) return steps;
        const std::int64_t room = stride > 0 ? (bank - 1 - at) / stride : at / -stride;
        return static_cast<std::uint32_t>(std::min<std::int64_t>(room + 1, steps));
    }

    std::array<std::uint32_t, LEVELS> count_{};
    std::array<std::int64_t, LEVELS> stride_{};
    int levels_ = 0;
    std::uint32_t size_ = 1;
    std::int64_t lowest_ = 0;
    std::int64_t highest_ = 0;
};

/// A memory cut into contiguous banks.
struct Banks {
    std::int64_t size = 1;  ///< units of one bank

    [[nodiscard]] int of(std::int64_t address) const {
        return static_cast<int>(static_cast<std::uint32_t>(address) / static_cast<std::uint32_t>(size));
    }
    /// The set of banks of all units from `low` to `high`.
    [[nodiscard]] std::uint64_t mask(std::int64_t low, std::int64_t high) const {
        const int first = of(low), last = of(high);
        return (~std::uint64_t{0} >> (63 - (last - first))) << first;
    }
};

/// The bank in a set of one, or else −1.
inline int only_bank(std::uint64_t mask) { return (mask & (mask - 1)) == 0 ? __builtin_ctzll(mask) : -1; }

}  // namespace weft
