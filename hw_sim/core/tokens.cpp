#include "tokens.hpp"

#include <cctype>
#include <string>

namespace weft {

void Tokens::take(isa::Unit unit, std::uint8_t wait) {
    for (std::size_t from = 0; from < UNITS; ++from) {
        if ((wait >> from & 1) == 0) continue;
        if (--counts_[index(unit)][from] == 0) available_[index(unit)] &= static_cast<std::uint8_t>(~(1u << from));
    }
}

void Tokens::signal(isa::Unit unit, std::uint8_t mask) {
    for (std::size_t to = 0; to < UNITS; ++to) {
        if ((mask >> to & 1) == 0) continue;
        ++given_[to][index(unit)];
        pending_ = true;
    }
}

void Tokens::apply() {
    pending_ = false;
    for (std::size_t to = 0; to < UNITS; ++to) {
        for (std::size_t from = 0; from < UNITS; ++from) {
            if (given_[to][from] == 0) continue;
            counts_[to][from] = static_cast<std::uint16_t>(counts_[to][from] + given_[to][from]);
            given_[to][from] = 0;
            available_[to] |= static_cast<std::uint8_t>(1u << from);
        }
    }
}

namespace {

std::string name(std::size_t unit) {
    std::string text = isa::UNIT_NAMES[unit];
    for (char& letter : text) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
    return text;
}

}  // namespace

Fault TokenLedger::dispatch(isa::Unit unit, std::uint8_t wait, std::uint8_t signal) {
    const auto own = static_cast<std::size_t>(unit);
    for (std::size_t from = 0; from < UNITS; ++from) {
        if ((wait >> from & 1) == 0 || counts_[from][own] > 0) continue;
        return {isa::FaultCause::DEADLOCK,
                name(own) + " waits for a token from " + name(from) + " that no earlier instruction signals"};
    }
    for (std::size_t to = 0; to < UNITS; ++to) {
        if ((signal >> to & 1) == 0 || counts_[own][to] < isa::TOKEN_LIMIT) continue;
        return {isa::FaultCause::TOKEN_OVERFLOW, "more than " + std::to_string(isa::TOKEN_LIMIT) +
                                                     " tokens from " + name(own) + " to " + name(to) +
                                                     " are not waited for"};
    }
    for (std::size_t other = 0; other < UNITS; ++other) {
        counts_[other][own] = static_cast<std::uint16_t>(counts_[other][own] - (wait >> other & 1));
        counts_[own][other] = static_cast<std::uint16_t>(counts_[own][other] + (signal >> other & 1));
    }
    return {};
}

}  // namespace weft
