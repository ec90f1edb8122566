// What LOAD and STORE share: their tasks, the walk over runs of bytes, and the cutting of runs into bursts.
#pragma once

#include <algorithm>
#include <cstdint>

#include "config.hpp"
#include "functional.hpp"
#include "nest.hpp"

namespace weft {

/// Runs of bytes, one behind the other: where the next byte is and how many remain.
class Runs {
public:
    Runs() = default;
    Runs(std::int64_t base, const Nest& nest, std::uint32_t run_bytes)
        : nest_(nest), base_(base), current_(base), run_bytes_(run_bytes), left_(std::uint64_t{run_bytes} * nest.size()) {}

    [[nodiscard]] bool done() const { return left_ == 0; }
    [[nodiscard]] std::uint64_t left() const { return left_; }
    [[nodiscard]] std::int64_t address() const { return current_ + offset_; }
    /// Bytes of the current run that remain.
    [[nodiscard]] std::uint32_t in_run() const { return run_bytes_ - offset_; }
    /// Lowest and highest byte of all runs.
    [[nodiscard]] std::int64_t lowest() const { return base_ + nest_.lowest(); }
    [[nodiscard]] std::int64_t highest() const { return base_ + nest_.highest() + run_bytes_ - 1; }

    /// The next piece that lies in one vector of `lanes` bytes.
    [[nodiscard]] std::uint32_t piece(std::uint32_t lanes) const {
        return std::min(lanes - (static_cast<std::uint32_t>(address()) & (lanes - 1)), in_run());
    }
    /// How many pieces from the next one on are whole vectors (at least 1, whatever the first is).
    [[nodiscard]] std::uint64_t whole_pieces(std::uint32_t lanes, bool aligned) const {
        if (piece(lanes) != lanes) return 1;
        return aligned ? left_ / lanes : in_run() / lanes;
    }
    /// Pieces from the next one on, all of one size, that lie in one bank (at least 1).
    [[nodiscard]] std::uint64_t bank_run(std::uint32_t lanes, const Banks& banks) const {
        const std::int64_t to_boundary = banks.size - address() % banks.size;
        return std::max<std::int64_t>(1, std::min<std::int64_t>(to_boundary, in_run()) / lanes);
    }

    void take(std::uint64_t bytes) {
        left_ -= bytes;
        const std::uint64_t end = offset_ + bytes;
        if (end < run_bytes_) {
            offset_ = static_cast<std::uint32_t>(end);
            return;
        }
        run_ += static_cast<std::uint32_t>(end / run_bytes_);
        offset_ = static_cast<std::uint32_t>(end % run_bytes_);
        if (left_ != 0) current_ = base_ + nest_.offset(run_);
    }

private:
    Nest nest_;
    std::int64_t base_ = 0;
    std::int64_t current_ = 0;
    std::uint32_t run_bytes_ = 1;
    std::uint32_t run_ = 0;
    std::uint32_t offset_ = 0;
    std::uint64_t left_ = 0;
};

/// A LOAD, STORE or FILL with its DRAM base resolved, as it waits in a queue.
struct TransferTask {
    bool fill = false;
    bool aligned = false;  ///< every piece in the scratchpad is a whole vector
    std::uint8_t wait = 0;
    std::uint8_t signal = 0;
    std::uint32_t number = 0;  ///< of its event
    Runs dram;
    Runs local;
    std::uint64_t banks = 0;  ///< scratchpad banks touched
};

[[nodiscard]] TransferTask make_task(const isa::Load& load, const Config& config, const Registers& registers);
[[nodiscard]] TransferTask make_task(const isa::Store& store, const Config& config, const Registers& registers);
[[nodiscard]] TransferTask make_task(const isa::Fill& fill, const Config& config);

/// One AXI burst of a run.
struct Burst {
    std::uint32_t address = 0;
    std::uint32_t bytes = 0;
    std::uint32_t beats = 0;
    bool last = false;  ///< of its instruction
};

/// Cuts the next burst off `runs`.
[[nodiscard]] Burst take_burst(Runs& runs, const Config& config);

}  // namespace weft
