// The first four stages of an operand in one lane: 1 it arrives and its offset is applied, 2 it becomes a float, 3 and 4 it
// is scaled.
module vpu_operand
  import binary32_pkg::*;
(
  input  logic        clk_i,
  input  logic [4:1]  enable_i,   // the step in this stage moves on

  // What was read arrives in the cycle after its grant, and is kept because its step may have to wait for the other operand
  // or for the whole pipeline to move.
  input  logic        arrives_i,
  input  logic [7:0]  byte_i,
  input  logic [31:0] word_i,

  // How it is read; constant while an instruction is active.
  input  logic        is_byte_i,
  input  logic        is_signed_i,
  input  logic        is_float_i,
  input  logic [31:0] offset_i,   // added to an integer, modulo 2^32
  input  float_t      scale_i,
  output float_t      result_o
);
  logic [31:0] arriving, kept_q, moved_q;
  float_t float_q;

  assign arriving = is_byte_i ? {{24{is_signed_i && byte_i[7]}}, byte_i} : word_i;

  always_ff @(posedge clk_i) begin
    if (arrives_i) kept_q <= arriving;
    if (enable_i[1]) begin
      if (is_float_i) moved_q <= canonical(arrives_i ? arriving : kept_q);
      else moved_q <= (arrives_i ? arriving : kept_q) + offset_i;
    end
    if (enable_i[2]) begin
      if (is_float_i) float_q <= moved_q;
      else float_q <= from_integer(moved_q);
    end
  end

  float_multiply u_scale (.clk_i, .enable_i({enable_i[4], enable_i[3]}), .x_i(float_q), .y_i(scale_i), .result_o);
endmodule
