// LOAD, STORE, FILL and TABLE: runs of bytes.
#include <cstring>

#include "../address_stream.hpp"
#include "kernels.hpp"

namespace weft::bulk {
namespace {

/// A pair of streams walked together, loops merged where both continue each other; runs of bytes that touch are joined.
struct Copy {
    std::int64_t target;
    std::int64_t source;
    std::int64_t run;
    std::array<std::int64_t, 4> counts{1, 1, 1, 1};
    std::array<std::int64_t, 4> target_strides{};
    std::array<std::int64_t, 4> source_strides{};
    std::size_t used = 0;

    Copy(const AddressStream<4>& to, const AddressStream<4>& from, std::int64_t run_bytes)
        : target(to.base), source(from.base), run(run_bytes) {
        for (std::size_t i = 4; i-- > 0;) {  // innermost loop first
            const std::int64_t count = to.dims[i].count;
            if (count == 1) continue;
            if (used == 0 && to.dims[i].stride == run && from.dims[i].stride == run) {
                run *= count;
                continue;
            }
            counts[used] = count;
            target_strides[used] = to.dims[i].stride;
            source_strides[used++] = from.dims[i].stride;
        }
    }

    template <typename Move>
    void each(Move move) const {
        for (std::int64_t i = 0; i < counts[3]; ++i)
            for (std::int64_t j = 0; j < counts[2]; ++j)
                for (std::int64_t k = 0; k < counts[1]; ++k) {
                    std::int64_t to = target + i * target_strides[3] + j * target_strides[2] + k * target_strides[1];
                    std::int64_t from = source + i * source_strides[3] + j * source_strides[2] + k * source_strides[1];
                    for (std::int64_t l = 0; l < counts[0]; ++l, to += target_strides[0], from += source_strides[0])
                        move(to, from);
                }
    }
};

/// Sizes of one vector are common (a channel block of a pixel): with a constant size the copy is a move or two.
template <std::size_t BYTES>
void copy_constant(const Copy& copy, std::uint8_t* to, const std::uint8_t* from) {
    copy.each([&](std::int64_t target, std::int64_t source) { std::memcpy(to + target, from + source, BYTES); });
}

void copy_runs(const Copy& copy, std::uint8_t* to, const std::uint8_t* from) {
    switch (copy.run) {
        case 4: return copy_constant<4>(copy, to, from);
        case 8: return copy_constant<8>(copy, to, from);
        case 16: return copy_constant<16>(copy, to, from);
        case 32: return copy_constant<32>(copy, to, from);
        case 64: return copy_constant<64>(copy, to, from);
        default: break;
    }
    const auto bytes = static_cast<std::size_t>(copy.run);
    copy.each([&](std::int64_t target, std::int64_t source) { std::memcpy(to + target, from + source, bytes); });
}

template <typename Transfer>
AddressStream<4> dram_stream(const Transfer& transfer, const Memory& memory) {
    const std::int64_t base = std::int64_t{memory.registers[transfer.register_]} + transfer.offset;
    return make_stream<4>(base, transfer.counts(), transfer.dram_strides());
}

template <typename Transfer>
AddressStream<4> scratchpad_stream(const Transfer& transfer) {
    return make_stream<4>(transfer.scratchpad, transfer.counts(), transfer.scratchpad_strides());
}

}  // namespace

void execute_load(const isa::Load& load, Memory& memory) {
    const Copy copy(scratchpad_stream(load), dram_stream(load, memory), load.run_bytes);
    copy_runs(copy, memory.scratchpad.data(), memory.dram);
}

void execute_store(const isa::Store& store, Memory& memory) {
    const Copy copy(dram_stream(store, memory), scratchpad_stream(store), store.run_bytes);
    copy_runs(copy, memory.dram, memory.scratchpad.data());
}

void execute_fill(const isa::Fill& fill, Memory& memory) {
    const AddressStream<4> stream = scratchpad_stream(fill);
    const Copy runs(stream, stream, fill.run_bytes);
    std::uint8_t* scratchpad = memory.scratchpad.data();
    runs.each([&](std::int64_t target, std::int64_t) {
        std::memset(scratchpad + target, fill.value, static_cast<std::size_t>(runs.run));
    });
}

void execute_table(const isa::Table& table, Memory& memory) {
    const std::size_t start = std::size_t{table.source} * memory.config.lanes;
    for (std::size_t i = 0; i < isa::TABLE_ENTRIES; ++i) {
        const std::uint8_t* entry = memory.scratchpad.data() + start + 4 * i;
        memory.tables[table.slot][i] = std::uint32_t{entry[0]} | std::uint32_t{entry[1]} << 8 |
                                       std::uint32_t{entry[2]} << 16 | std::uint32_t{entry[3]} << 24;
    }
}

}  // namespace weft::bulk
