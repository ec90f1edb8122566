// Generated from weft_sim.isa by `python -m weft_sim.isa.generate`: change the table, not this file.
//
// Packed structs have their first member in the highest bits, so members stand in reverse order of the
// table, and matmul_t'(instruction[MATMUL_BITS-1:0]) gives the fields. Members named like a keyword have a
// trailing underscore. Enumerations' fields are plain logic: their value may be illegal until
// *_enums_legal says otherwise.
`ifndef WEFT_ISA_PKG_SV
`define WEFT_ISA_PKG_SV

package weft_isa_pkg;

  localparam int unsigned INSTRUCTION_BYTES = 128;
  localparam int unsigned REGISTERS = 16;
  localparam int unsigned MAILBOXES = 16;
  localparam int unsigned NO_REGISTER = 16;
  localparam int unsigned NO_MAILBOX = 16;
  localparam int unsigned TABLE_SLOTS = 2;
  localparam int unsigned TABLE_ENTRIES = 256;
  localparam int unsigned DEPTHWISE_ROWS = 4;
  localparam int unsigned PARAMETER_VECTORS = 8;
  localparam int unsigned MAX_WORK = 16777216;
  localparam int unsigned TOKEN_LIMIT = 64;
  localparam int unsigned DECODE_CYCLES = 8;
  localparam int unsigned LOAD_CONTEXTS = 4;
  localparam int unsigned STORE_CONTEXTS = 4;
  localparam int unsigned BYTE_FIFO_BEATS = 4;
  localparam int unsigned MXU_LATENCY = 5;
  localparam int unsigned WEIGHT_SWAP_CYCLES = 2;
  localparam int unsigned VPU_LATENCY = 24;
  localparam int unsigned SUM_INTERVAL = 4;
  localparam int unsigned DIVIDE_INTERVAL = 32;
  localparam int unsigned DRAM_WRITE_BUFFER = 4;
  localparam int unsigned INSTRUCTION_BITS = 1024;

  typedef enum logic [7:0] {
    UNIT_FETCH = 8'd0,
    UNIT_LOAD = 8'd1,
    UNIT_STORE = 8'd2,
    UNIT_MXU = 8'd3,
    UNIT_VPU = 8'd4
  } unit_e;

  typedef enum logic [7:0] {
    SPACE_DRAM = 8'd0,
    SPACE_SCRATCHPAD = 8'd1,
    SPACE_ACCUMULATOR = 8'd2,
    SPACE_TABLE = 8'd3,
    SPACE_MAILBOX = 8'd4
  } space_e;

  typedef enum logic [7:0] {
    FAULT_CAUSE_NONE = 8'd0,
    FAULT_CAUSE_ILLEGAL_OPCODE = 8'd1,
    FAULT_CAUSE_ILLEGAL_FIELD = 8'd2,
    FAULT_CAUSE_DRAM_RANGE = 8'd3,
    FAULT_CAUSE_SCRATCHPAD_RANGE = 8'd4,
    FAULT_CAUSE_ACCUMULATOR_RANGE = 8'd5,
    FAULT_CAUSE_PROGRAM_RANGE = 8'd6,
    FAULT_CAUSE_DEADLOCK = 8'd7,
    FAULT_CAUSE_TOKEN_OVERFLOW = 8'd8,
    FAULT_CAUSE_CYCLE_LIMIT = 8'd9
  } fault_cause_e;

  typedef enum logic [7:0] {
    CONDITION_ALWAYS = 8'd0,
    CONDITION_EQUAL = 8'd1,
    CONDITION_NOT_EQUAL = 8'd2,
    CONDITION_LESS = 8'd3,
    CONDITION_GREATER_EQUAL = 8'd4
  } condition_e;

  typedef enum logic [7:0] {
    MATMUL_MODE_DENSE = 8'd0,
    MATMUL_MODE_DEPTHWISE = 8'd1
  } matmul_mode_e;

  typedef enum logic [7:0] {
    WEIGHT_ORDER_ROWS = 8'd0,
    WEIGHT_ORDER_COLUMNS = 8'd1
  } weight_order_e;

  typedef enum logic [7:0] {
    SOURCE_SCRATCHPAD_S8 = 8'd0,
    SOURCE_SCRATCHPAD_U8 = 8'd1,
    SOURCE_ACCUMULATOR_S32 = 8'd2,
    SOURCE_ACCUMULATOR_F32 = 8'd3,
    SOURCE_IMMEDIATE = 8'd4,
    SOURCE_EXCHANGE = 8'd5
  } source_e;

  typedef enum logic [7:0] {
    OPERATION_PASS = 8'd0,
    OPERATION_ADD = 8'd1,
    OPERATION_SUBTRACT = 8'd2,
    OPERATION_MULTIPLY = 8'd3,
    OPERATION_MAXIMUM = 8'd4,
    OPERATION_MINIMUM = 8'd5,
    OPERATION_DIVIDE = 8'd6,
    OPERATION_SQUARE_ROOT = 8'd7,
    OPERATION_GREATER = 8'd8,
    OPERATION_GREATER_EQUAL = 8'd9,
    OPERATION_EQUAL = 8'd10,
    OPERATION_ABSOLUTE = 8'd11,
    OPERATION_FLOOR = 8'd12
  } operation_e;

  typedef enum logic [7:0] {
    REDUCTION_NONE = 8'd0,
    REDUCTION_SUM = 8'd1,
    REDUCTION_MAXIMUM = 8'd2,
    REDUCTION_MINIMUM = 8'd3
  } reduction_e;

  typedef enum logic [7:0] {
    DESTINATION_SCRATCHPAD_S8 = 8'd0,
    DESTINATION_SCRATCHPAD_U8 = 8'd1,
    DESTINATION_ACCUMULATOR_S32 = 8'd2,
    DESTINATION_ACCUMULATOR_F32 = 8'd3,
    DESTINATION_MAILBOX = 8'd4
  } destination_e;

  typedef enum logic [7:0] {
    OPCODE_HALT = 8'd1,
    OPCODE_JUMP = 8'd2,
    OPCODE_REGISTER = 8'd3,
    OPCODE_LOAD = 8'd4,
    OPCODE_STORE = 8'd5,
    OPCODE_FILL = 8'd6,
    OPCODE_MATMUL = 8'd7,
    OPCODE_VECTOR = 8'd8,
    OPCODE_TABLE = 8'd9
  } opcode_e;

  localparam int unsigned HALT_BITS = 24;
  typedef struct packed {
    logic [7:0] signal;  // [23:16] bit u: give one token to channel (this unit → unit u) at retirement
    logic [7:0] wait_;  // [15:8] bit u: take one token of channel (unit u → this unit) before issue
    logic [7:0] opcode;  // [7:0] which instruction this is
  } halt_t;

  localparam int unsigned JUMP_BITS = 104;
  typedef struct packed {
    logic [31:0] target;  // [103:72] index of the instruction to continue at
    logic signed [31:0] value;  // [71:40] what it is compared with
    logic [7:0] mailbox;  // [39:32] which mailbox is compared (0 when ALWAYS)
    logic [7:0] condition;  // [31:24] comparison of the mailbox with `value`
    logic [7:0] signal;  // [23:16] bit u: give one token to channel (this unit → unit u) at retirement
    logic [7:0] wait_;  // [15:8] bit u: take one token of channel (unit u → this unit) before issue
    logic [7:0] opcode;  // [7:0] which instruction this is
  } jump_t;

  localparam int unsigned REGISTER_BITS = 112;
  typedef struct packed {
    logic signed [31:0] scale;  // [111:80] bytes per unit of the mailbox
    logic signed [31:0] offset;  // [79:48] added, bytes
    logic [7:0] mailbox;  // [47:40] mailbox read; 16: none
    logic [7:0] source;  // [39:32] register read; 16: none
    logic [7:0] destination;  // [31:24] register written
    logic [7:0] signal;  // [23:16] bit u: give one token to channel (this unit → unit u) at retirement
    logic [7:0] wait_;  // [15:8] bit u: take one token of channel (unit u → this unit) before issue
    logic [7:0] opcode;  // [7:0] which instruction this is
  } register_t;

  localparam int unsigned LOAD_BITS = 392;
  typedef struct packed {
    logic signed [23:0] scratchpad_stride_3;  // [391:368] bytes per step of loop 3
    logic signed [23:0] scratchpad_stride_2;  // [367:344] bytes per step of loop 2
    logic signed [23:0] scratchpad_stride_1;  // [343:320] bytes per step of loop 1
    logic signed [23:0] scratchpad_stride_0;  // [319:296] bytes per step of loop 0
    logic signed [31:0] dram_stride_3;  // [295:264] bytes per step of loop 3
    logic signed [31:0] dram_stride_2;  // [263:232] bytes per step of loop 2
    logic signed [31:0] dram_stride_1;  // [231:200] bytes per step of loop 1
    logic signed [31:0] dram_stride_0;  // [199:168] bytes per step of loop 0
    logic [15:0] count_3;  // [167:152] steps of loop 3 (innermost)
    logic [15:0] count_2;  // [151:136] steps of loop 2
    logic [15:0] count_1;  // [135:120] steps of loop 1
    logic [15:0] count_0;  // [119:104] steps of loop 0 (outermost)
    logic [15:0] run_bytes;  // [103:88] contiguous bytes of each run
    logic [23:0] scratchpad;  // [87:64] byte address in the scratchpad
    logic signed [31:0] offset;  // [63:32] bytes from the base register
    logic [7:0] register_;  // [31:24] base register of the DRAM address
    logic [7:0] signal;  // [23:16] bit u: give one token to channel (this unit → unit u) at retirement
    logic [7:0] wait_;  // [15:8] bit u: take one token of channel (unit u → this unit) before issue
    logic [7:0] opcode;  // [7:0] which instruction this is
  } load_t;

  localparam int unsigned STORE_BITS = 392;
  typedef struct packed {
    logic signed [23:0] scratchpad_stride_3;  // [391:368] bytes per step of loop 3
    logic signed [23:0] scratchpad_stride_2;  // [367:344] bytes per step of loop 2
    logic signed [23:0] scratchpad_stride_1;  // [343:320] bytes per step of loop 1
    logic signed [23:0] scratchpad_stride_0;  // [319:296] bytes per step of loop 0
    logic signed [31:0] dram_stride_3;  // [295:264] bytes per step of loop 3
    logic signed [31:0] dram_stride_2;  // [263:232] bytes per step of loop 2
    logic signed [31:0] dram_stride_1;  // [231:200] bytes per step of loop 1
    logic signed [31:0] dram_stride_0;  // [199:168] bytes per step of loop 0
    logic [15:0] count_3;  // [167:152] steps of loop 3 (innermost)
    logic [15:0] count_2;  // [151:136] steps of loop 2
    logic [15:0] count_1;  // [135:120] steps of loop 1
    logic [15:0] count_0;  // [119:104] steps of loop 0 (outermost)
    logic [15:0] run_bytes;  // [103:88] contiguous bytes of each run
    logic [23:0] scratchpad;  // [87:64] byte address in the scratchpad
    logic signed [31:0] offset;  // [63:32] bytes from the base register
    logic [7:0] register_;  // [31:24] base register of the DRAM address
    logic [7:0] signal;  // [23:16] bit u: give one token to channel (this unit → unit u) at retirement
    logic [7:0] wait_;  // [15:8] bit u: take one token of channel (unit u → this unit) before issue
    logic [7:0] opcode;  // [7:0] which instruction this is
  } store_t;

  localparam int unsigned FILL_BITS = 232;
  typedef struct packed {
    logic signed [23:0] scratchpad_stride_3;  // [231:208] bytes per step of loop 3
    logic signed [23:0] scratchpad_stride_2;  // [207:184] bytes per step of loop 2
    logic signed [23:0] scratchpad_stride_1;  // [183:160] bytes per step of loop 1
    logic signed [23:0] scratchpad_stride_0;  // [159:136] bytes per step of loop 0
    logic [15:0] count_3;  // [135:120] steps of loop 3 (innermost)
    logic [15:0] count_2;  // [119:104] steps of loop 2
    logic [15:0] count_1;  // [103:88] steps of loop 1
    logic [15:0] count_0;  // [87:72] steps of loop 0 (outermost)
    logic [15:0] run_bytes;  // [71:56] contiguous bytes of each run
    logic [23:0] scratchpad;  // [55:32] byte address in the scratchpad
    logic [7:0] value;  // [31:24] the byte written
    logic [7:0] signal;  // [23:16] bit u: give one token to channel (this unit → unit u) at retirement
    logic [7:0] wait_;  // [15:8] bit u: take one token of channel (unit u → this unit) before issue
    logic [7:0] opcode;  // [7:0] which instruction this is
  } fill_t;

  localparam int unsigned MATMUL_BITS = 759;
  typedef struct packed {
    logic signed [23:0] inner_accumulator_stride_2;  // [758:735] rows per step of inner loop 2 (depthwise: per output column)
    logic signed [23:0] inner_accumulator_stride_1;  // [734:711] rows per step of inner loop 1 (depthwise: per output row)
    logic signed [23:0] inner_accumulator_stride_0;  // [710:687] rows per step of inner loop 0
    logic signed [23:0] inner_input_stride_2;  // [686:663] vectors per step of inner loop 2
    logic signed [23:0] inner_input_stride_1;  // [662:639] vectors per step of inner loop 1
    logic signed [23:0] inner_input_stride_0;  // [638:615] vectors per step of inner loop 0
    logic [15:0] inner_count_2;  // [614:599] steps of inner loop 2, innermost (depthwise: input columns)
    logic [15:0] inner_count_1;  // [598:583] steps of inner loop 1 (depthwise: input rows)
    logic [15:0] inner_count_0;  // [582:567] steps of inner loop 0
    logic signed [23:0] outer_accumulator_stride_3;  // [566:543] rows per step of outer loop 3
    logic signed [23:0] outer_accumulator_stride_2;  // [542:519] rows per step of outer loop 2
    logic signed [23:0] outer_accumulator_stride_1;  // [518:495] rows per step of outer loop 1
    logic signed [23:0] outer_accumulator_stride_0;  // [494:471] rows per step of outer loop 0
    logic signed [23:0] outer_weight_stride_3;  // [470:447] vectors per step of outer loop 3
    logic signed [23:0] outer_weight_stride_2;  // [446:423] vectors per step of outer loop 2
    logic signed [23:0] outer_weight_stride_1;  // [422:399] vectors per step of outer loop 1
    logic signed [23:0] outer_weight_stride_0;  // [398:375] vectors per step of outer loop 0
    logic signed [23:0] outer_input_stride_3;  // [374:351] vectors per step of outer loop 3
    logic signed [23:0] outer_input_stride_2;  // [350:327] vectors per step of outer loop 2
    logic signed [23:0] outer_input_stride_1;  // [326:303] vectors per step of outer loop 1
    logic signed [23:0] outer_input_stride_0;  // [302:279] vectors per step of outer loop 0
    logic [15:0] outer_count_3;  // [278:263] steps of outer loop 3
    logic [15:0] outer_count_2;  // [262:247] steps of outer loop 2
    logic [15:0] outer_count_1;  // [246:231] steps of outer loop 1
    logic [15:0] outer_count_0;  // [230:215] steps of outer loop 0 (outermost)
    logic [15:0] accumulator;  // [214:199] first accumulator row
    logic signed [23:0] weight_vector_stride;  // [198:175] vectors between the vectors of a weight tile
    logic [23:0] weight;  // [174:151] vector address of the first weight vector
    logic [23:0] input_;  // [150:127] vector address of the first input vector
    logic [7:0] column_shift;  // [126:119] depthwise: log2 of the horizontal stride, 0 to 2
    logic [7:0] row_shift;  // [118:111] depthwise: log2 of the vertical stride, 0 to 2
    logic [7:0] window_columns;  // [110:103] depthwise: kernel columns
    logic [7:0] window_rows;  // [102:95] depthwise: kernel rows, 1 to DEPTHWISE_ROWS
    logic signed [15:0] weight_zero;  // [94:79] zero point of the weights: int8 or uint8 as they are
    logic signed [15:0] input_zero;  // [78:63] zero point of the input: int8 or uint8 as the input is
    logic [7:0] weight_rows;  // [62:55] vectors of a weight tile, 1 to lanes
    logic [7:0] input_lanes;  // [54:47] valid input lanes, 1 to lanes
    logic [3:0] reduce_mask;  // [46:43] bit i: outer loop i is a reduction
    logic accumulate;  // [42:42] 1: the first reduction step adds to what the rows hold
    logic weight_signed;  // [41:41] weights are int8 (1) or uint8 (0)
    logic input_signed;  // [40:40] input vectors are int8 (1) or uint8 (0)
    logic [7:0] weight_order;  // [39:32] by row or by column
    logic [7:0] mode;  // [31:24] dense or depthwise
    logic [7:0] signal;  // [23:16] bit u: give one token to channel (this unit → unit u) at retirement
    logic [7:0] wait_;  // [15:8] bit u: take one token of channel (unit u → this unit) before issue
    logic [7:0] opcode;  // [7:0] which instruction this is
  } matmul_t;

  localparam int unsigned VECTOR_BITS = 952;
  typedef struct packed {
    logic signed [23:0] d_stride_4;  // [951:928] vectors or rows per step of loop 4
    logic signed [23:0] d_stride_3;  // [927:904] vectors or rows per step of loop 3
    logic signed [23:0] d_stride_2;  // [903:880] vectors or rows per step of loop 2
    logic signed [23:0] d_stride_1;  // [879:856] vectors or rows per step of loop 1
    logic signed [23:0] d_stride_0;  // [855:832] vectors or rows per step of loop 0
    logic signed [23:0] b_stride_4;  // [831:808] vectors or rows per step of loop 4
    logic signed [23:0] b_stride_3;  // [807:784] vectors or rows per step of loop 3
    logic signed [23:0] b_stride_2;  // [783:760] vectors or rows per step of loop 2
    logic signed [23:0] b_stride_1;  // [759:736] vectors or rows per step of loop 1
    logic signed [23:0] b_stride_0;  // [735:712] vectors or rows per step of loop 0
    logic signed [23:0] a_stride_4;  // [711:688] vectors or rows per step of loop 4
    logic signed [23:0] a_stride_3;  // [687:664] vectors or rows per step of loop 3
    logic signed [23:0] a_stride_2;  // [663:640] vectors or rows per step of loop 2
    logic signed [23:0] a_stride_1;  // [639:616] vectors or rows per step of loop 1
    logic signed [23:0] a_stride_0;  // [615:592] vectors or rows per step of loop 0
    logic [15:0] count_4;  // [591:576] steps of loop 4 (innermost)
    logic [15:0] count_3;  // [575:560] steps of loop 3
    logic [15:0] count_2;  // [559:544] steps of loop 2
    logic [15:0] count_1;  // [543:528] steps of loop 1
    logic [15:0] count_0;  // [527:512] steps of loop 0 (outermost)
    logic [31:0] high;  // [511:480] upper clamp of the result
    logic [31:0] low;  // [479:448] lower clamp of the result
    logic [31:0] scale;  // [447:416] multiplies the reduced result
    logic [31:0] b_scale;  // [415:384] multiplies b, or is b (IMMEDIATE)
    logic [31:0] a_rescale;  // [383:352] multiplies a after rounding and table
    logic [31:0] a_high;  // [351:320] upper clamp of a rounded a
    logic [31:0] a_low;  // [319:288] lower clamp of a rounded a
    logic [31:0] a_scale;  // [287:256] multiplies a
    logic signed [15:0] d_zero;  // [255:240] added to an integer result
    logic signed [15:0] b_zero;  // [239:224] subtracted from an integer b
    logic signed [15:0] a_zero;  // [223:208] subtracted from an integer a
    logic signed [23:0] parameter_stride;  // [207:184] vectors per step of loop 0
    logic [23:0] parameter_;  // [183:160] vector address of the first parameter record
    logic [23:0] d;  // [159:136] first vector or row of the result, or the mailbox
    logic [23:0] b;  // [135:112] first vector or row of operand b
    logic [23:0] a;  // [111:88] first vector or row of operand a
    logic [7:0] exchange;  // [87:80] XOR on the lane index for EXCHANGE
    logic [5:0] table_;  // [79:74] 0: none; s + 1: look a up in table slot s
    logic a_round;  // [73:73] 1: round and clamp a after scaling
    logic parameters;  // [72:72] 1: per-lane bias and scale from the parameter records
    logic [7:0] reduce_loops;  // [71:64] how many innermost loops are reduced, 0 to 5
    logic [7:0] destination;  // [63:56] kind of result
    logic [7:0] reduction;  // [55:48] joins the steps of the reduced loops
    logic [7:0] operation;  // [47:40] joins a and b
    logic [7:0] b_source;  // [39:32] kind of operand b
    logic [7:0] a_source;  // [31:24] kind of operand a
    logic [7:0] signal;  // [23:16] bit u: give one token to channel (this unit → unit u) at retirement
    logic [7:0] wait_;  // [15:8] bit u: take one token of channel (unit u → this unit) before issue
    logic [7:0] opcode;  // [7:0] which instruction this is
  } vector_t;

  localparam int unsigned TABLE_BITS = 56;
  typedef struct packed {
    logic [23:0] source;  // [55:32] vector address of entry 0
    logic [7:0] slot;  // [31:24] table slot
    logic [7:0] signal;  // [23:16] bit u: give one token to channel (this unit → unit u) at retirement
    logic [7:0] wait_;  // [15:8] bit u: take one token of channel (unit u → this unit) before issue
    logic [7:0] opcode;  // [7:0] which instruction this is
  } table_t;


  function automatic logic jump_enums_legal(jump_t instruction);
    return (instruction.condition <= 8'd4);
  endfunction





  function automatic logic matmul_enums_legal(matmul_t instruction);
    return (instruction.mode <= 8'd1)
        && (instruction.weight_order <= 8'd1);
  endfunction

  function automatic logic vector_enums_legal(vector_t instruction);
    return (instruction.a_source <= 8'd5)
        && (instruction.b_source <= 8'd5)
        && (instruction.operation <= 8'd12)
        && (instruction.reduction <= 8'd3)
        && (instruction.destination <= 8'd4);
  endfunction


  // Bits that an opcode uses; 0 when the opcode does not exist.
  function automatic int unsigned opcode_bits(logic [7:0] opcode);
    case (opcode)
      OPCODE_HALT: return HALT_BITS;
      OPCODE_JUMP: return JUMP_BITS;
      OPCODE_REGISTER: return REGISTER_BITS;
      OPCODE_LOAD: return LOAD_BITS;
      OPCODE_STORE: return STORE_BITS;
      OPCODE_FILL: return FILL_BITS;
      OPCODE_MATMUL: return MATMUL_BITS;
      OPCODE_VECTOR: return VECTOR_BITS;
      OPCODE_TABLE: return TABLE_BITS;
      default: return 0;
    endcase
  endfunction

  // The unit that executes an opcode.
  function automatic unit_e opcode_unit(logic [7:0] opcode);
    case (opcode)
      OPCODE_HALT: return UNIT_FETCH;
      OPCODE_JUMP: return UNIT_FETCH;
      OPCODE_REGISTER: return UNIT_FETCH;
      OPCODE_LOAD: return UNIT_LOAD;
      OPCODE_STORE: return UNIT_STORE;
      OPCODE_FILL: return UNIT_LOAD;
      OPCODE_MATMUL: return UNIT_MXU;
      OPCODE_VECTOR: return UNIT_VPU;
      OPCODE_TABLE: return UNIT_VPU;
      default: return UNIT_FETCH;
    endcase
  endfunction

endpackage

`endif
