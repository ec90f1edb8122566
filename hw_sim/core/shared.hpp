// The registered state between units: queues, tokens, counters, events.
#pragma once

#include <optional>

#include "config.hpp"
#include "matmul_task.hpp"
#include "queue.hpp"
#include "signals.hpp"
#include "tokens.hpp"
#include "transfer.hpp"
#include "vector_task.hpp"

namespace weft {

/// Everything that more than one unit sees. Units change it only where docs/machine.md says "in t".
struct Shared {
    Shared(const Config& machine, bool record_events)
        : config(machine),
          scratchpad{machine.bank_bytes()},
          accumulators{machine.accumulator_bank_rows()},
          events(record_events),
          load_queue(machine.queue_depth),
          store_queue(machine.queue_depth),
          mxu_queue(machine.queue_depth),
          vpu_queue(machine.queue_depth) {}

    /// Whether the instruction at the head of a unit's queue finds its tokens.
    template <typename Task>
    [[nodiscard]] bool can_issue(const Queue<Task>& queue, isa::Unit unit) const {
        return !queue.empty() && tokens.ready(unit, queue.front().wait);
    }
    /// What a unit with nothing in it does.
    template <typename Task>
    [[nodiscard]] Activity waiting(const Queue<Task>& queue, isa::Unit unit) const {
        return queue.empty() || tokens.ready(unit, queue.front().wait) ? Activity::IDLE : Activity::TOKEN;
    }
    /// Takes the instruction at the head of a queue and its tokens, in cycle `now`.
    template <typename Task>
    Task issue(Queue<Task>& queue, isa::Unit unit, Cycle now) {
        Task task = std::move(queue.front());
        queue.pop();
        tokens.take(unit, task.wait);
        events.issue(task.number, now);
        return task;
    }
    void retire(isa::Unit unit, std::uint8_t signal, std::uint32_t number, Cycle now) {
        tokens.signal(unit, signal);
        events.end(number, now);
    }

    Config config;
    Banks scratchpad;
    Banks accumulators;
    Tokens tokens;
    Counters counters;
    EventLog events;
    Queue<TransferTask> load_queue;
    Queue<TransferTask> store_queue;
    Queue<MatmulTask> mxu_queue;
    Queue<VectorTask> vpu_queue;
};

}  // namespace weft
