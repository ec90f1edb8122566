// The reduction over the innermost loops in one lane, two stages. MAXIMUM and MINIMUM feed back after one cycle, SUM after
// two; its steps come SUM_INTERVAL cycles apart.
module vpu_reduce
  import binary32_pkg::*;
(
  input  logic       clk_i,
  input  logic [2:1] enable_i,     // the step in this stage moves on
  input  logic [2:1] first_i,      // … and begins a reduction
  input  logic [7:0] reduction_i,  // reduction_e
  input  float_t     value_i,
  output float_t     result_o
);
  import weft_isa_pkg::*;

  logic sums, added_q;
  float_t extreme_q, passed_q, sum;

  assign sums = reduction_i == REDUCTION_SUM;

  always_ff @(posedge clk_i) begin
    if (enable_i[1]) begin
      if (first_i[1] || sums) extreme_q <= value_i;
      else if (reduction_i == REDUCTION_MAXIMUM) extreme_q <= maximum(extreme_q, value_i);
      else extreme_q <= minimum(extreme_q, value_i);
    end
    if (enable_i[2]) begin
      passed_q <= extreme_q;
      added_q <= sums && !first_i[2];
    end
  end

  float_add u_add (
    .clk_i, .enable_i({enable_i[2] && sums, enable_i[1] && sums}), .x_i(result_o), .y_i(value_i), .result_o(sum)
  );

  assign result_o = added_q ? sum : passed_q;

`ifndef SYNTHESIS
  if (SUM_INTERVAL < 2) begin : gen_interval
    $error("a sum takes two cycles");
  end
  assert property (@(posedge clk_i) sums && enable_i[1] |-> !enable_i[2]);
`endif
endmodule
