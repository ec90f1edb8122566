// The parameters of a machine: the fields of weft_sim.machine.MachineConfig (all but the name), and what follows from them.
#pragma once

#include <cstdint>

namespace weft {

/// Sizes in bytes, rows, beats or cycles as named; see MachineConfig for the meaning of each.
struct Config {
    std::uint32_t lanes = 16;
    std::uint32_t scratchpad_bytes = 512 * 1024;
    std::uint32_t scratchpad_banks = 16;
    std::uint32_t accumulator_rows = 4096;
    std::uint32_t accumulator_banks = 4;
    std::uint32_t dram_beat_bytes = 16;
    std::uint32_t dram_rate_numerator = 1;
    std::uint32_t dram_rate_denominator = 1;
    std::uint32_t dram_latency = 64;
    std::uint32_t burst_beats = 64;
    std::uint32_t outstanding_bursts = 32;
    std::uint32_t queue_depth = 8;
    std::uint32_t fetch_depth = 4;
    std::uint32_t line_depth = 128;
    std::uint32_t clock_mhz = 1000;

    /// Scratchpad capacity in vectors.
    [[nodiscard]] constexpr std::uint32_t vectors() const { return scratchpad_bytes / lanes; }
    /// Bytes in one scratchpad bank.
    [[nodiscard]] constexpr std::uint32_t bank_bytes() const { return scratchpad_bytes / scratchpad_banks; }
    /// Rows in one accumulator bank.
    [[nodiscard]] constexpr std::uint32_t accumulator_bank_rows() const { return accumulator_rows / accumulator_banks; }
    /// Bank of a scratchpad byte address.
    [[nodiscard]] constexpr std::uint32_t scratchpad_bank(std::uint32_t address) const { return address / bank_bytes(); }
    /// Bank of an accumulator row.
    [[nodiscard]] constexpr std::uint32_t accumulator_bank(std::uint32_t row) const { return row / accumulator_bank_rows(); }
};

/// What is impossible about a configuration, or nullptr: the limits of MachineConfig, on which every size computation
/// of the core relies.
[[nodiscard]] constexpr const char* config_problem(const Config& config) {
    const auto between = [](std::uint32_t value, std::uint32_t low, std::uint32_t high) {
        return value >= low && value <= high;
    };
    const auto power = [&](std::uint32_t value, std::uint32_t low, std::uint32_t high) {
        return between(value, low, high) && (value & (value - 1)) == 0;
    };
    if (!power(config.lanes, 4, 64)) return "lanes";
    if (!between(config.scratchpad_bytes, 4096, 1u << 24)) return "scratchpad_bytes";
    if (!power(config.scratchpad_banks, 1, 64)) return "scratchpad_banks";
    if (!between(config.accumulator_rows, 64, 1u << 16)) return "accumulator_rows";
    if (!power(config.accumulator_banks, 1, 16)) return "accumulator_banks";
    if (!power(config.dram_beat_bytes, 4, 64)) return "dram_beat_bytes";
    if (!between(config.dram_rate_numerator, 1, 1000)) return "dram_rate_numerator";
    if (!between(config.dram_rate_denominator, 1, 1000)) return "dram_rate_denominator";
    if (!between(config.dram_latency, 1, 1023)) return "dram_latency";
    if (!power(config.burst_beats, 1, 256)) return "burst_beats";
    if (!power(config.outstanding_bursts, 1, 64)) return "outstanding_bursts";
    if (!power(config.queue_depth, 2, 64)) return "queue_depth";
    if (!power(config.fetch_depth, 2, 64)) return "fetch_depth";
    if (!power(config.line_depth, 16, 1024)) return "line_depth";
    if (!between(config.clock_mhz, 1, 10000)) return "clock_mhz";
    if (config.scratchpad_bytes % (config.scratchpad_banks * config.lanes) != 0) return "scratchpad_bytes";
    if (config.accumulator_rows % config.accumulator_banks != 0) return "accumulator_rows";
    if (config.dram_rate_numerator > config.dram_rate_denominator) return "dram_rate_numerator";
    if (config.burst_beats * config.dram_beat_bytes > 4096) return "burst_beats";
    return nullptr;
}

}  // namespace weft
