// Reads blocks of consecutive vectors, one per cycle: a table, or the parameter record of each step of loop 0.
module vpu_block
  import weft_pkg::*;
#(
  parameter int unsigned MaxVectors = 64
) (
  input  logic            clk_i,
  input  logic            rst_ni,

  input  logic            start_i,    // the first block, of vectors_i vectors, is read from the next cycle on
  input  vector_address_t start_address_i,
  input  logic [$clog2(MaxVectors+1)-1:0] start_vectors_i,
  input  logic            next_i,     // the next record is read from the next cycle on
  input  vector_address_t stride_i,

  input  logic            moves_i,    // the VPU does not stand still
  output logic            reads_o,
  output vector_address_t address_o,
  input  logic            grant_i,    // with reads_o

  output logic            arrives_o,  // a vector is there …
  output logic [7:0]      vector_o,   // … this one of the block
  output logic            done_o      // the last one was there a cycle ago
);
  localparam int unsigned LeftBits = $clog2(MaxVectors + 1);

  logic [LeftBits-1:0] left_q;
  logic [7:0] vector_q, arriving_vector_q;
  logic arrives_q, last_q, done_q, takes;
  vector_address_t from_q, address_q;

  assign reads_o = moves_i && left_q != '0;
  assign address_o = address_q;
  assign takes = reads_o && grant_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      left_q <= '0;
      arrives_q <= 1'b0;
      last_q <= 1'b0;
      done_q <= 1'b0;
    end else begin
      if (start_i) left_q <= start_vectors_i;
      else if (next_i) left_q <= LeftBits'(weft_isa_pkg::PARAMETER_VECTORS);
      else if (takes) left_q <= left_q - LeftBits'(1);
      arrives_q <= takes;
      last_q <= takes && left_q == LeftBits'(1);
      done_q <= last_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      from_q <= start_address_i;
      address_q <= start_address_i;
      vector_q <= '0;
    end else if (next_i) begin
      from_q <= from_q + stride_i;
      address_q <= from_q + stride_i;
      vector_q <= '0;
    end else if (takes) begin
      address_q <= address_q + vector_address_t'(1);
      vector_q <= vector_q + 8'd1;
      arriving_vector_q <= vector_q;
    end
  end

  assign arrives_o = arrives_q;
  assign vector_o = arriving_vector_q;
  assign done_o = done_q;

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni) start_i || next_i |-> left_q == '0);
`endif
endmodule
