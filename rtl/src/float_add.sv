// x + y in two cycles: 1 order, align and add; 2 normalize and round. Zero of opposite operands is +0.
module float_add
  import binary32_pkg::*;
(
  input  logic       clk_i,
  input  logic [1:0] enable_i,  // the operands are taken; the result is made
  input  float_t     x_i,
  input  float_t     y_i,
  output float_t     result_o
);
  typedef struct packed {
    logic special;  // the result is NaN or infinite
    logic nan;
    logic sign;
    logic [7:0] exponent;
    sum_t sum;
  } aligned_t;

  function automatic aligned_t align(float_t x, float_t y);
    aligned_t aligned;
    float_t larger, smaller;
    logic [7:0] distance;
    sum_t augend, addend, moved;
    larger = y[30:0] > x[30:0] ? y : x;
    smaller = y[30:0] > x[30:0] ? x : y;
    distance = exponent(larger) - exponent(smaller);
    augend = {1'b0, significand(larger), 3'd0};
    addend = {1'b0, significand(smaller), 3'd0};
    moved = addend >> distance;
    moved[0] = moved[0] || (moved << distance) != addend;
    aligned.special = larger[30:23] == '1;
    aligned.nan = is_nan(x) || is_nan(y) || (is_infinite(x) && is_infinite(y) && x[31] != y[31]);
    aligned.exponent = exponent(larger);
    aligned.sum = x[31] == y[31] ? augend + moved : augend - moved;
    aligned.sign = aligned.sum == '0 ? x[31] && y[31] : larger[31];
    return aligned;
  endfunction

  function automatic float_t normalize(aligned_t aligned);
    logic [4:0] zeros;
    logic [7:0] most;
    if (aligned.nan) return NotANumber;
    if (aligned.special) return {aligned.sign, Infinity};
    if (aligned.sum == '0) return {aligned.sign, 31'd0};
    zeros = leading_zeros({aligned.sum, 4'd0});
    if (zeros != '0) zeros = zeros - 5'd1;
    most = aligned.exponent - 8'd1;
    if (8'(zeros) > most) zeros = most[4:0];
    return round(aligned.sign, 9'(aligned.exponent) - 9'(zeros), aligned.sum << zeros);
  endfunction

  aligned_t aligned_q;
  float_t result_q;

  always_ff @(posedge clk_i) begin
    if (enable_i[0]) aligned_q <= align(x_i, y_i);
    if (enable_i[1]) result_q <= normalize(aligned_q);
  end

  assign result_o = result_q;
endmodule
