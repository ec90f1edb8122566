#include "machine.hpp"

#include <algorithm>
#include <string>

namespace weft {

Machine::Machine(Memory& memory, const Launch& launch)
    : launch_(launch),
      shared_(memory.config, launch.record_events),
      program_(shared_, memory, launch_),
      dram_(memory.config, launch.stall_seed),
      fetch_(shared_, program_, launch_),
      load_(shared_),
      store_(shared_),
      mxu_(shared_),
      vpu_(shared_) {}

void Machine::run() {
    while (now_ < launch_.cycle_limit && !done_ && !trace_exhausted()) turn();
    settle();
    if (done_) {
        fault_ = fetch_.fault();
        return;
    }
    const std::string words = "not done after " + std::to_string(launch_.cycle_limit) + " cycles";
    fault_ = ProgramFault{{isa::FaultCause::CYCLE_LIMIT, words}, fetch_.program_counter()};
    shared_.events.close(now_);
}

void Machine::turn() {
    ++turns_;
    bool fresh = woken_ || now_ >= until_;
    if (fresh) settle();
    observe_transfers();
    if (!fresh && scratchpad_.contended(load_, store_, vpu_)) {
        settle();
        fresh = true;
    }
    if (fresh) observe_compute();
    else local_ = scratchpad_.grant_transfers(load_, store_);
    done_ = fetch_.done();
    Cycle cycles = until_ - now_;
    if (cycles > 1) cycles = std::min(cycles, regular_transfers());
    if (launch_.single_step || done_) cycles = 1;
    advance_transfers(std::min(cycles, launch_.cycle_limit - now_));
}

/// Brings MXU and VPU from when they decided to now.
void Machine::settle() {
    const Cycle cycles = now_ - observed_;
    if (cycles == 0) return;
    mxu_.advance(observed_, cycles, local_.mxu_weight);
    vpu_.advance(observed_, cycles, local_.vpu_a || rows_.vpu_a, local_.vpu_b || rows_.vpu_b);
    shared_.tokens.commit();
    observed_ = now_;
}

void Machine::observe_transfers() {
    const Dram::Outputs dram = dram_.outputs();
    fetch_.observe(dram, !fetch_.running() && units_idle());
    load_.observe(now_, dram);
    store_.observe(now_, dram);
    fetch_.drive(inputs_);
    load_.drive(inputs_);
    store_.drive(inputs_);
}

void Machine::observe_compute() {
    mxu_.observe(now_);
    vpu_.observe(now_, mxu_);
    local_ = scratchpad_.arbitrate(load_, store_, mxu_, vpu_);
    rows_ = accumulators_.arbitrate(now_, mxu_, vpu_);
    until_ = now_ + (launch_.single_step ? 1 : regular_compute());
    woken_ = false;
}

bool Machine::units_idle() const {
    return shared_.load_queue.empty() && shared_.store_queue.empty() && shared_.mxu_queue.empty() &&
           shared_.vpu_queue.empty() && load_.idle() && store_.idle() && mxu_.idle(now_) && vpu_.idle();
}

Cycle Machine::regular_compute() const {
    Cycle cycles = mxu_.regular_cycles(now_, local_.mxu_weight);
    if (cycles > 1) cycles = std::min(cycles, vpu_.regular_cycles(now_, local_.vpu_a || rows_.vpu_a, local_.vpu_b || rows_.vpu_b));
    if (cycles > 1) cycles = std::min(cycles, scratchpad_.regular_cycles(now_, load_, store_, mxu_, vpu_));
    if (cycles > 1) cycles = std::min(cycles, accumulators_.regular_cycles(now_, mxu_, vpu_));
    return cycles;
}

Cycle Machine::regular_transfers() const {
    Cycle cycles = dram_.regular_cycles(inputs_);
    if (cycles > 1) cycles = std::min(cycles, fetch_.regular_cycles());
    if (cycles > 1) cycles = std::min(cycles, load_.regular_cycles(local_.load));
    if (cycles > 1) cycles = std::min(cycles, store_.regular_cycles(local_.store));
    return cycles;
}

void Machine::advance_transfers(Cycle cycles) {
    woken_ = fetch_.dispatches();
    dram_.advance(inputs_, cycles);
    fetch_.advance(now_, cycles);
    load_.advance(now_, cycles, local_.load);
    store_.advance(now_, cycles, local_.store);
    now_ += cycles;
    if (shared_.tokens.commit()) woken_ = true;
}

std::uint64_t Machine::read_bytes() const { return dram_.read_beats() * shared_.config.dram_beat_bytes; }
std::uint64_t Machine::write_bytes() const { return dram_.write_beats() * shared_.config.dram_beat_bytes; }

}  // namespace weft
