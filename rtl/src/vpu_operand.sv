// The first four stages of an operand: 1 it arrives and its offset is applied, 2 it becomes a float, 3 and 4 it is scaled.
// (Why lanes are loops: see float_add.)
module vpu_operand
  import weft_pkg::*;
  import binary32_pkg::*;
#(
  parameter int unsigned Factors = Lanes  // or 1: all lanes have the same scale and bias
) (
  input  logic        clk_i,
  input  logic [4:1]  enable_i,   // the step in this stage moves on

  // What was read arrives in the cycle after its grant, and is kept because its step may have to wait for the other operand
  // or for the whole pipeline to move.
  input  logic        arrives_i,
  input  bytes_t      bytes_i,
  input  words_t      words_i,

  input  logic [7:0]  source_i,   // source_e; constant while an instruction is active
  input  logic [31:0] zero_i,     // subtracted from an integer …
  input  logic [Factors-1:0][31:0] bias_i,  // … and added, modulo 2^32
  input  logic [Factors-1:0][31:0] scale_i,
  output words_t      result_o
);
  import weft_isa_pkg::*;

  logic is_byte, is_signed, is_float;
  words_t kept_q, moved_q, float_q;

  assign is_byte = source_i <= SOURCE_SCRATCHPAD_U8;
  assign is_signed = source_i == SOURCE_SCRATCHPAD_S8;
  assign is_float = source_i == SOURCE_ACCUMULATOR_F32;

  function automatic logic [31:0] extend(logic [7:0] bits, logic has_sign);
    return {{24{has_sign && bits[7]}}, bits};
  endfunction

  // What moves on at once need not be kept.
  always_ff @(posedge clk_i) begin
    automatic words_t next;
    if (arrives_i && !enable_i[1]) begin
      /* verilator unroll_disable */
      for (int unsigned l = 0; l < Lanes; l++) next[l] = is_byte ? extend(bytes_i[l], is_signed) : words_i[l];
      kept_q <= next;
    end
  end
  always_ff @(posedge clk_i) begin
    automatic words_t next;
    if (enable_i[1]) begin
      /* verilator unroll_disable */
      for (int unsigned l = 0; l < Lanes; l++) begin
        next[l] = !arrives_i ? kept_q[l] : is_byte ? extend(bytes_i[l], is_signed) : words_i[l];
        next[l] = is_float ? canonical(next[l]) : next[l] + bias_i[Factors == 1 ? 0 : l] - zero_i;
      end
      moved_q <= next;
    end
  end
  always_ff @(posedge clk_i) begin
    automatic words_t next;
    if (enable_i[2]) begin
      if (is_float) begin
        float_q <= moved_q;
      end else begin
        /* verilator unroll_disable */
        for (int unsigned l = 0; l < Lanes; l++) next[l] = from_integer(moved_q[l]);
        float_q <= next;
      end
    end
  end

  float_multiply #(.Lanes(Lanes), .Factors(Factors)) u_scale (
    .clk_i, .enable_i({enable_i[4], enable_i[3]}), .x_i(float_q), .y_i(scale_i), .result_o
  );
endmodule
