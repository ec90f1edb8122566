// The lanes' bias and scale: a record of PARAMETER_VECTORS vectors, biases first, or the same for all lanes. One set of registers
// is enough: the last step of the block before has used its bias when the first vector of the next record arrives, and its
// scale when the fifth does.
module vpu_record
  import weft_pkg::*;
(
  input  logic        clk_i,
  input  logic        clear_i,      // no bias, and this scale everywhere
  input  logic [31:0] scale_i,
  input  logic        arrives_i,
  input  logic [2:0]  vector_i,     // which one of the record
  input  bytes_t      data_i,
  output words_t      bias_o,
  output words_t      scale_o
);
  logic [3:0][8*Lanes-1:0] bias_q, scale_q;

  always_ff @(posedge clk_i) begin
    if (clear_i) begin
      bias_q <= '0;
      scale_q <= {Lanes{scale_i}};
    end else if (arrives_i) begin
      if (vector_i[2]) scale_q[vector_i[1:0]] <= data_i;
      else bias_q[vector_i[1:0]] <= data_i;
    end
  end

  assign bias_o = bias_q;
  assign scale_o = scale_q;

`ifndef SYNTHESIS
  if (weft_isa_pkg::PARAMETER_VECTORS != 8) begin : gen_vectors
    $error("a record has four vectors of biases and four of scales");
  end
`endif
endmodule
