// The checks of dispatch, in the order and with the causes of weft_sim.isa.instruction.Instruction.validate.
#include <algorithm>
#include <optional>
#include <string>
#include <tuple>

#include "address_stream.hpp"
#include "functional.hpp"

namespace weft {
namespace {

using bulk::AddressStream;
using bulk::join;
using bulk::make_stream;
using bulk::output_counts;
using bulk::reads_rows;
using bulk::result_counts;
using isa::FaultCause;
using Detail = std::optional<std::string>;

constexpr unsigned UNIT_COUNT = isa::UNIT_NAMES.size();

/// Collects range faults: of several, the lowest cause counts, and of equal ones the first.
class Ranges {
public:
    Ranges(const Config& config, std::uint64_t dram_bytes) : config_(config), dram_bytes_(dram_bytes) {}

    /// `length` units follow each address of the stream.
    template <std::size_t LOOPS>
    void check(const char* name, isa::Space space, const AddressStream<LOOPS>& stream, std::int64_t length) {
        const auto [size, cause] = limit(space);
        const std::int64_t lowest = stream.lowest();
        const std::int64_t highest = stream.highest() + length - 1;
        if (lowest >= 0 && highest < size) return;
        if (fault_ && fault_.cause <= cause) return;
        fault_.cause = cause;
        fault_.detail = std::string(name) + " touches " + std::to_string(lowest) + ".." + std::to_string(highest) +
                        ", but " + isa::SPACE_NAMES[static_cast<std::size_t>(space)] + " ends at " +
                        std::to_string(size - 1);
    }

    [[nodiscard]] Fault result() && { return std::move(fault_); }

private:
    [[nodiscard]] std::tuple<std::int64_t, FaultCause> limit(isa::Space space) const {
        if (space == isa::Space::DRAM) return {static_cast<std::int64_t>(dram_bytes_), FaultCause::DRAM_RANGE};
        if (space == isa::Space::SCRATCHPAD) return {config_.scratchpad_bytes, FaultCause::SCRATCHPAD_RANGE};
        return {config_.accumulator_rows, FaultCause::ACCUMULATOR_RANGE};
    }

