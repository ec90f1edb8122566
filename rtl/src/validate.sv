// The checks of dispatch that one instruction needs, in the order of weft_sim.isa.instruction.Instruction.validate. They
// take the DECODE_CYCLES cycles in which step_i counts down to 1 (one loop each, and the last one to compare); `cause_o` holds from the
// next one on.
module validate
  import weft_pkg::*;
(
  input  logic        clk_i,
  input  logic [weft_isa_pkg::INSTRUCTION_BITS-1:0] instruction_i,
  input  logic [3:0]  step_i,  // DECODE_CYCLES to 1; 0: nothing to do
  input  logic [31:0] base_i,  // the base register that the instruction names
  input  logic [31:0] dram_bytes_i,
  output weft_isa_pkg::fault_cause_e cause_o
);
  import weft_isa_pkg::*;

  localparam int unsigned Loops = 7;  // at most, in MATMUL

  logic [7:0] opcode;
  jump_t jump;
  register_t register;
  load_t transfer;
  fill_t fill;
  matmul_t matmul;
  vector_t vector;
  table_t table_load;

  assign opcode = instruction_i[7:0];
  assign jump = instruction_i[JUMP_BITS-1:0];
  assign register = instruction_i[REGISTER_BITS-1:0];
  assign transfer = instruction_i[LOAD_BITS-1:0];
  assign fill = instruction_i[FILL_BITS-1:0];
  assign matmul = instruction_i[MATMUL_BITS-1:0];
  assign vector = instruction_i[VECTOR_BITS-1:0];
  assign table_load = instruction_i[TABLE_BITS-1:0];

  logic enable, first;
  logic [2:0] loop_index;  // the loop that this cycle looks at

  assign enable = step_i != '0;
  assign first = step_i == 4'(DECODE_CYCLES);
  assign loop_index = 3'(4'(DECODE_CYCLES) - step_i);

  // Fields.

  function automatic logic reserved_clear(logic [INSTRUCTION_BITS-1:0] bits, logic [7:0] code);
    case (code)
      OPCODE_HALT: return bits[INSTRUCTION_BITS-1:HALT_BITS] == '0;
      OPCODE_JUMP: return bits[INSTRUCTION_BITS-1:JUMP_BITS] == '0;
      OPCODE_REGISTER: return bits[INSTRUCTION_BITS-1:REGISTER_BITS] == '0;
      OPCODE_LOAD: return bits[INSTRUCTION_BITS-1:LOAD_BITS] == '0;
      OPCODE_STORE: return bits[INSTRUCTION_BITS-1:STORE_BITS] == '0;
      OPCODE_FILL: return bits[INSTRUCTION_BITS-1:FILL_BITS] == '0;
      OPCODE_MATMUL: return bits[INSTRUCTION_BITS-1:MATMUL_BITS] == '0;
      OPCODE_VECTOR: return bits[INSTRUCTION_BITS-1:VECTOR_BITS] == '0;
      default: return bits[INSTRUCTION_BITS-1:TABLE_BITS] == '0;
    endcase
  endfunction

  // Within the operand's type, so that an operand less its zero point has ValueBits.
  function automatic logic zero_point_legal(logic signed [15:0] zero, logic is_signed);
    return is_signed ? zero[15:7] == {9{zero[7]}} : zero[15:8] == '0;
  endfunction

  function automatic logic window_legal(matmul_t m);
    if (m.mode == MATMUL_MODE_DENSE) begin
      return m.window_rows == 8'd1 && m.window_columns == 8'd1 && m.row_shift == 8'd0 && m.column_shift == 8'd0;
    end
    return m.window_rows >= 8'd1 && m.window_rows <= 8'(DEPTHWISE_ROWS) && m.window_columns >= 8'd1
        && 16'(m.window_rows) * 16'(m.window_columns) == 16'(m.weight_rows)
        && m.weight_order == WEIGHT_ORDER_ROWS && m.row_shift <= 8'd2 && m.column_shift <= 8'd2
        && m.inner_count_1 >= 16'(m.window_rows) && m.inner_count_2 >= 16'(m.window_columns)
        && (m.window_rows == 8'd1 || 32'(m.inner_count_2) <= Config.line_depth);
  endfunction

  function automatic logic matmul_legal(matmul_t m);
    return matmul_enums_legal(m)
        && m.input_lanes >= 8'd1 && 32'(m.input_lanes) <= Lanes
        && m.weight_rows >= 8'd1 && 32'(m.weight_rows) <= Lanes
        && zero_point_legal(m.input_zero, m.input_signed) && zero_point_legal(m.weight_zero, m.weight_signed)
        && window_legal(m);
  endfunction

  function automatic logic vector_legal(vector_t v);
    return vector_enums_legal(v)
        && v.a_source != SOURCE_IMMEDIATE && v.a_source != SOURCE_EXCHANGE
        && v.reduce_loops <= 8'd5 && (v.reduce_loops == 8'd0) == (v.reduction == REDUCTION_NONE)
        && 32'(v.table_) <= TABLE_SLOTS && 32'(v.exchange) < Lanes
        && (v.destination != DESTINATION_MAILBOX || v.d < 24'(MAILBOXES));
  endfunction

  function automatic logic masks_legal(logic [7:0] wait_mask, logic [7:0] signal_mask, logic [7:0] code);
    logic [7:0] named;
    named = wait_mask | signal_mask;
    return named[7:Units] == '0 && !named[3'(opcode_unit(code))];
  endfunction

  logic fields_legal;
  always_comb begin
    case (opcode)
      OPCODE_JUMP: fields_legal = jump_enums_legal(jump) && 32'(jump.mailbox) < MAILBOXES;
      OPCODE_REGISTER: begin
        fields_legal = 32'(register.destination) < REGISTERS && 32'(register.source) <= NO_REGISTER
                       && 32'(register.mailbox) <= NO_MAILBOX;
      end
      OPCODE_LOAD, OPCODE_STORE: fields_legal = 32'(transfer.register_) < REGISTERS;
      OPCODE_MATMUL: fields_legal = matmul_legal(matmul);
      OPCODE_VECTOR: fields_legal = vector_legal(vector);
      OPCODE_TABLE: fields_legal = 32'(table_load.slot) < TABLE_SLOTS;
      default: fields_legal = 1'b1;
    endcase
    fields_legal = fields_legal && reserved_clear(instruction_i, opcode)
                   && masks_legal(transfer.wait_, transfer.signal, opcode);
  end

  logic opcode_exists_q, fields_legal_q;
  always_ff @(posedge clk_i) begin
    if (first) begin
      opcode_exists_q <= opcode_bits(opcode) != 0;
      fields_legal_q <= fields_legal;
    end
  end

  // Work: the product of all loop counts, and of the run's bytes, one factor per cycle.

  logic [Loops-1:0][15:0] counts;
  always_comb begin
    counts = {Loops{16'd1}};
    case (opcode)
      OPCODE_LOAD, OPCODE_STORE: begin
        counts[4:0] = {transfer.run_bytes, transfer.count_3, transfer.count_2, transfer.count_1, transfer.count_0};
      end
      OPCODE_FILL: counts[4:0] = {fill.run_bytes, fill.count_3, fill.count_2, fill.count_1, fill.count_0};
      OPCODE_MATMUL: begin
        counts = {matmul.inner_count_2, matmul.inner_count_1, matmul.inner_count_0, matmul.outer_count_3,
                  matmul.outer_count_2, matmul.outer_count_1, matmul.outer_count_0};
      end
      OPCODE_VECTOR: counts[4:0] = {vector.count_4, vector.count_3, vector.count_2, vector.count_1, vector.count_0};
      default: ;
    endcase
  end

  localparam int unsigned WorkBits = $clog2(MAX_WORK + 1);
  logic [15:0] count;
  logic [WorkBits-1:0] work_q, work_so_far;
  logic [WorkBits+15:0] work;
  logic work_illegal_q, work_grows;

  assign count = 32'(loop_index) < Loops ? counts[loop_index] : 16'd1;
  assign work_so_far = first ? WorkBits'(1) : work_q;
  assign work = (WorkBits + 16)'(work_so_far) * (WorkBits + 16)'(count);
  assign work_grows = work > (WorkBits + 16)'(MAX_WORK);

  always_ff @(posedge clk_i) begin
    if (enable) begin
      work_q <= work_grows ? WorkBits'(MAX_WORK) : WorkBits'(work);
      work_illegal_q <= (!first && work_illegal_q) || work_grows || count == 16'd0;
    end
  end

  // Address ranges: up to four operands side by side, one loop per cycle.

  range_operand_t [RangeOperands-1:0] operand;
  logic signed [RangeOperands-1:0][35:0] base;
  logic [RangeOperands-1:0][15:0] loop_count;
  logic signed [RangeOperands-1:0][31:0] loop_stride;
  range_bound_t lowest [RangeOperands];
  range_bound_t highest [RangeOperands];
  logic [RangeOperands-1:0] outside;
  fault_cause_e range_cause, range_cause_q;

  range_operands u_operands (
    .instruction_i, .loop_i(loop_index), .base_register_i(base_i), .dram_bytes_i,
    .operand_o(operand), .base_o(base), .count_o(loop_count), .stride_o(loop_stride)
  );

  for (genvar o = 0; o < RangeOperands; o++) begin : gen_operand
    range_check u_check (
      .clk_i, .enable_i(enable), .first_i(first), .base_i(base[o]), .count_i(loop_count[o]), .stride_i(loop_stride[o]),
      .lowest_o(lowest[o]), .highest_o(highest[o])
    );
    assign outside[o] = operand[o].used && (lowest[o] < 0 || highest[o] + operand[o].length > operand[o].size);
  end

  always_comb begin
    range_cause = FAULT_CAUSE_NONE;
    for (int unsigned o = 0; o < RangeOperands; o++) begin
      if (outside[o] && (range_cause == FAULT_CAUSE_NONE || operand[o].cause < range_cause)) range_cause = operand[o].cause;
    end
  end

  always_ff @(posedge clk_i) begin
    if (step_i == 4'd1) range_cause_q <= range_cause;
  end

  always_comb begin
    if (!opcode_exists_q) cause_o = FAULT_CAUSE_ILLEGAL_OPCODE;
    else if (!fields_legal_q || work_illegal_q) cause_o = FAULT_CAUSE_ILLEGAL_FIELD;
    else cause_o = range_cause_q;
  end
endmodule
