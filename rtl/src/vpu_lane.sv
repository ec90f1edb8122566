// One lane of the VPU's pipeline (docs/machine.md, VPU; the instruction VECTOR says what it computes). A step is in stage k in
// the k-th cycle after its operands' grant, freezes apart; registers named _q hold what the stage behind them starts from.
//
//    1    operands arrive, offsets     2    to float            3, 4  × scale
//    5    a: round, clamp              6    table's index       7     table is read      8, 9  × rescale
//   10…17 operation                   18, 19 reduction         20, 21 × scale
//   22    clamp, to integer           23    zero point, saturate                        24    the result is written
module vpu_lane
  import weft_pkg::*;
  import binary32_pkg::*;
#(
  parameter int unsigned Stages = 24
) (
  input  logic              clk_i,
  input  logic [Stages-1:1] enable_i,   // the step in this stage moves on; behind the reduction, only a result does
  input  logic [19:18]      first_i,    // the step in this stage begins a reduction
  input  weft_isa_pkg::vector_t task_i,

  input  logic              a_arrives_i,
  input  logic [7:0]        a_byte_i,
  input  logic [31:0]       a_word_i,
  input  logic [31:0]       a_offset_i,  // bias less zero point
  input  float_t            a_scale_i,   // the lane's
  input  logic              b_arrives_i,
  input  logic [7:0]        b_byte_i,
  input  logic [31:0]       b_word_i,

  output logic [7:0]        index_o,     // of the table's entry, in stage 7
  input  float_t            entry_i,     // in stage 8
  output float_t            a_o,         // in stage 10, for the exchange between lanes
  input  float_t            exchanged_i,
  output logic [31:0]       result_o     // in stage 24; a byte is in the lowest bits
);
  import weft_isa_pkg::*;

  // 1 to 4.

  float_t a_scaled, b_scaled;

  vpu_operand u_a (
    .clk_i, .enable_i(enable_i[4:1]), .arrives_i(a_arrives_i), .byte_i(a_byte_i), .word_i(a_word_i),
    .is_byte_i(task_i.a_source <= SOURCE_SCRATCHPAD_U8), .is_signed_i(task_i.a_source == SOURCE_SCRATCHPAD_S8),
    .is_float_i(task_i.a_source == SOURCE_ACCUMULATOR_F32), .offset_i(a_offset_i), .scale_i(a_scale_i),
    .result_o(a_scaled)
  );

  logic b_read;  // b comes from a memory
  logic [4:1] b_enable;
  assign b_read = task_i.b_source <= SOURCE_ACCUMULATOR_F32;
  assign b_enable = b_read ? enable_i[4:1] : '0;

  vpu_operand u_b (
    .clk_i, .enable_i(b_enable), .arrives_i(b_arrives_i), .byte_i(b_byte_i), .word_i(b_word_i),
    .is_byte_i(task_i.b_source <= SOURCE_SCRATCHPAD_U8), .is_signed_i(task_i.b_source == SOURCE_SCRATCHPAD_S8),
    .is_float_i(task_i.b_source == SOURCE_ACCUMULATOR_F32), .offset_i(-32'(task_i.b_zero)), .scale_i(task_i.b_scale),
    .result_o(b_scaled)
  );

  // 5 to 9.

  float_t rounded_q, indexed_q, read_q, looked_up, a, b;
  float_t b_waiting_q [6:10];
  logic [7:0] index_q;

  always_ff @(posedge clk_i) begin
    if (enable_i[5]) begin
      if (task_i.a_round) rounded_q <= clamp(rint(a_scaled), task_i.a_low, task_i.a_high);
      else rounded_q <= a_scaled;
    end
    if (enable_i[6]) begin
      indexed_q <= rounded_q;
      if (task_i.table_ != '0) index_q <= 8'(to_integer(rounded_q));
    end
    if (enable_i[7]) read_q <= indexed_q;
  end

  always_ff @(posedge clk_i) begin
    if (b_read) begin
      if (enable_i[5]) b_waiting_q[6] <= b_scaled;
      for (int unsigned k = 6; k < 10; k++) begin
        if (enable_i[k]) b_waiting_q[k+1] <= b_waiting_q[k];
      end
    end
  end

  assign index_o = index_q;
  assign looked_up = task_i.table_ != '0 ? canonical(entry_i) : read_q;

  float_multiply u_rescale (
    .clk_i, .enable_i({enable_i[9], enable_i[8]}), .x_i(looked_up), .y_i(task_i.a_rescale), .result_o(a)
  );

  // 10 to 19.

  float_t joined, reduced;

  assign a_o = a;

  always_comb begin
    case (task_i.b_source)
      SOURCE_IMMEDIATE: b = task_i.b_scale;
      SOURCE_EXCHANGE: b = exchanged_i;
      default: b = b_waiting_q[10];
    endcase
  end

  vpu_join u_join (
    .clk_i, .enable_i(enable_i[17:10]), .operation_i(task_i.operation), .a_i(a), .b_i(b), .result_o(joined)
  );

  vpu_reduce u_reduce (
    .clk_i, .enable_i(enable_i[19:18]), .first_i, .reduction_i(task_i.reduction), .value_i(joined), .result_o(reduced)
  );

  // 20 to 23.

  logic integer_result;
  float_t scaled;
  logic [31:0] whole_q, result_q;

  assign integer_result = task_i.destination != DESTINATION_ACCUMULATOR_F32;

  float_multiply u_scale (
    .clk_i, .enable_i({enable_i[21], enable_i[20]}), .x_i(reduced), .y_i(task_i.scale), .result_o(scaled)
  );

  function automatic logic [31:0] saturate(logic signed [33:0] x, logic signed [33:0] low, logic signed [33:0] high);
    if (x < low) return low[31:0];
    if (x > high) return high[31:0];
    return x[31:0];
  endfunction

  function automatic logic [31:0] encode(logic [31:0] whole, logic signed [15:0] zero, logic [7:0] destination);
    logic signed [33:0] moved;
    moved = 34'(signed'(whole)) + 34'(zero);
    case (destination)
      DESTINATION_SCRATCHPAD_S8: return saturate(moved, -34'sd128, 34'sd127);
      DESTINATION_SCRATCHPAD_U8: return saturate(moved, 34'sd0, 34'sd255);
      default: return saturate(moved, -34'sh8000_0000, 34'sh7fff_ffff);
    endcase
  endfunction

  always_ff @(posedge clk_i) begin
    if (enable_i[22]) begin
      if (integer_result) whole_q <= to_integer(clamp(scaled, task_i.low, task_i.high));
      else whole_q <= clamp(scaled, task_i.low, task_i.high);
    end
    if (enable_i[23]) begin
      if (integer_result) result_q <= encode(whole_q, task_i.d_zero, task_i.destination);
      else result_q <= whole_q;
    end
  end

  assign result_o = result_q;

`ifndef SYNTHESIS
  if (Stages != 24) begin : gen_stages
    $error("the lane has 23 stages and writes in the 24th");
  end
`endif
endmodule
