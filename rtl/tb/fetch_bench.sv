// FETCH's memory side with AXI4 names as cocotbext-axi expects them.
module fetch_bench
  import weft_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        start_i,
  input  logic [31:0] program_address_i,
  input  logic [31:0] program_length_i,
  input  logic        run_i,
  output logic        valid_o,
  output logic [weft_isa_pkg::INSTRUCTION_BITS-1:0] instruction_o,
  output logic [31:0] index_o,
  input  logic        take_i,
  input  logic        jump_i,
  input  logic [31:0] target_i,
  output logic        exhausted_o,
  output logic [31:0] next_o,
  output logic        idle_o,

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
  assign axi_arid = 1'b0;
  assign axi_arsize = 3'($clog2(BeatBytes));
  assign axi_arburst = 2'b01;

  fetch u_fetch (
    .clk_i, .rst_ni, .start_i, .program_address_i, .program_length_i, .run_i, .valid_o, .instruction_o, .index_o,
    .take_i, .jump_i, .target_i, .exhausted_o, .next_o, .idle_o,
    .ar_valid_o(axi_arvalid), .ar_address_o(axi_araddr), .ar_length_o(axi_arlen), .ar_ready_i(axi_arready),
    .r_valid_i(axi_rvalid), .r_data_i(axi_rdata), .r_last_i(axi_rlast), .r_ready_o(axi_rready)
  );
endmodule
