// The Verilated machine behind the simulator's C header (hw_sim/core/api.h): drives the control registers over AXI4-Lite, plays the
// memory with the simulator's own DRAM timing, and collects the events from the trace port.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "Vweft.h"
#include "api.h"
#include "dram.hpp"
#include "verilated.h"
#ifdef WEFT_WAVES
#include "verilated_fst_c.h"
#endif
#ifdef WEFT_COVERAGE
#include "Vweft___024root.h"
#include "Vweft__Syms.h"
#include "verilated_cov.h"
#endif

struct weft_run {
    std::vector<weft_event> events;
};

namespace {

using Cycle = std::uint64_t;

constexpr Cycle FOREVER = Cycle{1} << 62;
constexpr unsigned UNITS = 5, ACTIVITIES = 10, FETCH = 0, LOAD = 1;

/// Addresses of csr.sv.
enum Csr : std::uint32_t {
    CONTROL = 0x000, STATUS = 0x004, IRQ_ENABLE = 0x008, IRQ_STATUS = 0x00c, FAULT_CAUSE = 0x010, FAULT_INDEX = 0x014, PROGRAM = 0x018, LENGTH = 0x01c,
    DRAM_BYTES = 0x020, LIMIT = 0x024, CYCLES = 0x028, INSTRUCTIONS = 0x030, COUNTER = 0x034, LANES = 0x038, CYCLE_LIMIT_LOW = 0x03c,
    REGISTERS = 0x040, MAILBOXES = 0x080, CYCLE_LIMIT_HIGH = 0x0c0, ACTIVITY = 0x200
};

struct Waves {
    std::string path;
    Cycle first = 0, last = FOREVER;
};
thread_local Waves waves;

/// A launch before the launch: a program at address 0 of a memory of its own. Reset in cycle reset_at of it; 0: it ends.
struct Rehearsal {
    std::vector<std::uint8_t> dram;
    std::uint32_t instruction_count = 0;
    Cycle reset_at = 0;
};
thread_local Rehearsal rehearsal;

/// Events in dispatch order. Within a unit, instructions issue and end in order; LOAD's and FILL's start in order each.
class EventLog {
public:
    explicit EventLog(bool enabled) : enabled_(enabled) {}

    void observe(const Vweft& top, Cycle now) {
        if (!enabled_) return;
        if (top.trace_leave_o) leave(top);
        for (unsigned unit = 0; unit < UNITS; ++unit) {
            if (top.trace_issue_o >> unit & 1) take(issuing_[unit]).issue = now;
            if (top.trace_start_o >> unit & 1) take(starting_[unit]).start = now;
            if (top.trace_end_o >> unit & 1) take(ending_[unit]).end = now;
        }
        if (top.trace_start_fill_o) take(starting_fill_).start = now;
    }
    /// What has not happened when the run ends is given the run's last cycle.
    void close(Cycle now) {
        for (weft_event& event : events_) {
            event.issue = std::min(event.issue, now);
            event.start = std::min(event.start, now);
            event.end = std::min(event.end, now);
        }
    }
    std::vector<weft_event> take_all() { return std::move(events_); }

private:
    void leave(const Vweft& top) {
        const unsigned unit = top.trace_unit_o;
        const std::size_t number = events_.size();
        events_.push_back({top.trace_index_o, unit, FOREVER, FOREVER, FOREVER});
        issuing_[unit].push_back(number);
        (top.trace_fill_o ? starting_fill_ : starting_[unit]).push_back(number);
        ending_[unit].push_back(number);
    }
    weft_event& take(std::deque<std::size_t>& queue) {
        const std::size_t number = queue.at(0);
        queue.pop_front();
        return events_[number];
    }

    bool enabled_;
    std::vector<weft_event> events_;
    std::array<std::deque<std::size_t>, UNITS> issuing_, starting_, ending_;
    std::deque<std::size_t> starting_fill_;
};

void check(bool holds, const char* otherwise) {
    if (!holds) throw std::runtime_error(otherwise);
}

/// The memory behind the three AXI4 ports: timing by weft::Dram, data here.
class Memory {
public:
    Memory(const weft::Config& config, std::uint64_t seed, std::uint8_t* data, std::uint64_t bytes)
        : timing_(config, seed), beat_(config.dram_beat_bytes), longest_(config.burst_beats), data_(data), bytes_(bytes) {}

