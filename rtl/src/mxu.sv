// MXU: stage W loads weight tiles into the shadow, stage X streams vectors against the active weights (docs/machine.md, MXU).
//
// A vector read in cycle t: 1 it arrives and is widened; 2 multiplied; 3 summed; 4 its accumulator row is read; 5 written.
module mxu
  import weft_pkg::*;
(
  input  logic            clk_i,
  input  logic            rst_ni,

  // The queue's head.
  input  logic            queue_valid_i,
  input  weft_isa_pkg::matmul_t queue_i,
  input  unit_mask_t      tokens_i,
  output logic            issue_o,

  output logic            retire_o,
  output unit_mask_t      retire_signal_o,
  output logic            idle_o,
  output activity_e       activity_o,
  output logic            first_weight_o,  // first productive cycle of an instruction

  output logic            input_read_o,    // always granted
  output vector_address_t input_address_o,
  input  bytes_t          input_data_i,    // in the cycle after the grant
  output logic            weight_read_o,
  output vector_address_t weight_address_o,
  input  logic            weight_grant_i,
  input  bytes_t          weight_data_i,

  output logic            row_read_o,      // always granted
  output row_address_t    row_read_address_o,
  input  words_t          row_data_i,
  output logic            row_write_o,
  output row_address_t    row_write_address_o,
  output words_t          row_write_data_o
);
  import weft_isa_pkg::*;

  localparam int unsigned Stages = MXU_LATENCY;
  localparam int unsigned HoldBits = $clog2(WEIGHT_SWAP_CYCLES + 1);

  function automatic values_t widen(bytes_t bytes, logic is_signed, logic [ValueBits-1:0] zero);
    values_t values;
    for (int unsigned i = 0; i < Lanes; i++) begin
      values[i] = {{ValueBits - 8{is_signed && bytes[i][7]}}, bytes[i]} - zero;
    end
    return values;
  endfunction

  // W: the weight tiles of one instruction after the other.

  logic ready, loading_q, weight_taken, shadow_full_q, swap, tile_first, tile_last, started_q;
  matmul_t task_q;
  logic [7:0] rows_q;
  logic [HoldBits-1:0] hold_q;
  vector_address_t weight_address_q, tile_input, next_weight;
  row_address_t tile_row;

  assign ready = queue_valid_i && (queue_i.wait_[Units-1:0] & ~tokens_i) == '0;
  assign issue_o = ready && !loading_q;
  assign weight_read_o = loading_q && rows_q < task_q.weight_rows && hold_q == '0;
  assign weight_address_o = weight_address_q;
  assign weight_taken = weight_read_o && weight_grant_i;
  assign first_weight_o = weight_taken && !started_q;

  matmul_tiles u_tiles (
    .clk_i, .start_i(issue_o), .start_task_i(queue_i), .task_i(task_q), .next_i(swap),
    .input_o(tile_input), .row_o(tile_row), .first_o(tile_first), .last_o(tile_last),
    .next_weight_o(next_weight)
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      loading_q <= 1'b0;
      rows_q <= '0;
      hold_q <= '0;
      started_q <= 1'b0;
    end else begin
      loading_q <= issue_o || (loading_q && !(swap && tile_last));
      if (issue_o || swap) rows_q <= '0;
      else if (weight_taken) rows_q <= rows_q + 8'd1;
      if (swap) hold_q <= HoldBits'(WEIGHT_SWAP_CYCLES - 1);
      else if (hold_q != '0) hold_q <= hold_q - HoldBits'(1);
      started_q <= !issue_o && (started_q || weight_taken);
    end
  end

  always_ff @(posedge clk_i) begin
    if (issue_o) task_q <= queue_i;
    if (issue_o) weight_address_q <= VectorBits'(queue_i.weight);
    else if (swap) weight_address_q <= next_weight;
    else if (weight_taken) weight_address_q <= weight_address_q + VectorBits'(task_q.weight_vector_stride);
  end

  // The weight vector that arrives.

  logic landing_q, landing_last_q, swapped_q, swapped_twice_q;
  logic [7:0] landing_row_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      landing_q <= 1'b0;
      landing_last_q <= 1'b0;
      shadow_full_q <= 1'b0;
      swapped_q <= 1'b0;
      swapped_twice_q <= 1'b0;
    end else begin
      landing_q <= weight_taken;
      landing_last_q <= weight_taken && rows_q + 8'd1 == task_q.weight_rows;
      shadow_full_q <= landing_last_q || (shadow_full_q && !swap);
      swapped_q <= swap;
      swapped_twice_q <= swapped_q;
    end
  end
  always_ff @(posedge clk_i) begin
    if (weight_taken) landing_row_q <= rows_q;
  end

  // X: the input vectors of the tile whose weights are active.

  logic streaming_q, adds_q, last_tile_q, vector_last, vector_result;
  matmul_t stream_task_q;
  row_address_t vector_row;
  logic [15:0] vector_column;

  assign swap = shadow_full_q && (!streaming_q || vector_last);
  assign input_read_o = streaming_q;

  matmul_stream u_stream (
    .clk_i, .start_i(swap), .start_input_i(tile_input), .start_row_i(tile_row), .task_i(stream_task_q), .next_i(streaming_q),
    .input_o(input_address_o), .row_o(vector_row), .column_o(vector_column), .result_o(vector_result), .last_o(vector_last)
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) streaming_q <= 1'b0;
    else streaming_q <= swap || (streaming_q && !vector_last);
  end
  always_ff @(posedge clk_i) begin
    if (swap) begin
      stream_task_q <= task_q;
      adds_q <= task_q.accumulate || !tile_first;
      last_tile_q <= tile_last;
    end
  end

  // The pipeline behind X. Entry s describes the vector in step s.

  typedef struct packed {
    logic depthwise;
    logic result;
    logic adds;
    row_address_t row;
    logic retires;
    unit_mask_t signal;
  } step_t;

  logic [Stages:1] valid_q;
  step_t step_q [Stages+1];
  logic input_signed_q;
  logic [ValueBits-1:0] input_zero_q;
  logic [7:0] input_lanes_q, window_rows_q, window_columns_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[Stages-1:1], streaming_q};
  end

  always_ff @(posedge clk_i) begin
    if (streaming_q) begin
      step_q[1] <= '{
        depthwise: stream_task_q.mode == MATMUL_MODE_DEPTHWISE,
        result: vector_result,
        adds: adds_q,
        row: vector_row,
        retires: vector_last && last_tile_q,
        signal: stream_task_q.signal[Units-1:0]
      };
      input_signed_q <= stream_task_q.input_signed;
      input_zero_q <= stream_task_q.input_zero[ValueBits-1:0];
      input_lanes_q <= stream_task_q.input_lanes;
      window_rows_q <= stream_task_q.window_rows;
      window_columns_q <= stream_task_q.window_columns;
    end
    for (int unsigned s = 2; s <= Stages; s++) begin
      if (valid_q[s-1]) step_q[s] <= step_q[s-1];
    end
  end

  // 1: widen.

  values_t widened, values, values_q;
  values_t taps [Lanes];

  assign widened = widen(input_data_i, input_signed_q, input_zero_q);
  for (genvar i = 0; i < Lanes; i++) begin : gen_values
    assign values[i] = 8'(i) < input_lanes_q ? widened[i] : '0;
  end
  always_ff @(posedge clk_i) begin
    if (valid_q[1]) values_q <= values;
  end

  mxu_window u_window (
    .clk_i,
    .coming_i(streaming_q && stream_task_q.mode == MATMUL_MODE_DEPTHWISE), .column_i(vector_column),
    .lines_i(stream_task_q.window_rows != 8'd1),
    .valid_i(valid_q[1] && step_q[1].depthwise), .values_i(values), .rows_i(window_rows_q), .columns_i(window_columns_q),
    .taps_o(taps)
  );

  // 2: multiply, 3: sum.

  words_t sum, sum_q;
  values_t weights;

  assign weights = widen(weight_data_i, task_q.weight_signed, task_q.weight_zero[ValueBits-1:0]);

  mxu_array u_array (
    .clk_i,
    .load_i(landing_q), .load_column_i(task_q.weight_order == WEIGHT_ORDER_COLUMNS),
    .load_index_i(landing_row_q[LaneBits-1:0]), .load_values_i(weights), .swap_i(swapped_twice_q),
    .multiply_i(valid_q[2]), .depthwise_i(step_q[2].depthwise), .values_i(values_q), .taps_i(taps),
    .sum_i(valid_q[3]), .sum_o(sum)
  );

  // 4: read the row, 5: add and write it.

  assign row_read_o = valid_q[4] && step_q[4].result && step_q[4].adds;
  assign row_read_address_o = step_q[4].row;
  always_ff @(posedge clk_i) begin
    if (valid_q[4]) sum_q <= sum;
  end

  assign row_write_o = valid_q[5] && step_q[5].result;
  assign row_write_address_o = step_q[5].row;
  for (genvar i = 0; i < Lanes; i++) begin : gen_row
    assign row_write_data_o[i] = step_q[5].adds ? row_data_i[i] + sum_q[i] : sum_q[i];
  end

  assign retire_o = valid_q[Stages] && step_q[Stages].retires;
  assign retire_signal_o = step_q[Stages].signal;
  assign idle_o = !loading_q && !streaming_q && valid_q == '0;

  always_comb begin
    if (streaming_q) activity_o = ACTIVITY_BUSY;
    else if (loading_q) activity_o = weight_read_o && !weight_grant_i ? ACTIVITY_BANK : ACTIVITY_WEIGHTS;
    else activity_o = queue_valid_i && !ready ? ACTIVITY_TOKEN : ACTIVITY_IDLE;
  end

`ifndef SYNTHESIS
  if (MXU_LATENCY != 5) begin : gen_latency
    $error("the MXU has five steps behind the read");
  end
  assert property (@(posedge clk_i) disable iff (!rst_ni) landing_last_q |-> !shadow_full_q);
  assert property (@(posedge clk_i) disable iff (!rst_ni) swap |-> loading_q);
`endif
endmodule
