// STORE in front of a scratchpad that the bench fills, with AXI4 names as cocotbext-axi expects them.
module store_bench
  import weft_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        task_valid_i,
  input  logic [$bits(transfer_t)-1:0] task_i,
  input  logic [4:0]  tokens_i,
  output logic        issue_o,
  output logic        retire_o,
  output logic [4:0]  retire_signal_o,
  output logic        idle_o,
  input  logic        deny_i,  // another requester wins every bank
  input  logic        fill_i,
  input  logic [VectorBits-1:0] fill_address_i,
  input  logic [8*Lanes-1:0] fill_data_i,

  output logic        axi_awid,
  output logic [31:0] axi_awaddr,
  output logic [7:0]  axi_awlen,
  output logic [2:0]  axi_awsize,
  output logic [1:0]  axi_awburst,
  output logic        axi_awvalid,
  input  logic        axi_awready,
  output logic [8*BeatBytes-1:0] axi_wdata,
  output logic [BeatBytes-1:0] axi_wstrb,
  output logic        axi_wlast,
  output logic        axi_wvalid,
  input  logic        axi_wready,
  input  logic        axi_bid,
  input  logic [1:0]  axi_bresp,
  input  logic        axi_bvalid,
  output logic        axi_bready
);
  activity_e activity;
  logic first_read, fill_grant;
  logic [ScratchpadReaders-1:0] read, grant;
  vector_address_t [ScratchpadReaders-1:0] address;
  bytes_t [ScratchpadReaders-1:0] data;

  assign axi_awid = 1'b0;
  assign axi_awsize = 3'($clog2(BeatBytes));
  assign axi_awburst = 2'b01;
  always_comb begin
    read[ReadVpuB:ReadMxuInput] = '0;
    address[ReadVpuB:ReadMxuInput] = '0;
  end

  scratchpad u_scratchpad (
    .clk_i, .read_i(read), .read_address_i(address), .read_grant_o(grant), .read_data_o(data),
    .vpu_write_i(fill_i), .vpu_address_i(fill_address_i), .vpu_data_i(fill_data_i),
    .load_write_i(1'b0), .load_address_i('0), .load_data_i('0), .load_strobe_i('0), .load_grant_o(fill_grant)
  );
  store u_store (
    .clk_i, .rst_ni, .queue_valid_i(task_valid_i), .queue_i(task_i), .tokens_i, .issue_o, .retire_o, .retire_signal_o,
    .idle_o, .activity_o(activity), .first_read_o(first_read),
    .aw_valid_o(axi_awvalid), .aw_address_o(axi_awaddr), .aw_length_o(axi_awlen), .aw_ready_i(axi_awready),
    .w_valid_o(axi_wvalid), .w_data_o(axi_wdata), .w_strobe_o(axi_wstrb), .w_last_o(axi_wlast), .w_ready_i(axi_wready),
    .b_valid_i(axi_bvalid), .b_ready_o(axi_bready),
    .read_o(read[ReadStore]), .read_address_o(address[ReadStore]), .read_grant_i(grant[ReadStore] && !deny_i),
    .read_data_i(data[ReadStore])
  );
endmodule
