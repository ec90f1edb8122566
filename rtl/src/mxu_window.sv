// The depthwise window: for each lane the values that the taps of a kernel meet. Taps of one kernel row follow each other, so
// the window is one chain of vectors through which every row's values move by one place per input vector; the rows above
// the current one come from line buffers.
module mxu_window
  import weft_pkg::*;
(
  input  logic        clk_i,

  // The vector that will arrive in the next cycle.
  input  logic        coming_i,
  input  logic [15:0] column_i,
  input  logic        lines_i,  // the window has more than one row

  // The vector that arrives: its lanes widened.
  input  logic        valid_i,
  input  values_t     values_i,
  input  logic [7:0]  rows_i,
  input  logic [7:0]  columns_i,

  output values_t     taps_o [Lanes]  // [tap][lane]
);
  import weft_isa_pkg::*;

  localparam int unsigned Above = DEPTHWISE_ROWS - 1;
  localparam int unsigned ColumnBits = $clog2(Config.line_depth);

  // Line buffers, of which entry [column][i] is the value i + 1 rows above. What is written in the cycle of a read is forwarded.

  typedef values_t [Above-1:0] column_t;
  logic [$bits(values_t)*Above-1:0] lines_q [Config.line_depth];
  column_t above_read_q, above, written;
  logic [ColumnBits-1:0] column_q;
  logic lines_used_q, forward_q;
  column_t written_q;

  assign above = forward_q ? written_q : above_read_q;
  assign written = {above[Above-2:0], values_i};

  always_ff @(posedge clk_i) begin
    if (coming_i && lines_i) begin
      above_read_q <= lines_q[column_i[ColumnBits-1:0]];
      forward_q <= valid_i && lines_used_q && column_q == column_i[ColumnBits-1:0];
      written_q <= written;
    end
    if (coming_i) begin
      column_q <= column_i[ColumnBits-1:0];
      lines_used_q <= lines_i;
    end
    if (valid_i && lines_used_q) lines_q[column_q] <= written;
  end

  // The chain. Tap (r, s) is entry r · columns + s; new values enter at the last entry of each row.

  values_t [Above:0] row_values;  // newest value of window row r
  logic [Above:0][7:0] row_end;

  always_comb begin
    values_t [Above:0] newest;  // i rows above the current one
    newest = {above, values_i};
    for (int unsigned r = 0; r <= Above; r++) begin
      row_values[r] = newest[2'(rows_i - 8'd1 - 8'(r))];
      row_end[r] = 8'(r + 1) * columns_i - 8'd1;
    end
  end

  for (genvar tap = 0; tap < Lanes; tap++) begin : gen_tap
    values_t tap_q, tap_d;
    if (tap + 1 < Lanes) begin : gen_inner
      assign tap_d = gen_tap[tap+1].tap_q;
    end else begin : gen_end
      assign tap_d = '0;
    end
    assign taps_o[tap] = tap_q;
    always_ff @(posedge clk_i) begin
      if (valid_i) begin
        tap_q <= tap_d;
        for (int unsigned r = 0; r <= Above; r++) begin
          if (8'(r) < rows_i && row_end[r] == 8'(tap)) tap_q <= row_values[r];
        end
      end
    end
  end
endmodule
