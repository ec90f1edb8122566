// Sizes and types of the machine that is built. Everything follows from one constant of weft_config_pkg, chosen by the
// macro WEFT_CONFIG (WEFT_16 unless the build says otherwise).
`ifndef WEFT_PKG_SV
`define WEFT_PKG_SV

`ifndef WEFT_CONFIG
`define WEFT_CONFIG WEFT_16
`endif

package weft_pkg;

  localparam weft_config_pkg::config_t Config = weft_config_pkg::`WEFT_CONFIG;

  localparam int unsigned Lanes = Config.lanes;
  localparam int unsigned BeatBytes = Config.dram_beat_bytes;
  localparam int unsigned Units = 5;
  localparam logic [2:0] UnitFetch = 3'(weft_isa_pkg::UNIT_FETCH);
  localparam logic [2:0] UnitLoad = 3'(weft_isa_pkg::UNIT_LOAD);
  localparam logic [2:0] UnitStore = 3'(weft_isa_pkg::UNIT_STORE);
  localparam logic [2:0] UnitMxu = 3'(weft_isa_pkg::UNIT_MXU);
  localparam logic [2:0] UnitVpu = 3'(weft_isa_pkg::UNIT_VPU);

  // Address widths. Sums are taken modulo these: dispatch has proved that every final address lies in its memory.
  localparam int unsigned LaneBits = $clog2(Lanes);
  localparam int unsigned BeatBits = $clog2(BeatBytes);
  localparam int unsigned VectorBits = $clog2(Config.vectors);
  localparam int unsigned ByteBits = VectorBits + LaneBits;
  localparam int unsigned RowBits = $clog2(Config.accumulator_rows);
  localparam int unsigned ScratchpadBankBits = Config.scratchpad_banks > 1 ? $clog2(Config.scratchpad_banks) : 1;
  localparam int unsigned RowBankBits = Config.accumulator_banks > 1 ? $clog2(Config.accumulator_banks) : 1;
  localparam int unsigned BankVectors = Config.vectors / Config.scratchpad_banks;
  localparam int unsigned BankRows = Config.accumulator_bank_rows;

  // Operands of the multipliers: 8 bits with or without sign, less a zero point of the same type.
  localparam int unsigned ValueBits = 9;

  typedef logic [VectorBits-1:0] vector_address_t;
  typedef logic [ByteBits-1:0] byte_address_t;
  typedef logic [RowBits-1:0] row_address_t;
  typedef logic [ScratchpadBankBits-1:0] scratchpad_bank_t;
  typedef logic [RowBankBits-1:0] row_bank_t;
  typedef logic [Lanes-1:0][7:0] bytes_t;
  typedef logic [Lanes-1:0][31:0] words_t;
  typedef logic [Lanes-1:0][ValueBits-1:0] values_t;
  typedef logic [Units-1:0] unit_mask_t;

  // What a unit does in a cycle; the order is the C API's.
  typedef enum logic [3:0] {
    ACTIVITY_BUSY = 4'd0,
    ACTIVITY_IDLE = 4'd1,
    ACTIVITY_TOKEN = 4'd2,
    ACTIVITY_QUEUE = 4'd3,
    ACTIVITY_DRAM = 4'd4,
    ACTIVITY_BANK = 4'd5,
    ACTIVITY_WEIGHTS = 4'd6,
    ACTIVITY_WRITE = 4'd7,
    ACTIVITY_INTERVAL = 4'd8,
    ACTIVITY_DRAIN = 4'd9
  } activity_e;

  // Requesters of the scratchpad's ports in order of priority.
  localparam int unsigned ScratchpadReaders = 5;
  localparam int unsigned ReadMxuInput = 0;
  localparam int unsigned ReadMxuWeight = 1;
  localparam int unsigned ReadVpuA = 2;
  localparam int unsigned ReadVpuB = 3;
  localparam int unsigned ReadStore = 4;

  // Requesters of the accumulators' read ports in order of priority.
  localparam int unsigned RowReaders = 3;
  localparam int unsigned RowMxu = 0;
  localparam int unsigned RowVpuA = 1;
  localparam int unsigned RowVpuB = 2;

  // LOAD, STORE and FILL as they wait in a queue, the DRAM address resolved. Loop 3 is the innermost.
  typedef struct packed {
    logic fill;
    logic [7:0] value;
    unit_mask_t signal;
    unit_mask_t wait_;
    logic [31:0] dram;
    byte_address_t scratchpad;
    logic [15:0] run_bytes;
    logic [3:0][15:0] count;
    logic [3:0][31:0] dram_stride;
    logic [3:0][ByteBits-1:0] scratchpad_stride;
  } transfer_t;

  // An operand of an instruction as the range check sees it: it touches `length` units from each of its addresses on, all of
  // which must lie in [0, size), or else `cause` is the fault.
  localparam int unsigned RangeOperands = 4;
  typedef logic signed [51:0] range_bound_t;
  typedef struct packed {
    logic used;
    weft_isa_pkg::fault_cause_e cause;
    range_bound_t size;
    range_bound_t length;
  } range_operand_t;

  function automatic scratchpad_bank_t scratchpad_bank(vector_address_t address);
    scratchpad_bank_t bank;
    bank = '0;
    for (int unsigned k = 1; k < Config.scratchpad_banks; k++) begin
      if (32'(address) >= k * BankVectors) bank = scratchpad_bank_t'(k);
    end
    return bank;
  endfunction

  function automatic row_bank_t row_bank(row_address_t address);
    row_bank_t bank;
    bank = '0;
    for (int unsigned k = 1; k < Config.accumulator_banks; k++) begin
      if (32'(address) >= k * BankRows) bank = row_bank_t'(k);
    end
    return bank;
  endfunction

endpackage

`endif
