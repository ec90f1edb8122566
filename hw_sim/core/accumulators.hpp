// The accumulator memory's ports: who is granted in a cycle, and for how long that stays so. The MXU always wins.
#pragma once

#include "arbiter.hpp"
#include "mxu.hpp"
#include "vpu.hpp"

namespace weft {

class Accumulators {
public:
    struct Grants {
        bool vpu_a = false, vpu_b = false;
    };

    /// Read: MXU, VPU a, VPU b. A write of the MXU into the VPU's bank freezes the VPU instead (Vpu::observe).
    const Grants& arbitrate(Cycle now, const Mxu& mxu, const Vpu& vpu);

    /// For how many cycles the grants, and the VPU's freeze, stay the same, if all requesters go on as they do.
    [[nodiscard]] Cycle regular_cycles(Cycle now, const Mxu& mxu, const Vpu& vpu) const;

private:
    PortArbiter<3> reads_;
    Access mxu_read_;
    Grants grants_;
};

}  // namespace weft
