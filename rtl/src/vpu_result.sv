// What a result goes through behind the reduction, in four stages: 1 and 2 it is scaled, 3 clamped and made an integer, 4 given
// its zero point and saturated. (Why lanes are loops: see float_add.)
module vpu_result
  import weft_pkg::*;
  import binary32_pkg::*;
(
  input  logic               clk_i,
  input  logic [4:1]         enable_i,       // the result in this stage moves on

  // Constant while an instruction is active.
  input  logic [31:0]        scale_i,
  input  logic [31:0]        low_i,
  input  logic [31:0]        high_i,
  input  logic signed [15:0] zero_i,
  input  logic [7:0]         destination_i,  // destination_e

  input  words_t             value_i,
  output words_t             result_o        // a byte is in the lowest bits
);
  import weft_isa_pkg::*;

  function automatic logic [31:0] saturate(logic signed [33:0] value, logic signed [33:0] low, logic signed [33:0] high);
    if (value < low) return low[31:0];
    return value > high ? high[31:0] : value[31:0];
  endfunction

  logic is_integer;
  logic signed [33:0] least, most;
  words_t scaled, whole_q, result_q;

  assign is_integer = destination_i != DESTINATION_ACCUMULATOR_F32;

  always_comb begin
    case (destination_i)
      DESTINATION_SCRATCHPAD_S8: {least, most} = {-34'sd128, 34'sd127};
      DESTINATION_SCRATCHPAD_U8: {least, most} = {34'sd0, 34'sd255};
      default: {least, most} = {-34'sh8000_0000, 34'sh7fff_ffff};
    endcase
  end

  float_multiply #(.Lanes(Lanes), .Factors(1)) u_scale (
    .clk_i, .enable_i(enable_i[2:1]), .x_i(value_i), .y_i(scale_i), .result_o(scaled)
  );

  always_ff @(posedge clk_i) begin
    automatic words_t next;
    if (enable_i[3]) begin
      /* verilator unroll_disable */
      for (int unsigned l = 0; l < Lanes; l++) begin
        next[l] = clamp(scaled[l], low_i, high_i);
        if (is_integer) next[l] = to_integer(next[l]);
      end
      whole_q <= next;
    end
  end
  always_ff @(posedge clk_i) begin
    automatic words_t next;
    if (enable_i[4]) begin
      if (is_integer) begin
        /* verilator unroll_disable */
        for (int unsigned l = 0; l < Lanes; l++) next[l] = saturate(34'(signed'(whole_q[l])) + 34'(zero_i), least, most);
        result_q <= next;
      end else begin
        result_q <= whole_q;
      end
    end
  end

  assign result_o = result_q;
endmodule
