// LOAD with AXI4 names as cocotbext-axi expects them.
module load_bench
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
  output logic        write_o,
  output logic [VectorBits-1:0] write_address_o,
  output logic [8*Lanes-1:0] write_data_o,
  output logic [Lanes-1:0] write_strobe_o,
  input  logic        write_grant_i,

  output logic        axi_arid,
  output logic [31:0] axi_araddr,
  output logic [7:0]  axi_arlen,
  output logic [2:0]  axi_arsize,
  output logic [1:0]  axi_arburst,
  output logic        axi_arvalid,
  input  logic        axi_arready,
  input  logic        axi_rid,
  input  logic [8*BeatBytes-1:0] axi_rdata,
  input  logic [1:0]  axi_rresp,
  input  logic        axi_rlast,
  input  logic        axi_rvalid,
  output logic        axi_rready
);
  activity_e activity;
  logic first_burst, first_fill;

  assign axi_arid = 1'b0;
  assign axi_arsize = 3'($clog2(BeatBytes));
  assign axi_arburst = 2'b01;

  load u_load (
    .clk_i, .rst_ni, .queue_valid_i(task_valid_i), .queue_i(task_i), .tokens_i, .issue_o, .retire_o, .retire_signal_o,
    .idle_o, .activity_o(activity), .first_burst_o(first_burst), .first_fill_o(first_fill),
    .ar_valid_o(axi_arvalid), .ar_address_o(axi_araddr), .ar_length_o(axi_arlen), .ar_ready_i(axi_arready),
    .r_valid_i(axi_rvalid), .r_data_i(axi_rdata), .r_last_i(axi_rlast), .r_ready_o(axi_rready),
    .write_o, .write_address_o, .write_data_o, .write_strobe_o, .write_grant_i
  );
endmodule
