#include "program.hpp"

#include <variant>

namespace weft {

Program::Program(Shared& shared, Memory& memory, const Launch& launch)
    : shared_(shared), memory_(memory), launch_(launch) {}

std::uint64_t Program::byte_address(std::uint64_t index) const {
    return launch_.program_address + index * isa::INSTRUCTION_BYTES;
}

Fault Program::take(std::uint32_t index) {
    index_ = index;
    Decoded decoded = decode(memory_.dram + byte_address(index));
    if (Fault* fault = std::get_if<Fault>(&decoded)) return std::move(*fault);
    current_ = std::get<Instruction>(decoded);
    Fault fault = validate(current_, memory_.config, memory_);
    if (fault) return fault;
    return ledger_.dispatch(current_.unit(), current_.wait(), current_.signal());
}

bool Program::queue_has_room() const {
    switch (current_.unit()) {
        case isa::Unit::LOAD: return !shared_.load_queue.full();
        case isa::Unit::STORE: return !shared_.store_queue.full();
        case isa::Unit::MXU: return !shared_.mxu_queue.full();
        case isa::Unit::VPU: return !shared_.vpu_queue.full();
        default: return true;
    }
}

std::uint32_t Program::leave(Cycle now) {
    const isa::Unit unit = current_.unit();
    const std::uint32_t number = shared_.events.dispatch(index_, unit);
    jumped_ = false;
    if (unit != isa::Unit::FETCH) {
        if (!launch_.timing_only) execute(current_, memory_);
        enqueue(number);
        return index_ + 1;
    }
    shared_.tokens.take(unit, current_.wait());
    shared_.events.issue(number, now);
    shared_.events.start(number, now);
    const std::uint32_t next = leave_control(index_ + 1);
    shared_.retire(unit, current_.signal(), number, now);
    return next;
}

std::uint32_t Program::leave_control(std::uint32_t next) {
    if (const auto* jump = std::get_if<isa::Jump>(&current_.fields)) {
        const bool reads = jump->condition != isa::Condition::ALWAYS;
        jumped_ = jump_taken(*jump, reads ? mailbox(jump->mailbox) : 0);
        return jumped_ ? jump->target : next;
    }
    if (const auto* update = std::get_if<isa::Register>(&current_.fields)) {
        std::array<std::int32_t, isa::MAILBOXES> mailboxes{};
        if (update->mailbox != isa::NO_MAILBOX) mailboxes[update->mailbox] = mailbox(update->mailbox);
        memory_.registers[update->destination] = register_value(*update, memory_.registers, mailboxes);
    }
    return next;
}

std::int32_t Program::mailbox(std::uint32_t number) {
    if (!launch_.timing_only) return memory_.mailboxes[number];
    if (trace_position_ < launch_.mailbox_trace.size()) return launch_.mailbox_trace[trace_position_++];
    trace_exhausted_ = true;
    return 0;
}

void Program::enqueue(std::uint32_t number) {
    const auto push = [number](auto& queue, auto task) {
        task.number = number;
        queue.push(std::move(task));
    };
    const Config& config = memory_.config;
    switch (current_.opcode()) {
        case isa::Opcode::LOAD:
            return push(shared_.load_queue, make_task(std::get<isa::Load>(current_.fields), config, memory_.registers));
        case isa::Opcode::STORE:
            return push(shared_.store_queue, make_task(std::get<isa::Store>(current_.fields), config, memory_.registers));
        case isa::Opcode::FILL: return push(shared_.load_queue, make_task(std::get<isa::Fill>(current_.fields), config));
        case isa::Opcode::MATMUL: return push(shared_.mxu_queue, make_task(std::get<isa::Matmul>(current_.fields), config));
        case isa::Opcode::VECTOR: return push(shared_.vpu_queue, make_task(std::get<isa::Vector>(current_.fields), config));
        case isa::Opcode::TABLE: return push(shared_.vpu_queue, make_task(std::get<isa::Table>(current_.fields), config));
        default: return;
    }
}

}  // namespace weft
