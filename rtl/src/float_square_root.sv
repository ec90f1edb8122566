// √x in each lane, a digit recurrence: 1 normalize and take off the root's leading one; 2 to 7 four bits of the root each, which
// makes 23 behind the leading one and the guard bit; 8 round. One root at a time; the owner counts the cycles. (Why lanes are
// loops: see float_add.)
module float_square_root
  import binary32_pkg::*;
#(
  parameter int unsigned Lanes = 1
) (
  input  logic               clk_i,
  input  logic               start_i,
  input  logic               step_i,  // in six cycles between start_i and round_i
  input  logic               round_i,
  input  float_t [Lanes-1:0] x_i,
  output float_t [Lanes-1:0] result_o
);
  localparam int unsigned BitsPerStep = 4;

  typedef struct packed {
    logic special;  // the result is known
    float_t known;
    logic [8:0] exponent;
    logic [23:0] radicand;   // what of it has not been used, in its highest bits
    logic [26:0] remainder;  // at most twice the root
    logic [24:0] root;
  } extraction_t;

  function automatic extraction_t start(float_t x);
    extraction_t extraction;
    logic [4:0] zeros;
    logic signed [9:0] power;
    logic [23:0] normal;
    zeros = leading_zeros({significand(x), 8'd0});
    normal = significand(x) << zeros;
    power = 10'(exponent(x)) - 10'(zeros) - 10'(Bias);
    extraction.special = is_nan(x) || is_zero(x) || x[31] || is_infinite(x);
    extraction.known = is_nan(x) || (x[31] && !is_zero(x)) ? NotANumber : x;
    extraction.exponent = 9'((power >>> 1) + 10'(Bias));
    // In [1, 4): two bits before the point, less the leading one's square.
    extraction.remainder = power[0] ? 27'd1 + 27'(normal[22]) : 27'd0;
    extraction.radicand = power[0] ? {normal[21:0], 2'd0} : {normal[22:0], 1'b0};
    extraction.root = 25'd1;
    return extraction;
  endfunction

  function automatic extraction_t step(extraction_t extraction);
    extraction_t next;
    logic [28:0] rest;
    logic [26:0] trial;
    next = extraction;
    for (int unsigned i = 0; i < BitsPerStep; i++) begin
      rest = {next.remainder, next.radicand[23:22]};
      trial = {next.root, 2'd1};
      next.radicand = {next.radicand[21:0], 2'd0};
      if (rest >= 29'(trial)) begin
        rest = rest - 29'(trial);
        next.root = {next.root[23:0], 1'b1};
      end else begin
        next.root = {next.root[23:0], 1'b0};
      end
      next.remainder = rest[26:0];
    end
    return next;
  endfunction

  function automatic float_t finish(extraction_t extraction);
    if (extraction.special) return extraction.known;
    return round(1'b0, extraction.exponent, {1'b0, extraction.root, 1'b0, extraction.remainder != '0});
  endfunction

  extraction_t [Lanes-1:0] extraction_q;
  float_t [Lanes-1:0] result_q;

  always_ff @(posedge clk_i) begin
    automatic extraction_t [Lanes-1:0] next;
    if (start_i || step_i) begin
      /* verilator unroll_disable */
      for (int unsigned l = 0; l < Lanes; l++) next[l] = start_i ? start(x_i[l]) : step(extraction_q[l]);
      extraction_q <= next;
    end
  end
  always_ff @(posedge clk_i) begin
    automatic float_t [Lanes-1:0] next;
    if (round_i) begin
      /* verilator unroll_disable */
      for (int unsigned l = 0; l < Lanes; l++) next[l] = finish(extraction_q[l]);
      result_q <= next;
    end
  end

  assign result_o = result_q;
endmodule