    void drive(Vweft& top) {
        const weft::Dram::Outputs out = timing_.outputs();
        top.m_fetch_arready_i = out.ar_ready[FETCH];
        top.m_load_arready_i = out.ar_ready[LOAD];
        top.m_fetch_rvalid_i = out.r_valid[FETCH];
        top.m_load_rvalid_i = out.r_valid[LOAD];
        top.m_fetch_rlast_i = out.r_last[FETCH];
        top.m_load_rlast_i = out.r_last[LOAD];
        if (out.r_valid[FETCH]) read(out.r_address[FETCH], &top.m_fetch_rdata_i);
        if (out.r_valid[LOAD]) read(out.r_address[LOAD], &top.m_load_rdata_i);
        top.m_store_awready_i = out.aw_ready;
        top.m_store_wready_i = out.w_ready;
        top.m_store_bvalid_i = out.b_valid;
    }

    /// A run that was stopped must not receive its last beat once more.
    static void disconnect(Vweft& top) {
        top.m_fetch_arready_i = top.m_load_arready_i = top.m_store_awready_i = top.m_store_wready_i = 0;
        top.m_fetch_rvalid_i = top.m_load_rvalid_i = top.m_store_bvalid_i = 0;
    }

    void advance(const Vweft& top) {
        weft::Dram::Inputs in;
        in.ar_valid = {top.m_fetch_arvalid_o != 0, top.m_load_arvalid_o != 0};
        in.ar_address = {top.m_fetch_araddr_o, top.m_load_araddr_o};
        in.ar_beats = {top.m_fetch_arlen_o + 1u, top.m_load_arlen_o + 1u};
        in.r_ready = {top.m_fetch_rready_o != 0, top.m_load_rready_o != 0};
        in.aw_valid = top.m_store_awvalid_o;
        in.w_valid = top.m_store_wvalid_o;
        in.w_last = top.m_store_wlast_o;
        check_burst(in.ar_valid[FETCH], top.m_fetch_araddr_o, in.ar_beats[FETCH], top.m_fetch_arsize_o, top.m_fetch_arburst_o);
        check_burst(in.ar_valid[LOAD], top.m_load_araddr_o, in.ar_beats[LOAD], top.m_load_arsize_o, top.m_load_arburst_o);
        check_burst(in.aw_valid, top.m_store_awaddr_o, top.m_store_awlen_o + 1u, top.m_store_awsize_o, top.m_store_awburst_o);
        check(!top.m_store_bvalid_i || top.m_store_bready_o, "a write response is not accepted at once");
        check(!top.m_fetch_rvalid_i || top.m_fetch_rready_o, "an instruction's data are not accepted at once");
        if (in.aw_valid && top.m_store_awready_i) bursts_.push_back(top.m_store_awaddr_o);
        if (in.w_valid && top.m_store_wready_i) accept(top);
        timing_.advance(in);
    }

    [[nodiscard]] std::uint64_t read_bytes() const { return timing_.read_beats() * beat_; }
    [[nodiscard]] std::uint64_t write_bytes() const { return timing_.write_beats() * beat_; }

private:
    struct Beat {
        std::array<std::uint8_t, 64> data;
        std::uint64_t strobe;
        bool last;
    };

    /// AXI4: whole beats, incrementing, not across a multiple of 4096; and no longer than the machine's bursts or an instruction.
    void check_burst(bool valid, std::uint32_t address, std::uint32_t beats, unsigned size, unsigned kind) const {
        if (!valid) return;
        check(1u << size == beat_ && kind == 1, "an AXI burst is not one of whole, incrementing beats");
        check(address % 4096 + beats * beat_ <= 4096, "an AXI burst crosses a multiple of 4096");
        check(beats <= std::max(longest_, 128 / beat_), "an AXI burst is too long");
    }
    void read(std::uint32_t address, void* lanes) const {
        const std::uint64_t size = address < bytes_ ? std::min<std::uint64_t>(beat_, bytes_ - address) : 0;
        if (size < beat_) std::memset(lanes, 0, beat_);
        std::memcpy(lanes, data_ + address, size);
    }
    /// Beats may come before their burst's address.
    void accept(const Vweft& top) {
        Beat& beat = beats_.emplace_back();
        std::memcpy(beat.data.data(), &top.m_store_wdata_o, beat_);
        beat.strobe = top.m_store_wstrb_o;
        beat.last = top.m_store_wlast_o;
        while (!beats_.empty() && !bursts_.empty()) write();
    }
    void write() {
        const Beat& beat = beats_.front();
        std::uint32_t& address = bursts_.front();
        for (std::uint32_t lane = 0; lane < beat_; ++lane) {
            const std::uint64_t byte = std::uint64_t{address} + lane;
            if ((beat.strobe >> lane & 1) != 0 && byte < bytes_) data_[byte] = beat.data[lane];
        }
        address += beat_;
        if (beat.last) bursts_.pop_front();
        beats_.pop_front();
    }

