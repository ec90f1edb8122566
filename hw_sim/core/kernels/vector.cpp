// VECTOR: what a kernel reads and writes, and snapshots where a later step would read what an earlier one wrote.
#include <algorithm>
#include <cstdlib>

#include "../address_stream.hpp"
#include "kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <xmmintrin.h>
#endif

namespace weft::bulk {
namespace {

#if defined(__x86_64__) && defined(__GNUC__)
/// Round to nearest even, subnormals kept, nothing trapped; whatever another library in this process prefers.
class FloatingPointRules {
public:
    FloatingPointRules() : before_(_mm_getcsr()) { set(DEFAULT); }
    ~FloatingPointRules() { set(before_); }
    FloatingPointRules(const FloatingPointRules&) = delete;
    FloatingPointRules& operator=(const FloatingPointRules&) = delete;

private:
    static constexpr unsigned DEFAULT = 0x1F80;
    static constexpr unsigned FLAGS = 0x3F;  // what happened so far; no rule
    static void set(unsigned value) {
        if (((_mm_getcsr() ^ value) & ~FLAGS) != 0) _mm_setcsr(value);
    }
    unsigned before_;
};
#else
struct FloatingPointRules {
    ~FloatingPointRules() {}
};
#endif

/// A stream in units of its memory (bytes or rows), with the units that follow each address.
struct Operand {
    AddressStream<5> stream;
    std::int64_t length;
    bool rows;

    [[nodiscard]] std::int64_t lowest() const { return stream.lowest(); }
    [[nodiscard]] std::int64_t end() const { return stream.highest() + length; }
};

template <typename Counts, typename Strides>
Operand make_operand(bool rows, std::uint32_t base, const Counts& counts, const Strides& strides, std::uint32_t lanes) {
    const std::int64_t unit = rows ? 1 : lanes;
    return {make_stream<5>(base, counts, strides, unit), unit, rows};
}

/// Whether no two steps share a unit: each loop's stride exceeds all that the loops of smaller strides can reach.
bool steps_disjoint(const Operand& operand) {
    std::array<Dimension, 5> dims = operand.stream.dims;
    for (Dimension& dim : dims) dim.stride = std::abs(dim.stride);
    std::sort(dims.begin(), dims.end(), [](const Dimension& x, const Dimension& y) { return x.stride < y.stride; });
    std::int64_t reach = operand.length;
    for (const Dimension& dim : dims) {
        if (dim.count == 1) continue;
        if (dim.stride < reach) return false;
        reach += (dim.count - 1) * dim.stride;
    }
    return true;
}

bool same_steps(const AddressStream<5>& x, const AddressStream<5>& y) {
    for (std::size_t i = 0; i < x.dims.size(); ++i) {
        if (x.dims[i].count != y.dims[i].count) return false;
        if (x.dims[i].count > 1 && x.dims[i].stride != y.dims[i].stride) return false;
    }
    return x.base == y.base;
}

/// Whether a step may overwrite what a later step of this operand reads. In place, step by step, it does not.
bool needs_snapshot(const Operand& source, const Operand& target) {
    if (source.rows != target.rows || source.end() <= target.lowest() || target.end() <= source.lowest()) return false;
    return !same_steps(source.stream, target.stream) || !steps_disjoint(target);
}

/// Copies what the operand reads, to the same place of `to`.
template <typename T>
void copy_range(const Operand& operand, std::int64_t unit, const AlignedArray<T>& from, std::vector<T>& to) {
    to.resize(from.size());
    std::copy(from.data() + operand.lowest() * unit, from.data() + operand.end() * unit,
              to.data() + operand.lowest() * unit);
}

/// The operands of a VECTOR that come from memories.
struct Operands {
    std::array<Operand, 3> list{};
    std::size_t used = 0;

    void add(const Operand& operand) { list[used++] = operand; }
    [[nodiscard]] std::span<const Operand> all() const { return {list.data(), used}; }
};

Operands read_operands(const isa::Vector& v, std::uint32_t lanes) {
    Operands result;
    result.add(make_operand(reads_rows(v.a_source), v.a, v.counts(), v.a_strides(), lanes));
    if (v.b_source != isa::Source::IMMEDIATE && v.b_source != isa::Source::EXCHANGE)
        result.add(make_operand(reads_rows(v.b_source), v.b, v.counts(), v.b_strides(), lanes));
    if (!v.parameters) return result;
    Operand records{{std::int64_t{v.parameter} * lanes, {}}, std::int64_t{isa::PARAMETER_VECTORS} * lanes, false};
    records.stream.dims[0] = {v.count_0, std::int64_t{v.parameter_stride} * lanes};
    result.add(records);
    return result;
}

/// All operands are as they were before the instruction: lets the task read copies where its own results would show.
void protect_operands(Memory& memory, VectorTask& task) {
    const isa::Vector& v = task.fields;
    const bool rows = v.destination == isa::Destination::ACCUMULATOR_S32 ||
                      v.destination == isa::Destination::ACCUMULATOR_F32;
    const Operand target = make_operand(rows, v.d, result_counts(v), v.d_strides(), task.lanes);
    const Operands operands = read_operands(v, task.lanes);
    const auto overwritten = [&](const Operand& operand) { return needs_snapshot(operand, target); };
    if (std::none_of(operands.all().begin(), operands.all().end(), overwritten)) return;
    for (const Operand& operand : operands.all()) {
        if (operand.rows != rows) continue;
        if (rows)
            copy_range(operand, task.lanes, memory.accumulators, memory.accumulator_snapshot);
        else
            copy_range(operand, 1, memory.scratchpad, memory.scratchpad_snapshot);
    }
    if (rows)
        task.accumulators_in = memory.accumulator_snapshot.data();
    else
        task.scratchpad_in = memory.scratchpad_snapshot.data();
}

}  // namespace

void execute_vector(const isa::Vector& v, Memory& memory) {
    const bool mailbox = v.destination == isa::Destination::MAILBOX;
    VectorTask task{v,
                    memory.config.lanes,
                    memory.scratchpad.data(),
                    memory.accumulators.data(),
                    memory.scratchpad.data(),
                    memory.accumulators.data(),
                    v.table == 0 ? nullptr : memory.tables[v.table - 1u].data(),
                    mailbox ? &memory.mailboxes[v.d] : nullptr};
    if (!mailbox) protect_operands(memory, task);
    const FloatingPointRules rules;
    memory.kernels->vector(task);
}

}  // namespace weft::bulk
