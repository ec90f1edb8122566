// The machine's memories and the way from an instruction to its kernel.
#include "functional.hpp"

#include <algorithm>

#include "kernels/kernels.hpp"

namespace weft {
namespace {

/// Dispatch by kind; FETCH's own instructions change no memory here.
struct Executor {
    Memory& memory;

    void operator()(const isa::Halt&) const {}
    void operator()(const isa::Jump&) const {}
    void operator()(const isa::Register&) const {}
    void operator()(const isa::Load& load) const { bulk::execute_load(load, memory); }
    void operator()(const isa::Store& store) const { bulk::execute_store(store, memory); }
    void operator()(const isa::Fill& fill) const { bulk::execute_fill(fill, memory); }
    void operator()(const isa::Matmul& matmul) const { bulk::execute_matmul(matmul, memory); }
    void operator()(const isa::Vector& vector) const { bulk::execute_vector(vector, memory); }
    void operator()(const isa::Table& table) const { bulk::execute_table(table, memory); }
};

}  // namespace

Memory::Memory(const Config& machine, std::uint8_t* dram_data, std::uint64_t dram_size,
               std::span<const std::uint32_t> bound_registers)
    : config(machine),
      dram(dram_data),
      dram_bytes(dram_size),
      scratchpad(machine.scratchpad_bytes),
      accumulators(std::size_t{machine.accumulator_rows} * machine.lanes),
      kernels(&bulk::select_kernels()) {
    const std::size_t bound = std::min<std::size_t>(bound_registers.size(), registers.size());
    std::copy_n(bound_registers.begin(), bound, registers.begin());
}

void execute(const Instruction& instruction, Memory& memory) { std::visit(Executor{memory}, instruction.fields); }

bool jump_taken(const isa::Jump& jump, std::int32_t mailbox) {
    switch (jump.condition) {
        case isa::Condition::ALWAYS: return true;
        case isa::Condition::EQUAL: return mailbox == jump.value;
        case isa::Condition::NOT_EQUAL: return mailbox != jump.value;
        case isa::Condition::LESS: return mailbox < jump.value;
        case isa::Condition::GREATER_EQUAL: return mailbox >= jump.value;
    }
    return false;
}

std::uint32_t register_value(const isa::Register& instruction, const Registers& registers,
                             std::span<const std::int32_t, isa::MAILBOXES> mailboxes) {
    std::uint32_t total = static_cast<std::uint32_t>(instruction.offset);
    if (instruction.source != isa::NO_REGISTER) total += registers[instruction.source];
    if (instruction.mailbox != isa::NO_MAILBOX)
        total += static_cast<std::uint32_t>(mailboxes[instruction.mailbox]) *
                 static_cast<std::uint32_t>(instruction.scale);
    return total;
}

const char* kernel_name() { return bulk::select_kernels().name; }

}  // namespace weft
