// Every float unit, and every function of binary32_pkg that the VPU uses, on many pairs of operands side by side. The pair is a
// module that is not inlined, so that it is compiled once.
module float_pair
  import binary32_pkg::*;
(
  input  logic        clk_i,
  input  logic [1:0]  enable_i,
  input  logic        start_i,
  input  logic        step_i,
  input  logic        round_i,
  input  logic [31:0] x_i,
  input  logic [31:0] y_i,
  output logic [31:0] add_o,
  output logic [31:0] multiply_o,
  output logic [31:0] divide_o,
  output logic [31:0] square_root_o,
  output logic [31:0] maximum_o,
  output logic [31:0] minimum_o,
  output logic [31:0] rint_o,
  output logic [31:0] floor_o,
  output logic [31:0] to_integer_o,
  output logic [31:0] from_integer_o,
  output logic [31:0] clamp_o,
  output logic        greater_o,
  output logic        equal_o
);
  /* verilator no_inline_module */
  float_add u_add (.clk_i, .enable_i, .x_i, .y_i, .result_o(add_o));
  float_multiply u_multiply (.clk_i, .enable_i, .x_i, .y_i, .result_o(multiply_o));
  float_divide u_divide (.clk_i, .start_i, .step_i, .round_i, .x_i, .y_i, .result_o(divide_o));
  float_square_root u_square_root (.clk_i, .start_i, .step_i, .round_i, .x_i, .result_o(square_root_o));

  always_ff @(posedge clk_i) begin
    if (enable_i[0]) begin
      maximum_o <= maximum(x_i, y_i);
      minimum_o <= minimum(x_i, y_i);
      rint_o <= rint(x_i);
      floor_o <= floor(x_i);
      to_integer_o <= to_integer(x_i);
      from_integer_o <= from_integer(x_i);
      clamp_o <= clamp(x_i, y_i, y_i ^ 32'h8000_0000);
      greater_o <= greater(x_i, y_i);
      equal_o <= equal(x_i, y_i);
    end
  end
endmodule

module float_units_bench #(
  parameter int unsigned Pairs = 32
) (
  input  logic                    clk_i,
  input  logic [1:0]              enable_i,  // first, second cycle of sum and product; first of the others
  input  logic                    start_i,   // quotient and root
  input  logic                    step_i,
  input  logic                    round_i,
  input  logic [Pairs-1:0][31:0]  x_i,
  input  logic [Pairs-1:0][31:0]  y_i,
  output logic [Pairs-1:0][31:0]  add_o,
  output logic [Pairs-1:0][31:0]  multiply_o,
  output logic [Pairs-1:0][31:0]  divide_o,
  output logic [Pairs-1:0][31:0]  square_root_o,
  output logic [Pairs-1:0][31:0]  maximum_o,
  output logic [Pairs-1:0][31:0]  minimum_o,
  output logic [Pairs-1:0][31:0]  rint_o,
  output logic [Pairs-1:0][31:0]  floor_o,
  output logic [Pairs-1:0][31:0]  to_integer_o,
  output logic [Pairs-1:0][31:0]  from_integer_o,
  output logic [Pairs-1:0][31:0]  clamp_o,   // x to [y, −y]
  output logic [Pairs-1:0]        greater_o, // of numbers that are no NaN
  output logic [Pairs-1:0]        equal_o
);
  for (genvar i = 0; i < Pairs; i++) begin : gen_pair
    float_pair u_pair (
      .clk_i, .enable_i, .start_i, .step_i, .round_i, .x_i(x_i[i]), .y_i(y_i[i]),
      .add_o(add_o[i]), .multiply_o(multiply_o[i]), .divide_o(divide_o[i]), .square_root_o(square_root_o[i]),
      .maximum_o(maximum_o[i]), .minimum_o(minimum_o[i]), .rint_o(rint_o[i]), .floor_o(floor_o[i]),
      .to_integer_o(to_integer_o[i]), .from_integer_o(from_integer_o[i]), .clamp_o(clamp_o[i]),
      .greater_o(greater_o[i]), .equal_o(equal_o[i])
    );
  end
endmodule
