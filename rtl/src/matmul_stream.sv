// MATMUL's inner loops: the input vectors of one tile, one per cycle, and the accumulator row of each that has a result. Rows
// count results: all vectors of a dense tile have one; in a depthwise plane, those that complete a window on the stride.
module matmul_stream
  import weft_pkg::*;
(
  input  logic            clk_i,

  input  logic            start_i,  // the vectors of a tile come from the next cycle on
  input  vector_address_t start_input_i,
  input  row_address_t    start_row_i,
  input  weft_isa_pkg::matmul_t task_i,  // in the cycles of the stream
  input  logic            next_i,

  output vector_address_t input_o,
  output row_address_t    row_o,
  output logic [15:0]     column_o,
  output logic            result_o,
  output logic            last_o
);
  logic [2:0][15:0] digit_q;
  vector_address_t plane_input_q, line_input_q, input_q, next_plane_input, next_line_input;
  row_address_t plane_row_q, line_row_q, row_q, next_plane_row, next_line_row;
  logic last_column, last_line, last_plane, line_counts, column_counts;
  logic [15:0] rows_down, columns_right;

  assign last_column = digit_q[2] == task_i.inner_count_2 - 16'd1;
  assign last_line = digit_q[1] == task_i.inner_count_1 - 16'd1;
  assign last_plane = digit_q[0] == task_i.inner_count_0 - 16'd1;
  assign last_o = last_column && last_line && last_plane;

  // A dense tile is a window of one row and one column with stride 1.
  assign rows_down = digit_q[1] + 16'd1 - 16'(task_i.window_rows);
  assign columns_right = digit_q[2] + 16'd1 - 16'(task_i.window_columns);
  assign line_counts = digit_q[1] + 16'd1 >= 16'(task_i.window_rows)
                       && (rows_down[1:0] & {task_i.row_shift[1], |task_i.row_shift[1:0]}) == '0;
  assign column_counts = digit_q[2] + 16'd1 >= 16'(task_i.window_columns)
                         && (columns_right[1:0] & {task_i.column_shift[1], |task_i.column_shift[1:0]}) == '0;
  assign result_o = line_counts && column_counts;

  assign next_line_input = line_input_q + VectorBits'(task_i.inner_input_stride_1);
  assign next_plane_input = plane_input_q + VectorBits'(task_i.inner_input_stride_0);
  assign next_line_row = line_counts ? line_row_q + RowBits'(task_i.inner_accumulator_stride_1) : line_row_q;
  assign next_plane_row = plane_row_q + RowBits'(task_i.inner_accumulator_stride_0);

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      digit_q <= '0;
      plane_input_q <= start_input_i;
      line_input_q <= start_input_i;
      input_q <= start_input_i;
      plane_row_q <= start_row_i;
      line_row_q <= start_row_i;
      row_q <= start_row_i;
    end else if (next_i) begin
      if (!last_column) begin
        digit_q[2] <= digit_q[2] + 16'd1;
        input_q <= input_q + VectorBits'(task_i.inner_input_stride_2);
        if (result_o) row_q <= row_q + RowBits'(task_i.inner_accumulator_stride_2);
      end else if (!last_line) begin
        digit_q[2] <= '0;
        digit_q[1] <= digit_q[1] + 16'd1;
        line_input_q <= next_line_input;
        input_q <= next_line_input;
        line_row_q <= next_line_row;
        row_q <= next_line_row;
      end else begin
        digit_q[2:1] <= '0;
        digit_q[0] <= digit_q[0] + 16'd1;
        plane_input_q <= next_plane_input;
        line_input_q <= next_plane_input;
        input_q <= next_plane_input;
        plane_row_q <= next_plane_row;
        line_row_q <= next_plane_row;
        row_q <= next_plane_row;
      end
    end
  end

  assign input_o = input_q;
  assign row_o = row_q;
  assign column_o = digit_q[2];
endmodule
