// Token channels: the counters that units wait on, and the program-order ledger that dispatch checks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "functional.hpp"
#include "signals.hpp"

namespace weft {

/// One counter per ordered pair of units. Signals given in a cycle become visible at its end (`commit`).
class Tokens {
public:
    [[nodiscard]] bool ready(isa::Unit unit, std::uint8_t wait) const {
        return (wait & ~available_[index(unit)]) == 0;
    }
    void take(isa::Unit unit, std::uint8_t wait);
    void signal(isa::Unit unit, std::uint8_t mask);
    /// True when there were any.
    bool commit() {
        if (!pending_) return false;
        apply();
        return true;
    }

private:
    static std::size_t index(isa::Unit unit) { return static_cast<std::size_t>(unit); }
    void apply();

    std::array<std::array<std::uint16_t, UNITS>, UNITS> counts_{};  ///< [to][from]
    std::array<std::uint8_t, UNITS> available_{};                   ///< [to] bit `from`: count > 0
    std::array<std::array<std::uint8_t, UNITS>, UNITS> given_{};    ///< [to][from], this cycle's
    bool pending_ = false;
};

/// Tokens signalled and not yet waited for, in program order: refuses what could never go on.
class TokenLedger {
public:
    /// Books the instruction's tokens, or answers the fault and books nothing.
    Fault dispatch(isa::Unit unit, std::uint8_t wait, std::uint8_t signal);

private:
    std::array<std::array<std::uint16_t, UNITS>, UNITS> counts_{};  ///< [from][to]
};

}  // namespace weft
