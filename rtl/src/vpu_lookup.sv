// What operand a goes through behind its scale, in five stages: 1 it is rounded and clamped, 2 made an index, 3 the table is
// read, 4 and 5 it is scaled again.
module vpu_lookup
  import weft_pkg::*;
  import binary32_pkg::*;
(
  input  logic        clk_i,
  input  logic [5:1]  enable_i,     // the step in this stage moves on

  // Constant while an instruction is active.
  input  logic        rounds_i,
  input  logic [31:0] low_i,
  input  logic [31:0] high_i,
  input  logic        looks_up_i,
  input  logic        slot_i,
  input  logic [31:0] rescale_i,

  input  words_t      value_i,
  output words_t      result_o,

  input  logic        table_arrives_i,  // a vector of a table …
  input  logic        table_slot_i,
  input  logic [7:0]  table_vector_i,   // … this one
  input  bytes_t      table_data_i
);
  localparam int unsigned TableRowBits = $clog2(4 * weft_isa_pkg::TABLE_ENTRIES / Lanes);

  words_t rounded_q, indexed_q, read_q, entry, factor;
  bytes_t index_q;

  always_ff @(posedge clk_i) begin
    automatic words_t next;
    if (enable_i[1]) begin
      if (rounds_i) begin
        /* verilator unroll_disable */
        for (int unsigned l = 0; l < Lanes; l++) next[l] = clamp(rint(value_i[l]), low_i, high_i);
        rounded_q <= next;
      end else begin
        rounded_q <= value_i;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    automatic bytes_t next;
    if (enable_i[2] && looks_up_i) begin
      /* verilator unroll_disable */
      for (int unsigned l = 0; l < Lanes; l++) next[l] = 8'(to_integer(rounded_q[l]));
      index_q <= next;
    end
  end
  always_ff @(posedge clk_i) begin
    if (enable_i[2] && !looks_up_i) indexed_q <= rounded_q;
  end
  always_ff @(posedge clk_i) begin
    if (enable_i[3] && !looks_up_i) read_q <= indexed_q;
  end

  vpu_table u_table (
    .clk_i, .write_i(table_arrives_i), .write_slot_i(table_slot_i), .write_row_i(table_vector_i[TableRowBits-1:0]),
    .write_data_i(table_data_i), .read_i(enable_i[3] && looks_up_i), .read_slot_i(slot_i), .index_i(index_q),
    .entry_o(entry)
  );

  // A NaN of the table's may have any bits: the product makes it canonical.
  assign factor = looks_up_i ? entry : read_q;

  float_multiply #(.Lanes(Lanes), .Factors(1)) u_rescale (
    .clk_i, .enable_i({enable_i[5], enable_i[4]}), .x_i(factor), .y_i(rescale_i), .result_o
  );

`ifndef SYNTHESIS
  if (weft_isa_pkg::TABLE_SLOTS != 2) begin : gen_slots
    $error("a table slot is one bit");
  end
`endif
endmodule
