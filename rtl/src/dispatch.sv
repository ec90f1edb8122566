// FETCH's decoder: checks one instruction at a time and lets it leave to its unit's queue, or executes it where it is FETCH's
// own (docs/machine.md, FETCH). Holds the base registers and the mailboxes.
module dispatch
  import weft_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic        start_i,
  input  logic [15:0][31:0] registers_i,  // bound at the launch
  input  logic [31:0] dram_bytes_i,
  input  logic [31:0] instruction_limit_i,  // 0: none

  // The instruction buffer.
  input  logic        valid_i,
  input  logic [weft_isa_pkg::INSTRUCTION_BITS-1:0] instruction_i,
  input  logic [31:0] index_i,
  input  logic        exhausted_i,
  input  logic [31:0] next_i,
  input  logic        fetch_idle_i,
  output logic        run_o,
  output logic        take_o,
  output logic        jump_o,
  output logic [31:0] target_o,

  // Tokens.
  input  unit_mask_t  tokens_i,
  output logic        issue_o,
  output unit_mask_t  wait_o,
  output logic        retire_o,
  output unit_mask_t  signal_o,

  // The units' queues.
  input  unit_mask_t  queue_full_i,
  output unit_mask_t  push_o,
  output transfer_t   transfer_o,
  output logic [weft_isa_pkg::INSTRUCTION_BITS-1:0] instruction_o,

  // Mailboxes, written by the VPU.
  input  logic        mailbox_write_i,
  input  logic [3:0]  mailbox_number_i,
  input  logic [31:0] mailbox_value_i,
  output logic [15:0][31:0] mailboxes_o,

  input  logic        units_idle_i,  // no instruction in any queue or unit
  output logic        done_o,        // the machine becomes done in this cycle
  output logic        fault_o,       // a fault is found in this cycle
  output weft_isa_pkg::fault_cause_e cause_o,
  output logic [31:0] fault_index_o,
  output activity_e   activity_o,
  output logic        leave_o,       // an instruction leaves in this cycle
  output logic [31:0] leave_index_o,
  output logic [2:0]  leave_unit_o,
  output logic        leave_fill_o,
  output logic [31:0] program_counter_o,  // of the oldest instruction that has not left
  output logic [31:0] next_counter_o      // … in the next cycle
);
  import weft_isa_pkg::*;

  typedef enum logic [1:0] {
    IDLE,
    RUN,
    HALTING,
    FAULTING
  } mode_e;

  mode_e mode_q, mode_d;
  logic decoding_q, tries, leaves, blocked_by_queue, blocked_by_token, checked_wrong, runs_off, own;
  logic [INSTRUCTION_BITS-1:0] instruction_q;
  logic [31:0] index_q, left_q, program_counter_q, next_counter;
  logic [3:0] countdown_q;
  logic [7:0] opcode;
  logic [2:0] unit;
  unit_mask_t wait_mask, signal_mask;
  logic [15:0][31:0] registers_q, mailboxes_q;

  load_t transfer;
  fill_t fill;
  jump_t jump;
  register_t register;

  assign opcode = instruction_q[7:0];
  assign transfer = instruction_q[LOAD_BITS-1:0];
  assign fill = instruction_q[FILL_BITS-1:0];
  assign jump = instruction_q[JUMP_BITS-1:0];
  assign register = instruction_q[REGISTER_BITS-1:0];
  assign unit = 3'(opcode_unit(opcode));
  assign wait_mask = transfer.wait_[Units-1:0];
  assign signal_mask = transfer.signal[Units-1:0];

  // Checks.

  fault_cause_e field_cause, cause;
  logic deadlock, overflow, limit_reached;

  validate u_validate (
    .clk_i, .instruction_i(instruction_q), .step_i(decoding_q ? countdown_q : 4'd0),
    .base_i(registers_q[transfer.register_[3:0]]), .dram_bytes_i, .cause_o(field_cause)
  );

  token_ledger u_ledger (
    .clk_i, .rst_ni, .clear_i(start_i),
    .unit_i(unit), .wait_i(wait_mask), .signal_i(signal_mask), .book_i(leaves),
    .deadlock_o(deadlock), .overflow_o(overflow)
  );

  always_comb begin
    if (field_cause != FAULT_CAUSE_NONE) cause = field_cause;
    else if (deadlock) cause = FAULT_CAUSE_DEADLOCK;
    else if (overflow) cause = FAULT_CAUSE_TOKEN_OVERFLOW;
    else cause = FAULT_CAUSE_NONE;
  end

  // Leaving.

  assign run_o = mode_q == RUN;
  assign take_o = run_o && !decoding_q && valid_i;
  assign tries = run_o && decoding_q && countdown_q == '0;
  assign checked_wrong = tries && cause != FAULT_CAUSE_NONE;
  assign own = unit == UnitFetch;
  assign blocked_by_queue = tries && !checked_wrong && !own && queue_full_i[unit];
  assign blocked_by_token = tries && !checked_wrong && own && (wait_mask & ~tokens_i) != '0;
  assign leaves = tries && !checked_wrong && !blocked_by_queue && !blocked_by_token;
  assign runs_off = run_o && exhausted_i && !decoding_q;

  assign issue_o = leaves && own;
  assign wait_o = wait_mask;
  assign retire_o = issue_o;
  assign signal_o = signal_mask;

  always_comb begin
    push_o = '0;
    push_o[unit] = leaves && !own;
  end

  // JUMP and REGISTER.

  logic condition_holds;
  logic signed [31:0] compared;
  logic [31:0] register_value;

  assign compared = mailboxes_q[jump.mailbox[3:0]];
  always_comb begin
    case (jump.condition)
      CONDITION_EQUAL: condition_holds = compared == jump.value;
      CONDITION_NOT_EQUAL: condition_holds = compared != jump.value;
      CONDITION_LESS: condition_holds = compared < jump.value;
      CONDITION_GREATER_EQUAL: condition_holds = compared >= jump.value;
      default: condition_holds = 1'b1;
    endcase
  end
  assign jump_o = leaves && opcode == OPCODE_JUMP && condition_holds;
  assign target_o = jump.target;
  assign next_counter = jump_o ? jump.target : index_q + 32'd1;
  assign register_value = (register.source == 8'(NO_REGISTER) ? '0 : registers_q[register.source[3:0]]) + register.offset
                          + (register.mailbox == 8'(NO_MAILBOX) ? '0 : mailboxes_q[register.mailbox[3:0]] * register.scale);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      registers_q <= '0;
      mailboxes_q <= '0;
    end else if (start_i) begin
      registers_q <= registers_i;
      mailboxes_q <= '0;
    end else begin
      if (leaves && opcode == OPCODE_REGISTER) registers_q[register.destination[3:0]] <= register_value;
      if (mailbox_write_i) mailboxes_q[mailbox_number_i] <= mailbox_value_i;
    end
  end
  assign mailboxes_o = mailboxes_q;

  // What the queues are given.

  assign instruction_o = instruction_q;
  always_comb begin
    transfer_o.fill = opcode == OPCODE_FILL;
    transfer_o.value = fill.value;
    transfer_o.signal = signal_mask;
    transfer_o.wait_ = wait_mask;
    transfer_o.dram = registers_q[transfer.register_[3:0]] + transfer.offset;
    transfer_o.dram_stride = {transfer.dram_stride_3, transfer.dram_stride_2, transfer.dram_stride_1, transfer.dram_stride_0};
    if (opcode == OPCODE_FILL) begin
      transfer_o.scratchpad = fill.scratchpad[ByteBits-1:0];
      transfer_o.run_bytes = fill.run_bytes;
      transfer_o.count = {fill.count_3, fill.count_2, fill.count_1, fill.count_0};
      transfer_o.scratchpad_stride = {fill.scratchpad_stride_3[ByteBits-1:0], fill.scratchpad_stride_2[ByteBits-1:0],
                                      fill.scratchpad_stride_1[ByteBits-1:0], fill.scratchpad_stride_0[ByteBits-1:0]};
    end else begin
      transfer_o.scratchpad = transfer.scratchpad[ByteBits-1:0];
      transfer_o.run_bytes = transfer.run_bytes;
      transfer_o.count = {transfer.count_3, transfer.count_2, transfer.count_1, transfer.count_0};
      transfer_o.scratchpad_stride = {transfer.scratchpad_stride_3[ByteBits-1:0], transfer.scratchpad_stride_2[ByteBits-1:0],
                                      transfer.scratchpad_stride_1[ByteBits-1:0], transfer.scratchpad_stride_0[ByteBits-1:0]};
    end
  end

  // Mode and decoder.

  assign limit_reached = leaves && opcode != OPCODE_HALT && instruction_limit_i != '0 && left_q + 32'd1 >= instruction_limit_i;
  assign fault_o = checked_wrong || runs_off || limit_reached;
  always_comb begin
    if (checked_wrong) {cause_o, fault_index_o} = {cause, index_q};
    else if (runs_off) {cause_o, fault_index_o} = {FAULT_CAUSE_PROGRAM_RANGE, next_i};
    else {cause_o, fault_index_o} = {FAULT_CAUSE_CYCLE_LIMIT, next_counter};
  end

  assign done_o = (mode_q == HALTING || mode_q == FAULTING) && units_idle_i && fetch_idle_i;

  always_comb begin
    mode_d = mode_q;
    if (done_o) mode_d = IDLE;
    if (leaves && opcode == OPCODE_HALT) mode_d = HALTING;
    if (fault_o) mode_d = FAULTING;
    if (start_i) mode_d = RUN;
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      mode_q <= IDLE;
      decoding_q <= 1'b0;
      countdown_q <= '0;
      left_q <= '0;
      program_counter_q <= '0;
    end else begin
      mode_q <= mode_d;
      decoding_q <= !start_i && (take_o || (decoding_q && !leaves && !checked_wrong));
      if (take_o) countdown_q <= 4'(DECODE_CYCLES);
      else if (countdown_q != '0) countdown_q <= countdown_q - 4'd1;
      if (start_i) begin
        left_q <= '0;
        program_counter_q <= '0;
      end else if (leaves) begin
        left_q <= left_q + 32'd1;
        program_counter_q <= next_counter;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (take_o) begin
      instruction_q <= instruction_i;
      index_q <= index_i;
    end
  end

  assign leave_o = leaves;
  assign leave_index_o = index_q;
  assign leave_unit_o = unit;
  assign leave_fill_o = opcode == OPCODE_FILL;
  assign program_counter_o = program_counter_q;
  assign next_counter_o = leaves ? next_counter : program_counter_q;

  always_comb begin
    if (!run_o) activity_o = ACTIVITY_IDLE;
    else if (!decoding_q) activity_o = ACTIVITY_DRAM;
    else if (blocked_by_queue) activity_o = ACTIVITY_QUEUE;
    else activity_o = blocked_by_token ? ACTIVITY_TOKEN : ACTIVITY_BUSY;
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni) leaves |-> $onehot0(push_o));
  assert property (@(posedge clk_i) disable iff (!rst_ni) start_i |-> mode_q == IDLE);
`endif
endmodule
