// The address of one of VECTOR's operands along five nested loops, loop 4 fastest.
module vpu_address #(
  parameter int unsigned Bits = 16
) (
  input  logic                 clk_i,
  input  logic                 start_i,
  input  logic [Bits-1:0]      base_i,
  input  logic                 next_i,    // the step is done
  input  logic [4:0]           last_i,    // the loop is at its last step
  input  logic [4:0][Bits-1:0] stride_i,
  output logic [Bits-1:0]      address_o
);
  // Entry l is the address with the digits of all loops inside of loop l at 0.
  logic [4:0][Bits-1:0] from_q;

  assign address_o = from_q[4];

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      from_q <= {5{base_i}};
    end else if (next_i) begin
      if (!last_i[4]) from_q[4] <= from_q[4] + stride_i[4];
      else if (!last_i[3]) from_q[4:3] <= {2{from_q[3] + stride_i[3]}};
      else if (!last_i[2]) from_q[4:2] <= {3{from_q[2] + stride_i[2]}};
      else if (!last_i[1]) from_q[4:1] <= {4{from_q[1] + stride_i[1]}};
      else from_q <= {5{from_q[0] + stride_i[0]}};
    end
  end
endmodule
