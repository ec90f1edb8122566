/* The C face of the simulator. Plain structs; the caller owns everything but a weft_run. */
#ifndef WEFT_API_H
#define WEFT_API_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The fields of weft_sim.machine.MachineConfig, all but the name. */
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

/* What to run and how (weft_sim.result.RunOptions). The mailbox trace is read only with timing_only. */
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

/* One executed instruction: weft_sim.result.EVENT_DTYPE. */
typedef struct {
    uint32_t index;
    uint32_t unit;
    uint64_t issue;
    uint64_t start;
    uint64_t end;
} weft_event;

enum {
    WEFT_DONE = 0,
    WEFT_FAULT = 1,           /* cause, instruction and detail say why */
    WEFT_BAD_LAUNCH = 2,      /* nothing ran; detail says what is impossible */
    WEFT_TRACE_EXHAUSTED = 3, /* `instruction` needs a mailbox value beyond the trace's end */
    WEFT_OUT_OF_MEMORY = 4
};

typedef struct {
    int32_t status;
    uint32_t cause;       /* isa FaultCause */
    uint64_t instruction; /* its index in the program */
    char detail[256];     /* UTF-8, terminated */
    uint64_t cycles;
    uint64_t instructions;
    uint64_t read_bytes;
    uint64_t write_bytes;
    uint64_t turns;           /* how often the simulator evaluated the machine; at most `cycles` */
    uint64_t activity[5][10]; /* cycles per unit: busy, idle, then stalls: token, queue, dram, bank, weights, write,
                                 interval, drain */
    int32_t mailboxes[16];
} weft_result;

typedef struct weft_run weft_run;

/* Runs a program on dram_bytes bytes of DRAM, modified in place, and fills *result. The object answered keeps the events and
 * nothing of the caller's; it is NULL when the status is neither WEFT_DONE nor WEFT_FAULT. Never throws. */
weft_run *weft_run_new(const weft_config *config, const weft_launch *launch, uint8_t *dram, uint64_t dram_bytes,
                       weft_result *result);
uint64_t weft_run_event_count(const weft_run *run);
/* In dispatch order, of the first 2^21 instructions; valid until weft_run_free. */
const weft_event *weft_run_events(const weft_run *run);
void weft_run_free(weft_run *run);
/* Which arithmetic kernels this CPU gets. Static storage. */
const char *weft_kernel_name(void);

#ifdef __cplusplus
}
#endif

#endif