    const Config& config_;
    std::uint64_t dram_bytes_;
    Fault fault_;
};

/// Loop counts, whose product MAX_WORK limits. The product never exceeds 2²⁴ × 2¹⁶ before it is found too large.
template <typename Counts>
Detail check_work(const Counts& counts, std::uint64_t run = 1) {
    std::uint64_t work = run;
    bool too_large = work > isa::MAX_WORK;
    for (const std::uint64_t count : counts) {
        if (count == 0 || work == 0) return "a loop count is 0";
        if (!too_large) work *= count;
        too_large = too_large || work > isa::MAX_WORK;
    }
    if (work == 0) return "a loop count is 0";
    if (too_large) return "more steps than " + std::to_string(isa::MAX_WORK);
    return std::nullopt;
}

Detail missing(const char* what, unsigned number) {
    return std::string(what) + " " + std::to_string(number) + " does not exist";
}

Detail check_fields(const isa::Halt&, const Config&) { return std::nullopt; }

Detail check_fields(const isa::Jump& jump, const Config&) {
    return jump.mailbox >= isa::MAILBOXES ? missing("mailbox", jump.mailbox) : std::nullopt;
}

Detail check_fields(const isa::Register& instruction, const Config&) {
    if (instruction.destination >= isa::REGISTERS || instruction.source > isa::NO_REGISTER)
        return "such a register does not exist";
    return instruction.mailbox > isa::NO_MAILBOX ? missing("mailbox", instruction.mailbox) : std::nullopt;
}

template <typename Transfer>
Detail check_transfer(const Transfer& transfer) {
    if (transfer.register_ >= isa::REGISTERS) return missing("register", transfer.register_);
    return check_work(transfer.counts(), transfer.run_bytes);
}

Detail check_fields(const isa::Load& load, const Config&) { return check_transfer(load); }
Detail check_fields(const isa::Store& store, const Config&) { return check_transfer(store); }
Detail check_fields(const isa::Fill& fill, const Config&) { return check_work(fill.counts(), fill.run_bytes); }

Detail check_fields(const isa::Table& table, const Config&) {
    return table.slot >= isa::TABLE_SLOTS ? missing("table slot", table.slot) : std::nullopt;
}

Detail check_window(const isa::Matmul& m, const Config& config) {
    if (m.mode == isa::MatmulMode::DENSE) {
        const bool plain = m.window_rows == 1 && m.window_columns == 1 && m.row_shift == 0 && m.column_shift == 0;
        return plain ? std::nullopt : Detail("a dense MATMUL has no window");
    }
    if (m.window_rows < 1 || m.window_rows > isa::DEPTHWISE_ROWS || m.window_columns < 1)
        return "a window has 1 to " + std::to_string(isa::DEPTHWISE_ROWS) + " rows and at least 1 column";
    if (unsigned{m.window_rows} * m.window_columns != m.weight_rows)
        return "weight_rows=" + std::to_string(m.weight_rows) + " is not the window's taps";
    if (m.weight_order != isa::WeightOrder::ROWS) return "depthwise weights enter by row";
    if (m.row_shift > 2 || m.column_shift > 2) return "a depthwise stride is 1, 2 or 4";
    if (m.inner_count_1 < m.window_rows || m.inner_count_2 < m.window_columns)
        return "the window is larger than the input plane";
    if (m.window_rows > 1 && m.inner_count_2 > config.line_depth)
        return std::to_string(m.inner_count_2) + " columns do not fit the line buffer's " +
               std::to_string(config.line_depth);
    return std::nullopt;
}

// Within the operand's type, so that an operand less its zero point has 9 bits.
Detail check_zero_point(const std::string& name, int zero, bool is_signed) {
    const int low = is_signed ? -128 : 0;
    const int high = low + 255;
    if (zero >= low && zero <= high) return std::nullopt;
    return name + "=" + std::to_string(zero) + " is not " + std::to_string(low) + " to " + std::to_string(high);
}

Detail check_fields(const isa::Matmul& m, const Config& config) {
    const auto outer = m.outer_counts();
    const auto inner = m.inner_counts();
    std::array<std::uint16_t, 7> counts{};
    std::copy(outer.begin(), outer.end(), counts.begin());
    std::copy(inner.begin(), inner.end(), counts.begin() + outer.size());
    if (Detail detail = check_work(counts)) return detail;
    const std::string lanes = " is not 1 to " + std::to_string(config.lanes);
    if (m.input_lanes < 1 || m.input_lanes > config.lanes)
        return "input_lanes=" + std::to_string(m.input_lanes) + lanes;
    if (m.weight_rows < 1 || m.weight_rows > config.lanes)
        return "weight_rows=" + std::to_string(m.weight_rows) + lanes;
    if (Detail detail = check_zero_point("input_zero", m.input_zero, m.input_signed)) return detail;
    if (Detail detail = check_zero_point("weight_zero", m.weight_zero, m.weight_signed)) return detail;
    return check_window(m, config);
}

Detail check_fields(const isa::Vector& v, const Config& config) {
    if (Detail detail = check_work(v.counts())) return detail;
    if (v.a_source == isa::Source::IMMEDIATE || v.a_source == isa::Source::EXCHANGE)
        return "operand a comes from the scratchpad or the accumulators";
    if (v.reduce_loops > v.counts().size() || (v.reduce_loops == 0) != (v.reduction == isa::Reduction::NONE))
        return "reduce_loops=" + std::to_string(v.reduce_loops) + " does not fit the reduction";
    if (v.table > isa::TABLE_SLOTS) return missing("table slot", v.table - 1u);
    if (v.exchange >= config.lanes)
        return "exchange=" + std::to_string(v.exchange) + " is not below " + std::to_string(config.lanes) + " lanes";
    if (v.destination == isa::Destination::MAILBOX && v.d >= isa::MAILBOXES) return missing("mailbox", v.d);
    return std::nullopt;
}

template <typename Control>
void check_streams(const Control&, const Config&, const Registers&, Ranges&) {}

template <typename Transfer>
void check_transfer_streams(const Transfer& t, const Registers& registers, Ranges& ranges) {
    const std::int64_t base = std::int64_t{registers[t.register_]} + t.offset;
    ranges.check("dram", isa::Space::DRAM, make_stream<4>(base, t.counts(), t.dram_strides()), t.run_bytes);
    ranges.check("scratchpad", isa::Space::SCRATCHPAD, make_stream<4>(t.scratchpad, t.counts(), t.scratchpad_strides()),
                 t.run_bytes);
}

void check_streams(const isa::Load& load, const Config&, const Registers& registers, Ranges& ranges) {
    check_transfer_streams(load, registers, ranges);
}

void check_streams(const isa::Store& store, const Config&, const Registers& registers, Ranges& ranges) {
    check_transfer_streams(store, registers, ranges);
}

void check_streams(const isa::Fill& fill, const Config&, const Registers&, Ranges& ranges) {
    ranges.check("scratchpad", isa::Space::SCRATCHPAD,
                 make_stream<4>(fill.scratchpad, fill.counts(), fill.scratchpad_strides()), fill.run_bytes);
}

void check_streams(const isa::Matmul& m, const Config& config, const Registers&, Ranges& ranges) {
    const std::int64_t lanes = config.lanes;
    const auto input = join(make_stream<4>(m.input, m.outer_counts(), m.outer_input_strides(), lanes),
                            make_stream<3>(0, m.inner_counts(), m.inner_input_strides(), lanes));
    const auto weight = join(make_stream<4>(m.weight, m.outer_counts(), m.outer_weight_strides(), lanes),
                             AddressStream<1>{0, {{{m.weight_rows, m.weight_vector_stride * lanes}}}});
    const auto rows = join(make_stream<4>(m.accumulator, m.outer_counts(), m.outer_accumulator_strides()),
                           make_stream<3>(0, output_counts(m), m.inner_accumulator_strides()));
    ranges.check("input", isa::Space::SCRATCHPAD, input, lanes);
    ranges.check("weight", isa::Space::SCRATCHPAD, weight, lanes);
    ranges.check("accumulator", isa::Space::ACCUMULATOR, rows, 1);
}

template <typename Counts, typename Strides>
void check_operand(const char* name, bool in_rows, std::uint32_t base, const Counts& counts, const Strides& strides,
                   std::int64_t lanes, Ranges& ranges) {
    if (in_rows)
        ranges.check(name, isa::Space::ACCUMULATOR, make_stream<5>(base, counts, strides), 1);
    else
        ranges.check(name, isa::Space::SCRATCHPAD, make_stream<5>(base, counts, strides, lanes), lanes);
}

void check_streams(const isa::Vector& v, const Config& config, const Registers&, Ranges& ranges) {
    const std::int64_t lanes = config.lanes;
    check_operand("a", reads_rows(v.a_source), v.a, v.counts(), v.a_strides(), lanes, ranges);
    if (v.b_source != isa::Source::IMMEDIATE && v.b_source != isa::Source::EXCHANGE)
        check_operand("b", reads_rows(v.b_source), v.b, v.counts(), v.b_strides(), lanes, ranges);
    if (v.parameters)
        ranges.check("parameter", isa::Space::SCRATCHPAD,
                     AddressStream<1>{v.parameter * lanes, {{{v.count_0, v.parameter_stride * lanes}}}},
                     isa::PARAMETER_VECTORS * lanes);
    if (v.destination == isa::Destination::MAILBOX) return;
    const bool rows = v.destination == isa::Destination::ACCUMULATOR_S32 ||
                      v.destination == isa::Destination::ACCUMULATOR_F32;
    check_operand("d", rows, v.d, result_counts(v), v.d_strides(), lanes, ranges);
}

void check_streams(const isa::Table& table, const Config& config, const Registers&, Ranges& ranges) {
    ranges.check("source", isa::Space::SCRATCHPAD, AddressStream<1>{std::int64_t{table.source} * config.lanes, {}},
                 4 * isa::TABLE_ENTRIES);
}

template <typename Kind>
Fault check(const Kind& fields, const Config& config, const Registers& registers, std::uint64_t dram_bytes) {
    if (!fields.enums_legal()) return {FaultCause::ILLEGAL_FIELD, "a field holds a number that means nothing"};
    const unsigned own = 1u << static_cast<unsigned>(Kind::UNIT);
    for (const unsigned mask : {unsigned{fields.wait}, unsigned{fields.signal}})
        if ((mask & own) != 0 || mask >= 1u << UNIT_COUNT)
            return {FaultCause::ILLEGAL_FIELD, "wait or signal names this unit itself or no unit"};
    if (Detail detail = check_fields(fields, config)) return {FaultCause::ILLEGAL_FIELD, *std::move(detail)};
    Ranges ranges(config, dram_bytes);
    check_streams(fields, config, registers, ranges);
    return std::move(ranges).result();
}

}  // namespace

Decoded decode(const std::uint8_t* bytes) {
    const isa::OpcodeInfo info = isa::opcode_info(bytes[0]);
    if (info.bits == 0) return Fault{FaultCause::ILLEGAL_OPCODE, "opcode " + std::to_string(bytes[0])};
    if (!isa::reserved_clear(bytes, info.bits))
        return Fault{FaultCause::ILLEGAL_FIELD, std::string("reserved bits of ") + info.mnemonic + " are set"};
    switch (static_cast<isa::Opcode>(bytes[0])) {
        case isa::Opcode::HALT: return Instruction{isa::Halt::decode(bytes)};
        case isa::Opcode::JUMP: return Instruction{isa::Jump::decode(bytes)};
        case isa::Opcode::REGISTER: return Instruction{isa::Register::decode(bytes)};
        case isa::Opcode::LOAD: return Instruction{isa::Load::decode(bytes)};
        case isa::Opcode::STORE: return Instruction{isa::Store::decode(bytes)};
        case isa::Opcode::FILL: return Instruction{isa::Fill::decode(bytes)};
        case isa::Opcode::MATMUL: return Instruction{isa::Matmul::decode(bytes)};
        case isa::Opcode::VECTOR: return Instruction{isa::Vector::decode(bytes)};
        case isa::Opcode::TABLE: return Instruction{isa::Table::decode(bytes)};
    }
    return Fault{FaultCause::ILLEGAL_OPCODE, "opcode " + std::to_string(bytes[0])};
}

Fault validate(const Instruction& instruction, const Config& config, const Registers& registers,
               std::uint64_t dram_bytes) {
    return std::visit([&](const auto& fields) { return check(fields, config, registers, dram_bytes); },
                      instruction.fields);
}

Fault validate(const Instruction& instruction, const Config& config, const Memory& memory) {
    return validate(instruction, config, memory.registers, memory.dram_bytes);
}

}  // namespace weft
