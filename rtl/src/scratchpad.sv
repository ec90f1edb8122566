// The scratchpad: contiguous banks with one read and one write port each, shared by fixed priority (docs/machine.md, Memories
// and arbitration). Data of a read granted in a cycle is at `data_o` in the next.
module scratchpad
  import weft_pkg::*;
(
  input  logic                                  clk_i,

  input  logic            [ScratchpadReaders-1:0] read_i,
  input  vector_address_t [ScratchpadReaders-1:0] read_address_i,
  output logic            [ScratchpadReaders-1:0] read_grant_o,
  output bytes_t          [ScratchpadReaders-1:0] read_data_o,

  // The VPU's write is always granted, LOAD's where the VPU does not write to its bank.
  input  logic            vpu_write_i,
  input  vector_address_t vpu_address_i,
  input  bytes_t          vpu_data_i,
  input  logic            load_write_i,
  input  vector_address_t load_address_i,
  input  bytes_t          load_data_i,
  input  logic [Lanes-1:0] load_strobe_i,
  output logic            load_grant_o
);
  localparam int unsigned Banks = Config.scratchpad_banks;
  localparam int unsigned IndexBits = BankVectors > 1 ? $clog2(BankVectors) : 1;
  typedef logic [IndexBits-1:0] index_t;

  function automatic index_t in_bank(vector_address_t address, scratchpad_bank_t bank);
    return index_t'(32'(address) - 32'(bank) * BankVectors);
  endfunction

  scratchpad_bank_t [ScratchpadReaders-1:0] read_bank, read_bank_q;
  index_t [ScratchpadReaders-1:0] read_index;
  scratchpad_bank_t vpu_bank, load_bank;
  index_t vpu_index, load_index;

  always_comb begin
    for (int unsigned r = 0; r < ScratchpadReaders; r++) begin
      read_bank[r] = scratchpad_bank(read_address_i[r]);
      read_index[r] = in_bank(read_address_i[r], read_bank[r]);
    end
    for (int unsigned r = 0; r < ScratchpadReaders; r++) begin
      read_grant_o[r] = read_i[r];
      for (int unsigned other = 0; other < r; other++) begin
        if (read_i[other] && read_bank[other] == read_bank[r]) read_grant_o[r] = 1'b0;
      end
    end
  end

  assign vpu_bank = scratchpad_bank(vpu_address_i);
  assign vpu_index = in_bank(vpu_address_i, vpu_bank);
  assign load_bank = scratchpad_bank(load_address_i);
  assign load_index = in_bank(load_address_i, load_bank);
  assign load_grant_o = load_write_i && !(vpu_write_i && vpu_bank == load_bank);

  always_ff @(posedge clk_i) begin
    for (int unsigned r = 0; r < ScratchpadReaders; r++) begin
      if (read_grant_o[r]) read_bank_q[r] <= read_bank[r];
    end
  end

  bytes_t [Banks-1:0] bank_data;

  for (genvar b = 0; b < Banks; b++) begin : gen_bank
    logic read, write;
    index_t read_at, write_at;
    bytes_t write_data;
    logic [Lanes-1:0] write_strobe;

    always_comb begin
      read = 1'b0;
      read_at = '0;
      for (int unsigned r = 0; r < ScratchpadReaders; r++) begin
        if (read_grant_o[r] && read_bank[r] == scratchpad_bank_t'(b)) begin
          read = 1'b1;
          read_at = read_index[r];
        end
      end
    end

    always_comb begin
      if (vpu_write_i && vpu_bank == scratchpad_bank_t'(b)) begin
        write = 1'b1;
        write_at = vpu_index;
        write_data = vpu_data_i;
        write_strobe = '1;
      end else begin
        write = load_write_i && load_bank == scratchpad_bank_t'(b);
        write_at = load_index;
        write_data = load_data_i;
        write_strobe = load_strobe_i;
      end
    end

    scratchpad_bank_memory #(.Depth(BankVectors), .Bytes(Lanes)) u_memory (
      .clk_i,
      .read_i(read), .read_address_i(read_at), .read_data_o(bank_data[b]),
      .write_i(write), .write_address_i(write_at), .write_data_i(write_data), .write_strobe_i(write_strobe)
    );
  end

  for (genvar r = 0; r < ScratchpadReaders; r++) begin : gen_data
    assign read_data_o[r] = bank_data[read_bank_q[r]];
  end
endmodule
