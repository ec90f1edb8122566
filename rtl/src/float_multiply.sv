// x × y in two cycles: 1 multiply the significands; 2 normalize and round.
module float_multiply
  import binary32_pkg::*;
(
  input  logic       clk_i,
  input  logic [1:0] enable_i,  // the operands are taken; the result is made
  input  float_t     x_i,
  input  float_t     y_i,
  output float_t     result_o
);
  typedef struct packed {
    logic nan;
    logic infinite;
    logic zero;
    logic sign;
    logic signed [9:0] exponent;
    logic [5:0] zeros;  // before the leading one of either significand: as many, or one more, has the product
    logic [47:0] product;
  } product_t;

  function automatic product_t multiply(float_t x, float_t y);
    product_t product;
    product.zero = is_zero(x) || is_zero(y);
    product.infinite = is_infinite(x) || is_infinite(y);
    product.nan = is_nan(x) || is_nan(y) || (product.zero && product.infinite);
    product.sign = x[31] ^ y[31];
    product.exponent = 10'(exponent(x)) + 10'(exponent(y)) - 10'(Bias);
    product.zeros = 6'd0;
    if (x[30:23] == '0) product.zeros = 6'(leading_zeros({significand(x), 8'd0}));
    if (y[30:23] == '0) product.zeros = product.zeros + 6'(leading_zeros({significand(y), 8'd0}));
    product.product = 48'(significand(x)) * 48'(significand(y));
    return product;
  endfunction

  function automatic float_t normalize(product_t product);
    logic [47:0] moved;
    logic [9:0] distance;
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
    distance = product.exponent - 10'd1;
    if (distance > 10'(product.zeros)) distance = 10'(product.zeros);
    moved = product.product << distance;
    return round(product.sign, 9'(product.exponent - distance), {moved[47:21], moved[20:0] != '0});
  endfunction

  product_t product_q;
  float_t result_q;

  always_ff @(posedge clk_i) begin
    if (enable_i[0]) product_q <= multiply(x_i, y_i);
    if (enable_i[1]) result_q <= normalize(product_q);
  end

  assign result_o = result_q;
endmodule
