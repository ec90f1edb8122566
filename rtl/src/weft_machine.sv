// The machine: five units around a banked scratchpad and accumulators; AXI4 to memory (two read ports, one write port),
// AXI4-Lite to the host, and a trace of what happens in each cycle for those who watch.
module weft_machine
  import weft_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  output logic        interrupt_o,

  // Control: AXI4-Lite.
  input  logic        s_axil_awvalid_i,
  input  logic [11:0] s_axil_awaddr_i,
  output logic        s_axil_awready_o,
  input  logic        s_axil_wvalid_i,
  input  logic [31:0] s_axil_wdata_i,
  input  logic [3:0]  s_axil_wstrb_i,
  output logic        s_axil_wready_o,
  output logic        s_axil_bvalid_o,
  output logic [1:0]  s_axil_bresp_o,
  input  logic        s_axil_bready_i,
  input  logic        s_axil_arvalid_i,
  input  logic [11:0] s_axil_araddr_i,
  output logic        s_axil_arready_o,
  output logic        s_axil_rvalid_o,
  output logic [31:0] s_axil_rdata_o,
  output logic [1:0]  s_axil_rresp_o,
  input  logic        s_axil_rready_i,

  // FETCH: AXI4 reads.
  output logic        m_fetch_arvalid_o,
  output logic [31:0] m_fetch_araddr_o,
  output logic [7:0]  m_fetch_arlen_o,
  output logic [2:0]  m_fetch_arsize_o,
  output logic [1:0]  m_fetch_arburst_o,
  input  logic        m_fetch_arready_i,
  input  logic        m_fetch_rvalid_i,
  input  logic [8*BeatBytes-1:0] m_fetch_rdata_i,
  input  logic        m_fetch_rlast_i,
  output logic        m_fetch_rready_o,

  // LOAD: AXI4 reads.
  output logic        m_load_arvalid_o,
  output logic [31:0] m_load_araddr_o,
  output logic [7:0]  m_load_arlen_o,
  output logic [2:0]  m_load_arsize_o,
  output logic [1:0]  m_load_arburst_o,
  input  logic        m_load_arready_i,
  input  logic        m_load_rvalid_i,
  input  logic [8*BeatBytes-1:0] m_load_rdata_i,
  input  logic        m_load_rlast_i,
  output logic        m_load_rready_o,

  // STORE: AXI4 writes.
  output logic        m_store_awvalid_o,
  output logic [31:0] m_store_awaddr_o,
  output logic [7:0]  m_store_awlen_o,
  output logic [2:0]  m_store_awsize_o,
  output logic [1:0]  m_store_awburst_o,
  input  logic        m_store_awready_i,
  output logic        m_store_wvalid_o,
  output logic [8*BeatBytes-1:0] m_store_wdata_o,
  output logic [BeatBytes-1:0] m_store_wstrb_o,
  output logic        m_store_wlast_o,
  input  logic        m_store_wready_i,
  input  logic        m_store_bvalid_i,
  output logic        m_store_bready_o,

  // Trace: what happens in this cycle. Bit u of a mask stands for unit u.
  output logic        trace_running_o,
  output logic        trace_done_o,
  output logic        trace_leave_o,  // an instruction leaves the decoder
  output logic [31:0] trace_index_o,
  output logic [2:0]  trace_unit_o,
  output logic        trace_fill_o,   // … and is a FILL
  output unit_mask_t  trace_issue_o,
  output unit_mask_t  trace_start_o,  // first productive cycle of an instruction; of LOAD's, those that are no FILL
  output logic        trace_start_fill_o,
  output unit_mask_t  trace_end_o
);
  import weft_isa_pkg::*;

  localparam logic [1:0] Incrementing = 2'b01;
  localparam logic [2:0] BeatSize = 3'($clog2(BeatBytes));

  assign m_fetch_arsize_o = BeatSize;
  assign m_load_arsize_o = BeatSize;
  assign m_store_awsize_o = BeatSize;
  assign m_fetch_arburst_o = Incrementing;
  assign m_load_arburst_o = Incrementing;
  assign m_store_awburst_o = Incrementing;

  // Host.

  logic start, running, done, fault, leave;
  logic [31:0] program_address, program_length, dram_bytes, instruction_limit, fault_index, program_counter, next_counter;
  logic [15:0][31:0] registers, mailboxes;
  fault_cause_e cause;
  activity_e [Units-1:0] activity;

  csr u_csr (
    .clk_i, .rst_ni,
    .aw_valid_i(s_axil_awvalid_i), .aw_address_i(s_axil_awaddr_i), .aw_ready_o(s_axil_awready_o),
    .w_valid_i(s_axil_wvalid_i), .w_data_i(s_axil_wdata_i), .w_strobe_i(s_axil_wstrb_i), .w_ready_o(s_axil_wready_o),
    .b_valid_o(s_axil_bvalid_o), .b_response_o(s_axil_bresp_o), .b_ready_i(s_axil_bready_i),
    .ar_valid_i(s_axil_arvalid_i), .ar_address_i(s_axil_araddr_i), .ar_ready_o(s_axil_arready_o),
    .r_valid_o(s_axil_rvalid_o), .r_data_o(s_axil_rdata_o), .r_response_o(s_axil_rresp_o), .r_ready_i(s_axil_rready_i),
    .interrupt_o, .start_o(start), .program_address_o(program_address), .program_length_o(program_length),
    .dram_bytes_o(dram_bytes), .instruction_limit_o(instruction_limit), .registers_o(registers), .running_o(running),
    .done_i(done), .fault_i(fault), .cause_i(cause), .fault_index_i(fault_index), .leave_i(leave),
    .program_counter_i(program_counter), .next_counter_i(next_counter), .mailboxes_i(mailboxes), .activity_i(activity)
  );

  // Tokens.

  unit_mask_t issue, retire;
  unit_mask_t [Units-1:0] wait_mask, signal_mask, take, give, available;

  for (genvar u = 0; u < Units; u++) begin : gen_tokens
    assign take[u] = issue[u] ? wait_mask[u] : '0;
    assign give[u] = retire[u] ? signal_mask[u] : '0;
  end

  tokens u_tokens (.clk_i, .rst_ni, .clear_i(start), .take_i(take), .signal_i(give), .available_o(available));

  // FETCH.

  logic run, buffered, take_instruction, jump, exhausted, fetch_idle, units_idle;
  logic [INSTRUCTION_BITS-1:0] fetched, dispatched;
  logic [31:0] fetched_index, target, next_index;
  unit_mask_t queue_full, push, queue_valid, idle;
  transfer_t transfer;
  logic mailbox_write;
  logic [3:0] mailbox_number;
  logic [31:0] mailbox_value;

  fetch u_fetch (
    .clk_i, .rst_ni, .start_i(start), .program_address_i(program_address), .program_length_i(program_length),
    .run_i(run), .valid_o(buffered), .instruction_o(fetched), .index_o(fetched_index), .take_i(take_instruction),
    .jump_i(jump), .target_i(target), .exhausted_o(exhausted), .next_o(next_index), .idle_o(fetch_idle),
    .ar_valid_o(m_fetch_arvalid_o), .ar_address_o(m_fetch_araddr_o), .ar_length_o(m_fetch_arlen_o),
    .ar_ready_i(m_fetch_arready_i), .r_valid_i(m_fetch_rvalid_i), .r_data_i(m_fetch_rdata_i),
    .r_last_i(m_fetch_rlast_i), .r_ready_o(m_fetch_rready_o)
  );

  assign units_idle = queue_valid[Units-1:1] == '0 && &idle[Units-1:1];
  assign queue_full[UnitFetch] = 1'b0;
  assign queue_valid[UnitFetch] = 1'b0;
  assign idle[UnitFetch] = 1'b1;

  dispatch u_dispatch (
    .clk_i, .rst_ni, .start_i(start), .registers_i(registers), .dram_bytes_i(dram_bytes),
    .instruction_limit_i(instruction_limit),
    .valid_i(buffered), .instruction_i(fetched), .index_i(fetched_index), .exhausted_i(exhausted), .next_i(next_index),
    .fetch_idle_i(fetch_idle), .run_o(run), .take_o(take_instruction), .jump_o(jump), .target_o(target),
    .tokens_i(available[UnitFetch]), .issue_o(issue[UnitFetch]), .wait_o(wait_mask[UnitFetch]),
    .retire_o(retire[UnitFetch]), .signal_o(signal_mask[UnitFetch]),
    .queue_full_i(queue_full), .push_o(push), .transfer_o(transfer), .instruction_o(dispatched),
    .mailbox_write_i(mailbox_write), .mailbox_number_i(mailbox_number), .mailbox_value_i(mailbox_value),
    .mailboxes_o(mailboxes), .units_idle_i(units_idle), .done_o(done), .fault_o(fault), .cause_o(cause),
    .fault_index_o(fault_index), .activity_o(activity[UnitFetch]), .leave_o(leave), .leave_index_o(trace_index_o),
    .leave_unit_o(trace_unit_o), .leave_fill_o(trace_fill_o), .program_counter_o(program_counter), .next_counter_o(next_counter)
  );

  // Queues.

  transfer_t load_head, store_head;
  matmul_t matmul_head;
  logic [VECTOR_BITS-1:0] vector_head;

  queue #(.Width($bits(transfer_t)), .Depth(Config.queue_depth)) u_load_queue (
    .clk_i, .rst_ni, .clear_i(1'b0), .push_i(push[UnitLoad]), .data_i(transfer), .full_o(queue_full[UnitLoad]),
    .pop_i(issue[UnitLoad]), .valid_o(queue_valid[UnitLoad]), .data_o(load_head)
  );
  queue #(.Width($bits(transfer_t)), .Depth(Config.queue_depth)) u_store_queue (
    .clk_i, .rst_ni, .clear_i(1'b0), .push_i(push[UnitStore]), .data_i(transfer), .full_o(queue_full[UnitStore]),
    .pop_i(issue[UnitStore]), .valid_o(queue_valid[UnitStore]), .data_o(store_head)
  );
  queue #(.Width(MATMUL_BITS), .Depth(Config.queue_depth)) u_mxu_queue (
    .clk_i, .rst_ni, .clear_i(1'b0), .push_i(push[UnitMxu]), .data_i(dispatched[MATMUL_BITS-1:0]),
    .full_o(queue_full[UnitMxu]), .pop_i(issue[UnitMxu]), .valid_o(queue_valid[UnitMxu]), .data_o(matmul_head)
  );
  queue #(.Width(VECTOR_BITS), .Depth(Config.queue_depth)) u_vpu_queue (
    .clk_i, .rst_ni, .clear_i(1'b0), .push_i(push[UnitVpu]), .data_i(dispatched[VECTOR_BITS-1:0]),
    .full_o(queue_full[UnitVpu]), .pop_i(issue[UnitVpu]), .valid_o(queue_valid[UnitVpu]), .data_o(vector_head)
  );

  assign wait_mask[UnitLoad] = load_head.wait_;
  assign wait_mask[UnitStore] = store_head.wait_;
  assign wait_mask[UnitMxu] = matmul_head.wait_[Units-1:0];
  assign wait_mask[UnitVpu] = vector_head[8+:Units];

  // Memories.

  logic [ScratchpadReaders-1:0] local_read, local_grant;
  vector_address_t [ScratchpadReaders-1:0] local_address;
  bytes_t [ScratchpadReaders-1:0] local_data;
  logic vpu_write, load_write, load_grant;
  vector_address_t vpu_write_address, load_address;
  bytes_t vpu_write_data, load_data;
  logic [Lanes-1:0] load_strobe;

  scratchpad u_scratchpad (
    .clk_i, .read_i(local_read), .read_address_i(local_address), .read_grant_o(local_grant), .read_data_o(local_data),
    .vpu_write_i(vpu_write), .vpu_address_i(vpu_write_address), .vpu_data_i(vpu_write_data),
    .load_write_i(load_write), .load_address_i(load_address), .load_data_i(load_data), .load_strobe_i(load_strobe),
    .load_grant_o(load_grant)
  );

  logic [RowReaders-1:0] row_read, row_grant;
  row_address_t [RowReaders-1:0] row_address;
  words_t [RowReaders-1:0] row_data;
  logic mxu_row_write, vpu_row_write;
  row_address_t mxu_row_address, vpu_row_address;
  words_t mxu_row_data, vpu_row_data;

  accumulators u_accumulators (
    .clk_i, .read_i(row_read), .read_address_i(row_address), .read_grant_o(row_grant), .read_data_o(row_data),
    .mxu_write_i(mxu_row_write), .mxu_address_i(mxu_row_address), .mxu_data_i(mxu_row_data),
    .vpu_write_i(vpu_row_write), .vpu_address_i(vpu_row_address), .vpu_data_i(vpu_row_data)
  );

  // Units.

  load u_load (
    .clk_i, .rst_ni, .queue_valid_i(queue_valid[UnitLoad]), .queue_i(load_head), .tokens_i(available[UnitLoad]),
    .issue_o(issue[UnitLoad]), .retire_o(retire[UnitLoad]), .retire_signal_o(signal_mask[UnitLoad]),
    .idle_o(idle[UnitLoad]), .activity_o(activity[UnitLoad]), .first_burst_o(trace_start_o[UnitLoad]),
    .first_fill_o(trace_start_fill_o),
    .ar_valid_o(m_load_arvalid_o), .ar_address_o(m_load_araddr_o), .ar_length_o(m_load_arlen_o),
    .ar_ready_i(m_load_arready_i), .r_valid_i(m_load_rvalid_i), .r_data_i(m_load_rdata_i), .r_last_i(m_load_rlast_i),
    .r_ready_o(m_load_rready_o),
    .write_o(load_write), .write_address_o(load_address), .write_data_o(load_data), .write_strobe_o(load_strobe),
    .write_grant_i(load_grant)
  );

  store u_store (
    .clk_i, .rst_ni, .queue_valid_i(queue_valid[UnitStore]), .queue_i(store_head), .tokens_i(available[UnitStore]),
    .issue_o(issue[UnitStore]), .retire_o(retire[UnitStore]), .retire_signal_o(signal_mask[UnitStore]),
    .idle_o(idle[UnitStore]), .activity_o(activity[UnitStore]), .first_read_o(trace_start_o[UnitStore]),
    .aw_valid_o(m_store_awvalid_o), .aw_address_o(m_store_awaddr_o), .aw_length_o(m_store_awlen_o),
    .aw_ready_i(m_store_awready_i), .w_valid_o(m_store_wvalid_o), .w_data_o(m_store_wdata_o),
    .w_strobe_o(m_store_wstrb_o), .w_last_o(m_store_wlast_o), .w_ready_i(m_store_wready_i),
    .b_valid_i(m_store_bvalid_i), .b_ready_o(m_store_bready_o),
    .read_o(local_read[ReadStore]), .read_address_o(local_address[ReadStore]), .read_grant_i(local_grant[ReadStore]),
    .read_data_i(local_data[ReadStore])
  );

  mxu u_mxu (
    .clk_i, .rst_ni, .queue_valid_i(queue_valid[UnitMxu]), .queue_i(matmul_head), .tokens_i(available[UnitMxu]),
    .issue_o(issue[UnitMxu]), .retire_o(retire[UnitMxu]), .retire_signal_o(signal_mask[UnitMxu]),
    .idle_o(idle[UnitMxu]), .activity_o(activity[UnitMxu]), .first_weight_o(trace_start_o[UnitMxu]),
    .input_read_o(local_read[ReadMxuInput]), .input_address_o(local_address[ReadMxuInput]),
    .input_data_i(local_data[ReadMxuInput]),
    .weight_read_o(local_read[ReadMxuWeight]), .weight_address_o(local_address[ReadMxuWeight]),
    .weight_grant_i(local_grant[ReadMxuWeight]), .weight_data_i(local_data[ReadMxuWeight]),
    .row_read_o(row_read[RowMxu]), .row_read_address_o(row_address[RowMxu]), .row_data_i(row_data[RowMxu]),
    .row_write_o(mxu_row_write), .row_write_address_o(mxu_row_address), .row_write_data_o(mxu_row_data)
  );

  vpu u_vpu (
    .clk_i, .rst_ni, .queue_valid_i(queue_valid[UnitVpu]), .queue_i(vector_head), .tokens_i(available[UnitVpu]),
    .issue_o(issue[UnitVpu]), .retire_o(retire[UnitVpu]), .retire_signal_o(signal_mask[UnitVpu]),
    .idle_o(idle[UnitVpu]), .activity_o(activity[UnitVpu]), .first_grant_o(trace_start_o[UnitVpu]),
    .a_local_read_o(local_read[ReadVpuA]), .a_local_address_o(local_address[ReadVpuA]),
    .a_local_grant_i(local_grant[ReadVpuA]), .a_local_data_i(local_data[ReadVpuA]),
    .a_row_read_o(row_read[RowVpuA]), .a_row_address_o(row_address[RowVpuA]), .a_row_grant_i(row_grant[RowVpuA]),
    .a_row_data_i(row_data[RowVpuA]),
    .b_local_read_o(local_read[ReadVpuB]), .b_local_address_o(local_address[ReadVpuB]),
    .b_local_grant_i(local_grant[ReadVpuB]), .b_local_data_i(local_data[ReadVpuB]),
    .b_row_read_o(row_read[RowVpuB]), .b_row_address_o(row_address[RowVpuB]), .b_row_grant_i(row_grant[RowVpuB]),
    .b_row_data_i(row_data[RowVpuB]),
    .mxu_row_write_i(mxu_row_write), .mxu_row_address_i(mxu_row_address),
    .local_write_o(vpu_write), .local_write_address_o(vpu_write_address), .local_write_data_o(vpu_write_data),
    .row_write_o(vpu_row_write), .row_write_address_o(vpu_row_address), .row_write_data_o(vpu_row_data),
    .mailbox_write_o(mailbox_write), .mailbox_number_o(mailbox_number), .mailbox_value_o(mailbox_value)
  );

  assign trace_start_o[UnitFetch] = issue[UnitFetch];
  assign trace_running_o = running;
  assign trace_done_o = done;
  assign trace_leave_o = leave;
  assign trace_issue_o = issue;
  assign trace_end_o = retire;
endmodule
