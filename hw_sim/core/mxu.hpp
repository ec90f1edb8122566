// MXU: stage W loads weight tiles into the shadow, stage X streams vectors against the active weights (docs/machine.md, MXU).
//
// X never waits once it streams, so where its pipeline is follows from when its recent tiles began.
#pragma once

#include <array>

#include "shared.hpp"

namespace weft {

/// The bank that is accessed in a cycle (−1: none), and for how many cycles from it on that stays so (at least 1).
struct Access {
    int bank = -1;
    Cycle run = 1;
};

class Mxu {
public:
    explicit Mxu(Shared& shared);

    /// Decides from the state of cycle `now` what the unit asks for and does, grants apart.
    void observe(Cycle now);
    [[nodiscard]] const Request& input_request() const { return input_; }
    [[nodiscard]] const Request& weight_request() const { return weight_; }
    [[nodiscard]] std::uint64_t input_bank_run(Cycle now) const;
    [[nodiscard]] std::uint64_t weight_bank_run() const;
    /// The accumulator row port that the pipeline uses in cycle `now`, and the banks of all rows in the pipeline or to come
    /// from tiles that have begun.
    [[nodiscard]] Access reads_row(Cycle now) const;
    [[nodiscard]] Access writes_row(Cycle now) const;
    [[nodiscard]] std::uint64_t row_banks(Cycle now) const;
    [[nodiscard]] bool idle(Cycle now) const;

    /// For how many cycles all this stays the same, if grants do.
    [[nodiscard]] Cycle regular_cycles(Cycle now, bool weight_granted) const;
    void advance(Cycle now, Cycle cycles, bool weight_granted);

private:
    static constexpr std::size_t HISTORY = 8;  ///< more tiles, and instructions, than ever are in the pipeline at once

    struct Tile {
        const MatmulTask* task = nullptr;
        Cycle start = 0, end = 0;  ///< X streams in [start, end)
        std::int64_t input = 0, row = 0;
        std::uint64_t input_banks = 0, row_banks = 0;
        bool adds = false;
    };
    struct Retirement {
        Cycle when;
        std::uint8_t signal;
        std::uint32_t number;
    };

    [[nodiscard]] const Tile& tile(std::size_t age) const { return tiles_[(newest_ + HISTORY - age) % HISTORY]; }
    [[nodiscard]] Access row_access(Cycle streamed, bool reads) const;
    [[nodiscard]] Access row_in_tile(const Tile& tile, Cycle streamed, bool reads) const;
    [[nodiscard]] Activity activity(bool weight_granted) const;
    [[nodiscard]] std::int64_t weight_address() const;
    void request_weight();
    void load_weights(Cycle now, Cycle cycles);
    void swap(Cycle now);
    void issue(Cycle now);

    Shared& shared_;
    std::array<MatmulTask, HISTORY> tasks_;
    std::size_t task_ = 0;  ///< W's, or its last one

    bool loading_ = false;
    Tiles next_;
    std::uint32_t rows_ = 0;
    Cycle free_ = 0;
    Cycle shadow_full_ = FOREVER;  ///< the cycle from which on the shadow is full

    std::array<Tile, HISTORY> tiles_;
    std::size_t newest_ = 0;
    Queue<Retirement> retirements_;

    // Decisions of this cycle.
    bool streams_ = false;
    bool swaps_ = false;
    bool issues_ = false;
    bool retires_ = false;
    Activity waiting_ = Activity::IDLE;
    Request input_{};
    Request weight_{};
};

}  // namespace weft
