typedef struct {
    uint32_t lanes;
    uint32_t scratchpad_bytes;
    uint32_t scratchpad_banks;
    uint32_t accumulator_rows;
    uint32_t accumulator_banks;
    uint32_t dram_beat_bytes;
    uint32_t dram_rate_numerator;
    uint32_t dram_rate_denominator;
    uint32_t dram_latency;
    uint32_t burst_beats;
    uint32_t outstanding_bursts;
    uint32_t queue_depth;
    uint32_t fetch_depth;
    uint32_t line_depth;
    uint32_t clock_mhz;
} weft_config;

typedef struct {
    uint32_t program_address;
    uint32_t instruction_count;
    uint32_t registers[16];
    uint8_t timing_only;
    uint8_t single_step;
    uint8_t record_events;
    uint64_t stall_seed;
    uint64_t cycle_limit;
    uint64_t instruction_limit;
    const int32_t *mailbox_trace;
    uint64_t mailbox_trace_length;
} weft_launch;

typedef struct {
    uint32_t index;
    uint32_t unit;
    uint64_t issue;
    uint64_t start;
    uint64_t end;
} weft_event;

typedef struct {
    int32_t status;
    uint32_t cause;
    uint64_t instruction;
    char detail[256];
    uint64_t cycles;
    uint64_t instructions;
    uint64_t read_bytes;
    uint64_t write_bytes;
    uint64_t turns;
    uint64_t activity[5][10];
    int32_t mailboxes[16];
} weft_result;

typedef struct weft_run weft_run;

weft_run *weft_run_new(const weft_config *config, const weft_launch *launch, uint8_t *dram, uint64_t dram_bytes,
                       weft_result *result);
uint64_t weft_run_event_count(const weft_run *run);
const weft_event *weft_run_events(const weft_run *run);
void weft_run_free(weft_run *run);
const char *weft_kernel_name(void);
