// Generated from weft_sim.isa by `python -m weft_sim.isa.generate`: change the table, not this file.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace weft::isa {

inline constexpr std::uint32_t INSTRUCTION_BYTES = 128;
inline constexpr std::uint32_t REGISTERS = 16;
inline constexpr std::uint32_t MAILBOXES = 16;
inline constexpr std::uint32_t NO_REGISTER = 16;
inline constexpr std::uint32_t NO_MAILBOX = 16;
inline constexpr std::uint32_t TABLE_SLOTS = 2;
inline constexpr std::uint32_t TABLE_ENTRIES = 256;
inline constexpr std::uint32_t DEPTHWISE_ROWS = 4;
inline constexpr std::uint32_t PARAMETER_VECTORS = 8;
inline constexpr std::uint32_t MAX_WORK = 16777216;
inline constexpr std::uint32_t TOKEN_LIMIT = 64;
inline constexpr std::uint32_t DECODE_CYCLES = 8;
inline constexpr std::uint32_t LOAD_CONTEXTS = 4;
inline constexpr std::uint32_t STORE_CONTEXTS = 4;
inline constexpr std::uint32_t BYTE_FIFO_BEATS = 4;
inline constexpr std::uint32_t MXU_LATENCY = 5;
inline constexpr std::uint32_t WEIGHT_SWAP_CYCLES = 2;
inline constexpr std::uint32_t VPU_LATENCY = 24;
inline constexpr std::uint32_t SUM_INTERVAL = 4;
inline constexpr std::uint32_t DIVIDE_INTERVAL = 32;
inline constexpr std::uint32_t DRAM_WRITE_BUFFER = 4;

enum class Unit : std::uint8_t {
    FETCH = 0,
    LOAD = 1,
    STORE = 2,
    MXU = 3,
    VPU = 4,
};
inline constexpr std::array<const char*, 5> UNIT_NAMES = {"fetch", "load", "store", "mxu", "vpu"};

enum class Space : std::uint8_t {
    DRAM = 0,
    SCRATCHPAD = 1,
    ACCUMULATOR = 2,
    TABLE = 3,
    MAILBOX = 4,
};
inline constexpr std::array<const char*, 5> SPACE_NAMES = {"dram", "scratchpad", "accumulator", "table", "mailbox"};

enum class FaultCause : std::uint8_t {
    NONE = 0,
    ILLEGAL_OPCODE = 1,
    ILLEGAL_FIELD = 2,
    DRAM_RANGE = 3,
    SCRATCHPAD_RANGE = 4,
    ACCUMULATOR_RANGE = 5,
    PROGRAM_RANGE = 6,
    DEADLOCK = 7,
    TOKEN_OVERFLOW = 8,
    CYCLE_LIMIT = 9,
};
inline constexpr std::array<const char*, 10> FAULT_CAUSE_NAMES = {"none", "illegal_opcode", "illegal_field", "dram_range", "scratchpad_range", "accumulator_range", "program_range", "deadlock", "token_overflow", "cycle_limit"};

enum class Condition : std::uint8_t {
    ALWAYS = 0,
    EQUAL = 1,
    NOT_EQUAL = 2,
    LESS = 3,
    GREATER_EQUAL = 4,
};
inline constexpr std::array<const char*, 5> CONDITION_NAMES = {"always", "equal", "not_equal", "less", "greater_equal"};

enum class MatmulMode : std::uint8_t {
    DENSE = 0,
    DEPTHWISE = 1,
};
inline constexpr std::array<const char*, 2> MATMUL_MODE_NAMES = {"dense", "depthwise"};

enum class WeightOrder : std::uint8_t {
    ROWS = 0,
    COLUMNS = 1,
};
inline constexpr std::array<const char*, 2> WEIGHT_ORDER_NAMES = {"rows", "columns"};

enum class Source : std::uint8_t {
    SCRATCHPAD_S8 = 0,
    SCRATCHPAD_U8 = 1,
    ACCUMULATOR_S32 = 2,
    ACCUMULATOR_F32 = 3,
    IMMEDIATE = 4,
    EXCHANGE = 5,
};
inline constexpr std::array<const char*, 6> SOURCE_NAMES = {"scratchpad_s8", "scratchpad_u8", "accumulator_s32", "accumulator_f32", "immediate", "exchange"};

enum class Operation : std::uint8_t {
    PASS = 0,
    ADD = 1,
    SUBTRACT = 2,
    MULTIPLY = 3,
    MAXIMUM = 4,
    MINIMUM = 5,
    DIVIDE = 6,
    SQUARE_ROOT = 7,
    GREATER = 8,
    GREATER_EQUAL = 9,
    EQUAL = 10,
    ABSOLUTE = 11,
    FLOOR = 12,
};
inline constexpr std::array<const char*, 13> OPERATION_NAMES = {"pass", "add", "subtract", "multiply", "maximum", "minimum", "divide", "square_root", "greater", "greater_equal", "equal", "absolute", "floor"};

enum class Reduction : std::uint8_t {
    NONE = 0,
    SUM = 1,
    MAXIMUM = 2,
    MINIMUM = 3,
};
inline constexpr std::array<const char*, 4> REDUCTION_NAMES = {"none", "sum", "maximum", "minimum"};

enum class Destination : std::uint8_t {
    SCRATCHPAD_S8 = 0,
    SCRATCHPAD_U8 = 1,
    ACCUMULATOR_S32 = 2,
    ACCUMULATOR_F32 = 3,
    MAILBOX = 4,
};
inline constexpr std::array<const char*, 5> DESTINATION_NAMES = {"scratchpad_s8", "scratchpad_u8", "accumulator_s32", "accumulator_f32", "mailbox"};