    weft::Dram timing_;
    std::uint32_t beat_;
    std::uint32_t longest_;  ///< burst, in beats
    std::uint8_t* data_;
    std::uint64_t bytes_;
    std::deque<std::uint32_t> bursts_;  ///< next address of each open write burst
    std::deque<Beat> beats_;
};

#ifdef WEFT_COVERAGE
/// What the runs of this process counted. The public way, a file per run, takes longer than the run: hundreds of thousands of counts by name.
struct Coverage {
    std::mutex mutex;
    std::array<std::uint32_t, std::extent_v<decltype(Vweft__Syms::__Vcoverage)>> sums{};
} coverage;

void add_coverage(const Vweft& top) {
    const std::lock_guard lock(coverage.mutex);
    const auto& counts = top.rootp->vlSymsp->__Vcoverage;
    for (std::size_t i = 0; i < coverage.sums.size(); ++i) {
        coverage.sums[i] = std::max(coverage.sums[i], coverage.sums[i] + counts[i]);  // does not wrap to 0
    }
}

void write_coverage(const char* path) {
    const std::lock_guard lock(coverage.mutex);
    VerilatedContext context;
    Vweft top(&context);
    std::copy(coverage.sums.begin(), coverage.sums.end(), top.rootp->vlSymsp->__Vcoverage);
    context.coveragep()->write(path);
}
#else
void add_coverage(const Vweft&) {}
void write_coverage(const char*) {}
#endif

/// One machine from reset to the end of one launch.
class Machine {
public:
    Machine(const weft::Config& config, const weft_launch& launch, std::uint8_t* dram, std::uint64_t dram_bytes)
        : launch_(launch),
          top_(std::make_unique<Vweft>(&context_)),
          memory_(config, launch.stall_seed, dram, dram_bytes),
          events_(launch.record_events != 0) {
        open_waves();
        reset();
        if (rehearsal.instruction_count != 0) rehearse(config);
        std::vector<std::pair<std::uint32_t, std::uint32_t>> settings{
            {PROGRAM, launch.program_address},
            {LENGTH, launch.instruction_count},
            {DRAM_BYTES, static_cast<std::uint32_t>(dram_bytes)},
            {LIMIT, static_cast<std::uint32_t>(std::clamp<std::uint64_t>(launch.instruction_limit, 1, UINT32_MAX))},
            {CYCLE_LIMIT_LOW, static_cast<std::uint32_t>(launch.cycle_limit)},
            {CYCLE_LIMIT_HIGH, static_cast<std::uint32_t>(launch.cycle_limit >> 32)},
            {IRQ_ENABLE, launch.instruction_count & 1},
        };
        for (std::uint32_t i = 0; i < 16; ++i) settings.emplace_back(REGISTERS + 4 * i, launch.registers[i]);
        for (const auto& [address, value] : settings) write(address, value);
        for (const auto& [address, value] : settings) check(read(address) == value, "a control register does not hold its value");
    }
    ~Machine() {
        add_coverage(*top_);
        top_->final();
    }
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    [[nodiscard]] std::uint32_t lanes() { return read(LANES); }

    void run() {
        if (launch_.cycle_limit == 0) return;
        put(CONTROL, 1);
        clock();
        top_->s_axil_awvalid_i = top_->s_axil_wvalid_i = 0;
        launched_ = true;
        while (top_->trace_running_o) {
            memory_.drive(*top_);
            settle();
            events_.observe(*top_, now_);
            memory_.advance(*top_);
            rise();
            ++now_;
        }
        Memory::disconnect(*top_);
        events_.close(now_);
        launched_ = false;
    }

