// The reduction over the innermost loops, two stages. MAXIMUM and MINIMUM feed back after one cycle, SUM after two; its steps
// come SUM_INTERVAL cycles apart. (Why lanes are loops: see float_add.)
module vpu_reduce
  import weft_pkg::*;
  import binary32_pkg::*;
(
  input  logic       clk_i,
  input  logic [2:1] enable_i,     // the step in this stage moves on
  input  logic [2:1] first_i,      // … and begins a reduction
  input  logic [7:0] reduction_i,  // reduction_e; constant while an instruction is active
  input  words_t     value_i,
  output words_t     result_o
);
  import weft_isa_pkg::*;

  logic sums, added_q;
  words_t extreme_q, passed_q, sum;

  assign sums = reduction_i == REDUCTION_SUM;

  always_ff @(posedge clk_i) begin
    automatic words_t next;
    if (enable_i[1]) begin
      if (first_i[1] || sums) begin
        extreme_q <= value_i;
      end else begin
        /* verilator unroll_disable */
        for (int unsigned l = 0; l < Lanes; l++) begin
          next[l] = reduction_i == REDUCTION_MAXIMUM ? maximum(extreme_q[l], value_i[l]) : minimum(extreme_q[l], value_i[l]);
        end
        extreme_q <= next;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (enable_i[2]) begin
      passed_q <= extreme_q;
      added_q <= sums && !first_i[2];
    end
  end

  float_add #(.Lanes(Lanes)) u_add (
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
