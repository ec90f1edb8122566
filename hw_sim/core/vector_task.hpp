// A VECTOR or TABLE as it waits in the VPU's queue: the address generators of its operands.
#pragma once

#include <cstdint>

#include "config.hpp"
#include "generated/isa.hpp"
#include "nest.hpp"

namespace weft {

/// Where an operand or result lies.
enum class Place : std::uint8_t { NOWHERE, SCRATCHPAD, ACCUMULATORS };

/// One operand's addresses, in bytes or rows.
struct Operand {
    Place place = Place::NOWHERE;
    std::int64_t base = 0;
    Nest nest;
    std::uint64_t banks = 0;

    [[nodiscard]] int bank(std::uint32_t step, const Banks& memory) const {
        const int only = only_bank(banks);
        return only >= 0 ? only : memory.of(base + nest.offset(step));
    }
    [[nodiscard]] std::uint32_t bank_run(std::uint32_t step, const Banks& memory) const {
        return nest.bank_run(base, step, memory.size);
    }
};

struct VectorTask {
    bool table = false;
    std::uint8_t wait = 0;
    std::uint8_t signal = 0;
    std::uint32_t number = 0;       ///< of its event
    std::uint32_t steps = 1;        ///< of all loops; TABLE: vectors of the table
    std::uint32_t block = 0;        ///< steps per parameter record; 0: no records
    std::int64_t record = 0;        ///< byte address of the first parameter record
    std::int64_t record_stride = 0; ///< bytes
    std::uint32_t reduced = 1;      ///< steps per result
    std::uint32_t interval = 1;     ///< cycles between steps
    Operand a, b, d;
};

[[nodiscard]] VectorTask make_task(const isa::Vector& vector, const Config& config);
[[nodiscard]] VectorTask make_task(const isa::Table& table, const Config& config);

}  // namespace weft
