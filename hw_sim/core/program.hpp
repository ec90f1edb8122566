// What instructions do when they leave the decoder, apart from time: checks, data in program order, tasks for the queues.
#pragma once

#include <cstdint>
#include <span>

#include "functional.hpp"
#include "shared.hpp"

namespace weft {

/// How a program is run (weft_sim.result.RunOptions).
struct Launch {
    std::uint32_t program_address = 0;
    std::uint32_t instruction_count = 0;
    bool timing_only = false;
    bool single_step = false;
    bool record_events = true;
    std::uint64_t stall_seed = 0;
    std::uint64_t cycle_limit = 0;
    std::uint64_t instruction_limit = 0;
    std::span<const std::int32_t> mailbox_trace;
};

/// The program in DRAM and the architectural state, advanced one instruction at a time in program order.
class Program {
public:
    Program(Shared& shared, Memory& memory, const Launch& launch);

    [[nodiscard]] std::uint32_t length() const { return launch_.instruction_count; }
    [[nodiscard]] std::uint64_t byte_address(std::uint64_t index) const;

    /// Decodes and checks instruction `index` < length(), and books its tokens if it is right.
    Fault take(std::uint32_t index);
    /// The instruction last taken.
    [[nodiscard]] const Instruction& current() const { return current_; }
    [[nodiscard]] std::uint32_t current_index() const { return index_; }
    [[nodiscard]] bool queue_has_room() const;

    /// Lets the current instruction leave in cycle `now`: data, registers, queue, event. Answers the index of the next
    /// instruction in program order.
    std::uint32_t leave(Cycle now);
    /// Whether the instruction that left last was a JUMP that was taken.
    [[nodiscard]] bool jumped() const { return jumped_; }

    /// True when timing-only mode needed a mailbox value beyond the end of the trace; nothing after that counts.
    [[nodiscard]] bool trace_exhausted() const { return trace_exhausted_; }

private:
    std::int32_t mailbox(std::uint32_t number);
    std::uint32_t leave_control(std::uint32_t next);
    void enqueue(std::uint32_t number);

    Shared& shared_;
    Memory& memory_;
    const Launch& launch_;
    TokenLedger ledger_;
    Instruction current_{};
    std::uint32_t index_ = 0;
    bool jumped_ = false;
    std::size_t trace_position_ = 0;
    bool trace_exhausted_ = false;
};

}  // namespace weft
