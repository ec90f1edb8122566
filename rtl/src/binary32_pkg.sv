// IEEE 754 binary32 as the VPU computes it: round to nearest, ties to even; subnormals kept; every NaN that is made is
// 0x7fc00000. Here are the format and what one cycle can do; units of several cycles are modules (float_*.sv).
`ifndef BINARY32_PKG_SV
`define BINARY32_PKG_SV

package binary32_pkg;

  typedef logic [31:0] float_t;

  localparam float_t NotANumber = 32'h7fc0_0000;
  localparam logic [30:0] Infinity = 31'h7f80_0000;
  localparam float_t One = 32'h3f80_0000;
  localparam int unsigned Bias = 127;

  // A significand before rounding: bit 27 is the carry, bit 26 the leading one, bits 2 and lower lie behind the last place;
  // bit 0 is sticky.
  typedef logic [27:0] sum_t;

  function automatic logic is_nan(float_t x);
    return x[30:0] > Infinity;
  endfunction

  function automatic logic is_infinite(float_t x);
    return x[30:0] == Infinity;
  endfunction

  function automatic logic is_zero(float_t x);
    return x[30:0] == '0;
  endfunction

  function automatic float_t canonical(float_t x);
    return is_nan(x) ? NotANumber : x;
  endfunction

  // The exponent as it counts: a subnormal has that of the smallest normal number.
  function automatic logic [7:0] exponent(float_t x);
    return x[30:23] == '0 ? 8'd1 : x[30:23];
  endfunction

  function automatic logic [23:0] significand(float_t x);
    return {x[30:23] != '0, x[22:0]};
  endfunction

  // 0 to 31; 31 for 0 and for 1.
  function automatic logic [4:0] leading_zeros(logic [31:0] x);
    logic [4:0] zeros;
    logic [31:0] rest;
    rest = x;
    zeros[4] = rest[31:16] == '0;
    if (zeros[4]) rest = rest << 16;
    zeros[3] = rest[31:24] == '0;
    if (zeros[3]) rest = rest << 8;
    zeros[2] = rest[31:28] == '0;
    if (zeros[2]) rest = rest << 4;
    zeros[1] = rest[31:30] == '0;
    if (zeros[1]) rest = rest << 2;
    zeros[0] = !rest[31];
    return zeros;
  endfunction

  // Rounds ±sum × 2^(power − Bias − 26). The power is at least 1; below that of a normal number the leading one is
  // absent and the same addition gives a subnormal, because the leading one is what makes the exponent field 1.
  function automatic float_t round(logic sign, logic [8:0] power, sum_t sum);
    logic [23:0] kept;
    logic up;
    logic [31:0] magnitude;
    if (sum[27]) begin
      kept = sum[27:4];
      up = sum[3] && (sum[4] || sum[2:0] != '0);
    end else begin
      kept = sum[26:3];
      up = sum[2] && (sum[3] || sum[1:0] != '0);
    end
    magnitude = {power - 9'd1 + 9'(sum[27]), 23'd0} + 32'(kept) + 32'(up);
    return {sign, magnitude >= 32'(Infinity) ? Infinity : magnitude[30:0]};
  endfunction

  // The significand of a result whose exponent fell below 1 by `below` − 1, moved there.
  function automatic sum_t denormalize(sum_t sum, logic [9:0] below);
    sum_t moved;
    moved = sum >> below;
    return moved | sum_t'((moved << below) != sum);
  endfunction

  // Neither is NaN.
  function automatic logic greater(float_t x, float_t y);
    if (x[31] != y[31]) return y[31] && !(is_zero(x) && is_zero(y));
    return x[30:0] != y[30:0] && ((x[30:0] > y[30:0]) != x[31]);
  endfunction

  // Neither is NaN.
  function automatic logic equal(float_t x, float_t y);
    return x == y || (is_zero(x) && is_zero(y));
  endfunction

  // x > y ? x : y, so of two zeros y.
  function automatic float_t maximum(float_t x, float_t y);
    if (is_nan(x) || is_nan(y)) return NotANumber;
    return greater(x, y) ? x : y;
  endfunction

  // x < y ? x : y, so of two zeros y.
  function automatic float_t minimum(float_t x, float_t y);
    if (is_nan(x) || is_nan(y)) return NotANumber;
    return greater(y, x) ? x : y;
  endfunction

  function automatic float_t clamp(float_t x, float_t low, float_t high);
    return minimum(maximum(x, low), high);
  endfunction

  // To the nearest whole number, ties to even. Rounding is an addition to the bits of the magnitude: a carry out of the
  // significand is the step to the next exponent. (The bit of value 1 of a number in [1, 2) is hidden; the exponent's lowest
  // bit, which stands in its place, is 1 too.)
  function automatic float_t rint(float_t x);
    logic [30:0] unit, moved;
    if (is_nan(x)) return NotANumber;
    if (x[30:23] >= 8'd150) return x;
    if (x[30:23] < 8'd126) return {x[31], 31'd0};
    if (x[30:23] == 8'd126) return {x[31], x[22:0] == '0 ? 31'd0 : One[30:0]};
    unit = 31'd1 << (8'd150 - x[30:23]);
    moved = x[30:0] + (unit >> 1) - 31'd1 + 31'((x[30:0] & unit) != '0);
    return {x[31], moved & ~(unit - 31'd1)};
  endfunction

  // To the next whole number below.
  function automatic float_t floor(float_t x);
    logic [30:0] fraction;
    if (is_nan(x)) return NotANumber;
    if (x[30:23] >= 8'd150 || is_zero(x)) return x;
    if (x[30:23] < 8'd127) return x[31] ? {1'b1, One[30:0]} : '0;
    fraction = (31'd1 << (8'd150 - x[30:23])) - 31'd1;
    return {x[31], (x[30:0] + (x[31] ? fraction : 31'd0)) & ~fraction};
  endfunction

  // To the nearest 32-bit integer, ties to even, saturated; NaN gives 0.
  function automatic logic signed [31:0] to_integer(float_t x);
    logic [31:0] magnitude;
    logic [48:0] wide;
    if (is_nan(x) || x[30:23] < 8'd125) return '0;
    if (x[30:23] >= 8'd158) return {x[31], {31{!x[31]}}};
    if (x[30:23] >= 8'd150) begin
      magnitude = 32'(significand(x)) << (x[30:23] - 8'd150);
    end else begin
      wide = {significand(x), 25'd0} >> (8'd150 - x[30:23]);
      magnitude = 32'(wide[48:25]) + 32'(wide[24] && (wide[25] || wide[23:0] != '0));
    end
    return x[31] ? -magnitude : magnitude;
  endfunction

  function automatic float_t from_integer(logic signed [31:0] x);
    logic [31:0] magnitude;
    logic [4:0] zeros;
    if (x == '0) return '0;
    magnitude = x[31] ? -x : x;
    zeros = leading_zeros(magnitude);
    magnitude = magnitude << zeros;
    return round(x[31], 9'd158 - 9'(zeros), {1'b0, magnitude[31:6], magnitude[5:0] != '0});
  endfunction

endpackage

`endif
