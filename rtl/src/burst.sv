// The next AXI4 burst of a run of bytes: never longer than burst_beats beats, never across a multiple of 4096.
module burst
  import weft_pkg::*;
(
  input  logic [31:0] address_i,
  input  logic [15:0] in_run_i,
  output logic [12:0] bytes_o,
  output logic [7:0]  length_o  // beats − 1, as AxLEN
);
  localparam int unsigned BurstBytes = Config.burst_beats * BeatBytes;

  logic [BeatBits-1:0] in_beat;
  logic [12:0] to_boundary, to_limit, limit;
  logic [13:0] last_byte;

  assign in_beat = address_i[BeatBits-1:0];
  assign to_boundary = 13'd4096 - {1'b0, address_i[11:0]};
  assign to_limit = 13'(BurstBytes) - 13'(in_beat);
  assign limit = to_boundary < to_limit ? to_boundary : to_limit;
  assign bytes_o = in_run_i < 16'(limit) ? in_run_i[12:0] : limit;
  assign last_byte = 14'(in_beat) + 14'(bytes_o) - 14'd1;
  assign length_o = 8'(last_byte >> BeatBits);
endmodule
