// VPU: one instruction at a time through operand fetch and a pipeline of VPU_LATENCY stages (docs/machine.md, VPU). Here is
// what happens when; the numbers are vpu_datapath's.
module vpu
  import weft_pkg::*;
(
  input  logic            clk_i,
  input  logic            rst_ni,

  // The queue's head: a VECTOR or a TABLE.
  input  logic            queue_valid_i,
  input  logic [weft_isa_pkg::VECTOR_BITS-1:0] queue_i,
  input  unit_mask_t      tokens_i,
  output logic            issue_o,

  output logic            retire_o,
  output unit_mask_t      retire_signal_o,
  output logic            idle_o,
  output activity_e       activity_o,
  output logic            first_grant_o,  // first productive cycle of an instruction

  // Operands: of a and b, at most one place each in a cycle. The grant comes in the same cycle, the data in the next.
  output logic            a_local_read_o,
  output vector_address_t a_local_address_o,
  input  logic            a_local_grant_i,
  input  bytes_t          a_local_data_i,
  output logic            a_row_read_o,
  output row_address_t    a_row_address_o,
  input  logic            a_row_grant_i,
  input  words_t          a_row_data_i,
  output logic            b_local_read_o,
  output vector_address_t b_local_address_o,
  input  logic            b_local_grant_i,
  input  bytes_t          b_local_data_i,
  output logic            b_row_read_o,
  output row_address_t    b_row_address_o,
  input  logic            b_row_grant_i,
  input  words_t          b_row_data_i,

  // The row that the MXU writes in this cycle, in whose bank the VPU cannot.
  input  logic            mxu_row_write_i,
  input  row_address_t    mxu_row_address_i,

  // Results.
  output logic            local_write_o,
  output vector_address_t local_write_address_o,
  output bytes_t          local_write_data_o,
  output logic            row_write_o,
  output row_address_t    row_write_address_o,
  output words_t          row_write_data_o,
  output logic            mailbox_write_o,
  output logic [3:0]      mailbox_number_o,
  output logic [31:0]     mailbox_value_o
);
  import weft_isa_pkg::*;

  localparam int unsigned Stages = VPU_LATENCY;
  localparam int unsigned Joined = 19;  // the last stage of the reduction
  localparam int unsigned AddressBits = VectorBits > RowBits ? VectorBits : RowBits;
  localparam int unsigned TableVectors = 4 * TABLE_ENTRIES / Lanes;
  localparam int unsigned MaxBlock = TableVectors > PARAMETER_VECTORS ? TableVectors : PARAMETER_VECTORS;
  localparam int unsigned BlockBits = $clog2(MaxBlock + 1);
  localparam int unsigned CountdownBits = $clog2(DIVIDE_INTERVAL);

  typedef logic [AddressBits-1:0] address_t;

  function automatic logic in_scratchpad(logic [7:0] place);  // source_e or destination_e
    return place <= SOURCE_SCRATCHPAD_U8;
  endfunction

  function automatic logic in_rows(logic [7:0] place);
    return place == SOURCE_ACCUMULATOR_S32 || place == SOURCE_ACCUMULATOR_F32;
  endfunction

  function automatic logic [CountdownBits-1:0] wait_of(vector_t instruction);
    if (instruction.operation == OPERATION_DIVIDE || instruction.operation == OPERATION_SQUARE_ROOT) begin
      return CountdownBits'(DIVIDE_INTERVAL - 1);
    end
    return instruction.reduction == REDUCTION_SUM ? CountdownBits'(SUM_INTERVAL - 1) : '0;
  endfunction

  // Issue.

  vector_t head, task_q;
  table_t head_table, task_table;
  logic ready, active_q, is_table, head_is_table, retires;

  assign head = queue_i;
  assign head_table = queue_i[TABLE_BITS-1:0];
  assign head_is_table = head.opcode == OPCODE_TABLE;
  assign task_table = task_q[TABLE_BITS-1:0];
  assign is_table = task_q.opcode == OPCODE_TABLE;
  assign ready = queue_valid_i && (head.wait_[Units-1:0] & ~tokens_i) == '0;
  assign issue_o = ready && !active_q;
  assign idle_o = !active_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) active_q <= 1'b0;
    else active_q <= issue_o || (active_q && !retires);
  end
  always_ff @(posedge clk_i) begin
    if (issue_o) task_q <= head;
  end

  // The pipeline's control: entry k says whether a step, behind the reduction a result, is in stage k.

  logic enters, due, frozen, moves;
  logic [Stages:1] valid_q;
  logic [Joined:1] first_q, last_q;
  logic [Stages:1] final_q;  // … which is the instruction's last step
  address_t d_address;

  assign due = valid_q[Stages];
  assign frozen = due && in_rows(task_q.destination) && mxu_row_write_i
                  && row_bank(mxu_row_address_i) == row_bank(row_address_t'(d_address));
  assign moves = active_q && !frozen;

  // Steps.

  logic [4:0] loop_last, reduced, result_loop_last;
  logic [4:0][15:0] counts;
  logic step_first_q, step_last, step_final;

  assign counts = {task_q.count_4, task_q.count_3, task_q.count_2, task_q.count_1, task_q.count_0};
  assign reduced = ~5'(5'b11111 >> task_q.reduce_loops[2:0]);
  assign step_last = &(loop_last | ~reduced);
  assign step_final = &loop_last;

  vpu_loops u_loops (
    .clk_i, .start_i(issue_o), .next_i(enters), .count_i(counts), .last_o(loop_last)
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      valid_q <= '0;
    end else if (moves) begin
      valid_q <= {valid_q[Stages-1:1], enters};
      valid_q[Joined+1] <= valid_q[Joined] && last_q[Joined];
    end
  end
  always_ff @(posedge clk_i) begin
    if (issue_o) step_first_q <= 1'b1;
    else if (enters) step_first_q <= step_last;
    if (moves) begin
      first_q <= {first_q[Joined-1:1], step_first_q};
      last_q <= {last_q[Joined-1:1], step_last};
      final_q <= {final_q[Stages-1:1], step_final};
    end
  end

  // The next step's operands. Before the first of a block of steps its parameter record is read.

  logic [CountdownBits-1:0] countdown_q;
  vector_address_t block_address;
  logic steps_left_q, holds_a_q, holds_b_q, b_read;
  logic reads_block, reads_step, reads_a, reads_b, a_granted, b_granted, started_q;
  logic block_arrives, block_done;
  logic [7:0] block_vector;
  logic [BlockBits-1:0] head_vectors;

  assign b_read = in_scratchpad(task_q.b_source) || in_rows(task_q.b_source);
  assign reads_step = moves && !reads_block && countdown_q == '0 && steps_left_q;
  assign reads_a = reads_step && !holds_a_q;
  assign reads_b = reads_step && b_read && !holds_b_q;
  assign a_granted = a_local_grant_i || a_row_grant_i;
  assign b_granted = b_local_grant_i || b_row_grant_i;
  assign enters = reads_step && (holds_a_q || a_granted) && (!b_read || holds_b_q || b_granted);

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      countdown_q <= '0;
      steps_left_q <= 1'b0;
      holds_a_q <= 1'b0;
      holds_b_q <= 1'b0;
      started_q <= 1'b0;
    end else if (issue_o) begin
      countdown_q <= '0;
      steps_left_q <= !head_is_table;
      holds_a_q <= 1'b0;
      holds_b_q <= 1'b0;
      started_q <= 1'b0;
    end else if (moves) begin
      if (enters) countdown_q <= wait_of(task_q);
      else if (countdown_q != '0) countdown_q <= countdown_q - CountdownBits'(1);
      if (enters && step_final) steps_left_q <= 1'b0;
      holds_a_q <= !enters && (holds_a_q || (reads_a && a_granted));
      holds_b_q <= !enters && (holds_b_q || (reads_b && b_granted));
      started_q <= started_q || a_granted || b_granted;
    end
  end

  assign head_vectors = head_is_table ? BlockBits'(TableVectors)
                        : head.parameters ? BlockBits'(PARAMETER_VECTORS) : '0;

  vpu_block #(.MaxVectors(MaxBlock)) u_block (
    .clk_i, .rst_ni, .start_i(issue_o), .start_vectors_i(head_vectors),
    .start_address_i(VectorBits'(head_is_table ? head_table.source : head.parameter_)),
    .next_i(enters && task_q.parameters && &loop_last[4:1] && !step_final),
    .stride_i(VectorBits'(task_q.parameter_stride)),
    .moves_i(moves), .reads_o(reads_block), .address_o(block_address), .grant_i(a_local_grant_i),
    .arrives_o(block_arrives), .vector_o(block_vector), .done_o(block_done)
  );

  // Addresses. A result's come in the order in which results leave the pipeline; reduced loops stand still.

  address_t a_address, b_address;

  vpu_address #(.Bits(AddressBits)) u_a_address (
    .clk_i, .start_i(issue_o), .base_i(address_t'(head.a)), .next_i(enters), .last_i(loop_last),
    .stride_i({address_t'(task_q.a_stride_4), address_t'(task_q.a_stride_3), address_t'(task_q.a_stride_2),
               address_t'(task_q.a_stride_1), address_t'(task_q.a_stride_0)}),
    .address_o(a_address)
  );
  vpu_address #(.Bits(AddressBits)) u_b_address (
    .clk_i, .start_i(issue_o), .base_i(address_t'(head.b)), .next_i(enters && b_read), .last_i(loop_last),
    .stride_i({address_t'(task_q.b_stride_4), address_t'(task_q.b_stride_3), address_t'(task_q.b_stride_2),
               address_t'(task_q.b_stride_1), address_t'(task_q.b_stride_0)}),
    .address_o(b_address)
  );

  logic writes;
  logic [4:0][15:0] result_counts;
  assign writes = due && moves;
  for (genvar l = 0; l < 5; l++) begin : gen_result_count
    assign result_counts[l] = reduced[l] ? 16'd1 : counts[l];
  end

  vpu_loops u_result_loops (
    .clk_i, .start_i(issue_o), .next_i(writes), .count_i(result_counts), .last_o(result_loop_last)
  );
  vpu_address #(.Bits(AddressBits)) u_d_address (
    .clk_i, .start_i(issue_o), .base_i(address_t'(head.d)), .next_i(writes), .last_i(result_loop_last),
    .stride_i({address_t'(task_q.d_stride_4), address_t'(task_q.d_stride_3), address_t'(task_q.d_stride_2),
               address_t'(task_q.d_stride_1), address_t'(task_q.d_stride_0)}),
    .address_o(d_address)
  );

  assign a_local_read_o = reads_block || (reads_a && in_scratchpad(task_q.a_source));
  assign a_local_address_o = reads_block ? block_address : VectorBits'(a_address);
  assign a_row_read_o = reads_a && in_rows(task_q.a_source);
  assign a_row_address_o = row_address_t'(a_address);
  assign b_local_read_o = reads_b && in_scratchpad(task_q.b_source);
  assign b_local_address_o = VectorBits'(b_address);
  assign b_row_read_o = reads_b && in_rows(task_q.b_source);
  assign b_row_address_o = row_address_t'(b_address);
  assign first_grant_o = moves && !started_q && (a_granted || b_granted);

  // What was granted arrives in the next cycle, frozen or not.

  logic a_arrives_q, b_arrives_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      a_arrives_q <= 1'b0;
      b_arrives_q <= 1'b0;
    end else begin
      a_arrives_q <= reads_a && a_granted;
      b_arrives_q <= reads_b && b_granted;
    end
  end

  words_t result;

  vpu_datapath #(.Stages(Stages)) u_datapath (
    .clk_i, .enable_i(moves ? valid_q[Stages-1:1] : '0), .first_i(first_q[Joined:Joined-1]), .task_i(task_q),
    .a_arrives_i(a_arrives_q), .a_bytes_i(a_local_data_i), .a_words_i(a_row_data_i),
    .b_arrives_i(b_arrives_q), .b_bytes_i(b_local_data_i), .b_words_i(b_row_data_i),
    .clear_record_i(issue_o), .clear_scale_i(head.a_scale),
    .record_arrives_i(block_arrives && !is_table), .table_arrives_i(block_arrives && is_table),
    .table_slot_i(task_table.slot[0]), .block_vector_i(block_vector), .result_o(result)
  );

  // Results and retirement.

  assign local_write_o = writes && in_scratchpad(task_q.destination);
  assign local_write_address_o = VectorBits'(d_address);
  assign row_write_o = writes && in_rows(task_q.destination);
  assign row_write_address_o = row_address_t'(d_address);
  assign row_write_data_o = result;
  for (genvar l = 0; l < Lanes; l++) begin : gen_bytes
    assign local_write_data_o[l] = result[l][7:0];
  end

  assign mailbox_write_o = writes && final_q[Stages] && task_q.destination == DESTINATION_MAILBOX;
  assign mailbox_number_o = task_q.d[3:0];
  assign mailbox_value_o = result[0];

  assign retires = (is_table && block_done) || (writes && final_q[Stages]);
  assign retire_o = retires;
  assign retire_signal_o = task_q.signal[Units-1:0];

  logic asks, whole;
  assign asks = reads_block || reads_step;
  assign whole = reads_block ? a_granted : enters;

  always_comb begin
    if (!active_q) activity_o = queue_valid_i && !ready ? ACTIVITY_TOKEN : ACTIVITY_IDLE;
    else if (frozen) activity_o = ACTIVITY_WRITE;
    else if (asks) activity_o = whole ? ACTIVITY_BUSY : ACTIVITY_BANK;
    else activity_o = countdown_q != '0 && steps_left_q ? ACTIVITY_INTERVAL : ACTIVITY_DRAIN;
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni) a_granted |-> a_local_read_o || a_row_read_o);
  assert property (@(posedge clk_i) disable iff (!rst_ni) b_granted |-> b_local_read_o || b_row_read_o);
  assert property (@(posedge clk_i) disable iff (!rst_ni) !active_q |-> valid_q == '0);
  assert property (@(posedge clk_i) disable iff (!rst_ni) frozen |-> !asks && !writes);
  assert property (@(posedge clk_i) disable iff (!rst_ni) writes && final_q[Stages] |-> valid_q[Stages-1:1] == '0);
`endif
endmodule
