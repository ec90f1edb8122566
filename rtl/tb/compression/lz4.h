// The two functions of LZ4 that Verilator's FST writer calls, so that waveforms need no system package: a valid block that
// holds the data as one run of literals.
#pragma once

#include <cstring>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

/// One sequence without a match: a token whose high nibble says 15 or more literals, then the rest of the length in bytes of
/// at most 255, then the literals. Answers the number of bytes written, 0 when they do not fit.
inline int LZ4_compress_default(const char* source, char* target, int size, int capacity) {
    if (capacity < LZ4_compressBound(size)) return 0;
    char* out = target;
    if (size < 15) {
        *out++ = static_cast<char>(size << 4);
    } else {
        *out++ = static_cast<char>(15 << 4);
        int rest = size - 15;
        for (; rest >= 255; rest -= 255) *out++ = static_cast<char>(255);
        *out++ = static_cast<char>(rest);
    }
    std::memcpy(out, source, static_cast<std::size_t>(size));
    return static_cast<int>(out - target) + size;
}
