// The VPU's lanes and what they share: parameter record, tables, and the exchange between lanes.
module vpu_datapath
  import weft_pkg::*;
#(
  parameter int unsigned Stages = 24
) (
  input  logic              clk_i,
  input  logic [Stages-1:1] enable_i,  // the step in this stage moves on; behind the reduction, only a result does
  input  logic [19:18]      first_i,   // the step in this stage begins a reduction
  input  weft_isa_pkg::vector_t task_i,

  input  logic              a_arrives_i,
  input  bytes_t            a_bytes_i,
  input  words_t            a_words_i,
  input  logic              b_arrives_i,
  input  bytes_t            b_bytes_i,
  input  words_t            b_words_i,

  // A vector of a parameter record or of a table arrives with a_bytes_i.
  input  logic              clear_record_i,
  input  logic [31:0]       clear_scale_i,
  input  logic              record_arrives_i,
  input  logic              table_arrives_i,
  input  logic              table_slot_i,
  input  logic [7:0]        block_vector_i,

  output words_t            result_o
);
  import weft_isa_pkg::*;

  localparam int unsigned TableRowBits = $clog2(4 * TABLE_ENTRIES / Lanes);

  words_t bias, scale, entry, a, exchanged;
  logic [Lanes-1:0][7:0] index;
  logic [31:0] minus_zero;

  vpu_record u_record (
    .clk_i, .clear_i(clear_record_i), .scale_i(clear_scale_i), .arrives_i(record_arrives_i),
    .vector_i(block_vector_i[2:0]), .data_i(a_bytes_i), .bias_o(bias), .scale_o(scale)
  );

  vpu_table u_table (
    .clk_i, .write_i(table_arrives_i), .write_slot_i(table_slot_i), .write_row_i(block_vector_i[TableRowBits-1:0]),
    .write_data_i(a_bytes_i), .read_i(enable_i[7] && task_i.table_ != '0), .read_slot_i(task_i.table_ == 6'd2),
    .index_i(index), .entry_o(entry)
  );

  assign minus_zero = -32'(task_i.a_zero);

  for (genvar l = 0; l < Lanes; l++) begin : gen_lane
    assign exchanged[l] = a[LaneBits'(l) ^ task_i.exchange[LaneBits-1:0]];

    vpu_lane #(.Stages(Stages)) u_lane (
      .clk_i, .enable_i, .first_i, .task_i,
      .a_arrives_i, .a_byte_i(a_bytes_i[l]), .a_word_i(a_words_i[l]), .a_offset_i(bias[l] + minus_zero),
      .a_scale_i(scale[l]), .b_arrives_i, .b_byte_i(b_bytes_i[l]), .b_word_i(b_words_i[l]),
      .index_o(index[l]), .entry_i(entry[l]), .a_o(a[l]), .exchanged_i(exchanged[l]), .result_o(result_o[l])
    );
  end

`ifndef SYNTHESIS
  if (TABLE_SLOTS != 2) begin : gen_slots
    $error("a table slot is one bit");
  end
`endif
endmodule
