#include "scratchpad.hpp"

#include <algorithm>

namespace weft {

namespace {

const Request NOTHING{};

const Request& in_scratchpad(Place place, const Request& request) {
    return place == Place::SCRATCHPAD ? request : NOTHING;
}

}  // namespace

const Scratchpad::Grants& Scratchpad::arbitrate(const Load& load, const Store& store, const Mxu& mxu, const Vpu& vpu) {
    reads_.start();
    grants_.mxu_input = reads_.add(mxu.input_request());
    grants_.mxu_weight = reads_.add(mxu.weight_request());
    grants_.vpu_a = reads_.add(in_scratchpad(vpu.a_place(), vpu.a_request()));
    grants_.vpu_b = reads_.add(in_scratchpad(vpu.b_place(), vpu.b_request()));
    read_banks_ = reads_.banks();
    grants_.store = reads_.add(store.read_request());
    const Request& write = load.write_request();
    grants_.load = write && write.bank != vpu.write_request().bank;
    return grants_;
}

Cycle Scratchpad::regular_cycles(Cycle now, const Load& load, const Store& store, const Mxu& mxu, const Vpu& vpu) const {
    Cycle cycles = FOREVER;
    if (reads_.shared_banks() != 0) cycles = regular_reads(now, store, mxu, vpu);
    if ((load.write_request().mask & vpu.result_banks(Place::SCRATCHPAD)) != 0) {
        cycles = std::min(cycles, regular_writes(load, vpu));
    }
    return cycles;
}

/// Grants cannot change before a granted requester leaves its bank.
Cycle Scratchpad::regular_reads(Cycle now, const Store& store, const Mxu& mxu, const Vpu& vpu) const {
    Cycle cycles = FOREVER;
    if (grants_.mxu_input) cycles = std::min<Cycle>(cycles, mxu.input_bank_run(now));
    if (grants_.mxu_weight) cycles = std::min<Cycle>(cycles, mxu.weight_bank_run());
    if (grants_.vpu_a) cycles = std::min<Cycle>(cycles, vpu.a_bank_run());
    if (grants_.vpu_b) cycles = std::min<Cycle>(cycles, vpu.b_bank_run());
    if (grants_.store) cycles = std::min<Cycle>(cycles, store.read_bank_run());
    return cycles;
}

Cycle Scratchpad::regular_writes(const Load& load, const Vpu& vpu) const {
    const Cycle results = vpu.regular_results(load.write_request().bank);
    return grants_.load ? std::min<Cycle>(results, load.write_bank_run()) : results;
}

}  // namespace weft
