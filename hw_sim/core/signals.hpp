// What all units share: time, requests, counters and the record of events.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "generated/isa.hpp"

namespace weft {

using Cycle = std::uint64_t;
inline constexpr Cycle FOREVER = Cycle{1} << 62;

/// A request for one access in this cycle: the bank (−1: none), and every bank that the requester can touch for as long
/// as it keeps doing what it does now.
struct Request {
    int bank = -1;
    std::uint64_t mask = 0;

    explicit operator bool() const { return bank >= 0; }
};

/// What a unit did in a cycle. The order is the C API's.
enum class Activity : std::uint8_t { BUSY, IDLE, TOKEN, QUEUE, DRAM, BANK, WEIGHTS, WRITE, INTERVAL, DRAIN };
inline constexpr std::size_t ACTIVITIES = 10;
inline constexpr std::size_t UNITS = isa::UNIT_NAMES.size();

/// Cycles per unit and activity.
struct Counters {
    std::array<std::array<std::uint64_t, ACTIVITIES>, UNITS> cycles{};

    void add(isa::Unit unit, Activity activity, Cycle count) {
        cycles[static_cast<std::size_t>(unit)][static_cast<std::size_t>(activity)] += count;
    }
};

/// One executed instruction. Milestones that have not happened hold FOREVER.
struct Event {
    std::uint32_t index;
    std::uint32_t unit;
    Cycle issue;
    Cycle start;
    Cycle end;
};

/// Events in dispatch order; an instruction's number is its position. Only the first LIMIT instructions are recorded, so that
/// an endless program does not fill the host's memory.
class EventLog {
public:
    static constexpr std::uint32_t LIMIT = 1u << 21;

    explicit EventLog(bool enabled) : enabled_(enabled) {}

    std::uint32_t dispatch(std::uint32_t index, isa::Unit unit) {
        if (enabled_ && number_ < LIMIT) events_.push_back({index, static_cast<std::uint32_t>(unit), FOREVER, FOREVER, FOREVER});
        return number_++;
    }
    void issue(std::uint32_t number, Cycle now) {
        if (number < events_.size()) events_[number].issue = now;
    }
    /// The first call counts.
    void start(std::uint32_t number, Cycle now) {
        if (number < events_.size() && events_[number].start == FOREVER) events_[number].start = now;
    }
    void end(std::uint32_t number, Cycle now) {
        if (number < events_.size()) events_[number].end = now;
    }
    /// What has not happened when the run ends is given the run's last cycle.
    void close(Cycle now);

    [[nodiscard]] std::uint32_t dispatched() const { return number_; }
    [[nodiscard]] std::vector<Event> take() { return std::move(events_); }

private:
    bool enabled_;
    std::uint32_t number_ = 0;
    std::vector<Event> events_;
};

}  // namespace weft
