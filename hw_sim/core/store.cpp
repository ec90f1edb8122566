#include "store.hpp"

#include <algorithm>

namespace weft {

namespace {
constexpr isa::Unit SELF = isa::Unit::STORE;
}

Store::Store(Shared& shared)
    : shared_(shared),
      capacity_(isa::BYTE_FIFO_BEATS * std::max(shared.config.dram_beat_bytes, shared.config.lanes)),
      contexts_(isa::STORE_CONTEXTS),
      leaving_(shared.config.outstanding_bursts),
      in_flight_(shared.config.outstanding_bursts) {}

void Store::observe(Cycle, const Dram::Outputs& dram) {
    const Config& config = shared_.config;
    issues_ = !contexts_.full() && shared_.can_issue(shared_.store_queue, SELF);
    waiting_ = shared_.waiting(shared_.store_queue, SELF);
    aw_accepted_ = aw_valid_ && dram.aw_ready;
    w_accepted_ = w_valid_ && dram.w_ready;
    responds_ = dram.b_valid;
    forms_ = generating_ < contexts_.size() && (!aw_valid_ || aw_accepted_) && !in_flight_.full();
    sends_ = false;
    if (!leaving_.empty()) {
        const Leaving& burst = leaving_.front();
        sent_ = std::min(config.dram_beat_bytes - burst.in_beat, burst.bytes);
        sends_ = (!w_valid_ || w_accepted_) && fifo_ >= sent_;
    }
    read_ = {};
    if (reading_ >= contexts_.size()) return;
    const Context& context = contexts_.at(reading_);
    piece_ = context.local.piece(config.lanes);
    if (fifo_ + landing_ + config.lanes > capacity_) return;
    read_ = {shared_.scratchpad.of(context.local.address()), context.banks};
}

std::uint64_t Store::read_bank_run() const {
    return contexts_.at(reading_).local.bank_run(shared_.config.lanes, shared_.scratchpad);
}

void Store::drive(Dram::Inputs& inputs) const {
    inputs.aw_valid = aw_valid_;
    inputs.w_valid = w_valid_;
    inputs.w_last = w_last_;
}

Cycle Store::regular_cycles(bool granted) const {
    if (issues_ || forms_ || aw_accepted_ || responds_) return 1;
    if (sends_ != w_accepted_ || (w_accepted_ && w_last_)) return 1;
    Cycle cycles = FOREVER;
    if (sends_) {
        const Leaving& burst = leaving_.front();
        const std::uint32_t beat = shared_.config.dram_beat_bytes;
        if (burst.in_beat != 0 || burst.bytes <= beat) return 1;
        cycles = (burst.bytes - 1) / beat;  // the last beat loads w_last
    }
    if (read_ && granted) {
        const Context& context = contexts_.at(reading_);
        const Cycle pieces = context.local.whole_pieces(shared_.config.lanes, context.aligned);
        const bool all = pieces * piece_ == context.local.left();
        cycles = std::min(cycles, all ? std::max<Cycle>(pieces, 2) - 1 : pieces);
    }
    return std::min(cycles, regular_fill(granted));
}

/// Cycles in which fifo and landing repeat themselves, or move without changing a decision.
Cycle Store::regular_fill(bool granted) const {
    const std::uint32_t arriving = read_ && granted ? piece_ : 0;
    const std::uint32_t departing = sends_ ? sent_ : 0;
    return landing_ == arriving && landing_ == departing ? FOREVER : 1;
}

Activity Store::activity(bool granted) const {
    if ((read_ && granted) || sends_) return Activity::BUSY;
    if (read_) return Activity::BANK;
    return contexts_.empty() ? waiting_ : Activity::DRAM;
}

void Store::advance(Cycle now, Cycle cycles, bool granted) {
    shared_.counters.add(SELF, activity(granted), cycles);
    if (aw_accepted_) aw_valid_ = false;
    if (w_accepted_) w_valid_ = false;
    if (sends_) send(cycles);
    if (forms_) form_burst();
    const bool reads = read_ && granted;
    fifo_ += landing_ + (reads ? static_cast<std::uint32_t>((cycles - 1) * piece_) : 0);
    landing_ = reads ? piece_ : 0;
    if (reads) read(now, cycles);
    if (responds_) respond(now);
    if (issues_) issue(now);
}

void Store::form_burst() {
    const Burst burst = take_burst(contexts_.at(generating_).dram, shared_.config);
    aw_valid_ = true;
    leaving_.push({burst.address & (shared_.config.dram_beat_bytes - 1), burst.bytes});
    in_flight_.push({burst.last});
    if (burst.last) ++generating_;
}

void Store::send(Cycle cycles) {
    Leaving& burst = leaving_.front();
    const auto bytes = static_cast<std::uint32_t>(sent_ * cycles);
    fifo_ -= bytes;
    burst.bytes -= bytes;
    burst.in_beat = 0;
    w_valid_ = true;
    w_last_ = burst.bytes == 0;
    if (w_last_) leaving_.pop();
}

void Store::read(Cycle now, Cycle cycles) {
    Context& context = contexts_.at(reading_);
    shared_.events.start(context.number, now);
    context.local.take(piece_ * cycles);
    if (context.local.done()) ++reading_;
}

void Store::respond(Cycle now) {
    const bool last = in_flight_.front().last;
    in_flight_.pop();
    if (!last) return;
    shared_.retire(SELF, contexts_.front().signal, contexts_.front().number, now);
    contexts_.pop();
    --generating_;
    --reading_;
}

void Store::issue(Cycle now) {
    const TransferTask task = shared_.issue(shared_.store_queue, SELF, now);
    contexts_.push({task.aligned, task.signal, task.number, task.banks, task.dram, task.local});
}

}  // namespace weft
