// x × y in each lane, in two cycles: 1 multiply the significands; 2 normalize and round. (Why lanes are loops:
// see float_add.)
module float_multiply
  import binary32_pkg::*;
#(
  parameter int unsigned Lanes = 1,
  parameter int unsigned Factors = Lanes  // or 1: all lanes have the same y
) (
  input  logic               clk_i,
  input  logic   [1:0]       enable_i,  // the operands are taken; the result is made
  input  float_t [Lanes-1:0] x_i,
  input  float_t [Factors-1:0] y_i,
  output float_t [Lanes-1:0] result_o
);
  typedef struct packed {
    logic nan;
    logic infinite;
    logic zero;
    logic sign;
    logic signed [9:0] exponent;
    logic [47:0] product;
  } product_t;

  function automatic product_t multiply(float_t x, float_t y);
    product_t product;
    product.zero = is_zero(x) || is_zero(y);
    product.infinite = is_infinite(x) || is_infinite(y);
    product.nan = is_nan(x) || is_nan(y) || (product.zero && product.infinite);
    product.sign = x[31] ^ y[31];
    product.exponent = 10'(exponent(x)) + 10'(exponent(y)) - 10'(Bias);
    product.product = 48'(significand(x)) * 48'(significand(y));
    return product;
  endfunction

  function automatic float_t normalize(product_t product);
    logic [47:0] moved;
    logic [9:0] distance, zeros;
    logic sticky;
    if (product.nan) return NotANumber;
    if (product.infinite) return {product.sign, Infinity};
    if (product.zero) return {product.sign, 31'd0};
    if (product.exponent < 10'sd1) begin
      distance = 10'd1 - product.exponent;
      moved = product.product >> distance;
      sticky = (moved << distance) != product.product || moved[19:0] != '0;
      return round(product.sign, 9'd1, {moved[47:21], moved[20] || sticky});
    end
    // The leading one is in bit 47 or 46 unless a factor is subnormal. Both are not, here: so it is in bit 23 or above.
    zeros = product.product[47] ? 10'd0 : 10'(leading_zeros(product.product[46:15]));
    distance = product.exponent - 10'd1;
    if (distance > zeros) distance = zeros;
    moved = product.product << distance;
    return round(product.sign, 9'(product.exponent - distance), {moved[47:21], moved[20:0] != '0});
  endfunction

  product_t product_q [Lanes];
  float_t [Lanes-1:0] result_q;

  always_ff @(posedge clk_i) begin
    automatic product_t next [Lanes];
    if (enable_i[0]) begin
      /* verilator unroll_disable */
      for (int unsigned l = 0; l < Lanes; l++) next[l] = multiply(x_i[l], y_i[Factors == 1 ? 0 : l]);
      product_q <= next;
    end
  end
  always_ff @(posedge clk_i) begin
    automatic float_t [Lanes-1:0] next;
    if (enable_i[1]) begin
      /* verilator unroll_disable */
      for (int unsigned l = 0; l < Lanes; l++) next[l] = normalize(product_q[l]);
      result_q <= next;
    end
  end

  assign result_o = result_q;
endmodule
