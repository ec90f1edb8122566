// The machine: all units, cycle by cycle or several regular cycles at once.
#pragma once

#include <optional>

#include "accumulators.hpp"
#include "fetch.hpp"
#include "scratchpad.hpp"

namespace weft {

/// One launch. Every turn of `run` decides from the state alone what the units do in this cycle, finds for how many cycles
/// that repeats itself (one, when single-stepping) and advances by as many. What MXU and VPU decided mostly holds for much
/// longer than what happens around DRAM; while nothing they see changes they are left alone, and catch up (`settle`) when their
/// own time is over, a token or an instruction arrives, or another unit wants one of their banks.
class Machine {
public:
    Machine(Memory& memory, const Launch& launch);

    /// Runs until the program has halted or faulted.
    void run();

    [[nodiscard]] Cycle cycles() const { return now_; }
    [[nodiscard]] const std::optional<ProgramFault>& fault() const { return fault_; }
    [[nodiscard]] bool trace_exhausted() const { return program_.trace_exhausted(); }
    [[nodiscard]] std::uint32_t current_index() const { return program_.current_index(); }
    [[nodiscard]] const Counters& counters() const { return shared_.counters; }
    [[nodiscard]] const EventLog& events() const { return shared_.events; }
    [[nodiscard]] std::vector<Event> take_events() { return shared_.events.take(); }
    [[nodiscard]] std::uint64_t read_bytes() const;
    [[nodiscard]] std::uint64_t write_bytes() const;
    /// Turns of `run`: what the host's time is spent on.
    [[nodiscard]] std::uint64_t turns() const { return turns_; }

private:
    void observe_transfers();
    void observe_compute();
    void settle();
    void turn();
    [[nodiscard]] Cycle regular_compute() const;
    [[nodiscard]] Cycle regular_transfers() const;
    void advance_transfers(Cycle cycles);
    [[nodiscard]] bool units_idle() const;

    Launch launch_;
    Shared shared_;
    Program program_;
    Dram dram_;
    Fetch fetch_;
    Load load_;
    Store store_;
    Mxu mxu_;
    Vpu vpu_;
    Scratchpad scratchpad_;
    Accumulators accumulators_;

    Cycle now_ = 0;
    std::uint64_t turns_ = 0;
    Cycle observed_ = 0;  ///< when MXU and VPU decided what they have been doing since
    Cycle until_ = 0;     ///< until when that holds
    bool woken_ = true;   ///< something that they see may have changed
    bool done_ = false;
    std::optional<ProgramFault> fault_;

    Dram::Inputs inputs_;
    Scratchpad::Grants local_;
    Accumulators::Grants rows_;
};

}  // namespace weft
