// A queue of bytes that takes and gives several per cycle. The oldest byte lies lowest; bytes beyond `fill_o` are zero.
module byte_fifo #(
  parameter int unsigned Capacity = 64,
  parameter int unsigned PushBytes = 16,
  parameter int unsigned PopBytes = 16,
  localparam int unsigned FillBits = $clog2(Capacity + 1)
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,

  input  logic                   push_i,
  input  logic [FillBits-1:0]    push_bytes_i,  // 1 to PushBytes
  input  logic [8*PushBytes-1:0] push_data_i,   // bytes from push_bytes_i on must be zero

  input  logic                   pop_i,
  input  logic [FillBits-1:0]    pop_bytes_i,   // 1 to PopBytes
  output logic [8*PopBytes-1:0]  head_o,

  output logic [FillBits-1:0]    fill_o
);
  logic [8*Capacity-1:0] bytes_q;
  logic [FillBits-1:0] fill_q, kept;

  assign fill_o = fill_q;
  assign head_o = bytes_q[8*PopBytes-1:0];
  assign kept = pop_i ? fill_q - pop_bytes_i : fill_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      bytes_q <= '0;
      fill_q <= '0;
    end else if (push_i || pop_i) begin
      bytes_q <= (bytes_q >> {pop_i ? pop_bytes_i : '0, 3'b0})
                 | (push_i ? (8 * Capacity)'(push_data_i) << {kept, 3'b0} : '0);
      fill_q <= kept + (push_i ? push_bytes_i : '0);
    end
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni) pop_i |-> pop_bytes_i <= fill_q);
  assert property (@(posedge clk_i) disable iff (!rst_ni) push_i |-> 32'(kept) + 32'(push_bytes_i) <= Capacity);
`endif
endmodule
