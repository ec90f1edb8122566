// Lowest and highest value of base + Σ stride·digit with each digit from 0 to count − 1: one loop per cycle.
module range_check (
  input  logic               clk_i,
  input  logic               enable_i,
  input  logic               first_i,   // the base counts in this cycle
  input  logic signed [35:0] base_i,
  input  logic [15:0]        count_i,   // 1 where there is no such loop
  input  logic signed [31:0] stride_i,
  output logic signed [51:0] lowest_o,  // of all loops given so far
  output logic signed [51:0] highest_o
);
  logic signed [51:0] lowest_q, highest_q, reach, lowest, highest;
  logic signed [16:0] last;

  assign last = $signed({1'b0, count_i - 16'd1});
  assign reach = 52'(last * stride_i);
  assign lowest = first_i ? 52'(base_i) : lowest_q;
  assign highest = first_i ? 52'(base_i) : highest_q;
  assign lowest_o = lowest_q;
  assign highest_o = highest_q;

  always_ff @(posedge clk_i) begin
    if (enable_i) begin
      lowest_q <= reach < 0 ? lowest + reach : lowest;
      highest_q <= reach < 0 ? highest : highest + reach;
    end
  end
endmodule
