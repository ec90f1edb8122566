// LOAD: generator, receiver and writer, decoupled (docs/machine.md, LOAD). Executes LOAD and FILL.
module load
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
  output logic            first_burst_o,  // first productive cycle of a LOAD
  output logic            first_fill_o,   // … of a FILL

  output logic            ar_valid_o,
  output logic [31:0]     ar_address_o,
  output logic [7:0]      ar_length_o,
  input  logic            ar_ready_i,
  input  logic            r_valid_i,
  input  logic [8*BeatBytes-1:0] r_data_i,
  input  logic            r_last_i,
  output logic            r_ready_o,

  output logic            write_o,
  output vector_address_t write_address_o,
  output bytes_t          write_data_o,
  output logic [Lanes-1:0] write_strobe_o,
  input  logic            write_grant_i
);
  import weft_isa_pkg::*;

  localparam int unsigned Capacity = BYTE_FIFO_BEATS * (BeatBytes > Lanes ? BeatBytes : Lanes);
  localparam int unsigned FillBits = $clog2(Capacity + 1);
  localparam int unsigned PieceBits = LaneBits + 1;

  // Issue.

  logic ready, contexts_full, generating_q, context_valid, context_done;
  transfer_t context_;

  assign ready = queue_valid_i && (queue_i.wait_ & ~tokens_i) == '0;
  assign issue_o = ready && !generating_q && !contexts_full;

  queue #(.Width($bits(transfer_t)), .Depth(LOAD_CONTEXTS)) u_contexts (
    .clk_i, .rst_ni, .clear_i(1'b0),
    .push_i(issue_o), .data_i(queue_i), .full_o(contexts_full),
    .pop_i(context_done), .valid_o(context_valid), .data_o(context_)
  );

  // Generator.

  transfer_t generator_q;
  logic ar_valid_q, forms, generator_done, bursts_full, first_q;
  logic [31:0] ar_address_q, run_address;
  logic [7:0] ar_length_q, burst_length;
  logic [12:0] burst_bytes;
  logic [15:0] run_left;

  assign forms = generating_q && (!ar_valid_q || ar_ready_i) && !bursts_full;
  assign first_burst_o = forms && first_q;
  assign ar_valid_o = ar_valid_q;
  assign ar_address_o = ar_address_q;
  assign ar_length_o = ar_length_q;

  runs #(.Bits(32), .PieceBits(13)) u_dram (
    .clk_i, .rst_ni,
    .base_i(generator_q.dram), .run_bytes_i(generator_q.run_bytes), .count_i(generator_q.count),
    .stride_i(generator_q.dram_stride),
    .address_o(run_address), .in_run_o(run_left), .take_i(forms), .bytes_i(burst_bytes), .done_o(generator_done)
  );

  burst u_burst (.address_i(run_address), .in_run_i(run_left), .bytes_o(burst_bytes), .length_o(burst_length));

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      generating_q <= 1'b0;
      first_q <= 1'b0;
      ar_valid_q <= 1'b0;
    end else begin
      if (issue_o) generating_q <= !queue_i.fill;
      else if (generator_done) generating_q <= 1'b0;
      first_q <= issue_o || (first_q && !forms);
      ar_valid_q <= forms || (ar_valid_q && !ar_ready_i);
    end
  end

  always_ff @(posedge clk_i) begin
    if (issue_o) generator_q <= queue_i;
    if (forms) begin
      ar_address_q <= {run_address[31:BeatBits], BeatBits'(0)};
      ar_length_q <= burst_length;
    end
  end

  // Receiver. A burst in flight is remembered with the place of its first byte in a beat and its number of bytes.

  logic receives, burst_valid, first_beat_q;
  logic [BeatBits+12:0] oldest_burst;
  logic [BeatBits-1:0] burst_start, beat_start;
  logic [12:0] burst_size, burst_left, burst_left_q;
  logic [BeatBits:0] beat_room, beat_bytes;
  logic [FillBits-1:0] fill;
  logic [8*BeatBytes-1:0] beat_data, beat_mask;

  queue #(.Width(BeatBits + 13), .Depth(Config.outstanding_bursts)) u_bursts (
    .clk_i, .rst_ni, .clear_i(1'b0),
    .push_i(forms), .data_i({run_address[BeatBits-1:0], burst_bytes}), .full_o(bursts_full),
    .pop_i(receives && r_last_i), .valid_o(burst_valid), .data_o(oldest_burst)
  );
  assign {burst_start, burst_size} = oldest_burst;

  assign r_ready_o = 32'(fill) + BeatBytes <= Capacity;
  assign receives = r_valid_i && r_ready_o;
  assign beat_start = first_beat_q ? burst_start : '0;
  assign burst_left = first_beat_q ? burst_size : burst_left_q;
  assign beat_room = (BeatBits + 1)'(BeatBytes) - (BeatBits + 1)'(beat_start);
  assign beat_bytes = burst_left < 13'(beat_room) ? (BeatBits + 1)'(burst_left) : beat_room;

  for (genvar i = 0; i < BeatBytes; i++) begin : gen_beat_mask
    assign beat_mask[8*i+:8] = {8{(BeatBits + 1)'(i) < beat_bytes}};
  end
  assign beat_data = (r_data_i >> {beat_start, 3'b0}) & beat_mask;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) first_beat_q <= 1'b1;
    else if (receives) first_beat_q <= r_last_i;
  end
  always_ff @(posedge clk_i) begin
    if (receives) burst_left_q <= burst_left - 13'(beat_bytes);
  end

  // Writer.

  logic takes;
  byte_address_t position;
  logic [LaneBits-1:0] in_vector;
  logic [15:0] piece_left;
  logic [PieceBits-1:0] piece_room, piece;
  bytes_t head;

  assign in_vector = position[LaneBits-1:0];
  assign piece_room = PieceBits'(Lanes) - PieceBits'(in_vector);
  assign piece = piece_left < 16'(piece_room) ? PieceBits'(piece_left) : piece_room;
  assign write_o = context_valid && (context_.fill || 32'(fill) >= 32'(piece));
  assign takes = write_o && write_grant_i;
  assign write_address_o = position[ByteBits-1:LaneBits];
  assign write_data_o = context_.fill ? {Lanes{context_.value}} : head << {in_vector, 3'b0};
  assign write_strobe_o = Lanes'(((Lanes + 1)'(1) << piece) - (Lanes + 1)'(1)) << in_vector;

  runs #(.Bits(ByteBits), .PieceBits(PieceBits)) u_local (
    .clk_i, .rst_ni,
    .base_i(context_.scratchpad), .run_bytes_i(context_.run_bytes), .count_i(context_.count),
    .stride_i(context_.scratchpad_stride),
    .address_o(position), .in_run_o(piece_left), .take_i(takes), .bytes_i(piece), .done_o(context_done)
  );

  byte_fifo #(.Capacity(Capacity), .PushBytes(BeatBytes), .PopBytes(Lanes)) u_fifo (
    .clk_i, .rst_ni,
    .push_i(receives), .push_bytes_i(FillBits'(beat_bytes)), .push_data_i(beat_data),
    .pop_i(takes && !context_.fill), .pop_bytes_i(FillBits'(piece)), .head_o(head), .fill_o(fill)
  );

  logic filling_q;  // the oldest context is a FILL that has written already
  assign first_fill_o = takes && context_.fill && !filling_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) filling_q <= 1'b0;
    else if (takes) filling_q <= !context_done;
  end

  assign retire_o = context_done;
  assign retire_signal_o = context_.signal;
  assign idle_o = !context_valid;

  always_comb begin
    if (write_o) activity_o = write_grant_i ? ACTIVITY_BUSY : ACTIVITY_BANK;
    else if (context_valid) activity_o = ACTIVITY_DRAM;
    else activity_o = queue_valid_i && !ready ? ACTIVITY_TOKEN : ACTIVITY_IDLE;
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni) receives |-> burst_valid);
  assert property (@(posedge clk_i) disable iff (!rst_ni) receives && r_last_i |-> burst_left == 13'(beat_bytes));
  assert property (@(posedge clk_i) disable iff (!rst_ni) ar_valid_o && !ar_ready_i |=> ar_valid_o && $stable(ar_address_o));
  assert property (@(posedge clk_i) disable iff (!rst_ni)
                   ar_valid_o |-> 32'(ar_address_o[11:0]) + (32'(ar_length_o) + 1) * BeatBytes <= 4096);
`endif
endmodule
