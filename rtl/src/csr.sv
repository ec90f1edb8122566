// Control and status registers behind AXI4-Lite (32-bit words; byte strobes are honoured as all or nothing).
//
//   0x000 CONTROL       w: bit 0 starts a launch (ignored while one runs)
//   0x004 STATUS        r: bit 0 running, bit 1 done, bit 2 stopped by a fault
//   0x008 IRQ_ENABLE    rw: bit 0: raise the interrupt when a launch is done
//   0x00c IRQ_STATUS    r: bit 0 pending; w: 1 clears
//   0x010 FAULT_CAUSE   r: FaultCause
//   0x014 FAULT_INDEX   r: index of the instruction at fault
//   0x018 PROGRAM       rw: byte address of the program
//   0x01c LENGTH        rw: its number of instructions
//   0x020 DRAM_BYTES    rw: size of the memory that LOAD and STORE may touch
//   0x024 LIMIT         rw: most instructions that may leave (0: no limit; else the fault CYCLE_LIMIT)
//   0x028 CYCLES        r: low word, 0x02c high word
//   0x030 INSTRUCTIONS  r: instructions that have left
//   0x034 COUNTER       r: index of the oldest instruction that has not left
//   0x038 LANES         r: lanes of the machine
//   0x03c CYCLE_LIMIT   rw: most cycles of a launch, low word (0x0c0: high word); 0: no limit. At the limit the launch ends
//                       with the fault CYCLE_LIMIT, and the machine needs a reset before the next one.
//   0x040 REGISTERS     rw: 16 base registers, bound at the start
//   0x080 MAILBOXES     r: 16 words
//   0x200 ACTIVITY      r: 64-bit counters [unit][activity], 16 activities apart, low word first
module csr
  import weft_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,

  input  logic        aw_valid_i,
  input  logic [11:0] aw_address_i,
  output logic        aw_ready_o,
  input  logic        w_valid_i,
  input  logic [31:0] w_data_i,
  input  logic [3:0]  w_strobe_i,
  output logic        w_ready_o,
  output logic        b_valid_o,
  output logic [1:0]  b_response_o,
  input  logic        b_ready_i,
  input  logic        ar_valid_i,
  input  logic [11:0] ar_address_i,
  output logic        ar_ready_o,
  output logic        r_valid_o,
  output logic [31:0] r_data_o,
  output logic [1:0]  r_response_o,
  input  logic        r_ready_i,
  output logic        interrupt_o,

  output logic        start_o,
  output logic [31:0] program_address_o,
  output logic [31:0] program_length_o,
  output logic [31:0] dram_bytes_o,
  output logic [31:0] instruction_limit_o,
  output logic [15:0][31:0] registers_o,
  output logic        running_o,

  input  logic        done_i,
  input  logic        fault_i,
  input  weft_isa_pkg::fault_cause_e cause_i,
  input  logic [31:0] fault_index_i,
  input  logic        leave_i,
  input  logic [31:0] program_counter_i,  // of the oldest instruction that has not left
  input  logic [31:0] next_counter_i,     // … in the next cycle
  input  logic [15:0][31:0] mailboxes_i,
  input  activity_e [Units-1:0] activity_i
);
  localparam logic [1:0] Okay = 2'b00;

  logic running_q, done_q, faulted_q, irq_enable_q, irq_pending_q;
  weft_isa_pkg::fault_cause_e cause_q;
  logic [31:0] fault_index_q, program_q, length_q, dram_bytes_q, limit_q, instructions_q;
  logic [63:0] cycles_q, cycle_limit_q;
  logic expires;
  logic [15:0][31:0] registers_q;

  // Writes: address and data are taken together.

  logic b_valid_q, writes, starts;
  assign writes = aw_valid_i && w_valid_i && !b_valid_q;
  assign aw_ready_o = writes;
  assign w_ready_o = writes;
  assign b_valid_o = b_valid_q;
  assign b_response_o = Okay;
  assign starts = writes && w_strobe_i == '1 && aw_address_i[11:2] == 10'h000 && w_data_i[0] && !running_q;
  assign start_o = starts;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) b_valid_q <= 1'b0;
    else b_valid_q <= writes || (b_valid_q && !b_ready_i);
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      irq_enable_q <= 1'b0;
      program_q <= '0;
      length_q <= '0;
      dram_bytes_q <= '0;
      limit_q <= '0;
      cycle_limit_q <= '0;
      registers_q <= '0;
    end else if (writes && w_strobe_i == '1) begin
      case (aw_address_i[11:2])
        10'h002: irq_enable_q <= w_data_i[0];
        10'h006: program_q <= w_data_i;
        10'h007: length_q <= w_data_i;
        10'h008: dram_bytes_q <= w_data_i;
        10'h009: limit_q <= w_data_i;
        10'h00f: cycle_limit_q[31:0] <= w_data_i;
        10'h030: cycle_limit_q[63:32] <= w_data_i;
        default: if (aw_address_i[11:6] == 6'h01) registers_q[aw_address_i[5:2]] <= w_data_i;
      endcase
    end
  end

  assign program_address_o = program_q;
  assign program_length_o = length_q;
  assign dram_bytes_o = dram_bytes_q;
  assign instruction_limit_o = limit_q;
  assign registers_o = registers_q;
  assign running_o = running_q;
  assign interrupt_o = irq_pending_q && irq_enable_q;

  // The launch.

  assign expires = running_q && !done_i && cycle_limit_q != '0 && cycles_q + 64'd1 >= cycle_limit_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      running_q <= 1'b0;
      done_q <= 1'b0;
      faulted_q <= 1'b0;
      irq_pending_q <= 1'b0;
      cause_q <= weft_isa_pkg::FAULT_CAUSE_NONE;
      fault_index_q <= '0;
      instructions_q <= '0;
      cycles_q <= '0;
    end else begin
      if (writes && w_strobe_i == '1 && aw_address_i[11:2] == 10'h003 && w_data_i[0]) irq_pending_q <= 1'b0;
      if (starts) begin
        running_q <= 1'b1;
        done_q <= 1'b0;
        faulted_q <= 1'b0;
        cause_q <= weft_isa_pkg::FAULT_CAUSE_NONE;
        fault_index_q <= '0;
        instructions_q <= '0;
        cycles_q <= '0;
      end else if (running_q) begin
        cycles_q <= cycles_q + 64'd1;
        instructions_q <= instructions_q + 32'(leave_i);
        if (fault_i) begin
          faulted_q <= 1'b1;
          cause_q <= cause_i;
          fault_index_q <= fault_index_i;
        end
        if (expires) begin
          faulted_q <= 1'b1;
          cause_q <= weft_isa_pkg::FAULT_CAUSE_CYCLE_LIMIT;
          fault_index_q <= next_counter_i;
        end
        if (done_i || expires) begin
          running_q <= 1'b0;
          done_q <= 1'b1;
          irq_pending_q <= 1'b1;
        end
      end
    end
  end

  // Activity: one small file of counters per unit, one of which counts in each cycle.

  logic [Units-1:0][63:0] counter_read;
  for (genvar u = 0; u < Units; u++) begin : gen_unit
    logic [63:0] counters_q [16];
    assign counter_read[u] = counters_q[ar_address_i[6:3]];
    always_ff @(posedge clk_i) begin
      if (starts) begin
        for (int unsigned a = 0; a < 16; a++) counters_q[a] <= '0;
      end else if (running_q) begin
        counters_q[activity_i[u]] <= counters_q[activity_i[u]] + 64'd1;
      end
    end
  end

  // Reads.

  logic r_valid_q, reads;
  logic [31:0] r_data_q, read_data;
  logic [2:0] read_unit;
  assign reads = ar_valid_i && !r_valid_q;
  assign ar_ready_o = reads;
  assign r_valid_o = r_valid_q;
  assign r_data_o = r_data_q;
  assign r_response_o = Okay;
  assign read_unit = ar_address_i[9:7] - 3'd4;

  always_comb begin
    read_data = '0;
    if (ar_address_i[11:6] == 6'h01) read_data = registers_q[ar_address_i[5:2]];
    else if (ar_address_i[11:6] == 6'h02) read_data = mailboxes_i[ar_address_i[5:2]];
    else if (ar_address_i >= 12'h200 && ar_address_i < 12'h200 + 12'(Units * 128)) begin
      read_data = ar_address_i[2] ? counter_read[read_unit][63:32] : counter_read[read_unit][31:0];
    end else begin
      case (ar_address_i[11:2])
        10'h001: read_data = {29'd0, faulted_q, done_q, running_q};
        10'h002: read_data = {31'd0, irq_enable_q};
        10'h003: read_data = {31'd0, irq_pending_q};
        10'h004: read_data = 32'(cause_q);
        10'h005: read_data = fault_index_q;
        10'h006: read_data = program_q;
        10'h007: read_data = length_q;
        10'h008: read_data = dram_bytes_q;
        10'h009: read_data = limit_q;
        10'h00a: read_data = cycles_q[31:0];
        10'h00b: read_data = cycles_q[63:32];
        10'h00c: read_data = instructions_q;
        10'h00d: read_data = program_counter_i;
        10'h00e: read_data = Lanes;
        10'h00f: read_data = cycle_limit_q[31:0];
        10'h030: read_data = cycle_limit_q[63:32];
        default: read_data = '0;
      endcase
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) r_valid_q <= 1'b0;
    else r_valid_q <= reads || (r_valid_q && !r_ready_i);
  end
  always_ff @(posedge clk_i) begin
    if (reads) r_data_q <= read_data;
  end
endmodule
