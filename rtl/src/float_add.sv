// x + y in each lane, in two cycles: 1 order, align and add; 2 normalize and round. Zero of opposite operands is +0.
//
// Lanes are a loop, not instances, and a stage computes only where it is enabled, because Verilator then makes one piece of code
// for all of them and skips it in most cycles.
module float_add
  import binary32_pkg::*;
#(
  parameter int unsigned Lanes = 1
) (
  input  logic               clk_i,
  input  logic   [1:0]       enable_i,  // the operands are taken; the result is made
  input  float_t [Lanes-1:0] x_i,
  input  float_t [Lanes-1:0] y_i,
  output float_t [Lanes-1:0] result_o
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

  aligned_t aligned_q [Lanes];
  float_t [Lanes-1:0] result_q;

  always_ff @(posedge clk_i) begin
    automatic aligned_t next [Lanes];
    if (enable_i[0]) begin
      /* verilator unroll_disable */
      for (int unsigned l = 0; l < Lanes; l++) next[l] = align(x_i[l], y_i[l]);
      aligned_q <= next;
    end
  end
  always_ff @(posedge clk_i) begin
    automatic float_t [Lanes-1:0] next;
    if (enable_i[1]) begin
      /* verilator unroll_disable */
      for (int unsigned l = 0; l < Lanes; l++) next[l] = normalize(aligned_q[l]);
      result_q <= next;
    end
  end

  assign result_o = result_q;
endmodule