    void report(weft_result& result) {
        if (launch_.cycle_limit != 0) take_interrupt();
        result.cycles = read64(CYCLES);
        result.instructions = read(INSTRUCTIONS);
        result.turns = now_;
        result.read_bytes = memory_.read_bytes();
        result.write_bytes = memory_.write_bytes();
        result.cause = read(FAULT_CAUSE);
        result.instruction = read(FAULT_INDEX);
        result.status = (read(STATUS) & 4) != 0 ? WEFT_FAULT : WEFT_DONE;
        for (std::uint32_t i = 0; i < 16; ++i) result.mailboxes[i] = static_cast<std::int32_t>(read(MAILBOXES + 4 * i));
        for (std::uint32_t unit = 0; unit < UNITS; ++unit) {
            for (std::uint32_t i = 0; i < ACTIVITIES; ++i) {
                result.activity[unit][i] = read64(ACTIVITY + 128 * unit + 8 * i);
            }
        }
        if (launch_.cycle_limit != 0) return;
        result.status = WEFT_FAULT;
        result.cause = 9;  // CYCLE_LIMIT: no cycle ever ran
    }
    std::vector<weft_event> take_events() { return events_.take_all(); }

private:
    void reset() {
        top_->rst_ni = 0;
        clock();
        clock();
        top_->rst_ni = 1;
        clock();
        check(!top_->interrupt_o && read(STATUS) == 0 && read(IRQ_STATUS) == 0, "the machine is not idle after reset");
        for (const std::uint32_t address : {IRQ_ENABLE, PROGRAM, LENGTH, DRAM_BYTES, LIMIT, CYCLE_LIMIT_LOW, CYCLE_LIMIT_HIGH}) {
            check(read(address) == 0, "a control register is not 0 after reset");
        }
        for (std::uint32_t i = 0; i < 16; ++i) {
            check(read(REGISTERS + 4 * i) == 0, "a base register is not 0 after reset");
            check(read(MAILBOXES + 4 * i) == 0, "a mailbox is not 0 after reset");
        }
        check(read(FAULT_CAUSE) == 0 && read(FAULT_INDEX) == 0 && read(INSTRUCTIONS) == 0, "a result is not 0 after reset");
        check(read64(CYCLES) == 0 && read(COUNTER) == 0, "a counter is not 0 after reset");
    }
    void rehearse(const weft::Config& config) {
        constexpr Cycle longest = 1'000'000;
        std::vector<std::uint8_t> dram = rehearsal.dram;
        Memory memory(config, 0, dram.data(), dram.size());
        write(LENGTH, rehearsal.instruction_count);
        write(DRAM_BYTES, static_cast<std::uint32_t>(dram.size()));
        write(IRQ_ENABLE, 1);
        put(CONTROL, 1);
        clock();
        top_->s_axil_awvalid_i = top_->s_axil_wvalid_i = 0;
        for (Cycle cycle = 1; top_->trace_running_o && cycle != rehearsal.reset_at; ++cycle) {
            check(cycle < longest, "the launch before does not end");
            memory.drive(*top_);
            settle();
            memory.advance(*top_);
            rise();
        }
        Memory::disconnect(*top_);
        if (rehearsal.reset_at != 0) {
            reset();
            return;
        }
        check(read(STATUS) == 2 && top_->interrupt_o, "the launch before does not end well");
        write(IRQ_STATUS, 1);
    }
    /// The interrupt is pending, shows if it is enabled, and can be cleared.
    void take_interrupt() {
        check(read(STATUS) >> 1 == (read(FAULT_CAUSE) != 0 ? 3u : 1u), "STATUS does not say how the launch ended");
        check(read(IRQ_STATUS) == 1 && top_->interrupt_o == (launch_.instruction_count & 1), "no interrupt at the end");
        write(IRQ_STATUS, 1);
        check(read(IRQ_STATUS) == 0 && !top_->interrupt_o, "the interrupt cannot be cleared");
    }
    // Cycle t ends with the rising edge at time 2t + 2.
    void settle() {
        top_->clk_i = 0;
        top_->eval();
        dump(2 * now_ + 1);
    }
    void rise() {
        top_->clk_i = 1;
        top_->eval();
        dump(2 * now_ + 2);
    }
    void clock() {
        settle();
        rise();
    }
    void put(std::uint32_t address, std::uint32_t value) {
        top_->s_axil_awvalid_i = top_->s_axil_wvalid_i = 1;
        top_->s_axil_awaddr_i = address;
        top_->s_axil_wdata_i = value;
        top_->s_axil_wstrb_i = 0xf;
        top_->s_axil_bready_i = 1;
    }
    void write(std::uint32_t address, std::uint32_t value) {
        put(address, value);
        settle();
        for (int waited = 0; !top_->s_axil_awready_o; ++waited) {
            check(waited < 100, "the control port does not accept a write");
            clock();
            settle();
        }
        rise();
        top_->s_axil_awvalid_i = top_->s_axil_wvalid_i = 0;
        clock();
    }
    std::uint32_t read(std::uint32_t address) {
        top_->s_axil_arvalid_i = 1;
        top_->s_axil_araddr_i = address;
        top_->s_axil_rready_i = 1;
        clock();
        top_->s_axil_arvalid_i = 0;
        const std::uint32_t value = top_->s_axil_rdata_o;
        clock();
        return value;
    }
    std::uint64_t read64(std::uint32_t address) {
        const std::uint64_t low = read(address);
        return low | std::uint64_t{read(address + 4)} << 32;
    }

#ifdef WEFT_WAVES
    void open_waves() {
        if (waves.path.empty()) return;
        context_.traceEverOn(true);
        trace_ = std::make_unique<VerilatedFstC>();
        top_->trace(trace_.get(), 99);
        trace_->open(waves.path.c_str());
    }
    /// Two time units per cycle; cycle t of the launch is the time from 2t to 2t + 1.
    void dump(std::uint64_t time) {
        if (!trace_ || !launched_ || now_ + 1 < waves.first || now_ > waves.last) return;
        trace_->dump(time);
    }
    std::unique_ptr<VerilatedFstC> trace_;
#else
    void open_waves() {}
    void dump(std::uint64_t) {}
#endif

