// x ÷ y in each lane, a digit recurrence: 1 normalize both and take off the quotient's leading one; 2 to 7 four quotient bits
// each, which makes 23 behind the leading one and the guard bit; 8 round. One division at a time; the owner counts the cycles.
// (Why lanes are loops: see float_add.)
module float_divide
  import binary32_pkg::*;
#(
  parameter int unsigned Lanes = 1
) (
  input  logic               clk_i,
  input  logic               start_i,
  input  logic               step_i,  // in six cycles between start_i and round_i
  input  logic               round_i,
  input  float_t [Lanes-1:0] x_i,
  input  float_t [Lanes-1:0] y_i,
  output float_t [Lanes-1:0] result_o
);
  localparam int unsigned BitsPerStep = 4;

  typedef struct packed {
    logic nan;
    logic infinite;
    logic zero;
    logic sign;
    logic signed [9:0] exponent;
    logic [23:0] divisor;
    logic [23:0] remainder;  // less than the divisor
    logic [24:0] quotient;
  } division_t;

  function automatic division_t start(float_t x, float_t y);
    division_t division;
    logic [4:0] zeros_x, zeros_y;
    logic [23:0] dividend;
    logic [24:0] first;
    logic below;
    zeros_x = leading_zeros({significand(x), 8'd0});
    zeros_y = leading_zeros({significand(y), 8'd0});
    dividend = significand(x) << zeros_x;
    division.divisor = significand(y) << zeros_y;
    below = dividend < division.divisor;
    first = (below ? {dividend, 1'b0} : {1'b0, dividend}) - {1'b0, division.divisor};
    division.remainder = first[23:0];
    division.quotient = 25'd1;
    division.exponent = 10'(exponent(x)) - 10'(zeros_x) - 10'(exponent(y)) + 10'(zeros_y) + 10'(Bias) - 10'(below);
    division.sign = x[31] ^ y[31];
    division.nan = is_nan(x) || is_nan(y) || (is_zero(x) && is_zero(y)) || (is_infinite(x) && is_infinite(y));
    division.infinite = is_infinite(x) || is_zero(y);
    division.zero = is_zero(x) || is_infinite(y);
    return division;
  endfunction

  function automatic division_t step(division_t division);
    division_t next;
    logic [24:0] twice;
    next = division;
    for (int unsigned i = 0; i < BitsPerStep; i++) begin
      twice = {next.remainder, 1'b0};
      if (twice >= {1'b0, next.divisor}) begin
        twice = twice - {1'b0, next.divisor};
        next.quotient = {next.quotient[23:0], 1'b1};
      end else begin
        next.quotient = {next.quotient[23:0], 1'b0};
      end
      next.remainder = twice[23:0];
    end
    return next;
  endfunction

  function automatic float_t finish(division_t division);
    sum_t sum;
    if (division.nan) return NotANumber;
    if (division.infinite) return {division.sign, Infinity};
    if (division.zero) return {division.sign, 31'd0};
    sum = {1'b0, division.quotient, 1'b0, division.remainder != '0};
    if (division.exponent >= 10'sd1) return round(division.sign, division.exponent[8:0], sum);
    return round(division.sign, 9'd1, denormalize(sum, 10'd1 - division.exponent));
  endfunction

  division_t [Lanes-1:0] division_q;
  float_t [Lanes-1:0] result_q;

  always_ff @(posedge clk_i) begin
    automatic division_t [Lanes-1:0] next;
    if (start_i || step_i) begin
      /* verilator unroll_disable */
      for (int unsigned l = 0; l < Lanes; l++) next[l] = start_i ? start(x_i[l], y_i[l]) : step(division_q[l]);
      division_q <= next;
    end
  end
  always_ff @(posedge clk_i) begin
    automatic float_t [Lanes-1:0] next;
    if (round_i) begin
      /* verilator unroll_disable */
      for (int unsigned l = 0; l < Lanes; l++) next[l] = finish(division_q[l]);
      result_q <= next;
    end
  end

  assign result_o = result_q;
endmodule
