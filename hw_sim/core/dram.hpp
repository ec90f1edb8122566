// The timing of DRAM behind three AXI4 ports. Self-contained, with an interface of signals per cycle, because the RTL's test
// bench links the very same object. It knows no data: a bench reads memory at `r_address` and writes it when it likes
// between the acceptance of a beat and its response.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "config.hpp"
#include "queue.hpp"

namespace weft {

/// splitmix64 of seed + a·φ + b·ψ modulo 2⁶⁴: the random numbers of DRAM stalls, the same in C++, Python and Verilog.
[[nodiscard]] std::uint64_t stall_mix(std::uint64_t seed, std::uint64_t a, std::uint64_t b);

/// Read ports FETCH and LOAD, write port STORE. Each cycle: take outputs(), drive inputs, advance().
class Dram {
public:
    static constexpr std::size_t FETCH = 0, LOAD = 1, READ_PORTS = 2;

    /// Functions of the state alone.
    struct Outputs {
        std::array<bool, READ_PORTS> ar_ready{};
        std::array<bool, READ_PORTS> r_valid{};
        std::array<bool, READ_PORTS> r_last{};
        std::array<std::uint32_t, READ_PORTS> r_address{};  ///< of the beat's first byte lane
        bool aw_ready = false;
        bool w_ready = false;
        bool b_valid = false;  ///< always accepted
    };
    struct Inputs {
        std::array<bool, READ_PORTS> ar_valid{};
        std::array<std::uint32_t, READ_PORTS> ar_address{};
        std::array<std::uint32_t, READ_PORTS> ar_beats{};
        std::array<bool, READ_PORTS> r_ready{};
        bool aw_valid = false;
        bool w_valid = false;
        bool w_last = false;
    };

    /// stall_seed 0: no random stalls.
    Dram(const Config& config, std::uint64_t stall_seed);

    [[nodiscard]] Outputs outputs() const;

    /// For how many cycles from now on the model repeats exactly what it does in this one, if its inputs stay so; ≥ 1.
    [[nodiscard]] std::uint64_t regular_cycles(const Inputs& inputs) const;

    /// Advances by `cycles` ≤ regular_cycles(inputs), all with these inputs.
    void advance(const Inputs& inputs, std::uint64_t cycles = 1);

    [[nodiscard]] std::uint64_t read_beats() const { return read_beats_; }
    [[nodiscard]] std::uint64_t write_beats() const { return write_beats_; }

private:
    struct Burst {
        std::uint64_t ready;
        std::uint32_t address;
        std::uint32_t beats;
    };
    struct Port {
        explicit Port(std::size_t outstanding) : bursts(outstanding) {}
        Queue<Burst> bursts;
        bool full = false;
        bool last = false;
        std::uint32_t address = 0;
        std::uint64_t accepted = 0;
    };
    enum class Move { NONE, FETCH, STORE, LOAD };

    [[nodiscard]] bool reads(std::size_t port, const Inputs& inputs) const;
    [[nodiscard]] Move choose(const Inputs& inputs) const;
    [[nodiscard]] bool bus_free() const;
    [[nodiscard]] std::uint64_t regular_reads(std::size_t port, const Inputs& inputs, Move move) const;
    [[nodiscard]] std::uint64_t regular_writes(const Inputs& inputs, Move move) const;
    void advance_read(std::size_t port, const Inputs& inputs, Move move, std::uint64_t cycles);
    void advance_writes(const Inputs& inputs, Move move, std::uint64_t cycles);
    void spend_credit(bool moved, std::uint64_t cycles);

    Config config_;
    std::uint64_t seed_;
    std::uint64_t now_ = 0;
    std::uint64_t credit_;
    std::array<Port, READ_PORTS> ports_;
    std::uint32_t buffered_ = 0;    ///< beats in the write buffer
    std::uint32_t lasts_ = 0;       ///< bit i: the buffer's beat i ends a burst
    std::uint32_t open_writes_ = 0; ///< write bursts without response
    Queue<std::uint64_t> responses_;
    std::uint64_t read_beats_ = 0;
    std::uint64_t write_beats_ = 0;
};

}  // namespace weft
