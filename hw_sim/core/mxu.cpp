#include "mxu.hpp"

#include <algorithm>

namespace weft {

namespace {
constexpr isa::Unit SELF = isa::Unit::MXU;
constexpr Cycle ROW_READ = isa::MXU_LATENCY - 1;
constexpr Cycle ROW_WRITE = isa::MXU_LATENCY;
constexpr Cycle SHADOW_DELAY = 2;
}  // namespace

Mxu::Mxu(Shared& shared) : shared_(shared), retirements_(HISTORY) {}

void Mxu::observe(Cycle now) {
    const Tile& current = tile(0);
    streams_ = now < current.end;
    input_ = {};
    if (streams_) {
        int bank = only_bank(current.input_banks);
        if (bank < 0) {
            const auto step = static_cast<std::uint32_t>(now - current.start);
            bank = shared_.scratchpad.of(current.input + current.task->inputs.offset(step));
        }
        input_ = {bank, current.input_banks};
    }
    swaps_ = now >= shadow_full_ && (!streams_ || now + 1 == current.end);
    retires_ = !retirements_.empty() && retirements_.front().when == now;
    issues_ = !loading_ && shared_.can_issue(shared_.mxu_queue, SELF);
    waiting_ = shared_.waiting(shared_.mxu_queue, SELF);
    weight_ = {};
    if (loading_ && rows_ < tasks_[task_].weight_rows && now >= free_) request_weight();
}

std::int64_t Mxu::weight_address() const { return next_.weight + rows_ * tasks_[task_].weight_row_bytes; }

void Mxu::request_weight() {
    const MatmulTask& task = tasks_[task_];
    const std::int64_t here = weight_address();
    const std::int64_t end = next_.weight + (task.weight_rows - 1) * task.weight_row_bytes;
    weight_ = {shared_.scratchpad.of(here), shared_.scratchpad.mask(std::min(here, end), std::max(here, end))};
}

std::uint64_t Mxu::input_bank_run(Cycle now) const {
    const Tile& current = tile(0);
    const auto step = static_cast<std::uint32_t>(now - current.start);
    return current.task->inputs.bank_run(current.input, step, shared_.scratchpad.size);
}

std::uint64_t Mxu::weight_bank_run() const {
    const MatmulTask& task = tasks_[task_];
    Nest rest;
    rest.wrap(task.weight_rows - rows_, task.weight_row_bytes);
    return rest.bank_run(weight_address(), 0, shared_.scratchpad.size);
}

Access Mxu::reads_row(Cycle now) const { return now < ROW_READ ? Access{} : row_access(now - ROW_READ, true); }
Access Mxu::writes_row(Cycle now) const { return now < ROW_WRITE ? Access{} : row_access(now - ROW_WRITE, false); }

/// The row access that belongs to the vector streamed in a cycle, if any was.
Access Mxu::row_access(Cycle streamed, bool reads) const {
    Cycle next = FOREVER;
    for (std::size_t age = 0; age < HISTORY; ++age) {
        const Tile& found = tile(age);
        if (found.task == nullptr || streamed >= found.end) break;
        if (streamed >= found.start) return row_in_tile(found, streamed, reads);
        next = found.start;
    }
    return {-1, next - streamed};
}

Access Mxu::row_in_tile(const Tile& tile, Cycle streamed, bool reads) const {
    if (reads && !tile.adds) return {-1, tile.end - streamed};
    const MatmulTask& task = *tile.task;
    const auto step = static_cast<std::uint32_t>(streamed - tile.start);
    if (task.depthwise) {
        const std::int64_t result = task.window.result(step);
        if (result < 0) return {-1, 1};
        return {shared_.accumulators.of(tile.row + task.rows.offset(static_cast<std::uint32_t>(result))), 1};
    }
    const int bank = only_bank(tile.row_banks);
    if (bank >= 0) return {bank, tile.end - streamed};
    const Cycle run = task.rows.bank_run(tile.row, step, shared_.accumulators.size);
    return {shared_.accumulators.of(tile.row + task.rows.offset(step)), run};
}

std::uint64_t Mxu::row_banks(Cycle now) const {
    std::uint64_t banks = 0;
    for (std::size_t age = 0; age < HISTORY; ++age) {
        const Tile& found = tile(age);
        if (found.task == nullptr || found.end + ROW_WRITE <= now) break;
        banks |= found.row_banks;
    }
    return banks;
}

bool Mxu::idle(Cycle now) const { return !loading_ && now >= tile(0).end && retirements_.empty(); }

Cycle Mxu::regular_cycles(Cycle now, bool weight_granted) const {
    if (swaps_ || issues_ || retires_) return 1;
    Cycle cycles = FOREVER;
    if (streams_) cycles = std::max<Cycle>(tile(0).end - now, 2) - 1;  // the last vector may swap
    if (!streams_ && shadow_full_ != FOREVER) cycles = shadow_full_ - now;
    if (!retirements_.empty()) cycles = std::min(cycles, retirements_.front().when - now);
    if (!loading_) return cycles;
    const std::uint32_t rows_left = tasks_[task_].weight_rows - rows_;
    if (rows_left > 0 && now < free_) cycles = std::min(cycles, free_ - now);
    if (weight_ && weight_granted) cycles = std::min<Cycle>(cycles, rows_left);
    return cycles;
}

Activity Mxu::activity(bool weight_granted) const {
    if (streams_) return Activity::BUSY;
    if (!loading_) return waiting_;
    return weight_ && !weight_granted ? Activity::BANK : Activity::WEIGHTS;
}

void Mxu::advance(Cycle now, Cycle cycles, bool weight_granted) {
    shared_.counters.add(SELF, activity(weight_granted), cycles);
    if (weight_ && weight_granted) load_weights(now, cycles);
    if (swaps_) swap(now);
    if (issues_) issue(now);
    if (!retires_) return;
    shared_.retire(SELF, retirements_.front().signal, retirements_.front().number, now);
    retirements_.pop();
}

void Mxu::load_weights(Cycle now, Cycle cycles) {
    shared_.events.start(tasks_[task_].number, now);
    rows_ += static_cast<std::uint32_t>(cycles);
    if (rows_ == tasks_[task_].weight_rows) shadow_full_ = now + cycles - 1 + SHADOW_DELAY;
}

void Mxu::swap(Cycle now) {
    const MatmulTask& task = tasks_[task_];
    newest_ = (newest_ + 1) % HISTORY;
    Tile& begun = tiles_[newest_];
    begun.task = &task;
    begun.start = now + 1;
    begun.end = begun.start + task.inputs.size();
    begun.input = next_.input;
    begun.row = next_.row;
    begun.adds = task.accumulate || !next_.first(task);
    begun.input_banks =
        shared_.scratchpad.mask(begun.input + task.inputs.lowest(), begun.input + task.inputs.highest());
    begun.row_banks = shared_.accumulators.mask(begun.row + task.rows.lowest(), begun.row + task.rows.highest());
    shadow_full_ = FOREVER;
    rows_ = 0;
    free_ = now + isa::WEIGHT_SWAP_CYCLES;
    loading_ = next_.next(task);
    if (!loading_) retirements_.push({begun.end - 1 + isa::MXU_LATENCY, task.signal, task.number});
}

void Mxu::issue(Cycle now) {
    task_ = (task_ + 1) % HISTORY;
    tasks_[task_] = shared_.issue(shared_.mxu_queue, SELF, now);
    next_.start(tasks_[task_]);
    loading_ = true;
    rows_ = 0;
}

}  // namespace weft
