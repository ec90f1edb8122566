#include "fetch.hpp"

#include <algorithm>
#include <string>

namespace weft {

namespace {
constexpr isa::Unit SELF = isa::Unit::FETCH;
}

// In flight are at most `fetch_depth` reserved instructions and as many that a jump has dropped, per jump: a jump needs an
// instruction to be decoded first, so that at most one generation is dropped at a time on a memory that answers in order.
Fetch::Fetch(Shared& shared, Program& program, const Launch& launch)
    : shared_(shared),
      program_(program),
      launch_(launch),
      coming_(2 * shared.config.fetch_depth + 2),
      buffer_(shared.config.fetch_depth + 1) {}

void Fetch::observe(const Dram::Outputs& dram, bool units_idle) {
    accepted_ = ar_valid_ && dram.ar_ready[Dram::FETCH];
    receives_ = dram.r_valid[Dram::FETCH];
    last_beat_ = dram.r_last[Dram::FETCH];
    const bool runs = mode_ == Mode::RUN;
    takes_ = runs && !decoding_ && !buffer_.empty();
    exit_ = runs && decoding_ && countdown_ == 0 ? try_to_leave() : Exit::NONE;
    runs_off_ = runs && next_ >= program_.length() && reserved_ == 0 && !decoding_;
    requests_ = runs && (!ar_valid_ || accepted_) && next_ < program_.length() &&
                reserved_ < shared_.config.fetch_depth;
    done_ = !runs && units_idle && !ar_valid_ && in_flight_ == 0;
}

Fetch::Exit Fetch::try_to_leave() {
    if (!taken_) {
        found_ = program_.take(index_);
        taken_ = true;
    }
    if (found_) return Exit::FAULTS;
    const Instruction& instruction = program_.current();
    if (instruction.unit() != SELF) return program_.queue_has_room() ? Exit::LEAVES : Exit::WAITS_FOR_QUEUE;
    return shared_.tokens.ready(SELF, instruction.wait()) ? Exit::LEAVES : Exit::WAITS_FOR_TOKEN;
}

void Fetch::drive(Dram::Inputs& inputs) const {
    inputs.ar_valid[Dram::FETCH] = ar_valid_;
    inputs.ar_address[Dram::FETCH] = static_cast<std::uint32_t>(program_.byte_address(ar_index_));
    inputs.ar_beats[Dram::FETCH] = isa::INSTRUCTION_BYTES / shared_.config.dram_beat_bytes;
    inputs.r_ready[Dram::FETCH] = true;
}

Cycle Fetch::regular_cycles() const {
    const bool leaves = exit_ == Exit::LEAVES || exit_ == Exit::FAULTS;
    if (accepted_ || (receives_ && last_beat_) || takes_ || leaves || runs_off_ || requests_) return 1;
    return decoding_ && countdown_ > 0 ? countdown_ : FOREVER;
}

Activity Fetch::activity() const {
    if (mode_ != Mode::RUN) return Activity::IDLE;
    if (!decoding_) return Activity::DRAM;
    if (exit_ == Exit::WAITS_FOR_QUEUE) return Activity::QUEUE;
    return exit_ == Exit::WAITS_FOR_TOKEN ? Activity::TOKEN : Activity::BUSY;
}

void Fetch::advance(Cycle now, Cycle cycles) {
    shared_.counters.add(SELF, activity(), cycles);
    if (decoding_ && countdown_ > 0) countdown_ -= static_cast<std::uint32_t>(cycles);
    if (takes_) decode();
    if (accepted_) ar_valid_ = false;
    if (receives_ && last_beat_) receive();
    if (exit_ == Exit::FAULTS) {
        raise(std::move(found_), index_);
        decoding_ = false;
    }
    const bool jumps = exit_ == Exit::LEAVES && leave(now);
    if (runs_off_) {
        const std::string words = "the program has " + std::to_string(program_.length()) + " instructions";
        raise({isa::FaultCause::PROGRAM_RANGE, words}, next_);
    }
    if (requests_ && !jumps) request();
}

void Fetch::receive() {
    const std::uint32_t index = coming_.front();
    coming_.pop();
    --in_flight_;
    if (drop_ > 0) {
        --drop_;
    } else if (mode_ == Mode::RUN) {
        buffer_.push(index);
    }
}

void Fetch::decode() {
    decoding_ = true;
    taken_ = false;
    index_ = buffer_.front();
    buffer_.pop();
    countdown_ = isa::DECODE_CYCLES;
    --reserved_;
}

/// Lets the decoded instruction leave; true when it is a jump that is taken.
bool Fetch::leave(Cycle now) {
    const bool halts = program_.current().opcode() == isa::Opcode::HALT;
    program_counter_ = program_.leave(now);
    decoding_ = false;
    if (halts) mode_ = Mode::HALTING;
    const bool jumps = program_.jumped();
    if (jumps) {
        next_ = program_counter_;
        drop_ = in_flight_;
        buffer_.clear();
        reserved_ = 0;
    }
    if (!halts && shared_.events.dispatched() >= launch_.instruction_limit) {
        raise({isa::FaultCause::CYCLE_LIMIT, std::to_string(launch_.instruction_limit) + " instructions"}, program_counter_);
    }
    return jumps;
}

void Fetch::request() {
    ar_valid_ = true;
    ar_index_ = next_;
    coming_.push(static_cast<std::uint32_t>(next_));
    ++next_;
    ++reserved_;
    ++in_flight_;
}

void Fetch::raise(Fault fault, std::uint64_t instruction) {
    fault_ = ProgramFault{std::move(fault), instruction};
    mode_ = Mode::FAULTING;
}

}  // namespace weft
