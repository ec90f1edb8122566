// What instructions mean, apart from time: decoding, the checks of dispatch, and bulk execution in program order.
// The definition is weft_sim/isa (NumPy); every byte written here equals what the golden model writes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "config.hpp"
#include "generated/isa.hpp"

namespace weft {
namespace bulk {
struct Kernels;
}

/// Why dispatch refuses an instruction; cause NONE: it does not. `detail` in words, for people.
struct Fault {
    isa::FaultCause cause = isa::FaultCause::NONE;
    std::string detail;

    [[nodiscard]] explicit operator bool() const { return cause != isa::FaultCause::NONE; }
};

using Fields = std::variant<isa::Halt, isa::Jump, isa::Register, isa::Load, isa::Store, isa::Fill, isa::Matmul,
                            isa::Vector, isa::Table>;

/// A decoded instruction: the fields of its kind. Legal only once `validate` has found nothing.
struct Instruction {
    Fields fields;

    [[nodiscard]] isa::Opcode opcode() const {
        return std::visit([](const auto& kind) { return kind.OPCODE; }, fields);
    }
    [[nodiscard]] isa::Unit unit() const {
        return std::visit([](const auto& kind) { return kind.UNIT; }, fields);
    }
    [[nodiscard]] std::uint8_t wait() const {
        return std::visit([](const auto& kind) { return kind.wait; }, fields);
    }
    [[nodiscard]] std::uint8_t signal() const {
        return std::visit([](const auto& kind) { return kind.signal; }, fields);
    }
};

using Decoded = std::variant<Instruction, Fault>;

/// One instruction from INSTRUCTION_BYTES bytes, or ILLEGAL_OPCODE, or ILLEGAL_FIELD when reserved bits are set.
[[nodiscard]] Decoded decode(const std::uint8_t* bytes);

/// Zeroed memory of a fixed size at a cache line's boundary.
template <typename T>
class AlignedArray {
public:
    explicit AlignedArray(std::size_t size)
        : size_(size), data_(static_cast<T*>(::operator new(size * sizeof(T), std::align_val_t{64}))) {
        std::uninitialized_value_construct_n(data_.get(), size);
    }
    [[nodiscard]] T* data() { return data_.get(); }
    [[nodiscard]] const T* data() const { return data_.get(); }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] T& operator[](std::size_t index) { return data_.get()[index]; }
    [[nodiscard]] const T& operator[](std::size_t index) const { return data_.get()[index]; }

private:
    struct Release {
        void operator()(T* data) const { ::operator delete(data, std::align_val_t{64}); }
    };
    std::size_t size_;
    std::unique_ptr<T, Release> data_;
};

using Registers = std::array<std::uint32_t, isa::REGISTERS>;

/// Everything a program can see, as at launch: all zero but DRAM and the bound registers. `dram` is borrowed.
struct Memory {
    Memory(const Config& machine, std::uint8_t* dram_data, std::uint64_t dram_size,
           std::span<const std::uint32_t> bound_registers = {});

    Config config;
    std::uint8_t* dram;
    std::uint64_t dram_bytes;
    AlignedArray<std::uint8_t> scratchpad;
    /// int32 [accumulator_rows][lanes]; float rows are the same bits.
    AlignedArray<std::int32_t> accumulators;
    std::array<std::array<std::uint32_t, isa::TABLE_ENTRIES>, isa::TABLE_SLOTS> tables{};
    std::array<std::int32_t, isa::MAILBOXES> mailboxes{};
    Registers registers{};

    /// Chosen at construction, see `kernel_name`.
    const bulk::Kernels* kernels;
    /// Copies of operands that a VECTOR overwrites while it still reads them; empty until one does.
    std::vector<std::uint8_t> scratchpad_snapshot;
    std::vector<std::int32_t> accumulator_snapshot;
};

/// The fault that dispatch raises for this instruction (all of Instruction.validate, in its order), or NONE.
/// Tokens are the caller's. `registers` are the values at dispatch.
[[nodiscard]] Fault validate(const Instruction& instruction, const Config& config, const Registers& registers,
                             std::uint64_t dram_bytes);
[[nodiscard]] Fault validate(const Instruction& instruction, const Config& config, const Memory& memory);

/// Executes a LOAD, STORE, FILL, MATMUL, VECTOR or TABLE that `validate` accepted, in bulk. FETCH's own instructions change
/// nothing here: see `jump_taken` and `register_value`.
void execute(const Instruction& instruction, Memory& memory);

/// Whether a JUMP is taken when its mailbox holds `mailbox`.
[[nodiscard]] bool jump_taken(const isa::Jump& jump, std::int32_t mailbox);

/// What REGISTER writes to its destination. `mailboxes` are the values when it leaves the decoder.
[[nodiscard]] std::uint32_t register_value(const isa::Register& instruction, const Registers& registers,
                                           std::span<const std::int32_t, isa::MAILBOXES> mailboxes);

/// Which kernels a Memory made now uses: "scalar", "avx2" or "avx512"; the fastest that this CPU runs, or what the
/// environment's WEFT_KERNELS names if it runs here.
[[nodiscard]] const char* kernel_name();

}  // namespace weft
