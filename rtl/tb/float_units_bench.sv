// Every float unit, and every function of binary32_pkg that the VPU uses, on many pairs of operands side by side.
module float_units_bench
  import binary32_pkg::*;
#(
  parameter int unsigned Pairs = 128
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
  output logic [Pairs-1:0][31:0]  scale_o,   // x × the first y
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
  float_add #(.Lanes(Pairs)) u_add (.clk_i, .enable_i, .x_i, .y_i, .result_o(add_o));
  float_multiply #(.Lanes(Pairs)) u_multiply (.clk_i, .enable_i, .x_i, .y_i, .result_o(multiply_o));
  float_multiply #(.Lanes(Pairs), .Factors(1)) u_scale (.clk_i, .enable_i, .x_i, .y_i(y_i[0]), .result_o(scale_o));
  float_divide #(.Lanes(Pairs)) u_divide (.clk_i, .start_i, .step_i, .round_i, .x_i, .y_i, .result_o(divide_o));
  float_square_root #(.Lanes(Pairs)) u_square_root (
    .clk_i, .start_i, .step_i, .round_i, .x_i, .result_o(square_root_o)
  );

  always_ff @(posedge clk_i) begin
    if (enable_i[0]) begin
      /* verilator unroll_disable */
      for (int unsigned i = 0; i < Pairs; i++) begin
        maximum_o[i] <= maximum(x_i[i], y_i[i]);
        minimum_o[i] <= minimum(x_i[i], y_i[i]);
        rint_o[i] <= rint(x_i[i]);
        floor_o[i] <= floor(x_i[i]);
        to_integer_o[i] <= to_integer(x_i[i]);
        from_integer_o[i] <= from_integer(x_i[i]);
        clamp_o[i] <= clamp(x_i[i], y_i[i], y_i[i] ^ 32'h8000_0000);
        greater_o[i] <= greater(x_i[i], y_i[i]);
        equal_o[i] <= equal(x_i[i], y_i[i]);
      end
    end
  end
endmodule
