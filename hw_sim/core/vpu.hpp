// VPU: one instruction at a time through operand fetch and a pipeline of VPU_LATENCY stages (docs/machine.md, VPU).
//
// Results leave the pipeline in order, so its state is one bit per stage: whether the step in it has a result.
#pragma once

#include "mxu.hpp"
#include "shared.hpp"

namespace weft {

class Vpu {
public:
    explicit Vpu(Shared& shared);

    /// Decides from the state of cycle `now` what the unit asks for and does, grants apart. `mxu` shows the accumulator row
    /// that it writes in this cycle, which freezes the VPU.
    void observe(Cycle now, const Mxu& mxu);
    [[nodiscard]] Place a_place() const { return a_place_; }
    [[nodiscard]] Place b_place() const { return task_.b.place; }
    [[nodiscard]] const Request& a_request() const { return a_; }
    [[nodiscard]] const Request& b_request() const { return b_; }
    /// The scratchpad write of this cycle; always granted.
    [[nodiscard]] const Request& write_request() const { return write_; }
    [[nodiscard]] std::uint64_t a_bank_run() const;
    [[nodiscard]] std::uint64_t b_bank_run() const;
    [[nodiscard]] bool idle() const { return !active_; }
    [[nodiscard]] bool frozen() const { return frozen_; }

    /// Banks of `place` that results can still go to.
    [[nodiscard]] std::uint64_t result_banks(Place place) const;
    /// For how many cycles from now on a result meets (or, if none is due now, does not meet) an access of the other unit
    /// to `other_bank`, which is accessed in all of them.
    [[nodiscard]] Cycle regular_results(int other_bank) const;

    /// For how many cycles all this stays the same, if grants do.
    [[nodiscard]] Cycle regular_cycles(Cycle now, bool a_granted, bool b_granted) const;
    void advance(Cycle now, Cycle cycles, bool a_granted, bool b_granted);

private:
    [[nodiscard]] const Banks& memory(Place place) const;
    [[nodiscard]] int result_bank() const;
    [[nodiscard]] std::int64_t record_address() const;
    [[nodiscard]] bool completes(bool a_granted, bool b_granted) const;
    [[nodiscard]] Activity activity(bool a_granted, bool b_granted) const;
    [[nodiscard]] Cycle regular_stream(bool a_granted, bool b_granted) const;
    void request_record();
    void request_operands();
    void advance_table(Cycle now, Cycle cycles, bool a_granted);
    void advance_vector(Cycle now, Cycle cycles, bool a_granted, bool b_granted);
    void shift(Cycle cycles, bool entering);
    void enter(Cycle cycles);
    void finish(Cycle now);
    void issue(Cycle now);

    Shared& shared_;
    bool active_ = false;
    VectorTask task_;
    std::uint32_t step_ = 0;           ///< steps entered, or table vectors read
    std::uint32_t block_left_ = 0;     ///< steps until the next parameter record
    std::uint32_t block_ = 0;          ///< number of the current record
    std::uint32_t record_left_ = 0;    ///< vectors of the record still to read
    std::uint32_t countdown_ = 0;
    bool holds_a_ = false, holds_b_ = false;
    std::uint32_t reduce_digit_ = 0;   ///< steps of the current reduction entered
    std::uint32_t pipeline_ = 0;       ///< bit i: a result is due in i cycles
    std::uint32_t results_ = 0;        ///< written
    std::uint32_t results_total_ = 0;
    Cycle table_done_ = FOREVER;

    // Decisions of this cycle.
    bool issues_ = false;
    bool frozen_ = false;
    bool retires_ = false;
    Activity waiting_ = Activity::IDLE;
    Place a_place_ = Place::NOWHERE;
    Request a_{}, b_{}, write_{};
};

}  // namespace weft
