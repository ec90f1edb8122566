// STORE: generator, reader and sender, decoupled (docs/machine.md, STORE).
module store
  import weft_pkg::*;
(
  input  logic            clk_i,
  input  logic            rst_ni,

  // The queue's head.
  input  logic            queue_valid_i,
  input  transfer_t       queue_i,
  input  unit_mask_t      tokens_i,
  output logic            issue_o,

  output logic            retire_o,
  output unit_mask_t      retire_signal_o,
  output logic            idle_o,
  output activity_e       activity_o,
  output logic            first_read_o,  // first productive cycle of a STORE

  output logic            aw_valid_o,
  output logic [31:0]     aw_address_o,
  output logic [7:0]      aw_length_o,
  input  logic            aw_ready_i,
  output logic            w_valid_o,
  output logic [8*BeatBytes-1:0] w_data_o,
  output logic [BeatBytes-1:0] w_strobe_o,
  output logic            w_last_o,
  input  logic            w_ready_i,
  input  logic            b_valid_i,
  output logic            b_ready_o,

  output logic            read_o,
  output vector_address_t read_address_o,
  input  logic            read_grant_i,
  input  bytes_t          read_data_i  // in the cycle after the grant
);
  import weft_isa_pkg::*;

  localparam int unsigned Capacity = BYTE_FIFO_BEATS * (BeatBytes > Lanes ? BeatBytes : Lanes);
  localparam int unsigned FillBits = $clog2(Capacity + 1);
  localparam int unsigned PieceBits = LaneBits + 1;
  localparam int unsigned ContextBits = $clog2(STORE_CONTEXTS);
  localparam int unsigned ContextFillBits = $clog2(STORE_CONTEXTS + 1);

  // Contexts: a ring that generator and reader walk through ahead of the oldest one, which is the next to retire.

  transfer_t contexts_q [STORE_CONTEXTS];
  logic [ContextBits-1:0] tail_q, generator_q, reader_q, oldest_q;
  logic [ContextFillBits-1:0] fill_q, to_generate_q, to_read_q;
  logic ready, generator_done, reader_done, responds, forms, takes;
  transfer_t generated, read;

  assign ready = queue_valid_i && (queue_i.wait_ & ~tokens_i) == '0;
  assign issue_o = ready && fill_q != ContextFillBits'(STORE_CONTEXTS);
  assign generated = contexts_q[generator_q];
  assign read = contexts_q[reader_q];

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      tail_q <= '0;
      generator_q <= '0;
      reader_q <= '0;
      oldest_q <= '0;
      fill_q <= '0;
      to_generate_q <= '0;
      to_read_q <= '0;
    end else begin
      if (issue_o) tail_q <= tail_q + ContextBits'(1);
      if (generator_done) generator_q <= generator_q + ContextBits'(1);
      if (reader_done) reader_q <= reader_q + ContextBits'(1);
      if (retire_o) oldest_q <= oldest_q + ContextBits'(1);
      fill_q <= fill_q + ContextFillBits'(issue_o) - ContextFillBits'(retire_o);
      to_generate_q <= to_generate_q + ContextFillBits'(issue_o) - ContextFillBits'(generator_done);
      to_read_q <= to_read_q + ContextFillBits'(issue_o) - ContextFillBits'(reader_done);
    end
  end

  always_ff @(posedge clk_i) begin
    if (issue_o) contexts_q[tail_q] <= queue_i;
  end

  // Generator.

  logic aw_valid_q, bursts_full, last_of_instruction;
  logic [31:0] aw_address_q, run_address;
  logic [7:0] aw_length_q, burst_length;
  logic [12:0] burst_bytes;
  logic [15:0] run_left;

  assign forms = to_generate_q != '0 && (!aw_valid_q || aw_ready_i) && !bursts_full;
  assign aw_valid_o = aw_valid_q;
  assign aw_address_o = aw_address_q;
  assign aw_length_o = aw_length_q;

  runs #(.Bits(32), .PieceBits(13)) u_dram (
    .clk_i, .rst_ni,
    .base_i(generated.dram), .run_bytes_i(generated.run_bytes), .count_i(generated.count), .stride_i(generated.dram_stride),
    .address_o(run_address), .in_run_o(run_left), .take_i(forms), .bytes_i(burst_bytes), .done_o(generator_done)
  );

  burst u_burst (.address_i(run_address), .in_run_i(run_left), .bytes_o(burst_bytes), .length_o(burst_length));

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) aw_valid_q <= 1'b0;
    else aw_valid_q <= forms || (aw_valid_q && !aw_ready_i);
  end
  always_ff @(posedge clk_i) begin
    if (forms) begin
      aw_address_q <= {run_address[31:BeatBits], BeatBits'(0)};
      aw_length_q <= burst_length;
    end
  end

  // Bursts without response: whether each is the last of its instruction.

  logic response_expected;

  queue #(.Width(1), .Depth(Config.outstanding_bursts)) u_in_flight (
    .clk_i, .rst_ni, .clear_i(1'b0),
    .push_i(forms), .data_i(generator_done), .full_o(bursts_full),
    .pop_i(responds), .valid_o(response_expected), .data_o(last_of_instruction)
  );

  assign b_ready_o = 1'b1;
  assign responds = b_valid_i;
  assign retire_o = responds && last_of_instruction;
  assign retire_signal_o = contexts_q[oldest_q].signal;
  assign idle_o = fill_q == '0;

  // Reader.

  logic landing_q, reading_q;
  byte_address_t position;
  logic [LaneBits-1:0] in_vector, landing_start_q;
  logic [15:0] piece_left;
  logic [PieceBits-1:0] piece_room, piece, landing_bytes_q;
  logic [FillBits-1:0] fill, landing_fill;
  bytes_t landing_mask, landing_data;

  assign in_vector = position[LaneBits-1:0];
  assign piece_room = PieceBits'(Lanes) - PieceBits'(in_vector);
  assign piece = piece_left < 16'(piece_room) ? PieceBits'(piece_left) : piece_room;
  assign landing_fill = landing_q ? FillBits'(landing_bytes_q) : '0;
  assign read_o = to_read_q != '0 && 32'(fill) + 32'(landing_fill) + Lanes <= Capacity;
  assign read_address_o = position[ByteBits-1:LaneBits];
  assign takes = read_o && read_grant_i;
  assign first_read_o = takes && !reading_q;

  runs #(.Bits(ByteBits), .PieceBits(PieceBits)) u_local (
    .clk_i, .rst_ni,
    .base_i(read.scratchpad), .run_bytes_i(read.run_bytes), .count_i(read.count), .stride_i(read.scratchpad_stride),
    .address_o(position), .in_run_o(piece_left), .take_i(takes), .bytes_i(piece), .done_o(reader_done)
  );

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      landing_q <= 1'b0;
      reading_q <= 1'b0;
    end else begin
      landing_q <= takes;
      if (takes) reading_q <= !reader_done;
    end
  end
  always_ff @(posedge clk_i) begin
    if (takes) begin
      landing_start_q <= in_vector;
      landing_bytes_q <= piece;
    end
  end

  for (genvar i = 0; i < Lanes; i++) begin : gen_landing_mask
    assign landing_mask[i] = {8{PieceBits'(i) < landing_bytes_q}};
  end
  assign landing_data = (read_data_i >> {landing_start_q, 3'b0}) & landing_mask;

  // Sender. A formed burst is remembered with the place of its first byte in a beat and its number of bytes.

  logic leaving_full;  // never: fewer bursts leave than are in flight
  logic burst_valid, sends, first_beat_q, burst_ends, w_valid_q, w_last_q;
  logic [BeatBits+12:0] oldest_burst;
  logic [BeatBits-1:0] burst_start, beat_start;
  logic [12:0] burst_size, burst_left, burst_left_q;
  logic [BeatBits:0] beat_room, beat_bytes;
  logic [8*BeatBytes-1:0] head, w_data_q;
  logic [BeatBytes-1:0] strobe, w_strobe_q;

  queue #(.Width(BeatBits + 13), .Depth(Config.outstanding_bursts)) u_leaving (
    .clk_i, .rst_ni, .clear_i(1'b0),
    .push_i(forms), .data_i({run_address[BeatBits-1:0], burst_bytes}), .full_o(leaving_full),
    .pop_i(sends && burst_ends), .valid_o(burst_valid), .data_o(oldest_burst)
  );
  assign {burst_start, burst_size} = oldest_burst;

  assign beat_start = first_beat_q ? burst_start : '0;
  assign burst_left = first_beat_q ? burst_size : burst_left_q;
  assign beat_room = (BeatBits + 1)'(BeatBytes) - (BeatBits + 1)'(beat_start);
  assign beat_bytes = burst_left < 13'(beat_room) ? (BeatBits + 1)'(burst_left) : beat_room;
  assign burst_ends = burst_left == 13'(beat_bytes);
  assign sends = burst_valid && (!w_valid_q || w_ready_i) && 32'(fill) >= 32'(beat_bytes);
  assign strobe = BeatBytes'(((BeatBytes + 1)'(1) << beat_bytes) - (BeatBytes + 1)'(1)) << beat_start;

  byte_fifo #(.Capacity(Capacity), .PushBytes(Lanes), .PopBytes(BeatBytes)) u_fifo (
    .clk_i, .rst_ni,
    .push_i(landing_q), .push_bytes_i(FillBits'(landing_bytes_q)), .push_data_i(landing_data),
    .pop_i(sends), .pop_bytes_i(FillBits'(beat_bytes)), .head_o(head), .fill_o(fill)
  );

  assign w_valid_o = w_valid_q;
  assign w_data_o = w_data_q;
  assign w_strobe_o = w_strobe_q;
  assign w_last_o = w_last_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      first_beat_q <= 1'b1;
      w_valid_q <= 1'b0;
      w_last_q <= 1'b0;
      w_strobe_q <= '0;
    end else begin
      if (sends) begin
        first_beat_q <= burst_ends;
        w_last_q <= burst_ends;
        w_strobe_q <= strobe;
      end
      w_valid_q <= sends || (w_valid_q && !w_ready_i);
    end
  end
  always_ff @(posedge clk_i) begin
    if (sends) begin
      burst_left_q <= burst_left - 13'(beat_bytes);
      w_data_q <= head << {beat_start, 3'b0};
    end
  end

  always_comb begin
    if (takes || sends) activity_o = ACTIVITY_BUSY;
    else if (read_o) activity_o = ACTIVITY_BANK;
    else if (fill_q != '0) activity_o = ACTIVITY_DRAM;
    else activity_o = queue_valid_i && !ready ? ACTIVITY_TOKEN : ACTIVITY_IDLE;
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni) responds |-> response_expected);
  assert property (@(posedge clk_i) disable iff (!rst_ni) forms |-> !leaving_full);
  assert property (@(posedge clk_i) disable iff (!rst_ni) aw_valid_o && !aw_ready_i |=> aw_valid_o && $stable(aw_address_o));
  assert property (@(posedge clk_i) disable iff (!rst_ni) w_valid_o && !w_ready_i |=> w_valid_o && $stable(w_data_o));
  assert property (@(posedge clk_i) disable iff (!rst_ni)
                   aw_valid_o |-> 32'(aw_address_o[11:0]) + (32'(aw_length_o) + 1) * BeatBytes <= 4096);
`endif
endmodule
