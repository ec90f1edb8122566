// FETCH's memory side: requests instructions ahead, buffers them, and starts over where a jump goes (docs/machine.md, FETCH).
module fetch
  import weft_pkg::*;
(
  input  logic            clk_i,
  input  logic            rst_ni,

  input  logic            start_i,  // of a launch
  input  logic [31:0]     program_address_i,
  input  logic [31:0]     program_length_i,  // instructions

  // The decoder.
  input  logic            run_i,   // mode is RUN
  output logic            valid_o,
  output logic [weft_isa_pkg::INSTRUCTION_BITS-1:0] instruction_o,
  output logic [31:0]     index_o,
  input  logic            take_i,
  input  logic            jump_i,  // a taken JUMP leaves in this cycle
  input  logic [31:0]     target_i,
  output logic            exhausted_o,  // nothing more to request, and nothing reserved
  output logic [31:0]     next_o,
  output logic            idle_o,

  output logic            ar_valid_o,
  output logic [31:0]     ar_address_o,
  output logic [7:0]      ar_length_o,
  input  logic            ar_ready_i,
  input  logic            r_valid_i,
  input  logic [8*BeatBytes-1:0] r_data_i,
  input  logic            r_last_i,
  output logic            r_ready_o
);
  import weft_isa_pkg::*;

  localparam int unsigned Beats = INSTRUCTION_BYTES / BeatBytes;
  localparam int unsigned ReservedBits = $clog2(Config.fetch_depth + 1);
  // A jump drops what is in flight; it is itself decoded first, so at most two generations are in flight.
  localparam int unsigned FlightBits = $clog2(2 * Config.fetch_depth + 3);

  logic ar_valid_q, requests, received, arrives;
  logic [31:0] ar_address_q, next_q, head_index_q;
  logic [ReservedBits-1:0] reserved_q;
  logic [FlightBits-1:0] in_flight_q, in_flight_d, drop_q;

  assign requests = run_i && (!ar_valid_q || ar_ready_i) && next_q < program_length_i
                    && reserved_q < ReservedBits'(Config.fetch_depth) && !jump_i;
  assign received = r_valid_i && r_last_i;
  assign arrives = received && drop_q == '0 && run_i && !jump_i;
  assign in_flight_d = in_flight_q + FlightBits'(requests) - FlightBits'(received);

  assign exhausted_o = next_q >= program_length_i && reserved_q == '0;
  assign next_o = next_q;
  assign idle_o = !ar_valid_q && in_flight_q == '0;
  assign ar_valid_o = ar_valid_q;
  assign ar_address_o = ar_address_q;
  assign ar_length_o = 8'(Beats - 1);
  assign r_ready_o = 1'b1;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      ar_valid_q <= 1'b0;
      next_q <= '0;
      head_index_q <= '0;
      reserved_q <= '0;
      in_flight_q <= '0;
      drop_q <= '0;
    end else if (start_i) begin
      next_q <= '0;
      head_index_q <= '0;
      reserved_q <= '0;
    end else begin
      ar_valid_q <= requests || (ar_valid_q && !ar_ready_i);
      in_flight_q <= in_flight_d;
      if (jump_i) begin
        next_q <= target_i;
        head_index_q <= target_i;
        reserved_q <= '0;
        drop_q <= in_flight_d;
      end else begin
        if (requests) next_q <= next_q + 32'd1;
        if (take_i) head_index_q <= head_index_q + 32'd1;
        reserved_q <= reserved_q + ReservedBits'(requests) - ReservedBits'(take_i);
        if (received && drop_q != '0) drop_q <= drop_q - FlightBits'(1);
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (requests) ar_address_q <= program_address_i + (next_q << $clog2(INSTRUCTION_BYTES));
  end

  // The beats of the instruction that arrives, but for the last one.

  logic [INSTRUCTION_BITS-1:0] assembled;

  if (Beats > 1) begin : gen_assemble
    logic [INSTRUCTION_BITS-8*BeatBytes-1:0] beats_q;
    assign assembled = {r_data_i, beats_q};
    always_ff @(posedge clk_i) begin
      if (r_valid_i) beats_q <= assembled[INSTRUCTION_BITS-1:8*BeatBytes];
    end
  end else begin : gen_whole
    assign assembled = r_data_i;
  end

  logic buffer_full;  // never: fewer instructions are requested than have room

  queue #(.Width(INSTRUCTION_BITS), .Depth(Config.fetch_depth)) u_buffer (
    .clk_i, .rst_ni, .clear_i(jump_i || start_i),
    .push_i(arrives), .data_i(assembled), .full_o(buffer_full),
    .pop_i(take_i), .valid_o, .data_o(instruction_o)
  );

  assign index_o = head_index_q;

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni) received |-> in_flight_q != '0);
  assert property (@(posedge clk_i) disable iff (!rst_ni) arrives |-> !buffer_full);
  assert property (@(posedge clk_i) disable iff (!rst_ni) ar_valid_o && !ar_ready_i |=> ar_valid_o && $stable(ar_address_o));
`endif
endmodule
