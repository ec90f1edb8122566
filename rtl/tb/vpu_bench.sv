// The VPU between real memories, with ports to fill and read them. Grants are denied, and the MXU's writes shown, at will.
module vpu_bench
  import weft_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        task_valid_i,
  input  logic [weft_isa_pkg::VECTOR_BITS-1:0] task_i,
  input  logic [4:0]  tokens_i,
  output logic        issue_o,
  output logic        retire_o,
  output logic [4:0]  retire_signal_o,
  output logic        idle_o,
  output logic [3:0]  activity_o,
  output logic        first_grant_o,
  output logic        mailbox_write_o,
  output logic [3:0]  mailbox_number_o,
  output logic [31:0] mailbox_value_o,
  input  logic        deny_a_i,     // another requester wins every bank
  input  logic        deny_b_i,
  input  logic        mxu_write_i,  // the MXU writes to this row, as far as the VPU knows
  input  logic [RowBits-1:0] mxu_row_i,
  output logic        row_write_o,
  output logic [RowBits-1:0] row_write_address_o,

  input  logic        fill_i,
  input  logic [VectorBits-1:0] fill_address_i,
  input  logic [8*Lanes-1:0] fill_data_i,
  input  logic        row_fill_i,
  input  logic [RowBits-1:0] row_fill_address_i,
  input  logic [32*Lanes-1:0] row_fill_data_i,
  input  logic        read_i,  // both memories, while the VPU is idle; data one cycle later
  input  logic [VectorBits-1:0] read_vector_i,
  input  logic [RowBits-1:0] read_row_i,
  output logic [8*Lanes-1:0] read_vector_o,
  output logic [32*Lanes-1:0] read_row_o
);
  logic [ScratchpadReaders-1:0] read, grant;
  vector_address_t [ScratchpadReaders-1:0] address;
  bytes_t [ScratchpadReaders-1:0] data;
  logic [RowReaders-1:0] row_read, row_grant;
  row_address_t [RowReaders-1:0] row_address;
  words_t [RowReaders-1:0] row_data;
  logic fill_grant, write, a_local, b_local, a_row, b_row;
  vector_address_t write_address;
  bytes_t write_data;
  words_t row_write_data;
  activity_e activity;

  // A denied request does not reach the memory.
  assign read = {read_i, b_local && !deny_b_i, a_local && !deny_a_i, 2'b00};
  assign row_read = {b_row && !deny_b_i, a_row && !deny_a_i, read_i};
  assign address[ReadMxuInput] = '0;
  assign address[ReadMxuWeight] = '0;
  assign address[ReadStore] = read_vector_i;
  assign row_address[RowMxu] = read_row_i;
  assign read_vector_o = data[ReadStore];
  assign read_row_o = row_data[RowMxu];
  assign activity_o = activity;

  scratchpad u_scratchpad (
    .clk_i, .read_i(read), .read_address_i(address), .read_grant_o(grant), .read_data_o(data),
    .vpu_write_i(write), .vpu_address_i(write_address), .vpu_data_i(write_data),
    .load_write_i(fill_i), .load_address_i(fill_address_i), .load_data_i(fill_data_i), .load_strobe_i('1),
    .load_grant_o(fill_grant)
  );
  accumulators u_accumulators (
    .clk_i, .read_i(row_read), .read_address_i(row_address), .read_grant_o(row_grant), .read_data_o(row_data),
    .mxu_write_i(row_fill_i), .mxu_address_i(row_fill_address_i), .mxu_data_i(row_fill_data_i),
    .vpu_write_i(row_write_o), .vpu_address_i(row_write_address_o), .vpu_data_i(row_write_data)
  );
  vpu u_vpu (
    .clk_i, .rst_ni, .queue_valid_i(task_valid_i), .queue_i(task_i), .tokens_i, .issue_o, .retire_o, .retire_signal_o,
    .idle_o, .activity_o(activity), .first_grant_o,
    .a_local_read_o(a_local), .a_local_address_o(address[ReadVpuA]), .a_local_grant_i(grant[ReadVpuA]),
    .a_local_data_i(data[ReadVpuA]),
    .a_row_read_o(a_row), .a_row_address_o(row_address[RowVpuA]), .a_row_grant_i(row_grant[RowVpuA]),
    .a_row_data_i(row_data[RowVpuA]),
    .b_local_read_o(b_local), .b_local_address_o(address[ReadVpuB]), .b_local_grant_i(grant[ReadVpuB]),
    .b_local_data_i(data[ReadVpuB]),
    .b_row_read_o(b_row), .b_row_address_o(row_address[RowVpuB]), .b_row_grant_i(row_grant[RowVpuB]),
    .b_row_data_i(row_data[RowVpuB]),
    .mxu_row_write_i(mxu_write_i), .mxu_row_address_i(mxu_row_i),
    .local_write_o(write), .local_write_address_o(write_address), .local_write_data_o(write_data),
    .row_write_o, .row_write_address_o, .row_write_data_o(row_write_data),
    .mailbox_write_o, .mailbox_number_o, .mailbox_value_o
  );
endmodule
