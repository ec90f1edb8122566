// FETCH: requests instructions, decodes them one at a time and lets them leave (docs/machine.md, FETCH).
#pragma once

#include <optional>

#include "dram.hpp"
#include "program.hpp"

namespace weft {

/// A fault and the instruction that it belongs to.
struct ProgramFault {
    Fault fault;
    std::uint64_t instruction = 0;
};

class Fetch {
public:
    Fetch(Shared& shared, Program& program, const Launch& launch);

    /// Decides from the state of cycle `now` what the unit does. `units_idle`: nothing is in any other unit or queue.
    void observe(const Dram::Outputs& dram, bool units_idle);
    void drive(Dram::Inputs& inputs) const;
    /// Whether the machine becomes done in this cycle.
    [[nodiscard]] bool done() const { return done_; }
    /// Whether an instruction leaves the decoder in this cycle.
    [[nodiscard]] bool dispatches() const { return exit_ == Exit::LEAVES; }
    [[nodiscard]] bool running() const { return mode_ == Mode::RUN; }

    /// For how many cycles all this stays the same, if DRAM's signals do.
    [[nodiscard]] Cycle regular_cycles() const;
    void advance(Cycle now, Cycle cycles);

    [[nodiscard]] const std::optional<ProgramFault>& fault() const { return fault_; }
    /// Index of the oldest instruction that has not left.
    [[nodiscard]] std::uint64_t program_counter() const { return program_counter_; }

private:
    enum class Mode : std::uint8_t { RUN, HALTING, FAULTING };
    enum class Exit : std::uint8_t { NONE, FAULTS, LEAVES, WAITS_FOR_QUEUE, WAITS_FOR_TOKEN };

    [[nodiscard]] Exit try_to_leave();
    [[nodiscard]] Activity activity() const;
    void receive();
    void decode();
    bool leave(Cycle now);
    void request();
    void raise(Fault fault, std::uint64_t instruction);

    Shared& shared_;
    Program& program_;
    const Launch& launch_;
    Mode mode_ = Mode::RUN;
    bool ar_valid_ = false;
    std::uint64_t ar_index_ = 0;
    std::uint64_t next_ = 0;
    std::uint32_t reserved_ = 0;
    std::uint32_t in_flight_ = 0;
    std::uint32_t drop_ = 0;
    Queue<std::uint32_t> coming_;  ///< indices of the instructions in flight
    Queue<std::uint32_t> buffer_;  ///< indices of those received
    bool decoding_ = false;
    bool taken_ = false;           ///< the instruction in the decoder has been checked
    Fault found_{};                ///< by that check
    std::uint32_t index_ = 0;
    std::uint32_t countdown_ = 0;
    std::uint64_t program_counter_ = 0;
    std::optional<ProgramFault> fault_;

    // Decisions of this cycle.
    bool accepted_ = false;
    bool receives_ = false;
    bool last_beat_ = false;
    bool takes_ = false;
    bool runs_off_ = false;
    bool requests_ = false;
    bool done_ = false;
    Exit exit_ = Exit::NONE;
};

}  // namespace weft
