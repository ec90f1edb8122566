#include "accumulators.hpp"

#include <algorithm>

namespace weft {

const Accumulators::Grants& Accumulators::arbitrate(Cycle now, const Mxu& mxu, const Vpu& vpu) {
    grants_ = {};
    mxu_read_ = {-1, FOREVER};
    reads_.start();
    const bool a = vpu.a_request() && vpu.a_place() == Place::ACCUMULATORS;
    const bool b = vpu.b_request() && vpu.b_place() == Place::ACCUMULATORS;
    if (!a && !b) return grants_;
    const std::uint64_t busy = mxu.row_banks(now);
    const std::uint64_t wanted = (a ? vpu.a_request().mask : 0) | (b ? vpu.b_request().mask : 0);
    if ((busy & wanted) != 0) {
        mxu_read_ = mxu.reads_row(now);
        reads_.add({mxu_read_.bank, busy});
    }
    if (a) grants_.vpu_a = reads_.add(vpu.a_request());
    if (b) grants_.vpu_b = reads_.add(vpu.b_request());
    return grants_;
}

Cycle Accumulators::regular_cycles(Cycle now, const Mxu& mxu, const Vpu& vpu) const {
    Cycle cycles = mxu_read_.run;
    if (mxu_read_.run != FOREVER || reads_.shared_banks() != 0) {
        if (grants_.vpu_a) cycles = std::min<Cycle>(cycles, vpu.a_bank_run());
        if (grants_.vpu_b) cycles = std::min<Cycle>(cycles, vpu.b_bank_run());
    }
    if ((mxu.row_banks(now) & vpu.result_banks(Place::ACCUMULATORS)) != 0) {
        const Access write = mxu.writes_row(now);
        cycles = std::min(cycles, write.run);
        if (write.bank >= 0) cycles = std::min(cycles, vpu.regular_results(write.bank));
    }
    return cycles;
}

}  // namespace weft
