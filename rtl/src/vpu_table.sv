// The tables, one memory row per scratchpad vector. Each lane reads elsewhere, so each has a copy of its own.
module vpu_table
  import weft_pkg::*;
#(
  localparam int unsigned VectorWords = Lanes / 4,
  localparam int unsigned SlotRows = weft_isa_pkg::TABLE_ENTRIES / VectorWords,
  localparam int unsigned RowIndexBits = $clog2(SlotRows),
  localparam int unsigned SlotBits = $clog2(weft_isa_pkg::TABLE_SLOTS)
) (
  input  logic                    clk_i,

  input  logic                    write_i,
  input  logic [SlotBits-1:0]     write_slot_i,
  input  logic [RowIndexBits-1:0] write_row_i,
  input  bytes_t                  write_data_i,

  input  logic                    read_i,
  input  logic [SlotBits-1:0]     read_slot_i,
  input  logic [Lanes-1:0][7:0]   index_i,
  output words_t                  entry_o   // in the next cycle
);
  localparam int unsigned WordBits = $clog2(VectorWords);

  for (genvar l = 0; l < Lanes; l++) begin : gen_lane
    logic [VectorWords-1:0][31:0] memory_q [weft_isa_pkg::TABLE_SLOTS * SlotRows];
    logic [VectorWords-1:0][31:0] row_q;

    always_ff @(posedge clk_i) begin
      if (write_i) memory_q[{write_slot_i, write_row_i}] <= write_data_i;
      if (read_i) row_q <= memory_q[{read_slot_i, index_i[l][7:WordBits]}];
    end

    if (WordBits == 0) begin : gen_whole
      assign entry_o[l] = row_q;
    end else begin : gen_word
      logic [WordBits-1:0] word_q;
      always_ff @(posedge clk_i) begin
        if (read_i) word_q <= index_i[l][WordBits-1:0];
      end
      assign entry_o[l] = row_q[word_q];
    end
  end
endmodule
