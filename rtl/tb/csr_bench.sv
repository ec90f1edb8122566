// Control registers with AXI4-Lite names as cocotbext-axi expects them.
module csr_bench
  import weft_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic [11:0] axil_awaddr,
  input  logic [2:0]  axil_awprot,
  input  logic        axil_awvalid,
  output logic        axil_awready,
  input  logic [31:0] axil_wdata,
  input  logic [3:0]  axil_wstrb,
  input  logic        axil_wvalid,
  output logic        axil_wready,
  output logic [1:0]  axil_bresp,
  output logic        axil_bvalid,
  input  logic        axil_bready,
  input  logic [11:0] axil_araddr,
  input  logic [2:0]  axil_arprot,
  input  logic        axil_arvalid,
  output logic        axil_arready,
  output logic [31:0] axil_rdata,
  output logic [1:0]  axil_rresp,
  output logic        axil_rvalid,
  input  logic        axil_rready,
  output logic        interrupt_o,
  output logic        start_o,
  output logic        running_o,
  output logic [31:0] program_address_o,
  input  logic        done_i,
  input  logic        fault_i,
  input  logic [7:0]  cause_i,
  input  logic [31:0] fault_index_i,
  input  logic        leave_i,
  input  logic [19:0] activity_i
);
  logic [31:0] program_length, dram_bytes, instruction_limit;
  logic [15:0][31:0] registers, mailboxes;
  activity_e [Units-1:0] activity;

  for (genvar i = 0; i < 16; i++) begin : gen_mailbox
    assign mailboxes[i] = 32'hb0b0_0000 + i;
  end
  for (genvar u = 0; u < Units; u++) begin : gen_activity
    assign activity[u] = activity_e'(activity_i[4*u+:4]);
  end

  csr u_csr (
    .clk_i, .rst_ni,
    .aw_valid_i(axil_awvalid), .aw_address_i(axil_awaddr), .aw_ready_o(axil_awready), .w_valid_i(axil_wvalid),
    .w_data_i(axil_wdata), .w_strobe_i(axil_wstrb), .w_ready_o(axil_wready), .b_valid_o(axil_bvalid),
    .b_response_o(axil_bresp), .b_ready_i(axil_bready), .ar_valid_i(axil_arvalid), .ar_address_i(axil_araddr),
    .ar_ready_o(axil_arready), .r_valid_o(axil_rvalid), .r_data_o(axil_rdata), .r_response_o(axil_rresp),
    .r_ready_i(axil_rready), .interrupt_o, .start_o, .program_address_o, .program_length_o(program_length),
    .dram_bytes_o(dram_bytes), .instruction_limit_o(instruction_limit), .registers_o(registers), .running_o,
    .done_i, .fault_i, .cause_i(weft_isa_pkg::fault_cause_e'(cause_i)), .fault_index_i, .leave_i,
    .program_counter_i(32'd77), .next_counter_i(32'd78), .mailboxes_i(mailboxes), .activity_i(activity)
  );
endmodule
