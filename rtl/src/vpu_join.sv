// The operation that joins a and b in one lane, eight stages: as long as a division takes. What is done earlier waits.
module vpu_join
  import binary32_pkg::*;
(
  input  logic       clk_i,
  input  logic [8:1] enable_i,     // the step in this stage moves on
  input  logic [7:0] operation_i,  // operation_e
  input  float_t     a_i,
  input  float_t     b_i,
  output float_t     result_o
);
  import weft_isa_pkg::*;

  localparam int unsigned Stages = 8;
  localparam int unsigned AddStages = 2;

  function automatic float_t truth(logic x);
    return x ? One : '0;
  endfunction

  // The operations of one cycle.
  function automatic float_t join_operands(logic [7:0] operation, float_t a, float_t b);
    logic ordered;
    ordered = !is_nan(a) && !is_nan(b);
    case (operation)
      OPERATION_MAXIMUM: return maximum(a, b);
      OPERATION_MINIMUM: return minimum(a, b);
      OPERATION_GREATER: return truth(ordered && greater(a, b));
      OPERATION_GREATER_EQUAL: return truth(ordered && !greater(b, a));
      OPERATION_EQUAL: return truth(ordered && equal(a, b));
      OPERATION_ABSOLUTE: return {1'b0, a[30:0]};
      OPERATION_FLOOR: return floor(a);
      default: return a;
    endcase
  endfunction

  logic adds, multiplies, divides, extracts, iterates;
  float_t sum, product, quotient, root;

  assign adds = operation_i == OPERATION_ADD || operation_i == OPERATION_SUBTRACT;
  assign multiplies = operation_i == OPERATION_MULTIPLY;
  assign divides = operation_i == OPERATION_DIVIDE;
  assign extracts = operation_i == OPERATION_SQUARE_ROOT;
  assign iterates = |enable_i[Stages-1:2];

  float_add u_add (
    .clk_i, .enable_i({enable_i[2] && adds, enable_i[1] && adds}),
    .x_i(a_i), .y_i({b_i[31] ^ (operation_i == OPERATION_SUBTRACT), b_i[30:0]}), .result_o(sum)
  );
  float_multiply u_multiply (
    .clk_i, .enable_i({enable_i[2] && multiplies, enable_i[1] && multiplies}), .x_i(a_i), .y_i(b_i), .result_o(product)
  );
  float_divide u_divide (
    .clk_i, .start_i(enable_i[1] && divides), .step_i(iterates && divides), .round_i(enable_i[Stages] && divides),
    .x_i(a_i), .y_i(b_i), .result_o(quotient)
  );
  float_square_root u_square_root (
    .clk_i, .start_i(enable_i[1] && extracts), .step_i(iterates && extracts), .round_i(enable_i[Stages] && extracts),
    .x_i(a_i), .result_o(root)
  );

  // Entry k is what stage k starts from.
  float_t waiting_q [2:Stages+1];

  always_ff @(posedge clk_i) begin
    if (enable_i[1]) waiting_q[2] <= join_operands(operation_i, a_i, b_i);
    if (enable_i[2]) waiting_q[3] <= waiting_q[2];
    if (enable_i[AddStages+1]) waiting_q[AddStages+2] <= adds ? sum : multiplies ? product : waiting_q[AddStages+1];
    for (int unsigned k = AddStages + 2; k <= Stages; k++) begin
      if (enable_i[k]) waiting_q[k+1] <= waiting_q[k];
    end
  end

  assign result_o = divides ? quotient : extracts ? root : waiting_q[Stages+1];

`ifndef SYNTHESIS
  // Divisions come one at a time: at most one step is in their stages.
  assert property (@(posedge clk_i) divides || extracts |-> $onehot0(enable_i));
`endif
endmodule
