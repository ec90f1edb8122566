// One bank of the accumulators: a synchronous memory with one read and one write port; what is written in the cycle of the
// read is forwarded.
module accumulator_bank_memory #(
  parameter int unsigned Depth = 1024,
  parameter int unsigned Width = 512,
  localparam int unsigned AddressBits = Depth > 1 ? $clog2(Depth) : 1
) (
  input  logic                   clk_i,
  input  logic                   read_i,
  input  logic [AddressBits-1:0] read_address_i,
  output logic [Width-1:0]       read_data_o,
  input  logic                   write_i,
  input  logic [AddressBits-1:0] write_address_i,
  input  logic [Width-1:0]       write_data_i
);
  logic [Width-1:0] memory_q [Depth];
  logic [Width-1:0] data_q, forwarded_q;
  logic forward_q;

  assign read_data_o = forward_q ? forwarded_q : data_q;

  always_ff @(posedge clk_i) begin
    if (read_i) begin
      data_q <= memory_q[read_address_i];
      forward_q <= write_i && write_address_i == read_address_i;
      forwarded_q <= write_data_i;
    end
    if (write_i) memory_q[write_address_i] <= write_data_i;
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) read_i |-> 32'(read_address_i) < Depth);
  assert property (@(posedge clk_i) write_i |-> 32'(write_address_i) < Depth);
`endif
endmodule
