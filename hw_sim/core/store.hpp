// STORE: generator, reader and sender, decoupled (docs/machine.md, STORE).
#pragma once

#include "dram.hpp"
#include "shared.hpp"

namespace weft {

class Store {
public:
    explicit Store(Shared& shared);

    /// Decides from the state of cycle `now` what the unit asks for and does, grants apart.
    void observe(Cycle now, const Dram::Outputs& dram);
    [[nodiscard]] const Request& read_request() const { return read_; }
    [[nodiscard]] std::uint64_t read_bank_run() const;
    void drive(Dram::Inputs& inputs) const;
    [[nodiscard]] bool idle() const { return contexts_.empty(); }

    /// For how many cycles all this stays the same, if grants and DRAM's signals do.
    [[nodiscard]] Cycle regular_cycles(bool granted) const;
    void advance(Cycle now, Cycle cycles, bool granted);

private:
    struct Context {
        bool aligned;
        std::uint8_t signal;
        std::uint32_t number;
        std::uint64_t banks;
        Runs dram;
        Runs local;
    };
    struct Leaving {
        std::uint32_t in_beat;  ///< next byte's place in its beat
        std::uint32_t bytes;    ///< still to send
    };
    struct InFlight {
        bool last;  ///< of its instruction
    };

    [[nodiscard]] Cycle regular_fill(bool granted) const;
    [[nodiscard]] Activity activity(bool granted) const;
    void form_burst();
    void send(Cycle cycles);
    void read(Cycle now, Cycle cycles);
    void respond(Cycle now);
    void issue(Cycle now);

    Shared& shared_;
    std::uint32_t capacity_;
    Queue<Context> contexts_;
    std::size_t generating_ = 0;  ///< context whose bursts are formed next (contexts_.size(): none)
    std::size_t reading_ = 0;     ///< context whose bytes are read next
    Queue<Leaving> leaving_;
    Queue<InFlight> in_flight_;   ///< bursts without response
    bool aw_valid_ = false;
    bool w_valid_ = false;
    bool w_last_ = false;
    std::uint32_t landing_ = 0;
    std::uint32_t fifo_ = 0;

    // Decisions of this cycle.
    bool issues_ = false;
    Activity waiting_ = Activity::IDLE;
    bool forms_ = false;
    bool aw_accepted_ = false;
    bool w_accepted_ = false;
    bool sends_ = false;
    bool responds_ = false;
    std::uint32_t sent_ = 0;
    std::uint32_t piece_ = 0;
    Request read_{};
};

}  // namespace weft