enum class Opcode : std::uint8_t {
    HALT = 1,
    JUMP = 2,
    REGISTER = 3,
    LOAD = 4,
    STORE = 5,
    FILL = 6,
    MATMUL = 7,
    VECTOR = 8,
    TABLE = 9,
};

/// WIDTH bits from bit LOW on, little-endian: at most five byte loads.
template <unsigned LOW, unsigned WIDTH>
[[nodiscard]] constexpr std::uint32_t unsigned_bits(const std::uint8_t* data) {
    static_assert(WIDTH >= 1 && WIDTH <= 32);
    std::uint64_t word = 0;
    for (unsigned byte = LOW / 8; byte <= (LOW + WIDTH - 1) / 8; ++byte)
        word |= static_cast<std::uint64_t>(data[byte]) << (8 * (byte - LOW / 8));
    return static_cast<std::uint32_t>((word >> (LOW % 8)) & ((std::uint64_t{1} << WIDTH) - 1));
}

/// The same bits as a two's-complement number.
template <unsigned LOW, unsigned WIDTH>
[[nodiscard]] constexpr std::int32_t signed_bits(const std::uint8_t* data) {
    return static_cast<std::int32_t>(unsigned_bits<LOW, WIDTH>(data) << (32 - WIDTH)) >> (32 - WIDTH);
}

/// True when no bit of an instruction from bit `bits` on is set.
[[nodiscard]] constexpr bool reserved_clear(const std::uint8_t* data, unsigned bits) {
    unsigned found = bits % 8 != 0 ? data[bits / 8] >> (bits % 8) : 0u;
    for (unsigned byte = (bits + 7) / 8; byte < INSTRUCTION_BYTES; ++byte) found |= data[byte];
    return found == 0;
}


/// Ends the program once every instruction before it has retired.
struct Halt {
    static constexpr Opcode OPCODE = Opcode::HALT;
    static constexpr Unit UNIT = Unit::FETCH;
    static constexpr unsigned BITS = 24;

    std::uint8_t opcode;  ///< which instruction this is
    std::uint8_t wait;  ///< bit u: take one token of channel (unit u → this unit) before issue
    std::uint8_t signal;  ///< bit u: give one token to channel (this unit → unit u) at retirement

    [[nodiscard]] static constexpr Halt decode(const std::uint8_t* data) {
        Halt result{};
        result.opcode = static_cast<std::uint8_t>(unsigned_bits<0, 8>(data));
        result.wait = static_cast<std::uint8_t>(unsigned_bits<8, 8>(data));
        result.signal = static_cast<std::uint8_t>(unsigned_bits<16, 8>(data));
        return result;
    }

    /// False when an enumeration's field holds no member.
    [[nodiscard]] constexpr bool enums_legal() const { return true; }
};

/// Continues at instruction `target` if the condition holds, else with the next one.
struct Jump {
    static constexpr Opcode OPCODE = Opcode::JUMP;
    static constexpr Unit UNIT = Unit::FETCH;
    static constexpr unsigned BITS = 104;

    std::uint8_t opcode;  ///< which instruction this is
    std::uint8_t wait;  ///< bit u: take one token of channel (unit u → this unit) before issue
    std::uint8_t signal;  ///< bit u: give one token to channel (this unit → unit u) at retirement
    Condition condition;  ///< comparison of the mailbox with `value`
    std::uint8_t mailbox;  ///< which mailbox is compared (0 when ALWAYS)
    std::int32_t value;  ///< what it is compared with
    std::uint32_t target;  ///< index of the instruction to continue at

    [[nodiscard]] static constexpr Jump decode(const std::uint8_t* data) {
        Jump result{};
        result.opcode = static_cast<std::uint8_t>(unsigned_bits<0, 8>(data));
        result.wait = static_cast<std::uint8_t>(unsigned_bits<8, 8>(data));
        result.signal = static_cast<std::uint8_t>(unsigned_bits<16, 8>(data));
        result.condition = static_cast<Condition>(unsigned_bits<24, 8>(data));
        result.mailbox = static_cast<std::uint8_t>(unsigned_bits<32, 8>(data));
        result.value = static_cast<std::int32_t>(signed_bits<40, 32>(data));
        result.target = static_cast<std::uint32_t>(unsigned_bits<72, 32>(data));
        return result;
    }

    /// False when an enumeration's field holds no member.
    [[nodiscard]] constexpr bool enums_legal() const { return static_cast<unsigned>(condition) <= 4u; }
};

/// registers[destination] = (registers[source] or 0) + offset + (mailboxes[mailbox] or 0) × scale, modulo 2³².
struct Register {
    static constexpr Opcode OPCODE = Opcode::REGISTER;
    static constexpr Unit UNIT = Unit::FETCH;
    static constexpr unsigned BITS = 112;

    std::uint8_t opcode;  ///< which instruction this is
    std::uint8_t wait;  ///< bit u: take one token of channel (unit u → this unit) before issue
    std::uint8_t signal;  ///< bit u: give one token to channel (this unit → unit u) at retirement
    std::uint8_t destination;  ///< register written
    std::uint8_t source;  ///< register read; 16: none
    std::uint8_t mailbox;  ///< mailbox read; 16: none
    std::int32_t offset;  ///< added, bytes
    std::int32_t scale;  ///< bytes per unit of the mailbox

    [[nodiscard]] static constexpr Register decode(const std::uint8_t* data) {
        Register result{};
        result.opcode = static_cast<std::uint8_t>(unsigned_bits<0, 8>(data));
        result.wait = static_cast<std::uint8_t>(unsigned_bits<8, 8>(data));
        result.signal = static_cast<std::uint8_t>(unsigned_bits<16, 8>(data));
        result.destination = static_cast<std::uint8_t>(unsigned_bits<24, 8>(data));
        result.source = static_cast<std::uint8_t>(unsigned_bits<32, 8>(data));
        result.mailbox = static_cast<std::uint8_t>(unsigned_bits<40, 8>(data));
        result.offset = static_cast<std::int32_t>(signed_bits<48, 32>(data));
        result.scale = static_cast<std::int32_t>(signed_bits<80, 32>(data));
        return result;
    }

