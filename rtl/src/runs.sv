// The walk over runs of bytes that LOAD, STORE and FILL make: four nested loops, loop 3 fastest, one run per step, each run
// taken in pieces. The walk of the loops given at the inputs begins by itself when the one before it is done, so the owner
// only has to change the inputs together with `done_o`.
module runs #(
  parameter int unsigned Bits = 32,      // of an address
  parameter int unsigned PieceBits = 13  // of a piece's number of bytes
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,

  input  logic [Bits-1:0]      base_i,
  input  logic [15:0]          run_bytes_i,
  input  logic [3:0][15:0]     count_i,
  input  logic [3:0][Bits-1:0] stride_i,

  output logic [Bits-1:0]      address_o,  // of the next byte
  output logic [15:0]          in_run_o,   // bytes of its run that remain
  input  logic                 take_i,
  input  logic [PieceBits-1:0] bytes_i,    // at most in_run_o
  output logic                 done_o      // this piece is the last of the last run
);
  logic fresh_q;  // the next byte is the first one: the registers below hold nothing yet
  logic [Bits-1:0] address_q;
  logic [15:0] in_run_q;
  logic [3:0][15:0] digit_q, digit, next_digit;
  logic [3:0][Bits-1:0] start_q, start, next_start;  // address of the run with the digits of all inner loops at 0
  logic [3:0] last_digit;
  logic [Bits-1:0] moved;
  logic run_ends;

  assign address_o = fresh_q ? base_i : address_q;
  assign in_run_o = fresh_q ? run_bytes_i : in_run_q;
  assign digit = fresh_q ? '0 : digit_q;
  assign start = fresh_q ? {4{base_i}} : start_q;

  for (genvar l = 0; l < 4; l++) begin : gen_last
    assign last_digit[l] = digit[l] == count_i[l] - 16'd1;
  end

  always_comb begin
    next_digit = digit;
    if (!last_digit[3]) begin
      moved = start[3] + stride_i[3];
      next_digit[3] = digit[3] + 16'd1;
      next_start = {moved, start[2:0]};
    end else if (!last_digit[2]) begin
      moved = start[2] + stride_i[2];
      next_digit[3] = '0;
      next_digit[2] = digit[2] + 16'd1;
      next_start = {{2{moved}}, start[1:0]};
    end else if (!last_digit[1]) begin
      moved = start[1] + stride_i[1];
      next_digit[3:2] = '0;
      next_digit[1] = digit[1] + 16'd1;
      next_start = {{3{moved}}, start[0]};
    end else begin
      moved = start[0] + stride_i[0];
      next_digit[3:1] = '0;
      next_digit[0] = digit[0] + 16'd1;
      next_start = {4{moved}};
    end
  end

  assign run_ends = in_run_o == 16'(bytes_i);
  assign done_o = take_i && run_ends && &last_digit;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) fresh_q <= 1'b1;
    else if (take_i) fresh_q <= done_o;
  end

  always_ff @(posedge clk_i) begin
    if (take_i) begin
      address_q <= run_ends ? moved : address_o + Bits'(bytes_i);
      in_run_q <= run_ends ? run_bytes_i : in_run_o - 16'(bytes_i);
      digit_q <= run_ends ? next_digit : digit;
      start_q <= run_ends ? next_start : start;
    end
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni) take_i |-> bytes_i != '0 && 16'(bytes_i) <= in_run_o);
`endif
endmodule
