// What each kind of instruction accesses, for the range check: its operands, and count and stride of one of their loops.
// Scratchpad operands of MATMUL, VECTOR and TABLE count in vectors, all else in bytes or rows.
module range_operands
  import weft_pkg::*;
(
  input  logic [weft_isa_pkg::INSTRUCTION_BITS-1:0] instruction_i,
  input  logic [2:0]  loop_i,  // outermost 0
  input  logic [31:0] base_register_i,
  input  logic [31:0] dram_bytes_i,

  output range_operand_t [RangeOperands-1:0]            operand_o,
  output logic signed    [RangeOperands-1:0][35:0]      base_o,
  output logic           [RangeOperands-1:0][15:0]      count_o,
  output logic signed    [RangeOperands-1:0][31:0]      stride_o
);
  import weft_isa_pkg::*;

  localparam int unsigned TableVectors = 4 * TABLE_ENTRIES / Lanes;

  logic [7:0] opcode;
  load_t transfer;
  fill_t fill;
  matmul_t matmul;
  vector_t vector;
  table_t table_load;

  assign opcode = instruction_i[7:0];
  assign transfer = instruction_i[LOAD_BITS-1:0];
  assign fill = instruction_i[FILL_BITS-1:0];
  assign matmul = instruction_i[MATMUL_BITS-1:0];
  assign vector = instruction_i[VECTOR_BITS-1:0];
  assign table_load = instruction_i[TABLE_BITS-1:0];

  function automatic range_operand_t in_bytes(logic [15:0] run_bytes);
    return {1'b1, FAULT_CAUSE_SCRATCHPAD_RANGE, 52'(Config.scratchpad_bytes), 52'(run_bytes)};
  endfunction

  function automatic range_operand_t in_vectors(int unsigned length);
    return {1'b1, FAULT_CAUSE_SCRATCHPAD_RANGE, 52'(Config.vectors), 52'(length)};
  endfunction

  function automatic range_operand_t in_rows();
    return {1'b1, FAULT_CAUSE_ACCUMULATOR_RANGE, 52'(Config.accumulator_rows), 52'd1};
  endfunction

  function automatic range_operand_t vector_operand(logic [7:0] source);
    if (source == SOURCE_ACCUMULATOR_S32 || source == SOURCE_ACCUMULATOR_F32) return in_rows();
    return in_vectors(1);
  endfunction

  // MATMUL's loops: four outer, three inner; a depthwise window leaves fewer results than it reads.

  logic [7:0][15:0] matmul_count, matmul_row_count;
  logic signed [7:0][23:0] input_stride, weight_stride, row_stride;
  logic [15:0] result_rows, result_columns;

  assign result_rows = ((matmul.inner_count_1 - 16'(matmul.window_rows)) >> matmul.row_shift[1:0]) + 16'd1;
  assign result_columns = ((matmul.inner_count_2 - 16'(matmul.window_columns)) >> matmul.column_shift[1:0]) + 16'd1;

  always_comb begin
    matmul_count = {16'd1, matmul.inner_count_2, matmul.inner_count_1, matmul.inner_count_0, matmul.outer_count_3,
                    matmul.outer_count_2, matmul.outer_count_1, matmul.outer_count_0};
    matmul_row_count = matmul_count;
    if (matmul.mode == MATMUL_MODE_DEPTHWISE) matmul_row_count[6:5] = {result_columns, result_rows};
    input_stride = {24'd0, matmul.inner_input_stride_2, matmul.inner_input_stride_1, matmul.inner_input_stride_0,
                    matmul.outer_input_stride_3, matmul.outer_input_stride_2, matmul.outer_input_stride_1,
                    matmul.outer_input_stride_0};
    weight_stride = {72'd0, matmul.weight_vector_stride, matmul.outer_weight_stride_3, matmul.outer_weight_stride_2,
                     matmul.outer_weight_stride_1, matmul.outer_weight_stride_0};
    row_stride = {24'd0, matmul.inner_accumulator_stride_2, matmul.inner_accumulator_stride_1,
                  matmul.inner_accumulator_stride_0, matmul.outer_accumulator_stride_3, matmul.outer_accumulator_stride_2,
                  matmul.outer_accumulator_stride_1, matmul.outer_accumulator_stride_0};
  end

  // LOAD's and STORE's loops, FILL's, and VECTOR's.

  logic [7:0][15:0] transfer_count, fill_count, vector_count, result_count;
  logic signed [7:0][31:0] dram_stride;
  logic signed [7:0][23:0] local_stride, fill_stride, a_stride, b_stride, d_stride;

  always_comb begin
    transfer_count = {64'h0001_0001_0001_0001, transfer.count_3, transfer.count_2, transfer.count_1, transfer.count_0};
    fill_count = {64'h0001_0001_0001_0001, fill.count_3, fill.count_2, fill.count_1, fill.count_0};
    vector_count = {48'h0001_0001_0001, vector.count_4, vector.count_3, vector.count_2, vector.count_1, vector.count_0};
    result_count = vector_count;
    for (int unsigned loop = 0; loop < 5; loop++) begin
      if (loop + 32'(vector.reduce_loops) >= 5) result_count[loop] = 16'd1;
    end
    dram_stride = {128'd0, transfer.dram_stride_3, transfer.dram_stride_2, transfer.dram_stride_1, transfer.dram_stride_0};
    local_stride = {96'd0, transfer.scratchpad_stride_3, transfer.scratchpad_stride_2, transfer.scratchpad_stride_1,
                    transfer.scratchpad_stride_0};
    fill_stride = {96'd0, fill.scratchpad_stride_3, fill.scratchpad_stride_2, fill.scratchpad_stride_1,
                   fill.scratchpad_stride_0};
    a_stride = {72'd0, vector.a_stride_4, vector.a_stride_3, vector.a_stride_2, vector.a_stride_1, vector.a_stride_0};
    b_stride = {72'd0, vector.b_stride_4, vector.b_stride_3, vector.b_stride_2, vector.b_stride_1, vector.b_stride_0};
    d_stride = {72'd0, vector.d_stride_4, vector.d_stride_3, vector.d_stride_2, vector.d_stride_1, vector.d_stride_0};
  end

  always_comb begin
    operand_o = '0;
    base_o = '0;
    count_o = {RangeOperands{16'd1}};
    stride_o = '0;
    case (opcode)
      OPCODE_LOAD, OPCODE_STORE: begin
        operand_o[0] = {1'b1, FAULT_CAUSE_DRAM_RANGE, 52'(dram_bytes_i), 52'(transfer.run_bytes)};
        operand_o[1] = in_bytes(transfer.run_bytes);
        base_o[0] = 36'(base_register_i) + 36'(transfer.offset);
        base_o[1] = 36'(transfer.scratchpad);
        count_o[1:0] = {2{transfer_count[loop_i]}};
        stride_o[0] = dram_stride[loop_i];
        stride_o[1] = 32'($signed(local_stride[loop_i]));
      end
      OPCODE_FILL: begin
        operand_o[0] = in_bytes(fill.run_bytes);
        base_o[0] = 36'(fill.scratchpad);
        count_o[0] = fill_count[loop_i];
        stride_o[0] = 32'($signed(fill_stride[loop_i]));
      end
      OPCODE_MATMUL: begin
        operand_o[2:0] = {in_rows(), in_vectors(1), in_vectors(1)};
        base_o[2:0] = {36'(matmul.accumulator), 36'(matmul.weight), 36'(matmul.input_)};
        count_o[0] = matmul_count[loop_i];
        count_o[1] = loop_i < 3'd4 ? matmul_count[loop_i] : loop_i == 3'd4 ? 16'(matmul.weight_rows) : 16'd1;
        count_o[2] = matmul_row_count[loop_i];
        stride_o[0] = 32'($signed(input_stride[loop_i]));
        stride_o[1] = 32'($signed(weight_stride[loop_i]));
        stride_o[2] = 32'($signed(row_stride[loop_i]));
      end
      OPCODE_VECTOR: begin
        operand_o[0] = vector_operand(vector.a_source);
        operand_o[1] = vector_operand(vector.b_source);
        operand_o[1].used = vector.b_source != SOURCE_IMMEDIATE && vector.b_source != SOURCE_EXCHANGE;
        operand_o[2] = vector.destination == DESTINATION_ACCUMULATOR_S32 || vector.destination == DESTINATION_ACCUMULATOR_F32
                       ? in_rows() : in_vectors(1);
        operand_o[2].used = vector.destination != DESTINATION_MAILBOX;
        operand_o[3] = in_vectors(PARAMETER_VECTORS);
        operand_o[3].used = vector.parameters;
        base_o = {36'(vector.parameter_), 36'(vector.d), 36'(vector.b), 36'(vector.a)};
        count_o[1:0] = {2{vector_count[loop_i]}};
        count_o[2] = result_count[loop_i];
        count_o[3] = loop_i == '0 ? vector.count_0 : 16'd1;
        stride_o[0] = 32'($signed(a_stride[loop_i]));
        stride_o[1] = 32'($signed(b_stride[loop_i]));
        stride_o[2] = 32'($signed(d_stride[loop_i]));
        stride_o[3] = loop_i == '0 ? 32'(vector.parameter_stride) : '0;
      end
      OPCODE_TABLE: begin
        operand_o[0] = in_vectors(TableVectors);
        base_o[0] = 36'(table_load.source);
      end
      default: ;
    endcase
  end
endmodule
