// Arbitration of banked memories by fixed priority (docs/machine.md, Memories and arbitration).
#pragma once

#include <array>
#include <cstddef>

#include "signals.hpp"

namespace weft {

/// Requests for one port of a banked memory, in order of priority: per bank the first wins.
template <std::size_t REQUESTERS>
class PortArbiter {
public:
    /// Adds the request of next lower priority; true when it is granted.
    bool add(const Request& request) {
        if (!request) return false;
        shared_ |= banks_ & request.mask;
        banks_ |= request.mask;
        bool wins = true;
        for (std::size_t i = 0; i < count_; ++i) wins = wins && asked_[i] != request.bank;
        asked_[count_++] = request.bank;
        return wins;
    }
    void start() {
        count_ = 0;
        banks_ = shared_ = 0;
    }
    /// Banks that the requesters added so far can touch while all go on as they do.
    [[nodiscard]] std::uint64_t banks() const { return banks_; }
    /// Banks that more than one requester can touch while all go on as they do.
    [[nodiscard]] std::uint64_t shared_banks() const { return shared_; }

private:
    std::array<int, REQUESTERS> asked_{};
    std::size_t count_ = 0;
    std::uint64_t banks_ = 0;
    std::uint64_t shared_ = 0;
};

}  // namespace weft
