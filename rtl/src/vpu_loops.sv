// The digits of VECTOR's five nested loops, loop 4 fastest, of the step that is next.
module vpu_loops (
  input  logic             clk_i,
  input  logic             start_i,  // the first step is next
  input  logic             next_i,   // a step is done
  input  logic [4:0][15:0] count_i,  // while steps are done
  output logic [4:0]       last_o    // the loop is at its last step
);
  logic [4:0][15:0] digit_q;

  for (genvar l = 0; l < 5; l++) begin : gen_loop
    assign last_o[l] = digit_q[l] == count_i[l] - 16'd1;
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      digit_q <= '0;
    end else if (next_i) begin
      for (int unsigned l = 0; l < 5; l++) begin
        if (&(last_o | 5'((32'd2 << l) - 1))) digit_q[l] <= last_o[l] ? '0 : digit_q[l] + 16'd1;
      end
    end
  end
endmodule
