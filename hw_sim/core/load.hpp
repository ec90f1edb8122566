// LOAD: generator, receiver and writer, decoupled (docs/machine.md, LOAD).
#pragma once

#include "dram.hpp"
#include "shared.hpp"

namespace weft {

class Load {
public:
    explicit Load(Shared& shared);

    /// Decides from the state of cycle `now` what the unit asks for and does, grants apart.
    void observe(Cycle now, const Dram::Outputs& dram);
    [[nodiscard]] const Request& write_request() const { return write_; }
    [[nodiscard]] std::uint64_t write_bank_run() const;
    void drive(Dram::Inputs& inputs) const;
    [[nodiscard]] bool idle() const { return contexts_.empty(); }

    /// For how many cycles all this stays the same, if grants and DRAM's signals do.
    [[nodiscard]] Cycle regular_cycles(bool granted) const;
    void advance(Cycle now, Cycle cycles, bool granted);

private:
    struct Context {
        bool fill;
        bool aligned;
        std::uint8_t signal;
        std::uint32_t number;
        std::uint64_t banks;
        Runs local;
    };
    struct Arriving {
        std::uint32_t in_beat;  ///< first byte's place in its beat
        std::uint32_t bytes;    ///< still to arrive
    };

    [[nodiscard]] std::uint32_t beat_bytes() const;
    [[nodiscard]] Cycle regular_beats() const;
    [[nodiscard]] Cycle regular_pieces(bool granted) const;
    [[nodiscard]] Cycle regular_fill(std::int64_t change) const;
    [[nodiscard]] Activity activity(bool granted) const;
    void form_burst(Cycle now);
    void receive(Cycle cycles);
    void write(Cycle now, Cycle cycles);
    void issue(Cycle now);

    Shared& shared_;
    std::uint32_t capacity_;
    Queue<Context> contexts_;
    Queue<Arriving> arriving_;
    bool generating_ = false;
    std::uint32_t generated_number_ = 0;
    Runs generator_;
    bool ar_valid_ = false;
    Burst ar_{};
    std::uint32_t fifo_ = 0;

    // Decisions of this cycle.
    bool issues_ = false;
    Activity waiting_ = Activity::IDLE;
    bool accepted_ = false;
    bool forms_ = false;
    bool ready_ = false;
    bool receives_ = false;
    bool last_beat_ = false;
    std::uint32_t piece_ = 0;
    Request write_{};
};

}  // namespace weft
