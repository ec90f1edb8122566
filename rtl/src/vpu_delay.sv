// Words that wait for as many stages as the enable has bits.
module vpu_delay
  import weft_pkg::*;
#(
  parameter int unsigned Stages = 4
) (
  input  logic              clk_i,
  input  logic [Stages:1]   enable_i,  // the step in this stage moves on
  input  words_t            value_i,
  output words_t            result_o
);
  words_t stage_q;

  always_ff @(posedge clk_i) begin
    if (enable_i[1]) stage_q <= value_i;
  end

  if (Stages == 1) begin : gen_end
    assign result_o = stage_q;
  end else begin : gen_rest
    vpu_delay #(.Stages(Stages - 1)) u_rest (.clk_i, .enable_i(enable_i[Stages:2]), .value_i(stage_q), .result_o);
  end
endmodule
