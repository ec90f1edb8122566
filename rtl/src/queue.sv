// A first-in first-out queue of Depth (a power of two) entries; what is pushed in a cycle shows from the next one on.
module queue #(
  parameter int unsigned Width = 8,
  parameter int unsigned Depth = 4
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             clear_i,  // empties the queue; wins over push and pop

  input  logic             push_i,
  input  logic [Width-1:0] data_i,
  output logic             full_o,

  input  logic             pop_i,
  output logic             valid_o,
  output logic [Width-1:0] data_o
);
  localparam int unsigned IndexBits = Depth > 1 ? $clog2(Depth) : 1;
  localparam int unsigned FillBits = $clog2(Depth + 1);
  localparam logic [IndexBits-1:0] Step = Depth > 1 ? IndexBits'(1) : '0;

  logic [Width-1:0] entries_q [Depth];
  logic [IndexBits-1:0] head_q, tail_q;
  logic [FillBits-1:0] fill_q;

  assign full_o = fill_q == FillBits'(Depth);
  assign valid_o = fill_q != '0;
  assign data_o = entries_q[head_q];

  always_ff @(posedge clk_i) begin
    if (push_i) entries_q[tail_q] <= data_i;
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      head_q <= '0;
      tail_q <= '0;
      fill_q <= '0;
    end else if (clear_i) begin
      head_q <= '0;
      tail_q <= '0;
      fill_q <= '0;
    end else begin
      if (push_i) tail_q <= tail_q + Step;
      if (pop_i) head_q <= head_q + Step;
      fill_q <= fill_q + FillBits'(push_i) - FillBits'(pop_i);
    end
  end

`ifndef SYNTHESIS
  // A push into a full queue is a bug even when an entry leaves in the same cycle: fill is judged at the cycle's beginning.
  assert property (@(posedge clk_i) disable iff (!rst_ni) push_i |-> !full_o);
  assert property (@(posedge clk_i) disable iff (!rst_ni) pop_i |-> valid_o);
`endif
endmodule