    /// False when an enumeration's field holds no member.
    [[nodiscard]] constexpr bool enums_legal() const { return true; }
};

/// Copies runs of `run_bytes` bytes from DRAM to scratchpad, one for each step of four nested loops.
struct Load {
    static constexpr Opcode OPCODE = Opcode::LOAD;
    static constexpr Unit UNIT = Unit::LOAD;
    static constexpr unsigned BITS = 392;

    std::uint8_t opcode;  ///< which instruction this is
    std::uint8_t wait;  ///< bit u: take one token of channel (unit u → this unit) before issue
    std::uint8_t signal;  ///< bit u: give one token to channel (this unit → unit u) at retirement
    std::uint8_t register_;  ///< base register of the DRAM address
    std::int32_t offset;  ///< bytes from the base register
    std::uint32_t scratchpad;  ///< byte address in the scratchpad
    std::uint16_t run_bytes;  ///< contiguous bytes of each run
    std::uint16_t count_0;  ///< steps of loop 0 (outermost)
    std::uint16_t count_1;  ///< steps of loop 1
    std::uint16_t count_2;  ///< steps of loop 2
    std::uint16_t count_3;  ///< steps of loop 3 (innermost)
    std::int32_t dram_stride_0;  ///< bytes per step of loop 0
    std::int32_t dram_stride_1;  ///< bytes per step of loop 1
    std::int32_t dram_stride_2;  ///< bytes per step of loop 2
    std::int32_t dram_stride_3;  ///< bytes per step of loop 3
    std::int32_t scratchpad_stride_0;  ///< bytes per step of loop 0
    std::int32_t scratchpad_stride_1;  ///< bytes per step of loop 1
    std::int32_t scratchpad_stride_2;  ///< bytes per step of loop 2
    std::int32_t scratchpad_stride_3;  ///< bytes per step of loop 3

    [[nodiscard]] static constexpr Load decode(const std::uint8_t* data) {
        Load result{};
        result.opcode = static_cast<std::uint8_t>(unsigned_bits<0, 8>(data));
        result.wait = static_cast<std::uint8_t>(unsigned_bits<8, 8>(data));
        result.signal = static_cast<std::uint8_t>(unsigned_bits<16, 8>(data));
        result.register_ = static_cast<std::uint8_t>(unsigned_bits<24, 8>(data));
        result.offset = static_cast<std::int32_t>(signed_bits<32, 32>(data));
        result.scratchpad = static_cast<std::uint32_t>(unsigned_bits<64, 24>(data));
        result.run_bytes = static_cast<std::uint16_t>(unsigned_bits<88, 16>(data));
        result.count_0 = static_cast<std::uint16_t>(unsigned_bits<104, 16>(data));
        result.count_1 = static_cast<std::uint16_t>(unsigned_bits<120, 16>(data));
        result.count_2 = static_cast<std::uint16_t>(unsigned_bits<136, 16>(data));
        result.count_3 = static_cast<std::uint16_t>(unsigned_bits<152, 16>(data));
        result.dram_stride_0 = static_cast<std::int32_t>(signed_bits<168, 32>(data));
        result.dram_stride_1 = static_cast<std::int32_t>(signed_bits<200, 32>(data));
        result.dram_stride_2 = static_cast<std::int32_t>(signed_bits<232, 32>(data));
        result.dram_stride_3 = static_cast<std::int32_t>(signed_bits<264, 32>(data));
        result.scratchpad_stride_0 = static_cast<std::int32_t>(signed_bits<296, 24>(data));
        result.scratchpad_stride_1 = static_cast<std::int32_t>(signed_bits<320, 24>(data));
        result.scratchpad_stride_2 = static_cast<std::int32_t>(signed_bits<344, 24>(data));
        result.scratchpad_stride_3 = static_cast<std::int32_t>(signed_bits<368, 24>(data));
        return result;
    }

