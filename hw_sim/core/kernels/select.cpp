// Which set of kernels this process uses.
#include <cstdlib>
#include <cstring>

#include "kernels.hpp"

namespace weft::bulk {
namespace {

#if defined(__x86_64__) && defined(__GNUC__)
bool runs_avx2() { return __builtin_cpu_supports("avx2") != 0; }
bool runs_avx512() {
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
           __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
           __builtin_cpu_supports("avx512vnni") != 0;
}
#else
bool runs_avx2() { return false; }
bool runs_avx512() { return false; }
#endif

}  // namespace

const Kernels& select_kernels() {
    static const bool avx512 = AVX512_KERNELS != nullptr && runs_avx512();
    static const bool avx2 = AVX2_KERNELS != nullptr && runs_avx2();
    const char* wanted = std::getenv("WEFT_KERNELS");
    if (wanted != nullptr) {
        if (std::strcmp(wanted, "scalar") == 0) return *SCALAR_KERNELS;
        if (std::strcmp(wanted, "avx2") == 0 && avx2) return *AVX2_KERNELS;
    }
    if (avx512) return *AVX512_KERNELS;
    return avx2 ? *AVX2_KERNELS : *SCALAR_KERNELS;
}

}  // namespace weft::bulk