    const weft_launch& launch_;
    VerilatedContext context_;
    std::unique_ptr<Vweft> top_;
    Memory memory_;
    EventLog events_;
    Cycle now_ = 0;
    bool launched_ = false;
};

weft::Config make_config(const weft_config& given) {
    weft::Config config;
    config.lanes = given.lanes;
    config.dram_beat_bytes = given.dram_beat_bytes;
    config.dram_rate_numerator = given.dram_rate_numerator;
    config.dram_rate_denominator = given.dram_rate_denominator;
    config.dram_latency = given.dram_latency;
    config.burst_beats = given.burst_beats;
    config.outstanding_bursts = given.outstanding_bursts;
    return config;
}

void describe(weft_result& result, std::int32_t status, const std::string& words) {
    result.status = status;
    std::snprintf(result.detail, sizeof result.detail, "%s", words.c_str());
}

}  // namespace

extern "C" {

/// The launch that the next runs of this thread make before theirs; no instructions: none.
__attribute__((visibility("default"))) void weft_rtl_rehearse(const std::uint8_t* dram, std::uint64_t bytes,
                                                              std::uint32_t instruction_count, std::uint64_t reset_at) {
    rehearsal = {std::vector<std::uint8_t>(dram, dram + bytes), instruction_count, reset_at};
}

/// Where the next run of this thread leaves waveforms of cycles first to last; an empty path: nowhere.
__attribute__((visibility("default"))) void weft_rtl_waves(const char* path, std::uint64_t first, std::uint64_t last) {
    waves = {path, first, last};
}

/// Coverage counts of all this process's runs, in Verilator's format.
__attribute__((visibility("default"))) void weft_rtl_write_coverage(const char* path) { write_coverage(path); }

__attribute__((visibility("default"))) weft_run* weft_run_new(const weft_config* config, const weft_launch* launch,
                                                              std::uint8_t* dram, std::uint64_t dram_bytes,
                                                              weft_result* result) {
    std::memset(result, 0, sizeof *result);
    try {
        Machine machine(make_config(*config), *launch, dram, dram_bytes);
        if (machine.lanes() != config->lanes) {
            describe(*result, WEFT_BAD_LAUNCH, "this model was built for another configuration");
            return nullptr;
        }
        machine.run();
        machine.report(*result);
        return std::make_unique<weft_run>(weft_run{machine.take_events()}).release();
    } catch (const std::exception& error) {
        describe(*result, WEFT_OUT_OF_MEMORY, error.what());
        return nullptr;
    }
}

__attribute__((visibility("default"))) std::uint64_t weft_run_event_count(const weft_run* run) { return run->events.size(); }

__attribute__((visibility("default"))) const weft_event* weft_run_events(const weft_run* run) { return run->events.data(); }

__attribute__((visibility("default"))) void weft_run_free(weft_run* run) { delete run; }

}  // extern "C"
