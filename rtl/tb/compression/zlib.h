// The two functions of zlib that Verilator's FST writer calls, so that waveforms need no system package: a valid stream (RFC
// 1950) of stored blocks (RFC 1951).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

using uLong = unsigned long;
using uLongf = unsigned long;
using Bytef = unsigned char;
constexpr int Z_OK = 0;
constexpr int Z_BUF_ERROR = -5;

inline uLong compressBound(uLong size) { return size + 5 * (size / 65535 + 1) + 6; }

inline int compress2(Bytef* target, uLongf* target_size, const Bytef* source, uLong size, int /*level*/) {
    if (*target_size < compressBound(size)) return Z_BUF_ERROR;
    Bytef* out = target;
    *out++ = 0x78;  // deflate, window of 32 KiB
    *out++ = 0x01;  // fastest; makes the header a multiple of 31
    std::uint32_t low = 1, high = 0;
    uLong done = 0;
    do {
        const uLong length = std::min<uLong>(size - done, 65535);
        *out++ = done + length == size ? 1 : 0;  // the last block?
        *out++ = static_cast<Bytef>(length);
        *out++ = static_cast<Bytef>(length >> 8);
        *out++ = static_cast<Bytef>(~length);
        *out++ = static_cast<Bytef>(~length >> 8);
        std::memcpy(out, source + done, length);
        for (uLong i = 0; i < length; ++i) {
            low = (low + source[done + i]) % 65521;
            high = (high + low) % 65521;
        }
        out += length;
        done += length;
    } while (done < size);
    for (const std::uint32_t half : {high, low}) {
        *out++ = static_cast<Bytef>(half >> 8);
        *out++ = static_cast<Bytef>(half);
    }
    *target_size = static_cast<uLongf>(out - target);
    return Z_OK;
}
