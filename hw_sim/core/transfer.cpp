#include "transfer.hpp"

#include <array>

namespace weft {

namespace {

constexpr std::uint32_t BOUNDARY = 4096;  // no AXI burst crosses it

template <typename Fields>
Nest local_nest(const Fields& fields) {
    Nest nest;
    nest.wrap(fields.count_3, fields.scratchpad_stride_3);
    nest.wrap(fields.count_2, fields.scratchpad_stride_2);
    nest.wrap(fields.count_1, fields.scratchpad_stride_1);
    nest.wrap(fields.count_0, fields.scratchpad_stride_0);
    return nest;
}

template <typename Fields>
Nest dram_nest(const Fields& fields) {
    Nest nest;
    nest.wrap(fields.count_3, fields.dram_stride_3);
    nest.wrap(fields.count_2, fields.dram_stride_2);
    nest.wrap(fields.count_1, fields.dram_stride_1);
    nest.wrap(fields.count_0, fields.dram_stride_0);
    return nest;
}

template <typename Fields>
bool whole_vectors(const Fields& fields, std::uint32_t lanes) {
    const auto whole = [&](std::uint32_t count, std::int32_t stride) {
        return count == 1 || static_cast<std::uint32_t>(stride) % lanes == 0;
    };
    return fields.run_bytes % lanes == 0 && fields.scratchpad % lanes == 0 && whole(fields.count_0, fields.scratchpad_stride_0) &&
           whole(fields.count_1, fields.scratchpad_stride_1) && whole(fields.count_2, fields.scratchpad_stride_2) &&
           whole(fields.count_3, fields.scratchpad_stride_3);
}

template <typename Fields>
TransferTask local_task(const Fields& fields, const Config& config) {
    TransferTask task;
    task.wait = fields.wait;
    task.signal = fields.signal;
    task.aligned = whole_vectors(fields, config.lanes);
    task.local = Runs(fields.scratchpad, local_nest(fields), fields.run_bytes);
    task.banks = Banks{config.bank_bytes()}.mask(task.local.lowest(), task.local.highest());
    return task;
}

template <typename Fields>
TransferTask dram_task(const Fields& fields, const Config& config, const Registers& registers) {
    TransferTask task = local_task(fields, config);
    const std::int64_t base = static_cast<std::int64_t>(registers[fields.register_]) + fields.offset;
    task.dram = Runs(base, dram_nest(fields), fields.run_bytes);
    return task;
}

}  // namespace

TransferTask make_task(const isa::Load& load, const Config& config, const Registers& registers) {
    return dram_task(load, config, registers);
}

TransferTask make_task(const isa::Store& store, const Config& config, const Registers& registers) {
    return dram_task(store, config, registers);
}

TransferTask make_task(const isa::Fill& fill, const Config& config) {
    TransferTask task = local_task(fill, config);
    task.fill = true;
    return task;
}

Burst take_burst(Runs& runs, const Config& config) {
    const std::uint32_t beat = config.dram_beat_bytes;
    const auto address = static_cast<std::uint32_t>(runs.address());
    const std::uint32_t in_beat = address & (beat - 1);
    Burst burst;
    burst.address = address;
    burst.bytes = std::min({runs.in_run(), config.burst_beats * beat - in_beat, BOUNDARY - address % BOUNDARY});
    burst.beats = (in_beat + burst.bytes + beat - 1) / beat;
    runs.take(burst.bytes);
    burst.last = runs.done();
    return burst;
}

}  // namespace weft
