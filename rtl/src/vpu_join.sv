// The operation that joins a and b, eight stages: as long as a division takes. What is done earlier waits. (Why lanes are loops:
// see float_add.)
module vpu_join
  import weft_pkg::*;
  import binary32_pkg::*;
(
  input  logic       clk_i,
  input  logic [8:1] enable_i,     // the step in this stage moves on
  input  logic [7:0] operation_i,  // operation_e; constant while an instruction is active
  input  words_t     a_i,
  input  words_t     b_i,
  output words_t     result_o
);
  import weft_isa_pkg::*;

  localparam int unsigned Stages = 8;
  localparam int unsigned AddStages = 2;

  function automatic float_t truth(logic x);
    return x ? One : '0;
  endfunction

  // The operations of one cycle.
  function automatic float_t join_operands(logic [7:0] operation, float_t x, float_t y);
    logic ordered;
    ordered = !is_nan(x) && !is_nan(y);
    case (operation)
      OPERATION_MAXIMUM: return maximum(x, y);
      OPERATION_MINIMUM: return minimum(x, y);
      OPERATION_GREATER: return truth(ordered && greater(x, y));
      OPERATION_GREATER_EQUAL: return truth(ordered && !greater(y, x));
      OPERATION_EQUAL: return truth(ordered && equal(x, y));
      OPERATION_ABSOLUTE: return {1'b0, x[30:0]};
      OPERATION_FLOOR: return floor(x);
      default: return x;
    endcase
  endfunction

  logic adds, multiplies, divides, extracts, passes, at_once, iterates;
  words_t addend, sum, product, quotient, root;

  assign adds = operation_i == OPERATION_ADD || operation_i == OPERATION_SUBTRACT;
  assign multiplies = operation_i == OPERATION_MULTIPLY;
  assign divides = operation_i == OPERATION_DIVIDE;
  assign extracts = operation_i == OPERATION_SQUARE_ROOT;
  assign passes = operation_i == OPERATION_PASS;
  assign at_once = !adds && !multiplies && !divides && !extracts;
  assign iterates = |enable_i[Stages-1:2];
  for (genvar l = 0; l < Lanes; l++) begin : gen_addend
    assign addend[l] = {b_i[l][31] ^ (operation_i == OPERATION_SUBTRACT), b_i[l][30:0]};
  end

  float_add #(.Lanes(Lanes)) u_add (
    .clk_i, .enable_i({enable_i[2] && adds, enable_i[1] && adds}), .x_i(a_i), .y_i(addend), .result_o(sum)
  );
  float_multiply #(.Lanes(Lanes)) u_multiply (
    .clk_i, .enable_i({enable_i[2] && multiplies, enable_i[1] && multiplies}), .x_i(a_i), .y_i(b_i), .result_o(product)
  );
  float_divide #(.Lanes(Lanes)) u_divide (
    .clk_i, .start_i(enable_i[1] && divides), .step_i(iterates && divides), .round_i(enable_i[Stages] && divides),
    .x_i(a_i), .y_i(b_i), .result_o(quotient)
  );
  float_square_root #(.Lanes(Lanes)) u_square_root (
    .clk_i, .start_i(enable_i[1] && extracts), .step_i(iterates && extracts), .round_i(enable_i[Stages] && extracts),
    .x_i(a_i), .result_o(root)
  );

  words_t at_once_q, joined, waited;

  always_ff @(posedge clk_i) begin
    automatic words_t next;
    if (enable_i[1] && at_once) begin
      if (passes) begin
        at_once_q <= a_i;
      end else begin
        /* verilator unroll_disable */
        for (int unsigned l = 0; l < Lanes; l++) next[l] = join_operands(operation_i, a_i[l], b_i[l]);
        at_once_q <= next;
      end
    end
  end

  words_t at_once_waited;
  vpu_delay #(.Stages(AddStages - 1)) u_at_once_wait (
    .clk_i, .enable_i(at_once ? enable_i[AddStages:2] : '0), .value_i(at_once_q), .result_o(at_once_waited)
  );

  assign joined = adds ? sum : multiplies ? product : at_once_waited;

  vpu_delay #(.Stages(Stages - AddStages)) u_wait (
    .clk_i, .enable_i(divides || extracts ? '0 : enable_i[Stages:AddStages+1]), .value_i(joined), .result_o(waited)
  );

  assign result_o = divides ? quotient : extracts ? root : waited;

`ifndef SYNTHESIS
  // Divisions come one at a time: at most one step is in their stages.
  assert property (@(posedge clk_i) divides || extracts |-> $onehot0(enable_i));
`endif
endmodule
