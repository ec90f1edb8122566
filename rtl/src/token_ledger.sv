// Tokens signalled and not yet waited for, in program order: refuses an instruction that could never go on (DEADLOCK) or
// that would leave more than TOKEN_LIMIT tokens of a channel open (TOKEN_OVERFLOW).
module token_ledger
  import weft_pkg::*;
(
  input  logic       clk_i,
  input  logic       rst_ni,
  input  logic       clear_i,

  input  logic [2:0] unit_i,
  input  unit_mask_t wait_i,
  input  unit_mask_t signal_i,
  input  logic       book_i,      // the instruction leaves: its tokens count
  output logic       deadlock_o,
  output logic       overflow_o
);
  localparam int unsigned CountBits = $clog2(weft_isa_pkg::TOKEN_LIMIT + 1);

  unit_mask_t [Units-1:0] none, most;  // [from][to]

  for (genvar from = 0; from < Units; from++) begin : gen_from
    for (genvar to = 0; to < Units; to++) begin : gen_to
      if (from == to) begin : gen_none
        assign none[from][to] = 1'b1;
        assign most[from][to] = 1'b0;
      end else begin : gen_channel
        logic [CountBits-1:0] count_q;
        logic up, down;

        assign none[from][to] = count_q == '0;
        assign most[from][to] = count_q == CountBits'(weft_isa_pkg::TOKEN_LIMIT);
        assign up = book_i && unit_i == 3'(from) && signal_i[to];
        assign down = book_i && unit_i == 3'(to) && wait_i[from];

        always_ff @(posedge clk_i or negedge rst_ni) begin
          if (!rst_ni) count_q <= '0;
          else if (clear_i) count_q <= '0;
          else count_q <= count_q + CountBits'(up) - CountBits'(down);
        end
      end
    end
  end

  always_comb begin
    deadlock_o = 1'b0;
    overflow_o = 1'b0;
    for (int unsigned other = 0; other < Units; other++) begin
      if (wait_i[other] && none[other][unit_i]) deadlock_o = 1'b1;
      if (signal_i[other] && most[unit_i][other]) overflow_o = 1'b1;
    end
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (!rst_ni) book_i |-> !deadlock_o && !overflow_o);
`endif
endmodule
