// The token channels: one counter per ordered pair of units. Dispatch has proved that every token waited for comes, and that
// no more than TOKEN_LIMIT are open in program order; those that queued instructions will take come on top.
module tokens
  import weft_pkg::*;
(
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   clear_i,

  input  unit_mask_t [Units-1:0] take_i,      // [to][from]: tokens taken by issue in this cycle
  input  unit_mask_t [Units-1:0] signal_i,    // [from][to]: tokens given by retirement in this cycle
  output unit_mask_t [Units-1:0] available_o  // [to][from]: at least one is there at the cycle's beginning
);
  localparam int unsigned CountBits = $clog2(weft_isa_pkg::TOKEN_LIMIT + Config.queue_depth + 2);

  for (genvar to = 0; to < Units; to++) begin : gen_to
    for (genvar from = 0; from < Units; from++) begin : gen_from
      if (from == to) begin : gen_none
        assign available_o[to][from] = 1'b0;
      end else begin : gen_channel
        logic [CountBits-1:0] count_q;

        assign available_o[to][from] = count_q != '0;

        always_ff @(posedge clk_i or negedge rst_ni) begin
          if (!rst_ni) begin
            count_q <= '0;
          end else if (clear_i) begin
            count_q <= '0;
          end else begin
            count_q <= count_q + CountBits'(signal_i[from][to]) - CountBits'(take_i[to][from]);
          end
        end

`ifndef SYNTHESIS
        assert property (@(posedge clk_i) disable iff (!rst_ni) take_i[to][from] |-> count_q != '0);
        assert property (@(posedge clk_i) disable iff (!rst_ni)
                         signal_i[from][to] && !take_i[to][from] |-> count_q != '1);
`endif
      end
    end
  end
endmodule
