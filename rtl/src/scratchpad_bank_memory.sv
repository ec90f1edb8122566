// One bank of the scratchpad: a synchronous memory with one read port and one write port with byte strobes. Reading what
// is written in the same cycle gives the old bytes; no correct program does it.
module scratchpad_bank_memory #(
  parameter int unsigned Depth = 1024,
  parameter int unsigned Bytes = 16,
  localparam int unsigned AddressBits = Depth > 1 ? $clog2(Depth) : 1
) (
  input  logic                   clk_i,
  input  logic                   read_i,
  input  logic [AddressBits-1:0] read_address_i,
  output logic [8*Bytes-1:0]     read_data_o,
  input  logic                   write_i,
  input  logic [AddressBits-1:0] write_address_i,
  input  logic [8*Bytes-1:0]     write_data_i,
  input  logic [Bytes-1:0]       write_strobe_i
);
  logic [8*Bytes-1:0] memory_q [Depth];
  logic [8*Bytes-1:0] data_q;

  assign read_data_o = data_q;

  always_ff @(posedge clk_i) begin
    if (read_i) data_q <= memory_q[read_address_i];
  end

  always_ff @(posedge clk_i) begin
    if (write_i) begin
      for (int unsigned i = 0; i < Bytes; i++) begin
        if (write_strobe_i[i]) memory_q[write_address_i][8*i+:8] <= write_data_i[8*i+:8];
      end
    end
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) read_i |-> 32'(read_address_i) < Depth);
  assert property (@(posedge clk_i) write_i |-> 32'(write_address_i) < Depth);
`endif
endmodule
