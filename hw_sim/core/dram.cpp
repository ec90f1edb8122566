#include "dram.hpp"

#include <algorithm>
#include <bit>

#include "generated/isa.hpp"

namespace weft {

namespace {

constexpr std::uint64_t ALWAYS = std::uint64_t{1} << 62;
constexpr std::uint64_t BUS_STREAM = 3;

}  // namespace

std::uint64_t stall_mix(std::uint64_t seed, std::uint64_t a, std::uint64_t b) {
    std::uint64_t z = seed + a * 0x9E3779B97F4A7C15u + b * 0xBF58476D1CE4E5B9u;
    z ^= z >> 30;
    z *= 0xBF58476D1CE4E5B9u;
    z ^= z >> 27;
    z *= 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

Dram::Dram(const Config& config, std::uint64_t stall_seed)
    : config_(config),
      seed_(stall_seed),
      credit_(config.dram_rate_denominator),
      ports_{Port(config.outstanding_bursts), Port(config.outstanding_bursts)},
      responses_(config.outstanding_bursts) {}

Dram::Outputs Dram::outputs() const {
    Outputs out;
    for (std::size_t port = 0; port < READ_PORTS; ++port) {
        out.ar_ready[port] = !ports_[port].bursts.full();
        out.r_valid[port] = ports_[port].full;
        out.r_last[port] = ports_[port].last;
        out.r_address[port] = ports_[port].address;
    }
    out.aw_ready = open_writes_ < config_.outstanding_bursts;
    out.w_ready = buffered_ < isa::DRAM_WRITE_BUFFER;
    out.b_valid = !responses_.empty() && responses_.front() <= now_;
    return out;
}

bool Dram::reads(std::size_t port, const Inputs& inputs) const {
    const Port& state = ports_[port];
    if (state.bursts.empty() || state.bursts.front().ready > now_) return false;
    return !state.full || inputs.r_ready[port];
}

bool Dram::bus_free() const {
    if (credit_ < config_.dram_rate_denominator) return false;
    return seed_ == 0 || stall_mix(seed_, BUS_STREAM, now_) % 4 != 0;
}

Dram::Move Dram::choose(const Inputs& inputs) const {
    if (!bus_free()) return Move::NONE;
    if (reads(FETCH, inputs)) return Move::FETCH;
    if (buffered_ > 0) return Move::STORE;
    if (reads(LOAD, inputs)) return Move::LOAD;
    return Move::NONE;
}

std::uint64_t Dram::regular_cycles(const Inputs& inputs) const {
    const bool irregular_bus = seed_ != 0 || config_.dram_rate_numerator != config_.dram_rate_denominator;
    if (irregular_bus && (reads(FETCH, inputs) || buffered_ > 0 || reads(LOAD, inputs))) return 1;
    const Move move = choose(inputs);
    std::uint64_t cycles = regular_writes(inputs, move);
    for (std::size_t port = 0; port < READ_PORTS && cycles > 1; ++port) {
        cycles = std::min(cycles, regular_reads(port, inputs, move));
    }
    return cycles;
}

std::uint64_t Dram::regular_reads(std::size_t port, const Inputs& inputs, Move move) const {
    const Port& state = ports_[port];
    if (inputs.ar_valid[port] && !state.bursts.full()) return 1;
    const bool filled = move == (port == FETCH ? Move::FETCH : Move::LOAD);
    const bool emptied = state.full && inputs.r_ready[port];
    if (filled != emptied || (emptied && state.last)) return 1;
    if (filled) return state.bursts.front().beats;
    if (!state.bursts.empty() && state.bursts.front().ready > now_) return state.bursts.front().ready - now_;
    return ALWAYS;
}

std::uint64_t Dram::regular_writes(const Inputs& inputs, Move move) const {
    if (inputs.aw_valid && open_writes_ < config_.outstanding_bursts) return 1;
    const bool accepted = inputs.w_valid && buffered_ < isa::DRAM_WRITE_BUFFER;
    if (accepted != (move == Move::STORE) || (accepted && inputs.w_last)) return 1;
    std::uint64_t cycles = ALWAYS;
    if (accepted && lasts_ != 0) cycles = std::max(std::countr_zero(lasts_), 1);
    if (!responses_.empty()) cycles = std::min(cycles, std::max<std::uint64_t>(responses_.front(), now_ + 1) - now_);
    return cycles;
}

void Dram::advance(const Inputs& inputs, std::uint64_t cycles) {
    const Move move = choose(inputs);
    advance_read(FETCH, inputs, move, cycles);
    advance_read(LOAD, inputs, move, cycles);
    advance_writes(inputs, move, cycles);
    spend_credit(move != Move::NONE, cycles);
    now_ += cycles;
}

void Dram::advance_read(std::size_t port, const Inputs& inputs, Move move, std::uint64_t cycles) {
    Port& state = ports_[port];
    const bool accepted = inputs.ar_valid[port] && !state.bursts.full();
    if (state.full && inputs.r_ready[port]) state.full = state.last = false;
    if (move == (port == FETCH ? Move::FETCH : Move::LOAD)) {
        Burst& burst = state.bursts.front();
        burst.beats -= static_cast<std::uint32_t>(cycles);
        state.full = true;
        state.last = burst.beats == 0;
        state.address = burst.address + static_cast<std::uint32_t>(cycles - 1) * config_.dram_beat_bytes;
        burst.address = state.address + config_.dram_beat_bytes;
        if (state.last) state.bursts.pop();
        read_beats_ += cycles;
    }
    if (!accepted) return;
    const std::uint64_t late = seed_ == 0 ? 0 : stall_mix(seed_, port, state.accepted) % 32;
    const std::uint32_t aligned = inputs.ar_address[port] & ~(config_.dram_beat_bytes - 1);
    state.bursts.push({now_ + config_.dram_latency + late, aligned, inputs.ar_beats[port]});
    ++state.accepted;
}

void Dram::advance_writes(const Inputs& inputs, Move move, std::uint64_t cycles) {
    const bool opened = inputs.aw_valid && open_writes_ < config_.outstanding_bursts;
    const bool accepted = inputs.w_valid && buffered_ < isa::DRAM_WRITE_BUFFER;
    if (!responses_.empty() && responses_.front() <= now_) {
        responses_.pop();
        --open_writes_;
    }
    if (move == Move::STORE) {
        if ((lasts_ & 1) != 0 && !responses_.full()) responses_.push(now_ + config_.dram_latency);
        lasts_ >>= std::min<std::uint64_t>(cycles, isa::DRAM_WRITE_BUFFER);
        --buffered_;
        write_beats_ += cycles;
    }
    if (accepted) {  // for more than one cycle only together with a move: the fill stays
        lasts_ |= static_cast<std::uint32_t>(inputs.w_last) << buffered_;
        ++buffered_;
    }
    if (opened) ++open_writes_;
}

void Dram::spend_credit(bool moved, std::uint64_t cycles) {
    const std::uint64_t most = std::uint64_t{config_.dram_rate_denominator} + config_.dram_rate_numerator - 1;
    if (moved) credit_ -= config_.dram_rate_denominator;
    // With `moved`, more than one cycle happens only at one beat per cycle, where the credit stays what it is.
    const std::uint64_t gained = moved ? 1 : std::min(cycles, most);
    credit_ = std::min(credit_ + gained * config_.dram_rate_numerator, most);
}

}  // namespace weft
