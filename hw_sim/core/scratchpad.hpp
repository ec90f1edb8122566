// The scratchpad's ports: who is granted in a cycle, and for how long that stays so.
#pragma once

#include "arbiter.hpp"
#include "load.hpp"
#include "mxu.hpp"
#include "store.hpp"
#include "vpu.hpp"

namespace weft {

class Scratchpad {
public:
    struct Grants {
        bool mxu_input = false, mxu_weight = false, vpu_a = false, vpu_b = false, store = false;
        bool load = false;
    };

    /// Read: MXU input, MXU weight, VPU a, VPU b, STORE. Write: VPU, LOAD.
    const Grants& arbitrate(const Load& load, const Store& store, const Mxu& mxu, const Vpu& vpu);

    /// Whether LOAD or STORE can meet MXU or VPU while those go on as they did at the last arbitration.
    [[nodiscard]] bool contended(const Load& load, const Store& store, const Vpu& vpu) const {
        return (store.read_request().mask & read_banks_) != 0 ||
               (load.write_request().mask & vpu.result_banks(Place::SCRATCHPAD)) != 0;
    }
    /// The grants of LOAD and STORE when nothing is contended.
    const Grants& grant_transfers(const Load& load, const Store& store) {
        grants_.load = static_cast<bool>(load.write_request());
        grants_.store = static_cast<bool>(store.read_request());
        return grants_;
    }

    /// For how many cycles the grants stay the same, if all requesters go on as they do.
    [[nodiscard]] Cycle regular_cycles(Cycle now, const Load& load, const Store& store, const Mxu& mxu,
                                       const Vpu& vpu) const;

private:
    [[nodiscard]] Cycle regular_reads(Cycle now, const Store& store, const Mxu& mxu, const Vpu& vpu) const;
    [[nodiscard]] Cycle regular_writes(const Load& load, const Vpu& vpu) const;

    PortArbiter<5> reads_;
    std::uint64_t read_banks_ = 0;  ///< that MXU and VPU can read
    Grants grants_;
};

}  // namespace weft
