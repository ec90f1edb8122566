// Generated from weft_sim.isa by `python -m weft_sim.isa.generate`: change the table, not this file.
`ifndef WEFT_CONFIG_PKG_SV
`define WEFT_CONFIG_PKG_SV

package weft_config_pkg;

  // The last three members follow from the others.
  typedef struct packed {
    int unsigned lanes;
    int unsigned scratchpad_bytes;
    int unsigned scratchpad_banks;
    int unsigned accumulator_rows;
    int unsigned accumulator_banks;
    int unsigned dram_beat_bytes;
    int unsigned dram_rate_numerator;
    int unsigned dram_rate_denominator;
    int unsigned dram_latency;
    int unsigned burst_beats;
    int unsigned outstanding_bursts;
    int unsigned queue_depth;
    int unsigned fetch_depth;
    int unsigned line_depth;
    int unsigned clock_mhz;
    int unsigned vectors;
    int unsigned bank_bytes;
    int unsigned accumulator_bank_rows;
  } config_t;

  localparam config_t WEFT_8 = {
    32'd8,  // lanes
    32'd131072,  // scratchpad_bytes
    32'd8,  // scratchpad_banks
    32'd1024,  // accumulator_rows
    32'd4,  // accumulator_banks
    32'd8,  // dram_beat_bytes
    32'd1,  // dram_rate_numerator
    32'd1,  // dram_rate_denominator
    32'd40,  // dram_latency
    32'd64,  // burst_beats
    32'd32,  // outstanding_bursts
    32'd8,  // queue_depth
    32'd4,  // fetch_depth
    32'd128,  // line_depth
    32'd500,  // clock_mhz
    32'd16384,  // vectors
    32'd16384,  // bank_bytes
    32'd256   // accumulator_bank_rows
  };

  localparam config_t WEFT_16 = {
    32'd16,  // lanes
    32'd524288,  // scratchpad_bytes
    32'd16,  // scratchpad_banks
    32'd4096,  // accumulator_rows
    32'd4,  // accumulator_banks
    32'd16,  // dram_beat_bytes
    32'd1,  // dram_rate_numerator
    32'd1,  // dram_rate_denominator
    32'd64,  // dram_latency
    32'd64,  // burst_beats
    32'd32,  // outstanding_bursts
    32'd8,  // queue_depth
    32'd4,  // fetch_depth
    32'd128,  // line_depth
    32'd1000,  // clock_mhz
    32'd32768,  // vectors
    32'd32768,  // bank_bytes
    32'd1024   // accumulator_bank_rows
  };

  localparam config_t WEFT_32 = {
    32'd32,  // lanes
    32'd1048576,  // scratchpad_bytes
    32'd16,  // scratchpad_banks
    32'd4096,  // accumulator_rows
    32'd4,  // accumulator_banks
    32'd32,  // dram_beat_bytes
    32'd1,  // dram_rate_numerator
    32'd1,  // dram_rate_denominator
    32'd64,  // dram_latency
    32'd64,  // burst_beats
    32'd32,  // outstanding_bursts
    32'd8,  // queue_depth
    32'd4,  // fetch_depth
    32'd128,  // line_depth
    32'd1000,  // clock_mhz
    32'd32768,  // vectors
    32'd65536,  // bank_bytes
    32'd1024   // accumulator_bank_rows
  };

  localparam config_t VTA_16 = {
    32'd16,  // lanes
    32'd278528,  // scratchpad_bytes
    32'd16,  // scratchpad_banks
    32'd2048,  // accumulator_rows
    32'd4,  // accumulator_banks
    32'd8,  // dram_beat_bytes
    32'd1,  // dram_rate_numerator
    32'd1,  // dram_rate_denominator
    32'd64,  // dram_latency
    32'd64,  // burst_beats
    32'd32,  // outstanding_bursts
    32'd8,  // queue_depth
    32'd4,  // fetch_depth
    32'd128,  // line_depth
    32'd100,  // clock_mhz
    32'd17408,  // vectors
    32'd17408,  // bank_bytes
    32'd512   // accumulator_bank_rows
  };

endpackage

`endif
