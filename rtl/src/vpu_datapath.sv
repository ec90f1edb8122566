// The VPU's pipeline (docs/machine.md, VPU; the instruction VECTOR says what it computes). A step is in stage k in the k-th cycle
// after its operands' grant, freezes apart.
//
//    1    operands arrive, offsets     2    to float            3, 4  × scale
//    5    a: round, clamp              6    table's index       7     table is read      8, 9  × rescale
//   10…17 operation                   18, 19 reduction         20, 21 × scale
//   22    clamp, to integer           23    zero point, saturate                        24    the result is written
module vpu_datapath
  import weft_pkg::*;
#(
  parameter int unsigned Stages = 24
) (
  input  logic              clk_i,
  input  logic [Stages-1:1] enable_i,  // the step in this stage moves on; behind the reduction, only a result does
  input  logic [19:18]      first_i,   // the step in this stage begins a reduction
  input  weft_isa_pkg::vector_t task_i,

  input  logic              a_arrives_i,
  input  bytes_t            a_bytes_i,
  input  words_t            a_words_i,
  input  logic              b_arrives_i,
  input  bytes_t            b_bytes_i,
  input  words_t            b_words_i,

  // A vector of a parameter record or of a table arrives with a_bytes_i.
  input  logic              clear_record_i,
  input  logic [31:0]       clear_scale_i,
  input  logic              record_arrives_i,
  input  logic              table_arrives_i,
  input  logic              table_slot_i,
  input  logic [7:0]        block_vector_i,

  output words_t            result_o   // in stage 24; a byte is in the lowest bits
);
  import weft_isa_pkg::*;

  // 1 to 4.

  words_t bias, scale, a_scaled, b_scaled;
  logic b_read;
  assign b_read = task_i.b_source <= SOURCE_ACCUMULATOR_F32;

  vpu_record u_record (
    .clk_i, .clear_i(clear_record_i), .scale_i(clear_scale_i), .arrives_i(record_arrives_i),
    .vector_i(block_vector_i[2:0]), .data_i(a_bytes_i), .bias_o(bias), .scale_o(scale)
  );

  vpu_operand u_a (
    .clk_i, .enable_i(enable_i[4:1]), .arrives_i(a_arrives_i), .bytes_i(a_bytes_i), .words_i(a_words_i),
    .source_i(task_i.a_source), .zero_i(32'(task_i.a_zero)), .bias_i(bias), .scale_i(scale), .result_o(a_scaled)
  );
  vpu_operand #(.Factors(1)) u_b (
    .clk_i, .enable_i(b_read ? enable_i[4:1] : '0), .arrives_i(b_arrives_i), .bytes_i(b_bytes_i), .words_i(b_words_i),
    .source_i(task_i.b_source), .zero_i(32'(task_i.b_zero)), .bias_i('0), .scale_i(task_i.b_scale),
    .result_o(b_scaled)
  );

  // 5 to 9. Meanwhile b waits.

  words_t a, b, b_waited, exchanged;

  vpu_lookup u_lookup (
    .clk_i, .enable_i(enable_i[9:5]), .rounds_i(task_i.a_round), .low_i(task_i.a_low), .high_i(task_i.a_high),
    .looks_up_i(task_i.table_ != '0), .slot_i(task_i.table_ == 6'd2), .rescale_i(task_i.a_rescale), .value_i(a_scaled),
    .result_o(a), .table_arrives_i, .table_slot_i, .table_vector_i(block_vector_i), .table_data_i(a_bytes_i)
  );

  vpu_delay #(.Stages(5)) u_b_wait (
    .clk_i, .enable_i(b_read ? enable_i[9:5] : '0), .value_i(b_scaled), .result_o(b_waited)
  );

  // 10 to 24.

  words_t joined, reduced;

  for (genvar l = 0; l < Lanes; l++) begin : gen_exchange
    assign exchanged[l] = a[LaneBits'(l) ^ task_i.exchange[LaneBits-1:0]];
  end

  always_comb begin
    case (task_i.b_source)
      SOURCE_IMMEDIATE: b = {Lanes{task_i.b_scale}};
      SOURCE_EXCHANGE: b = exchanged;
      default: b = b_waited;
    endcase
  end

  vpu_join u_join (
    .clk_i, .enable_i(enable_i[17:10]), .operation_i(task_i.operation), .a_i(a), .b_i(b), .result_o(joined)
  );
  vpu_reduce u_reduce (
    .clk_i, .enable_i(enable_i[19:18]), .first_i, .reduction_i(task_i.reduction), .value_i(joined), .result_o(reduced)
  );
  vpu_result u_result (
    .clk_i, .enable_i(enable_i[23:20]), .scale_i(task_i.scale), .low_i(task_i.low), .high_i(task_i.high),
    .zero_i(task_i.d_zero), .destination_i(task_i.destination), .value_i(reduced), .result_o
  );

`ifndef SYNTHESIS
  if (Stages != 24) begin : gen_stages
    $error("there are 23 stages, and results are written in the 24th");
  end
`endif
endmodule
