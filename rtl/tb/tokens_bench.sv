// The token counters and the ledger that guards them.
module tokens_bench
  import weft_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        clear_i,
  input  logic [24:0] take_i,
  input  logic [24:0] signal_i,
  output logic [24:0] available_o,
  input  logic [2:0]  unit_i,
  input  logic [4:0]  wait_i,
  input  logic [4:0]  named_i,
  input  logic        book_i,
  output logic        deadlock_o,
  output logic        overflow_o
);
  tokens u_tokens (.clk_i, .rst_ni, .clear_i, .take_i, .signal_i, .available_o);
  token_ledger u_ledger (
    .clk_i, .rst_ni, .clear_i, .unit_i, .wait_i, .signal_i(named_i), .book_i(book_i && !deadlock_o && !overflow_o),
    .deadlock_o, .overflow_o
  );
endmodule
