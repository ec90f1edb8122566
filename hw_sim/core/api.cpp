#include "api.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "machine.hpp"

struct weft_run {
    std::vector<weft::Event> events;
};

namespace {

static_assert(sizeof(weft_event) == sizeof(weft::Event) && offsetof(weft_event, end) == offsetof(weft::Event, end));
static_assert(sizeof(weft_result::activity) == sizeof(weft::Counters::cycles));

weft::Config make_config(const weft_config& given) {
    weft::Config config;
    config.lanes = given.lanes;
    config.scratchpad_bytes = given.scratchpad_bytes;
    config.scratchpad_banks = given.scratchpad_banks;
    config.accumulator_rows = given.accumulator_rows;
    config.accumulator_banks = given.accumulator_banks;
    config.dram_beat_bytes = given.dram_beat_bytes;
    config.dram_rate_numerator = given.dram_rate_numerator;
    config.dram_rate_denominator = given.dram_rate_denominator;
    config.dram_latency = given.dram_latency;
    config.burst_beats = given.burst_beats;
    config.outstanding_bursts = given.outstanding_bursts;
    config.queue_depth = given.queue_depth;
    config.fetch_depth = given.fetch_depth;
    config.line_depth = given.line_depth;
    config.clock_mhz = given.clock_mhz;
    return config;
}

weft::Launch make_launch(const weft_launch& given) {
    weft::Launch launch;
    launch.program_address = given.program_address;
    launch.instruction_count = given.instruction_count;
    launch.timing_only = given.timing_only != 0;
    launch.single_step = given.single_step != 0;
    launch.record_events = given.record_events != 0;
    launch.stall_seed = given.stall_seed;
    launch.cycle_limit = std::min(given.cycle_limit, weft::FOREVER - 1);
    launch.instruction_limit = given.instruction_limit;
    launch.mailbox_trace = {given.mailbox_trace, static_cast<std::size_t>(given.mailbox_trace_length)};
    return launch;
}

void describe(weft_result& result, const std::string& detail) {
    std::snprintf(result.detail, sizeof result.detail, "%s", detail.c_str());
    // A cut in the middle of a UTF-8 sequence would make the text undecodable.
    std::size_t length = std::strlen(result.detail);
    if (length + 1 < sizeof result.detail) return;
    while (length > 0 && (static_cast<unsigned char>(result.detail[length - 1]) & 0xC0u) == 0x80u) --length;
    if (length > 0 && static_cast<unsigned char>(result.detail[length - 1]) >= 0xC0u) --length;
    result.detail[length] = '\0';
}

/// What cannot be launched, or an empty string.
std::string launch_problem(const weft::Config& config, const weft_launch& launch, std::uint64_t dram_bytes) {
    if (const char* field = weft::config_problem(config)) return std::string("impossible machine parameter ") + field;
    if (dram_bytes >= std::uint64_t{1} << 32) return "DRAM must be smaller than 4 GiB";
    const std::uint64_t program = std::uint64_t{launch.instruction_count} * weft::isa::INSTRUCTION_BYTES;
    if (launch.program_address > dram_bytes || program > dram_bytes - launch.program_address) {
        return "the program does not lie inside DRAM";
    }
    if (launch.program_address % weft::isa::INSTRUCTION_BYTES != 0) return "the program address is not aligned";
    return {};
}

void report(const weft::Machine& machine, const weft::Memory& memory, weft_result& result) {
    result.status = machine.fault() ? WEFT_FAULT : WEFT_DONE;
    if (machine.fault()) {
        result.cause = static_cast<std::uint32_t>(machine.fault()->fault.cause);
        result.instruction = machine.fault()->instruction;
        describe(result, machine.fault()->fault.detail);
    }
    result.cycles = machine.cycles();
    result.instructions = machine.events().dispatched();
    result.read_bytes = machine.read_bytes();
    result.write_bytes = machine.write_bytes();
    result.turns = machine.turns();
    std::memcpy(result.activity, machine.counters().cycles.data(), sizeof result.activity);
    std::memcpy(result.mailboxes, memory.mailboxes.data(), sizeof result.mailboxes);
}

weft_run* run(const weft_config& config, const weft_launch& given, std::uint8_t* dram, std::uint64_t dram_bytes,
              weft_result& result) {
    const weft::Config machine_config = make_config(config);
    const std::string problem = launch_problem(machine_config, given, dram_bytes);
    if (!problem.empty()) {
        result.status = WEFT_BAD_LAUNCH;
        describe(result, problem);
        return nullptr;
    }
    weft::Memory memory(machine_config, dram, dram_bytes, given.registers);
    weft::Machine machine(memory, make_launch(given));
    machine.run();
    if (machine.trace_exhausted()) {
        result.status = WEFT_TRACE_EXHAUSTED;
        result.instruction = machine.current_index();
        return nullptr;
    }
    report(machine, memory, result);
    return std::make_unique<weft_run>(weft_run{machine.take_events()}).release();
}

}  // namespace

weft_run* weft_run_new(const weft_config* config, const weft_launch* launch, std::uint8_t* dram, std::uint64_t dram_bytes,
                       weft_result* result) {
    std::memset(result, 0, sizeof *result);
    try {
        return run(*config, *launch, dram, dram_bytes, *result);
    } catch (const std::exception& error) {  // only allocation can fail
        result->status = WEFT_OUT_OF_MEMORY;
        describe(*result, error.what());
        return nullptr;
    }
}

std::uint64_t weft_run_event_count(const weft_run* run) { return run->events.size(); }

const weft_event* weft_run_events(const weft_run* run) { return reinterpret_cast<const weft_event*>(run->events.data()); }

void weft_run_free(weft_run* run) { delete run; }

const char* weft_kernel_name(void) { return weft::kernel_name(); }
