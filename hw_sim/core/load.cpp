#include "load.hpp"

#include <algorithm>

namespace weft {

namespace {
constexpr isa::Unit SELF = isa::Unit::LOAD;
}

Load::Load(Shared& shared)
    : shared_(shared),
      capacity_(isa::BYTE_FIFO_BEATS * std::max(shared.config.dram_beat_bytes, shared.config.lanes)),
      contexts_(isa::LOAD_CONTEXTS),
      arriving_(shared.config.outstanding_bursts) {}

void Load::observe(Cycle, const Dram::Outputs& dram) {
    issues_ = !generating_ && !contexts_.full() && shared_.can_issue(shared_.load_queue, SELF);
    waiting_ = shared_.waiting(shared_.load_queue, SELF);
    accepted_ = ar_valid_ && dram.ar_ready[Dram::LOAD];
    forms_ = generating_ && (!ar_valid_ || accepted_) && !arriving_.full();
    ready_ = fifo_ + shared_.config.dram_beat_bytes <= capacity_;
    receives_ = ready_ && dram.r_valid[Dram::LOAD];
    last_beat_ = dram.r_last[Dram::LOAD];
    write_ = {};
    if (contexts_.empty()) return;
    const Context& oldest = contexts_.front();
    piece_ = oldest.local.piece(shared_.config.lanes);
    if (oldest.fill || fifo_ >= piece_) write_ = {shared_.scratchpad.of(oldest.local.address()), oldest.banks};
}

std::uint64_t Load::write_bank_run() const {
    return contexts_.front().local.bank_run(shared_.config.lanes, shared_.scratchpad);
}

void Load::drive(Dram::Inputs& inputs) const {
    inputs.ar_valid[Dram::LOAD] = ar_valid_;
    inputs.ar_address[Dram::LOAD] = ar_.address;
    inputs.ar_beats[Dram::LOAD] = ar_.beats;
    inputs.r_ready[Dram::LOAD] = ready_;
}

/// Valid bytes of the beat that arrives next.
std::uint32_t Load::beat_bytes() const {
    const Arriving& burst = arriving_.front();
    return std::min(shared_.config.dram_beat_bytes - burst.in_beat, burst.bytes);
}

Cycle Load::regular_cycles(bool granted) const {
    if (issues_ || accepted_ || forms_) return 1;
    std::int64_t change = 0;
    Cycle cycles = FOREVER;
    if (receives_) {
        cycles = regular_beats();
        change += beat_bytes();
    }
    if (!contexts_.empty()) {
        cycles = std::min(cycles, regular_pieces(granted));
        if (write_ && granted && !contexts_.front().fill) change -= piece_;
    }
    return std::min(cycles, regular_fill(change));
}

/// Beats of the same number of bytes before the burst's last.
Cycle Load::regular_beats() const {
    const Arriving& burst = arriving_.front();
    if (last_beat_ || burst.in_beat != 0) return 1;
    const std::uint32_t beat = shared_.config.dram_beat_bytes;
    return std::max<Cycle>((burst.bytes - 1) / beat, 1);
}

/// Pieces like this one before the instruction's last.
Cycle Load::regular_pieces(bool granted) const {
    if (!write_ || !granted) return FOREVER;
    const Runs& local = contexts_.front().local;
    const Cycle pieces = local.whole_pieces(shared_.config.lanes, contexts_.front().aligned);
    return pieces * piece_ == local.left() ? std::max<Cycle>(pieces, 2) - 1 : pieces;
}

/// Cycles in which the receiver's and the writer's conditions on the fifo stay what they are while it changes by
/// `change` bytes per cycle.
Cycle Load::regular_fill(std::int64_t change) const {
    if (change == 0) return FOREVER;
    const std::int64_t fill = fifo_;
    const std::int64_t limit = static_cast<std::int64_t>(capacity_) - shared_.config.dram_beat_bytes;
    const bool needs_bytes = !contexts_.empty() && !contexts_.front().fill;
    if (change < 0) {
        Cycle cycles = FOREVER;
        if (needs_bytes) cycles = static_cast<Cycle>((fill - piece_) / -change + 1);  // served while fifo ≥ piece
        if (!ready_) cycles = std::min(cycles, static_cast<Cycle>((fill - limit - change - 1) / -change));
        return cycles;
    }
    Cycle cycles = ready_ ? static_cast<Cycle>((limit - fill) / change + 1) : FOREVER;
    if (needs_bytes && !write_) cycles = std::min(cycles, static_cast<Cycle>((piece_ - fill + change - 1) / change));
    return cycles;
}

Activity Load::activity(bool granted) const {
    if (write_) return granted ? Activity::BUSY : Activity::BANK;
    return contexts_.empty() ? waiting_ : Activity::DRAM;
}

void Load::advance(Cycle now, Cycle cycles, bool granted) {
    shared_.counters.add(SELF, activity(granted), cycles);
    if (accepted_) ar_valid_ = false;
    if (forms_) form_burst(now);
    if (receives_) receive(cycles);
    if (write_ && granted) write(now, cycles);
    if (issues_) issue(now);
}

void Load::form_burst(Cycle now) {
    shared_.events.start(generated_number_, now);
    ar_ = take_burst(generator_, shared_.config);
    ar_valid_ = true;
    arriving_.push({ar_.address & (shared_.config.dram_beat_bytes - 1), ar_.bytes});
    generating_ = !ar_.last;
}

void Load::receive(Cycle cycles) {
    const auto bytes = static_cast<std::uint32_t>(beat_bytes() * cycles);
    Arriving& burst = arriving_.front();
    fifo_ += bytes;
    burst.bytes -= bytes;
    burst.in_beat = 0;
    if (last_beat_) arriving_.pop();
}

void Load::write(Cycle now, Cycle cycles) {
    Context& oldest = contexts_.front();
    const auto bytes = static_cast<std::uint32_t>(piece_ * cycles);
    if (oldest.fill) shared_.events.start(oldest.number, now);
    if (!oldest.fill) fifo_ -= bytes;
    oldest.local.take(bytes);
    if (!oldest.local.done()) return;
    shared_.retire(SELF, oldest.signal, oldest.number, now + cycles - 1);
    contexts_.pop();
}

void Load::issue(Cycle now) {
    const TransferTask task = shared_.issue(shared_.load_queue, SELF, now);
    contexts_.push({task.fill, task.aligned, task.signal, task.number, task.banks, task.local});
    if (task.fill) return;
    generating_ = true;
    generated_number_ = task.number;
    generator_ = task.dram;
}

}  // namespace weft
