// The MXU between real memories, with ports to fill the scratchpad and to read the accumulators.
module mxu_bench
  import weft_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        task_valid_i,
  input  logic [weft_isa_pkg::MATMUL_BITS-1:0] task_i,
  output logic        issue_o,
  output logic        retire_o,
  output logic [4:0]  retire_signal_o,
  output logic        idle_o,
  input  logic [4:0]  tokens_i,
  input  logic        deny_weights_i,  // another requester wins every bank
  input  logic        fill_i,
  input  logic [VectorBits-1:0] fill_address_i,
  input  logic [8*Lanes-1:0] fill_data_i,
  input  logic        row_i,
  input  logic [RowBits-1:0] row_address_i,
  output logic        row_grant_o,
  output logic [32*Lanes-1:0] row_data_o
);
  logic [ScratchpadReaders-1:0] read, grant;
  vector_address_t [ScratchpadReaders-1:0] address;
  bytes_t [ScratchpadReaders-1:0] data;
  logic [RowReaders-1:0] row_read, row_grant;
  row_address_t [RowReaders-1:0] row_address;
  words_t [RowReaders-1:0] row_data;
  logic row_write, fill_grant, first_weight;
  row_address_t row_write_address;
  words_t row_write_data;
  activity_e activity;

  always_comb begin
    read[ReadStore:ReadVpuA] = '0;
    address[ReadStore:ReadVpuA] = '0;
    row_read[RowVpuB:RowVpuA] = {1'b0, row_i};
    row_address[RowVpuB:RowVpuA] = {row_address_t'(0), row_address_i};
  end
  assign row_grant_o = row_grant[RowVpuA];
  assign row_data_o = row_data[RowVpuA];

  scratchpad u_scratchpad (
    .clk_i, .read_i(read), .read_address_i(address), .read_grant_o(grant), .read_data_o(data),
    .vpu_write_i(fill_i), .vpu_address_i(fill_address_i), .vpu_data_i(fill_data_i),
    .load_write_i(1'b0), .load_address_i('0), .load_data_i('0), .load_strobe_i('0), .load_grant_o(fill_grant)
  );
  accumulators u_accumulators (
    .clk_i, .read_i(row_read), .read_address_i(row_address), .read_grant_o(row_grant), .read_data_o(row_data),
    .mxu_write_i(row_write), .mxu_address_i(row_write_address), .mxu_data_i(row_write_data),
    .vpu_write_i(1'b0), .vpu_address_i('0), .vpu_data_i('0)
  );
  mxu u_mxu (
    .clk_i, .rst_ni, .queue_valid_i(task_valid_i), .queue_i(task_i), .tokens_i, .issue_o, .retire_o, .retire_signal_o,
    .idle_o, .activity_o(activity), .first_weight_o(first_weight),
    .input_read_o(read[ReadMxuInput]), .input_address_o(address[ReadMxuInput]), .input_data_i(data[ReadMxuInput]),
    .weight_read_o(read[ReadMxuWeight]), .weight_address_o(address[ReadMxuWeight]),
    .weight_grant_i(grant[ReadMxuWeight] && !deny_weights_i), .weight_data_i(data[ReadMxuWeight]),
    .row_read_o(row_read[RowMxu]), .row_read_address_o(row_address[RowMxu]), .row_data_i(row_data[RowMxu]),
    .row_write_o(row_write), .row_write_address_o(row_write_address), .row_write_data_o(row_write_data)
  );
endmodule
