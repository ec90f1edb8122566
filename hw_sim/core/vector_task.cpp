#include "vector_task.hpp"

#include <array>
#include <cstddef>

namespace weft {

namespace {

constexpr std::size_t LOOPS = 5;
constexpr std::uint32_t ENTRY_BYTES = 4;

Place place_of(isa::Source source) {
    switch (source) {
        case isa::Source::SCRATCHPAD_S8:
        case isa::Source::SCRATCHPAD_U8: return Place::SCRATCHPAD;
        case isa::Source::ACCUMULATOR_S32:
        case isa::Source::ACCUMULATOR_F32: return Place::ACCUMULATORS;
        default: return Place::NOWHERE;
    }
}

Place place_of(isa::Destination destination) {
    switch (destination) {
        case isa::Destination::SCRATCHPAD_S8:
        case isa::Destination::SCRATCHPAD_U8: return Place::SCRATCHPAD;
        case isa::Destination::ACCUMULATOR_S32:
        case isa::Destination::ACCUMULATOR_F32: return Place::ACCUMULATORS;
        default: return Place::NOWHERE;
    }
}

/// The operand over the outermost `loops` loops.
Operand make_operand(Place place, std::uint32_t base, const std::array<std::uint16_t, LOOPS>& counts,
                     const std::array<std::int32_t, LOOPS>& strides, std::size_t loops, const Config& config) {
    Operand operand;
    operand.place = place;
    if (place == Place::NOWHERE) return operand;
    const bool local = place == Place::SCRATCHPAD;
    const std::int64_t unit = local ? config.lanes : 1;
    operand.base = base * unit;
    for (std::size_t loop = loops; loop-- > 0;) operand.nest.wrap(counts[loop], strides[loop] * unit);
    const Banks memory{local ? config.bank_bytes() : config.accumulator_bank_rows()};
    operand.banks = memory.mask(operand.base + operand.nest.lowest(), operand.base + operand.nest.highest());
    return operand;
}

std::uint32_t interval_of(const isa::Vector& vector) {
    if (vector.operation == isa::Operation::DIVIDE || vector.operation == isa::Operation::SQUARE_ROOT) {
        return isa::DIVIDE_INTERVAL;
    }
    return vector.reduction == isa::Reduction::SUM ? isa::SUM_INTERVAL : 1;
}

}  // namespace

VectorTask make_task(const isa::Vector& vector, const Config& config) {
    const auto counts = vector.counts();
    VectorTask task;
    task.wait = vector.wait;
    task.signal = vector.signal;
    for (std::size_t loop = 0; loop < LOOPS; ++loop) {
        task.steps *= counts[loop];
        if (loop >= LOOPS - vector.reduce_loops) task.reduced *= counts[loop];
    }
    if (vector.parameters != 0) {
        task.block = task.steps / counts[0];
        task.record = std::int64_t{vector.parameter} * config.lanes;
        task.record_stride = std::int64_t{vector.parameter_stride} * config.lanes;
    }
    task.interval = interval_of(vector);
    task.a = make_operand(place_of(vector.a_source), vector.a, counts, vector.a_strides(), LOOPS, config);
    task.b = make_operand(place_of(vector.b_source), vector.b, counts, vector.b_strides(), LOOPS, config);
    task.d = make_operand(place_of(vector.destination), vector.d, counts, vector.d_strides(), LOOPS - vector.reduce_loops,
                          config);
    return task;
}

VectorTask make_task(const isa::Table& table, const Config& config) {
    VectorTask task;
    task.table = true;
    task.wait = table.wait;
    task.signal = table.signal;
    task.steps = isa::TABLE_ENTRIES * ENTRY_BYTES / config.lanes;
    task.a.place = Place::SCRATCHPAD;
    task.a.base = std::int64_t{table.source} * config.lanes;
    task.a.nest.wrap(task.steps, config.lanes);
    task.a.banks = Banks{config.bank_bytes()}.mask(task.a.base, task.a.base + task.a.nest.highest());
    return task;
}

}  // namespace weft
