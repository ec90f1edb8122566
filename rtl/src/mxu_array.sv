// Lanes × Lanes multipliers with double-buffered weights, and one adder tree per output lane.
module mxu_array
  import weft_pkg::*;
(
  input  logic        clk_i,

  // Weights into the shadow: a row of it (all output lanes of input lane `index`) or a column.
  input  logic        load_i,
  input  logic        load_column_i,
  input  logic [LaneBits-1:0] load_index_i,
  input  values_t load_values_i,
  input  logic        swap_i,  // the shadow becomes active and empty

  input  logic        multiply_i,
  input  logic        depthwise_i,
  input  values_t values_i,          // dense: one input vector
  input  values_t taps_i [Lanes],    // depthwise: [tap][lane]

  input  logic        sum_i,  // a cycle after multiply_i
  output words_t      sum_o   // … and another one later
);
  localparam int unsigned ProductBits = 2 * ValueBits;
  localparam int unsigned SumBits = ProductBits + LaneBits;

  for (genvar c = 0; c < Lanes; c++) begin : gen_column
    for (genvar k = 0; k < Lanes; k++) begin : gen_cell
      logic signed [ValueBits-1:0] shadow_q, active_q, value;
      logic signed [ProductBits-1:0] product_q;

      assign value = $signed(depthwise_i ? taps_i[k][c] : values_i[k]);

      always_ff @(posedge clk_i) begin
        if (swap_i) begin
          active_q <= shadow_q;
          shadow_q <= '0;
        end else if (load_i) begin
          if (load_column_i && load_index_i == LaneBits'(c)) shadow_q <= $signed(load_values_i[k]);
          if (!load_column_i && load_index_i == LaneBits'(k)) shadow_q <= $signed(load_values_i[c]);
        end
        if (multiply_i) product_q <= value * active_q;
      end
    end

    // The tree as a heap: node i adds nodes 2i and 2i + 1, of which those from Lanes on are the products.
    for (genvar i = 1; i < Lanes; i++) begin : gen_node
      logic signed [SumBits-1:0] sum;
      if (2 * i < Lanes) begin : gen_inner
        assign sum = gen_node[2*i].sum + gen_node[2*i+1].sum;
      end else begin : gen_leaf
        assign sum = SumBits'(gen_cell[2*i-Lanes].product_q) + SumBits'(gen_cell[2*i+1-Lanes].product_q);
      end
    end

    logic signed [SumBits-1:0] sum_q;
    always_ff @(posedge clk_i) begin
      if (sum_i) sum_q <= gen_node[1].sum;
    end
    assign sum_o[c] = 32'(sum_q);
  end

`ifndef SYNTHESIS
  assert property (@(posedge clk_i) !(swap_i && load_i));
`endif
endmodule