    /// False when an enumeration's field holds no member.
    [[nodiscard]] constexpr bool enums_legal() const { return true; }
    [[nodiscard]] constexpr std::array<std::uint16_t, 4> counts() const { return {count_0, count_1, count_2, count_3}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 4> dram_strides() const { return {dram_stride_0, dram_stride_1, dram_stride_2, dram_stride_3}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 4> scratchpad_strides() const { return {scratchpad_stride_0, scratchpad_stride_1, scratchpad_stride_2, scratchpad_stride_3}; }
};

/// Copies runs of `run_bytes` bytes from scratchpad to DRAM, one for each step of four nested loops.
struct Store {
    static constexpr Opcode OPCODE = Opcode::STORE;
    static constexpr Unit UNIT = Unit::STORE;
    static constexpr unsigned BITS = 392;

    std::uint8_t opcode;  ///< which instruction this is
    std::uint8_t wait;  ///< bit u: take one token of channel (unit u → this unit) before issue
    std::uint8_t signal;  ///< bit u: give one token to channel (this unit → unit u) at retirement
    std::uint8_t register_;  ///< base register of the DRAM address
    std::int32_t offset;  ///< bytes from the base register
    std::uint32_t scratchpad;  ///< byte address in the scratchpad
    std::uint16_t run_bytes;  ///< contiguous bytes of each run
    std::uint16_t count_0;  ///< steps of loop 0 (outermost)
    std::uint16_t count_1;  ///< steps of loop 1
    std::uint16_t count_2;  ///< steps of loop 2
    std::uint16_t count_3;  ///< steps of loop 3 (innermost)
    std::int32_t dram_stride_0;  ///< bytes per step of loop 0
    std::int32_t dram_stride_1;  ///< bytes per step of loop 1
    std::int32_t dram_stride_2;  ///< bytes per step of loop 2
    std::int32_t dram_stride_3;  ///< bytes per step of loop 3
    std::int32_t scratchpad_stride_0;  ///< bytes per step of loop 0
    std::int32_t scratchpad_stride_1;  ///< bytes per step of loop 1
    std::int32_t scratchpad_stride_2;  ///< bytes per step of loop 2
    std::int32_t scratchpad_stride_3;  ///< bytes per step of loop 3

    [[nodiscard]] static constexpr Store decode(const std::uint8_t* data) {
        Store result{};
        result.opcode = static_cast<std::uint8_t>(unsigned_bits<0, 8>(data));
        result.wait = static_cast<std::uint8_t>(unsigned_bits<8, 8>(data));
        result.signal = static_cast<std::uint8_t>(unsigned_bits<16, 8>(data));
        result.register_ = static_cast<std::uint8_t>(unsigned_bits<24, 8>(data));
        result.offset = static_cast<std::int32_t>(signed_bits<32, 32>(data));
        result.scratchpad = static_cast<std::uint32_t>(unsigned_bits<64, 24>(data));
        result.run_bytes = static_cast<std::uint16_t>(unsigned_bits<88, 16>(data));
        result.count_0 = static_cast<std::uint16_t>(unsigned_bits<104, 16>(data));
        result.count_1 = static_cast<std::uint16_t>(unsigned_bits<120, 16>(data));
        result.count_2 = static_cast<std::uint16_t>(unsigned_bits<136, 16>(data));
        result.count_3 = static_cast<std::uint16_t>(unsigned_bits<152, 16>(data));
        result.dram_stride_0 = static_cast<std::int32_t>(signed_bits<168, 32>(data));
        result.dram_stride_1 = static_cast<std::int32_t>(signed_bits<200, 32>(data));
        result.dram_stride_2 = static_cast<std::int32_t>(signed_bits<232, 32>(data));
        result.dram_stride_3 = static_cast<std::int32_t>(signed_bits<264, 32>(data));
        result.scratchpad_stride_0 = static_cast<std::int32_t>(signed_bits<296, 24>(data));
        result.scratchpad_stride_1 = static_cast<std::int32_t>(signed_bits<320, 24>(data));
        result.scratchpad_stride_2 = static_cast<std::int32_t>(signed_bits<344, 24>(data));
        result.scratchpad_stride_3 = static_cast<std::int32_t>(signed_bits<368, 24>(data));
        return result;
    }

    /// False when an enumeration's field holds no member.
    [[nodiscard]] constexpr bool enums_legal() const { return true; }
    [[nodiscard]] constexpr std::array<std::uint16_t, 4> counts() const { return {count_0, count_1, count_2, count_3}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 4> dram_strides() const { return {dram_stride_0, dram_stride_1, dram_stride_2, dram_stride_3}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 4> scratchpad_strides() const { return {scratchpad_stride_0, scratchpad_stride_1, scratchpad_stride_2, scratchpad_stride_3}; }
};

/// Writes the byte `value` to runs of `run_bytes` bytes of the scratchpad: borders of padded tensors.
struct Fill {
    static constexpr Opcode OPCODE = Opcode::FILL;
    static constexpr Unit UNIT = Unit::LOAD;
    static constexpr unsigned BITS = 232;

    std::uint8_t opcode;  ///< which instruction this is
    std::uint8_t wait;  ///< bit u: take one token of channel (unit u → this unit) before issue
    std::uint8_t signal;  ///< bit u: give one token to channel (this unit → unit u) at retirement
    std::uint8_t value;  ///< the byte written
    std::uint32_t scratchpad;  ///< byte address in the scratchpad
    std::uint16_t run_bytes;  ///< contiguous bytes of each run
    std::uint16_t count_0;  ///< steps of loop 0 (outermost)
    std::uint16_t count_1;  ///< steps of loop 1
    std::uint16_t count_2;  ///< steps of loop 2
    std::uint16_t count_3;  ///< steps of loop 3 (innermost)
    std::int32_t scratchpad_stride_0;  ///< bytes per step of loop 0
    std::int32_t scratchpad_stride_1;  ///< bytes per step of loop 1
    std::int32_t scratchpad_stride_2;  ///< bytes per step of loop 2
    std::int32_t scratchpad_stride_3;  ///< bytes per step of loop 3

    [[nodiscard]] static constexpr Fill decode(const std::uint8_t* data) {
        Fill result{};
        result.opcode = static_cast<std::uint8_t>(unsigned_bits<0, 8>(data));
        result.wait = static_cast<std::uint8_t>(unsigned_bits<8, 8>(data));
        result.signal = static_cast<std::uint8_t>(unsigned_bits<16, 8>(data));
        result.value = static_cast<std::uint8_t>(unsigned_bits<24, 8>(data));
        result.scratchpad = static_cast<std::uint32_t>(unsigned_bits<32, 24>(data));
        result.run_bytes = static_cast<std::uint16_t>(unsigned_bits<56, 16>(data));
        result.count_0 = static_cast<std::uint16_t>(unsigned_bits<72, 16>(data));
        result.count_1 = static_cast<std::uint16_t>(unsigned_bits<88, 16>(data));
        result.count_2 = static_cast<std::uint16_t>(unsigned_bits<104, 16>(data));
        result.count_3 = static_cast<std::uint16_t>(unsigned_bits<120, 16>(data));
        result.scratchpad_stride_0 = static_cast<std::int32_t>(signed_bits<136, 24>(data));
        result.scratchpad_stride_1 = static_cast<std::int32_t>(signed_bits<160, 24>(data));
        result.scratchpad_stride_2 = static_cast<std::int32_t>(signed_bits<184, 24>(data));
        result.scratchpad_stride_3 = static_cast<std::int32_t>(signed_bits<208, 24>(data));
        return result;
    }

    /// False when an enumeration's field holds no member.
    [[nodiscard]] constexpr bool enums_legal() const { return true; }
    [[nodiscard]] constexpr std::array<std::uint16_t, 4> counts() const { return {count_0, count_1, count_2, count_3}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 4> scratchpad_strides() const { return {scratchpad_stride_0, scratchpad_stride_1, scratchpad_stride_2, scratchpad_stride_3}; }
};

/// Multiplies a stream of input vectors with weight tiles and adds into accumulator rows.
struct Matmul {
    static constexpr Opcode OPCODE = Opcode::MATMUL;
    static constexpr Unit UNIT = Unit::MXU;
    static constexpr unsigned BITS = 759;

    std::uint8_t opcode;  ///< which instruction this is
    std::uint8_t wait;  ///< bit u: take one token of channel (unit u → this unit) before issue
    std::uint8_t signal;  ///< bit u: give one token to channel (this unit → unit u) at retirement
    MatmulMode mode;  ///< dense or depthwise
    WeightOrder weight_order;  ///< by row or by column
    bool input_signed;  ///< input vectors are int8 (1) or uint8 (0)
    bool weight_signed;  ///< weights are int8 (1) or uint8 (0)
    bool accumulate;  ///< 1: the first reduction step adds to what the rows hold
    std::uint8_t reduce_mask;  ///< bit i: outer loop i is a reduction
    std::uint8_t input_lanes;  ///< valid input lanes, 1 to lanes
    std::uint8_t weight_rows;  ///< vectors of a weight tile, 1 to lanes
    std::int16_t input_zero;  ///< zero point of the input: int8 or uint8 as the input is
    std::int16_t weight_zero;  ///< zero point of the weights: int8 or uint8 as they are
    std::uint8_t window_rows;  ///< depthwise: kernel rows, 1 to DEPTHWISE_ROWS
    std::uint8_t window_columns;  ///< depthwise: kernel columns
    std::uint8_t row_shift;  ///< depthwise: log2 of the vertical stride, 0 to 2
    std::uint8_t column_shift;  ///< depthwise: log2 of the horizontal stride, 0 to 2
    std::uint32_t input;  ///< vector address of the first input vector
    std::uint32_t weight;  ///< vector address of the first weight vector
    std::int32_t weight_vector_stride;  ///< vectors between the vectors of a weight tile
    std::uint16_t accumulator;  ///< first accumulator row
    std::uint16_t outer_count_0;  ///< steps of outer loop 0 (outermost)
    std::uint16_t outer_count_1;  ///< steps of outer loop 1
    std::uint16_t outer_count_2;  ///< steps of outer loop 2
    std::uint16_t outer_count_3;  ///< steps of outer loop 3
    std::int32_t outer_input_stride_0;  ///< vectors per step of outer loop 0
    std::int32_t outer_input_stride_1;  ///< vectors per step of outer loop 1
    std::int32_t outer_input_stride_2;  ///< vectors per step of outer loop 2
    std::int32_t outer_input_stride_3;  ///< vectors per step of outer loop 3
    std::int32_t outer_weight_stride_0;  ///< vectors per step of outer loop 0
    std::int32_t outer_weight_stride_1;  ///< vectors per step of outer loop 1
    std::int32_t outer_weight_stride_2;  ///< vectors per step of outer loop 2
    std::int32_t outer_weight_stride_3;  ///< vectors per step of outer loop 3
    std::int32_t outer_accumulator_stride_0;  ///< rows per step of outer loop 0
    std::int32_t outer_accumulator_stride_1;  ///< rows per step of outer loop 1
    std::int32_t outer_accumulator_stride_2;  ///< rows per step of outer loop 2
    std::int32_t outer_accumulator_stride_3;  ///< rows per step of outer loop 3
    std::uint16_t inner_count_0;  ///< steps of inner loop 0
    std::uint16_t inner_count_1;  ///< steps of inner loop 1 (depthwise: input rows)
    std::uint16_t inner_count_2;  ///< steps of inner loop 2, innermost (depthwise: input columns)
    std::int32_t inner_input_stride_0;  ///< vectors per step of inner loop 0
    std::int32_t inner_input_stride_1;  ///< vectors per step of inner loop 1
    std::int32_t inner_input_stride_2;  ///< vectors per step of inner loop 2
    std::int32_t inner_accumulator_stride_0;  ///< rows per step of inner loop 0
    std::int32_t inner_accumulator_stride_1;  ///< rows per step of inner loop 1 (depthwise: per output row)
    std::int32_t inner_accumulator_stride_2;  ///< rows per step of inner loop 2 (depthwise: per output column)

    [[nodiscard]] static constexpr Matmul decode(const std::uint8_t* data) {
        Matmul result{};
        result.opcode = static_cast<std::uint8_t>(unsigned_bits<0, 8>(data));
        result.wait = static_cast<std::uint8_t>(unsigned_bits<8, 8>(data));
        result.signal = static_cast<std::uint8_t>(unsigned_bits<16, 8>(data));
        result.mode = static_cast<MatmulMode>(unsigned_bits<24, 8>(data));
        result.weight_order = static_cast<WeightOrder>(unsigned_bits<32, 8>(data));
        result.input_signed = unsigned_bits<40, 1>(data) != 0;
        result.weight_signed = unsigned_bits<41, 1>(data) != 0;
        result.accumulate = unsigned_bits<42, 1>(data) != 0;
        result.reduce_mask = static_cast<std::uint8_t>(unsigned_bits<43, 4>(data));
        result.input_lanes = static_cast<std::uint8_t>(unsigned_bits<47, 8>(data));
        result.weight_rows = static_cast<std::uint8_t>(unsigned_bits<55, 8>(data));
        result.input_zero = static_cast<std::int16_t>(signed_bits<63, 16>(data));
        result.weight_zero = static_cast<std::int16_t>(signed_bits<79, 16>(data));
        result.window_rows = static_cast<std::uint8_t>(unsigned_bits<95, 8>(data));
        result.window_columns = static_cast<std::uint8_t>(unsigned_bits<103, 8>(data));
        result.row_shift = static_cast<std::uint8_t>(unsigned_bits<111, 8>(data));
        result.column_shift = static_cast<std::uint8_t>(unsigned_bits<119, 8>(data));
        result.input = static_cast<std::uint32_t>(unsigned_bits<127, 24>(data));
        result.weight = static_cast<std::uint32_t>(unsigned_bits<151, 24>(data));
        result.weight_vector_stride = static_cast<std::int32_t>(signed_bits<175, 24>(data));
        result.accumulator = static_cast<std::uint16_t>(unsigned_bits<199, 16>(data));
        result.outer_count_0 = static_cast<std::uint16_t>(unsigned_bits<215, 16>(data));
        result.outer_count_1 = static_cast<std::uint16_t>(unsigned_bits<231, 16>(data));
        result.outer_count_2 = static_cast<std::uint16_t>(unsigned_bits<247, 16>(data));
        result.outer_count_3 = static_cast<std::uint16_t>(unsigned_bits<263, 16>(data));
        result.outer_input_stride_0 = static_cast<std::int32_t>(signed_bits<279, 24>(data));
        result.outer_input_stride_1 = static_cast<std::int32_t>(signed_bits<303, 24>(data));
        result.outer_input_stride_2 = static_cast<std::int32_t>(signed_bits<327, 24>(data));
        result.outer_input_stride_3 = static_cast<std::int32_t>(signed_bits<351, 24>(data));
        result.outer_weight_stride_0 = static_cast<std::int32_t>(signed_bits<375, 24>(data));
        result.outer_weight_stride_1 = static_cast<std::int32_t>(signed_bits<399, 24>(data));
        result.outer_weight_stride_2 = static_cast<std::int32_t>(signed_bits<423, 24>(data));
        result.outer_weight_stride_3 = static_cast<std::int32_t>(signed_bits<447, 24>(data));
        result.outer_accumulator_stride_0 = static_cast<std::int32_t>(signed_bits<471, 24>(data));
        result.outer_accumulator_stride_1 = static_cast<std::int32_t>(signed_bits<495, 24>(data));
        result.outer_accumulator_stride_2 = static_cast<std::int32_t>(signed_bits<519, 24>(data));
        result.outer_accumulator_stride_3 = static_cast<std::int32_t>(signed_bits<543, 24>(data));
        result.inner_count_0 = static_cast<std::uint16_t>(unsigned_bits<567, 16>(data));
        result.inner_count_1 = static_cast<std::uint16_t>(unsigned_bits<583, 16>(data));
        result.inner_count_2 = static_cast<std::uint16_t>(unsigned_bits<599, 16>(data));
        result.inner_input_stride_0 = static_cast<std::int32_t>(signed_bits<615, 24>(data));
        result.inner_input_stride_1 = static_cast<std::int32_t>(signed_bits<639, 24>(data));
        result.inner_input_stride_2 = static_cast<std::int32_t>(signed_bits<663, 24>(data));
        result.inner_accumulator_stride_0 = static_cast<std::int32_t>(signed_bits<687, 24>(data));
        result.inner_accumulator_stride_1 = static_cast<std::int32_t>(signed_bits<711, 24>(data));
        result.inner_accumulator_stride_2 = static_cast<std::int32_t>(signed_bits<735, 24>(data));
        return result;
    }

    /// False when an enumeration's field holds no member.
    [[nodiscard]] constexpr bool enums_legal() const { return static_cast<unsigned>(mode) <= 1u && static_cast<unsigned>(weight_order) <= 1u; }
    [[nodiscard]] constexpr std::array<std::uint16_t, 4> outer_counts() const { return {outer_count_0, outer_count_1, outer_count_2, outer_count_3}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 4> outer_input_strides() const { return {outer_input_stride_0, outer_input_stride_1, outer_input_stride_2, outer_input_stride_3}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 4> outer_weight_strides() const { return {outer_weight_stride_0, outer_weight_stride_1, outer_weight_stride_2, outer_weight_stride_3}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 4> outer_accumulator_strides() const { return {outer_accumulator_stride_0, outer_accumulator_stride_1, outer_accumulator_stride_2, outer_accumulator_stride_3}; }
    [[nodiscard]] constexpr std::array<std::uint16_t, 3> inner_counts() const { return {inner_count_0, inner_count_1, inner_count_2}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 3> inner_input_strides() const { return {inner_input_stride_0, inner_input_stride_1, inner_input_stride_2}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 3> inner_accumulator_strides() const { return {inner_accumulator_stride_0, inner_accumulator_stride_1, inner_accumulator_stride_2}; }
};

/// One pass of the vector pipeline over five nested loops (loop 0 outermost); all arithmetic is float32.
struct Vector {
    static constexpr Opcode OPCODE = Opcode::VECTOR;
    static constexpr Unit UNIT = Unit::VPU;
    static constexpr unsigned BITS = 952;

    std::uint8_t opcode;  ///< which instruction this is
    std::uint8_t wait;  ///< bit u: take one token of channel (unit u → this unit) before issue
    std::uint8_t signal;  ///< bit u: give one token to channel (this unit → unit u) at retirement
    Source a_source;  ///< kind of operand a
    Source b_source;  ///< kind of operand b
    Operation operation;  ///< joins a and b
    Reduction reduction;  ///< joins the steps of the reduced loops
    Destination destination;  ///< kind of result
    std::uint8_t reduce_loops;  ///< how many innermost loops are reduced, 0 to 5
    bool parameters;  ///< 1: per-lane bias and scale from the parameter records
    bool a_round;  ///< 1: round and clamp a after scaling
    std::uint8_t table;  ///< 0: none; s + 1: look a up in table slot s
    std::uint8_t exchange;  ///< XOR on the lane index for EXCHANGE
    std::uint32_t a;  ///< first vector or row of operand a
    std::uint32_t b;  ///< first vector or row of operand b
    std::uint32_t d;  ///< first vector or row of the result, or the mailbox
    std::uint32_t parameter;  ///< vector address of the first parameter record
    std::int32_t parameter_stride;  ///< vectors per step of loop 0
    std::int16_t a_zero;  ///< subtracted from an integer a
    std::int16_t b_zero;  ///< subtracted from an integer b
    std::int16_t d_zero;  ///< added to an integer result
    float a_scale;  ///< multiplies a
    float a_low;  ///< lower clamp of a rounded a
    float a_high;  ///< upper clamp of a rounded a
    float a_rescale;  ///< multiplies a after rounding and table
    float b_scale;  ///< multiplies b, or is b (IMMEDIATE)
    float scale;  ///< multiplies the reduced result
    float low;  ///< lower clamp of the result
    float high;  ///< upper clamp of the result
    std::uint16_t count_0;  ///< steps of loop 0 (outermost)
    std::uint16_t count_1;  ///< steps of loop 1
    std::uint16_t count_2;  ///< steps of loop 2
    std::uint16_t count_3;  ///< steps of loop 3
    std::uint16_t count_4;  ///< steps of loop 4 (innermost)
    std::int32_t a_stride_0;  ///< vectors or rows per step of loop 0
    std::int32_t a_stride_1;  ///< vectors or rows per step of loop 1
    std::int32_t a_stride_2;  ///< vectors or rows per step of loop 2
    std::int32_t a_stride_3;  ///< vectors or rows per step of loop 3
    std::int32_t a_stride_4;  ///< vectors or rows per step of loop 4
    std::int32_t b_stride_0;  ///< vectors or rows per step of loop 0
    std::int32_t b_stride_1;  ///< vectors or rows per step of loop 1
    std::int32_t b_stride_2;  ///< vectors or rows per step of loop 2
    std::int32_t b_stride_3;  ///< vectors or rows per step of loop 3
    std::int32_t b_stride_4;  ///< vectors or rows per step of loop 4
    std::int32_t d_stride_0;  ///< vectors or rows per step of loop 0
    std::int32_t d_stride_1;  ///< vectors or rows per step of loop 1
    std::int32_t d_stride_2;  ///< vectors or rows per step of loop 2
    std::int32_t d_stride_3;  ///< vectors or rows per step of loop 3
    std::int32_t d_stride_4;  ///< vectors or rows per step of loop 4

    [[nodiscard]] static constexpr Vector decode(const std::uint8_t* data) {
        Vector result{};
        result.opcode = static_cast<std::uint8_t>(unsigned_bits<0, 8>(data));
        result.wait = static_cast<std::uint8_t>(unsigned_bits<8, 8>(data));
        result.signal = static_cast<std::uint8_t>(unsigned_bits<16, 8>(data));
        result.a_source = static_cast<Source>(unsigned_bits<24, 8>(data));
        result.b_source = static_cast<Source>(unsigned_bits<32, 8>(data));
        result.operation = static_cast<Operation>(unsigned_bits<40, 8>(data));
        result.reduction = static_cast<Reduction>(unsigned_bits<48, 8>(data));
        result.destination = static_cast<Destination>(unsigned_bits<56, 8>(data));
        result.reduce_loops = static_cast<std::uint8_t>(unsigned_bits<64, 8>(data));
        result.parameters = unsigned_bits<72, 1>(data) != 0;
        result.a_round = unsigned_bits<73, 1>(data) != 0;
        result.table = static_cast<std::uint8_t>(unsigned_bits<74, 6>(data));
        result.exchange = static_cast<std::uint8_t>(unsigned_bits<80, 8>(data));
        result.a = static_cast<std::uint32_t>(unsigned_bits<88, 24>(data));
        result.b = static_cast<std::uint32_t>(unsigned_bits<112, 24>(data));
        result.d = static_cast<std::uint32_t>(unsigned_bits<136, 24>(data));
        result.parameter = static_cast<std::uint32_t>(unsigned_bits<160, 24>(data));
        result.parameter_stride = static_cast<std::int32_t>(signed_bits<184, 24>(data));
        result.a_zero = static_cast<std::int16_t>(signed_bits<208, 16>(data));
        result.b_zero = static_cast<std::int16_t>(signed_bits<224, 16>(data));
        result.d_zero = static_cast<std::int16_t>(signed_bits<240, 16>(data));
        result.a_scale = std::bit_cast<float>(unsigned_bits<256, 32>(data));
        result.a_low = std::bit_cast<float>(unsigned_bits<288, 32>(data));
        result.a_high = std::bit_cast<float>(unsigned_bits<320, 32>(data));
        result.a_rescale = std::bit_cast<float>(unsigned_bits<352, 32>(data));
        result.b_scale = std::bit_cast<float>(unsigned_bits<384, 32>(data));
        result.scale = std::bit_cast<float>(unsigned_bits<416, 32>(data));
        result.low = std::bit_cast<float>(unsigned_bits<448, 32>(data));
        result.high = std::bit_cast<float>(unsigned_bits<480, 32>(data));
        result.count_0 = static_cast<std::uint16_t>(unsigned_bits<512, 16>(data));
        result.count_1 = static_cast<std::uint16_t>(unsigned_bits<528, 16>(data));
        result.count_2 = static_cast<std::uint16_t>(unsigned_bits<544, 16>(data));
        result.count_3 = static_cast<std::uint16_t>(unsigned_bits<560, 16>(data));
        result.count_4 = static_cast<std::uint16_t>(unsigned_bits<576, 16>(data));
        result.a_stride_0 = static_cast<std::int32_t>(signed_bits<592, 24>(data));
        result.a_stride_1 = static_cast<std::int32_t>(signed_bits<616, 24>(data));
        result.a_stride_2 = static_cast<std::int32_t>(signed_bits<640, 24>(data));
        result.a_stride_3 = static_cast<std::int32_t>(signed_bits<664, 24>(data));
        result.a_stride_4 = static_cast<std::int32_t>(signed_bits<688, 24>(data));
        result.b_stride_0 = static_cast<std::int32_t>(signed_bits<712, 24>(data));
        result.b_stride_1 = static_cast<std::int32_t>(signed_bits<736, 24>(data));
        result.b_stride_2 = static_cast<std::int32_t>(signed_bits<760, 24>(data));
        result.b_stride_3 = static_cast<std::int32_t>(signed_bits<784, 24>(data));
        result.b_stride_4 = static_cast<std::int32_t>(signed_bits<808, 24>(data));
        result.d_stride_0 = static_cast<std::int32_t>(signed_bits<832, 24>(data));
        result.d_stride_1 = static_cast<std::int32_t>(signed_bits<856, 24>(data));
        result.d_stride_2 = static_cast<std::int32_t>(signed_bits<880, 24>(data));
        result.d_stride_3 = static_cast<std::int32_t>(signed_bits<904, 24>(data));
        result.d_stride_4 = static_cast<std::int32_t>(signed_bits<928, 24>(data));
        return result;
    }

    /// False when an enumeration's field holds no member.
    [[nodiscard]] constexpr bool enums_legal() const { return static_cast<unsigned>(a_source) <= 5u && static_cast<unsigned>(b_source) <= 5u && static_cast<unsigned>(operation) <= 12u && static_cast<unsigned>(reduction) <= 3u && static_cast<unsigned>(destination) <= 4u; }
    [[nodiscard]] constexpr std::array<std::uint16_t, 5> counts() const { return {count_0, count_1, count_2, count_3, count_4}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 5> a_strides() const { return {a_stride_0, a_stride_1, a_stride_2, a_stride_3, a_stride_4}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 5> b_strides() const { return {b_stride_0, b_stride_1, b_stride_2, b_stride_3, b_stride_4}; }
    [[nodiscard]] constexpr std::array<std::int32_t, 5> d_strides() const { return {d_stride_0, d_stride_1, d_stride_2, d_stride_3, d_stride_4}; }
};

/// Loads a table slot: TABLE_ENTRIES little-endian 32-bit words from scratchpad vector address `source` on.
struct Table {
    static constexpr Opcode OPCODE = Opcode::TABLE;
    static constexpr Unit UNIT = Unit::VPU;
    static constexpr unsigned BITS = 56;

    std::uint8_t opcode;  ///< which instruction this is
    std::uint8_t wait;  ///< bit u: take one token of channel (unit u → this unit) before issue
    std::uint8_t signal;  ///< bit u: give one token to channel (this unit → unit u) at retirement
    std::uint8_t slot;  ///< table slot
    std::uint32_t source;  ///< vector address of entry 0

    [[nodiscard]] static constexpr Table decode(const std::uint8_t* data) {
        Table result{};
        result.opcode = static_cast<std::uint8_t>(unsigned_bits<0, 8>(data));
        result.wait = static_cast<std::uint8_t>(unsigned_bits<8, 8>(data));
        result.signal = static_cast<std::uint8_t>(unsigned_bits<16, 8>(data));
        result.slot = static_cast<std::uint8_t>(unsigned_bits<24, 8>(data));
        result.source = static_cast<std::uint32_t>(unsigned_bits<32, 24>(data));
        return result;
    }

    /// False when an enumeration's field holds no member.
    [[nodiscard]] constexpr bool enums_legal() const { return true; }
};

/// The unit that executes an opcode and its BITS; BITS = 0 when the opcode does not exist.
struct OpcodeInfo {
    Unit unit;
    unsigned bits;
    const char* mnemonic;
};
[[nodiscard]] constexpr OpcodeInfo opcode_info(std::uint8_t opcode) {
    switch (static_cast<Opcode>(opcode)) {
        case Opcode::HALT: return {Halt::UNIT, Halt::BITS, "HALT"};
        case Opcode::JUMP: return {Jump::UNIT, Jump::BITS, "JUMP"};
        case Opcode::REGISTER: return {Register::UNIT, Register::BITS, "REGISTER"};
        case Opcode::LOAD: return {Load::UNIT, Load::BITS, "LOAD"};
        case Opcode::STORE: return {Store::UNIT, Store::BITS, "STORE"};
        case Opcode::FILL: return {Fill::UNIT, Fill::BITS, "FILL"};
        case Opcode::MATMUL: return {Matmul::UNIT, Matmul::BITS, "MATMUL"};
        case Opcode::VECTOR: return {Vector::UNIT, Vector::BITS, "VECTOR"};
        case Opcode::TABLE: return {Table::UNIT, Table::BITS, "TABLE"};
        default: return {Unit::FETCH, 0, "?"};
    }
}
}  // namespace weft::isa
