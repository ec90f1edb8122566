// MATMUL's outer loops: addresses of one weight tile after the other, loop 3 fastest.
module matmul_tiles
  import weft_pkg::*;
(
  input  logic            clk_i,

  input  logic            start_i,  // task_i is loaded: its first tile shows from the next cycle on
  input  weft_isa_pkg::matmul_t start_task_i,
  input  weft_isa_pkg::matmul_t task_i,
  input  logic            next_i,

  output vector_address_t input_o,
  output row_address_t    row_o,
  output logic            first_o,  // the first of the steps that add into the same rows
  output logic            last_o,
  output vector_address_t next_weight_o  // of the tile after this one; the first one's is start_task_i.weight
);
  logic [3:0][15:0] digit_q, digit_d, count;
  logic [3:0] last_digit, moves;  // moves[l]: loop l is the one that counts up; all inner ones start over
  vector_address_t [3:0] input_q, input_d, weight_q, weight_d, input_stride, weight_stride;
  row_address_t [3:0] row_q, row_d, row_stride;

  assign count = {task_i.outer_count_3, task_i.outer_count_2, task_i.outer_count_1, task_i.outer_count_0};
  assign input_stride = {VectorBits'(task_i.outer_input_stride_3), VectorBits'(task_i.outer_input_stride_2),
                         VectorBits'(task_i.outer_input_stride_1), VectorBits'(task_i.outer_input_stride_0)};
  assign weight_stride = {VectorBits'(task_i.outer_weight_stride_3), VectorBits'(task_i.outer_weight_stride_2),
                          VectorBits'(task_i.outer_weight_stride_1), VectorBits'(task_i.outer_weight_stride_0)};
  assign row_stride = {RowBits'(task_i.outer_accumulator_stride_3), RowBits'(task_i.outer_accumulator_stride_2),
                       RowBits'(task_i.outer_accumulator_stride_1), RowBits'(task_i.outer_accumulator_stride_0)};

  for (genvar l = 0; l < 4; l++) begin : gen_last
    assign last_digit[l] = digit_q[l] == count[l] - 16'd1;
  end
  assign moves[3] = !last_digit[3];
  assign moves[2] = last_digit[3] && !last_digit[2];
  assign moves[1] = &last_digit[3:2] && !last_digit[1];
  assign moves[0] = &last_digit[3:1];

  always_comb begin
    vector_address_t input_moved, weight_moved;
    row_address_t row_moved;
    input_moved = '0;
    weight_moved = '0;
    row_moved = '0;
    for (int unsigned l = 0; l < 4; l++) begin
      if (moves[l]) begin
        input_moved = input_q[l] + input_stride[l];
        weight_moved = weight_q[l] + weight_stride[l];
        row_moved = row_q[l] + row_stride[l];
      end
    end
    digit_d = digit_q;
    input_d = input_q;
    weight_d = weight_q;
    row_d = row_q;
    // Loop l stays where no loop at or outside of it moves.
    for (int unsigned l = 0; l < 4; l++) begin
      logic outer_moves;
      outer_moves = 1'b0;
      for (int unsigned o = 0; o <= l; o++) outer_moves = outer_moves || moves[o];
      if (outer_moves) begin
        digit_d[l] = moves[l] ? digit_q[l] + 16'd1 : '0;
        input_d[l] = input_moved;
        weight_d[l] = weight_moved;
        row_d[l] = row_moved;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      digit_q <= '0;
      input_q <= {4{VectorBits'(start_task_i.input_)}};
      weight_q <= {4{VectorBits'(start_task_i.weight)}};
      row_q <= {4{RowBits'(start_task_i.accumulator)}};
    end else if (next_i) begin
      digit_q <= digit_d;
      input_q <= input_d;
      weight_q <= weight_d;
      row_q <= row_d;
    end
  end

  assign input_o = input_q[3];
  assign row_o = row_q[3];
  assign next_weight_o = weight_d[3];
  assign last_o = &last_digit;
  always_comb begin
    first_o = 1'b1;
    for (int unsigned l = 0; l < 4; l++) begin
      if (task_i.reduce_mask[l] && digit_q[l] != '0) first_o = 1'b0;
    end
  end
endmodule
