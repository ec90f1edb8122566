// The accumulators: rows of 32-bit words in contiguous banks with one read and one write port each (docs/machine.md, Memories
// and arbitration). The MXU comes first on both ports; the VPU stands still by itself instead of writing to a bank that
// the MXU writes. A row read in the cycle in which it is written gives the new words.
module accumulators
  import weft_pkg::*;
(
  input  logic                           clk_i,

  input  logic         [RowReaders-1:0]  read_i,
  input  row_address_t [RowReaders-1:0]  read_address_i,
  output logic         [RowReaders-1:0]  read_grant_o,
  output words_t       [RowReaders-1:0]  read_data_o,

  input  logic         mxu_write_i,
  input  row_address_t mxu_address_i,
  input  words_t       mxu_data_i,
  input  logic         vpu_write_i,
  input  row_address_t vpu_address_i,
  input  words_t       vpu_data_i
);
  localparam int unsigned Banks = Config.accumulator_banks;
  localparam int unsigned IndexBits = BankRows > 1 ? $clog2(BankRows) : 1;
  typedef logic [IndexBits-1:0] index_t;

  function automatic index_t in_bank(row_address_t address, row_bank_t bank);
    return index_t'(32'(address) - 32'(bank) * BankRows);
  endfunction

  row_bank_t [RowReaders-1:0] read_bank, read_bank_q;
  index_t [RowReaders-1:0] read_index;
  row_bank_t mxu_bank, vpu_bank;
  index_t mxu_index, vpu_index;

  always_comb begin
    for (int unsigned r = 0; r < RowReaders; r++) begin
      read_bank[r] = row_bank(read_address_i[r]);
      read_index[r] = in_bank(read_address_i[r], read_bank[r]);
    end
    for (int unsigned r = 0; r < RowReaders; r++) begin
      read_grant_o[r] = read_i[r];
      for (int unsigned other = 0; other < r; other++) begin
        if (read_i[other] && read_bank[other] == read_bank[r]) read_grant_o[r] = 1'b0;
      end
    end
  end

  assign mxu_bank = row_bank(mxu_address_i);
  assign mxu_index = in_bank(mxu_address_i, mxu_bank);
  assign vpu_bank = row_bank(vpu_address_i);
  assign vpu_index = in_bank(vpu_address_i, vpu_bank);

  always_ff @(posedge clk_i) begin
    for (int unsigned r = 0; r < RowReaders; r++) begin
      if (read_grant_o[r]) read_bank_q[r] <= read_bank[r];
    end
  end

  words_t [Banks-1:0] bank_data;

  for (genvar b = 0; b < Banks; b++) begin : gen_bank
    logic read, write, mxu_here;
    index_t read_at, write_at;

    always_comb begin
      read = 1'b0;
      read_at = '0;
      for (int unsigned r = 0; r < RowReaders; r++) begin
        if (read_grant_o[r] && read_bank[r] == row_bank_t'(b)) begin
          read = 1'b1;
          read_at = read_index[r];
        end
      end
    end

    assign mxu_here = mxu_write_i && mxu_bank == row_bank_t'(b);
    assign write = mxu_here || (vpu_write_i && vpu_bank == row_bank_t'(b));
    assign write_at = mxu_here ? mxu_index : vpu_index;

    accumulator_bank_memory #(.Depth(BankRows), .Width(32 * Lanes)) u_memory (
      .clk_i,
      .read_i(read), .read_address_i(read_at), .read_data_o(bank_data[b]),
      .write_i(write), .write_address_i(write_at), .write_data_i(mxu_here ? mxu_data_i : vpu_data_i)
    );
  end

  for (genvar r = 0; r < RowReaders; r++) begin : gen_data
    assign read_data_o[r] = bank_data[read_bank_q[r]];
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) mxu_write_i && vpu_write_i |-> mxu_bank != vpu_bank);
  assert property (@(posedge clk_i) read_i[RowMxu] |-> read_grant_o[RowMxu]);
`endif
endmodule
