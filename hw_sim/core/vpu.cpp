#include "vpu.hpp"

#include <algorithm>
#include <bit>

namespace weft {

namespace {

constexpr isa::Unit SELF = isa::Unit::VPU;
constexpr Cycle TABLE_DELAY = 2;
constexpr std::uint32_t DEPTH = isa::VPU_LATENCY;
static_assert(DEPTH < 32, "the pipeline is one 32-bit word");

}  // namespace

Vpu::Vpu(Shared& shared) : shared_(shared) {}

const Banks& Vpu::memory(Place place) const {
    return place == Place::SCRATCHPAD ? shared_.scratchpad : shared_.accumulators;
}

int Vpu::result_bank() const { return task_.d.bank(results_, memory(task_.d.place)); }

void Vpu::observe(Cycle now, const Mxu& mxu) {
    a_ = b_ = write_ = {};
    frozen_ = retires_ = false;
    issues_ = !active_ && shared_.can_issue(shared_.vpu_queue, SELF);
    waiting_ = shared_.waiting(shared_.vpu_queue, SELF);
    if (!active_) return;
    if (task_.table) {
        retires_ = now == table_done_;
        if (step_ < task_.steps) a_ = {task_.a.bank(step_, shared_.scratchpad), task_.a.banks};
        return;
    }
    if ((pipeline_ & 1) != 0) {
        const int bank = task_.d.place == Place::NOWHERE ? -1 : result_bank();
        frozen_ = task_.d.place == Place::ACCUMULATORS && mxu.writes_row(now).bank == bank;
        if (frozen_) return;
        retires_ = results_ + 1 == results_total_;
        if (task_.d.place == Place::SCRATCHPAD) write_ = {bank, task_.d.banks};
    }
    if (record_left_ > 0) return request_record();
    if (countdown_ == 0 && step_ < task_.steps) request_operands();
}

std::int64_t Vpu::record_address() const {
    return task_.record + block_ * task_.record_stride + (isa::PARAMETER_VECTORS - record_left_) * shared_.config.lanes;
}

void Vpu::request_record() {
    const std::int64_t here = record_address();
    const std::int64_t end = here + (record_left_ - 1) * shared_.config.lanes;
    a_place_ = Place::SCRATCHPAD;
    a_ = {shared_.scratchpad.of(here), shared_.scratchpad.mask(here, end)};
}

void Vpu::request_operands() {
    a_place_ = task_.a.place;
    if (!holds_a_) a_ = {task_.a.bank(step_, memory(a_place_)), task_.a.banks};
    const Place place = task_.b.place;
    if (place != Place::NOWHERE && !holds_b_) b_ = {task_.b.bank(step_, memory(place)), task_.b.banks};
}

std::uint64_t Vpu::a_bank_run() const {
    if (record_left_ == 0) return task_.a.bank_run(step_, memory(a_place_));
    Nest rest;
    rest.wrap(record_left_, shared_.config.lanes);
    return rest.bank_run(record_address(), 0, shared_.scratchpad.size);
}

std::uint64_t Vpu::b_bank_run() const { return task_.b.bank_run(step_, memory(task_.b.place)); }

std::uint64_t Vpu::result_banks(Place place) const {
    return active_ && !task_.table && task_.d.place == place ? task_.d.banks : 0;
}

Cycle Vpu::regular_results(int other_bank) const {
    const Cycle run = results_ < task_.d.nest.size() ? task_.d.bank_run(results_, memory(task_.d.place)) : 1;
    if (result_bank() != other_bank) return run;  // at most one result per cycle
    if (frozen_) return FOREVER;
    const bool due = (pipeline_ & 1) != 0;
    const auto same = static_cast<Cycle>(due ? std::countr_one(pipeline_) : std::countr_zero(pipeline_));
    return std::min<Cycle>({due ? run : DEPTH, same, DEPTH});
}

bool Vpu::completes(bool a_granted, bool b_granted) const {
    if (task_.table || record_left_ > 0 || (!a_ && !b_)) return false;
    const bool has_a = holds_a_ || a_granted;
    const bool has_b = task_.b.place == Place::NOWHERE || holds_b_ || b_granted;
    return has_a && has_b;
}

Cycle Vpu::regular_cycles(Cycle now, bool a_granted, bool b_granted) const {
    if (issues_ || retires_) return 1;
    if (!active_ || frozen_) return FOREVER;
    if (task_.table) {
        if (a_) return a_granted ? task_.steps - step_ : FOREVER;
        return table_done_ - now;
    }
    const Cycle stream = regular_stream(a_granted, b_granted);
    if (step_ < task_.steps || pipeline_ == 0) return stream;
    const Cycle last_due = static_cast<Cycle>(std::bit_width(pipeline_) - 1);
    return std::min(stream, std::max<Cycle>(last_due, 1));
}

Cycle Vpu::regular_stream(bool a_granted, bool b_granted) const {
    Cycle cycles = countdown_ > 0 ? countdown_ : FOREVER;
    if (record_left_ > 0) return a_granted ? std::min<Cycle>(cycles, record_left_) : cycles;
    if (!a_ && !b_) return cycles;
    if (!completes(a_granted, b_granted)) return a_granted || b_granted ? 1 : FOREVER;
    if (task_.interval > 1 || holds_a_ || holds_b_) return 1;
    return task_.block > 0 ? block_left_ : task_.steps - step_;
}

Activity Vpu::activity(bool a_granted, bool b_granted) const {
    if (!active_) return waiting_;
    if (frozen_) return Activity::WRITE;
    if (a_ || b_) {
        const bool whole = task_.table || record_left_ > 0 ? a_granted : completes(a_granted, b_granted);
        return whole ? Activity::BUSY : Activity::BANK;
    }
    return countdown_ > 0 && step_ < task_.steps ? Activity::INTERVAL : Activity::DRAIN;
}

void Vpu::advance(Cycle now, Cycle cycles, bool a_granted, bool b_granted) {
    shared_.counters.add(SELF, activity(a_granted, b_granted), cycles);
    if (active_ && !frozen_) {
        if (a_granted || b_granted) shared_.events.start(task_.number, now);
        if (task_.table) advance_table(now, cycles, a_granted);
        else advance_vector(now, cycles, a_granted, b_granted);
    }
    if (retires_) finish(now);
    if (issues_) issue(now);
}

void Vpu::advance_table(Cycle now, Cycle cycles, bool a_granted) {
    if (!a_granted) return;
    step_ += static_cast<std::uint32_t>(cycles);
    if (step_ == task_.steps) table_done_ = now + cycles - 1 + TABLE_DELAY;
}

void Vpu::advance_vector(Cycle, Cycle cycles, bool a_granted, bool b_granted) {
    const bool entering = completes(a_granted, b_granted);
    if (countdown_ > 0) countdown_ -= static_cast<std::uint32_t>(std::min<Cycle>(countdown_, cycles));
    if (record_left_ > 0) {
        if (a_granted) record_left_ -= static_cast<std::uint32_t>(cycles);
    } else if (!entering) {
        holds_a_ = holds_a_ || a_granted;
        holds_b_ = holds_b_ || b_granted;
    }
    shift(cycles, entering);
    if (entering) enter(cycles);
}

/// Moves the pipeline on by `cycles`; with `entering`, one step enters in each of them.
void Vpu::shift(Cycle cycles, bool entering) {
    const auto leaving = static_cast<std::uint32_t>(std::min<Cycle>(cycles, DEPTH));
    results_ += static_cast<std::uint32_t>(std::popcount(pipeline_ & ((1u << leaving) - 1)));
    pipeline_ >>= leaving;
    if (!entering) return;
    const auto steps = static_cast<std::uint32_t>(cycles);
    const std::uint32_t through = steps - leaving;  // entered and left again
    results_ += (reduce_digit_ + through) / task_.reduced;
    for (std::uint32_t step = through; step < steps; ++step) {
        const bool has_result = (reduce_digit_ + step + 1) % task_.reduced == 0;
        pipeline_ |= static_cast<std::uint32_t>(has_result) << (step + DEPTH - steps);
    }
    reduce_digit_ = (reduce_digit_ + steps) % task_.reduced;
}

/// Books `cycles` steps that entered the pipeline.
void Vpu::enter(Cycle cycles) {
    const auto steps = static_cast<std::uint32_t>(cycles);
    holds_a_ = holds_b_ = false;
    step_ += steps;
    countdown_ = task_.interval - 1;
    if (task_.block == 0) return;
    block_left_ -= steps;
    if (block_left_ > 0 || step_ == task_.steps) return;
    ++block_;
    block_left_ = task_.block;
    record_left_ = isa::PARAMETER_VECTORS;
}

void Vpu::finish(Cycle now) {
    shared_.retire(SELF, task_.signal, task_.number, now);
    active_ = false;
}

void Vpu::issue(Cycle now) {
    task_ = shared_.issue(shared_.vpu_queue, SELF, now);
    active_ = true;
    step_ = block_ = countdown_ = reduce_digit_ = pipeline_ = results_ = 0;
    holds_a_ = holds_b_ = false;
    block_left_ = task_.block;
    record_left_ = task_.block > 0 ? isa::PARAMETER_VECTORS : 0;
    results_total_ = task_.table ? 0 : task_.steps / task_.reduced;
    table_done_ = FOREVER;
    a_place_ = task_.a.place;
}

}  // namespace weft
