// VECTOR in blocks of steps: each stage of the pipeline passes over the block, all lanes alike.
// Included, inside an unnamed namespace, by each set of kernels behind lanes.inl; WIDTH is its number of float lanes,
// widen<CHUNK, SIGNED>(bytes) makes CHUNK bytes 32-bit integers, and narrow<CHUNK>(integers) cuts them to bytes.

using A = Arithmetic<WIDTH>;
using F = A::F;
using I = A::I;

/// A block of steps × lanes words; longer by what the last vector may touch.
struct alignas(64) Block {
    std::array<float, VECTOR_BLOCK_WORDS> words;
};

/// Applies `stage` (vector → vector) to the first `words` words; the rest of the last vector is don't-care.
template <typename Stage>
WEFT_INLINE void each(Block& block, std::size_t words, Stage stage) {
    float* word = block.words.data();
    for (std::size_t i = 0; i < words; i += WIDTH) store_as(word + i, F(stage(load_as<F>(word + i), i)));
}

/// Reads `steps` operands of a cursor into consecutive words: `convert` makes CHUNK floats from CHUNK elements,
/// the first of which is lane i modulo lanes.
template <int CHUNK, typename T, typename Convert>
WEFT_INLINE void gather_chunks(Cursor<5>& cursor, std::size_t steps, std::size_t lanes, const T* from, float* to,
                               Convert convert) {
    while (steps > 0) {
        const std::size_t run = std::min<std::size_t>(steps, static_cast<std::size_t>(cursor.run()));
        const bool dense = cursor.stride() == 1;
        const std::size_t length = dense ? run * lanes : lanes;
        const std::size_t pieces = dense ? 1 : run;
        const T* piece = from + cursor.address() * static_cast<std::int64_t>(lanes);
        const std::int64_t distance = cursor.stride() * static_cast<std::int64_t>(lanes);
        for (std::size_t p = 0; p < pieces; ++p) {
            for (std::size_t i = 0; i < length; i += CHUNK) store_as(to + i, convert(piece + i, i));
            to += length;
            if (p + 1 < pieces) piece += distance;
        }
        cursor.advance(static_cast<std::int64_t>(run));
        steps -= run;
    }
}

/// The other way round: `convert` makes what is stored from CHUNK floats.
template <int CHUNK, typename T, typename Convert>
WEFT_INLINE void scatter_chunks(Cursor<5>& cursor, std::size_t steps, std::size_t lanes, const float* from, T* to,
                                Convert convert) {
    using Floats = typename Lane<CHUNK>::Floats;
    while (steps > 0) {
        const std::size_t run = std::min<std::size_t>(steps, static_cast<std::size_t>(cursor.run()));
        const bool dense = cursor.stride() == 1;
        const std::size_t length = dense ? run * lanes : lanes;
        const std::size_t pieces = dense ? 1 : run;
        T* piece = to + cursor.address() * static_cast<std::int64_t>(lanes);
        const std::int64_t distance = cursor.stride() * static_cast<std::int64_t>(lanes);
        for (std::size_t p = 0; p < pieces; ++p) {
            for (std::size_t i = 0; i < length; i += CHUNK) store_as(piece + i, convert(load_as<Floats>(from + i)));
            from += length;
            if (p + 1 < pieces) piece += distance;
        }
        cursor.advance(static_cast<std::int64_t>(run));
        steps -= run;
    }
}

/// Calls `body` with the largest chunk that divides the lanes as a constant.
template <typename Body>
WEFT_INLINE void with_chunk(std::size_t lanes, Body body) {
    if constexpr (WIDTH >= 16)
        if (lanes >= 16) return body(std::integral_constant<int, 16>{});
    if constexpr (WIDTH >= 8)
        if (lanes >= 8) return body(std::integral_constant<int, 8>{});
    body(std::integral_constant<int, 4>{});
}

/// Per-lane values, repeated so that a vector of any width at a multiple of it finds its lanes.
template <typename T>
using Pattern = std::array<T, MAX_LANES>;

/// One operand from memory. Per lane, an offset is subtracted from integers, modulo 2³².
class Reader {
public:
    Reader(const VectorTask& task, isa::Source source, const AddressStream<5>& stream)
        : task_(task), source_(source), cursor_(stream) {}

    void read(std::size_t steps, const Pattern<std::uint32_t>& offsets, Block& block) {
        with_chunk(task_.lanes,
                   [&](auto chunk) { read_chunks<chunk()>(steps, offsets.data(), block.words.data()); });
    }

private:
    template <int CHUNK>
    WEFT_INLINE void read_chunks(std::size_t steps, const std::uint32_t* offsets, float* to) {
        using L = Lane<CHUNK>;
        using Ints = typename L::Ints;
        using Words = typename L::Words;
        const auto number = [offsets](const Words& raw, std::size_t i) {
            const Words moved = raw - load_as<Words>(offsets + i % MAX_LANES);
            return __builtin_convertvector(reinterpret_cast<Ints>(moved), typename L::Floats);
        };
        const std::size_t lanes = task_.lanes;
        const std::uint8_t* bytes = task_.scratchpad_in;
        const std::int32_t* words = task_.accumulators_in;
        switch (source_) {
            case isa::Source::SCRATCHPAD_S8:
                return gather_chunks<CHUNK>(cursor_, steps, lanes, bytes, to, [&](const auto* from, std::size_t i) {
                    return number((Words)widen<CHUNK, true>(from), i);
                });
            case isa::Source::SCRATCHPAD_U8:
                return gather_chunks<CHUNK>(cursor_, steps, lanes, bytes, to, [&](const auto* from, std::size_t i) {
                    return number((Words)widen<CHUNK, false>(from), i);
                });
            case isa::Source::ACCUMULATOR_S32:
                return gather_chunks<CHUNK>(cursor_, steps, lanes, words, to, [&](const auto* from, std::size_t i) {
                    return number(load_as<Words>(from), i);
                });
            default:
                return gather_chunks<CHUNK>(cursor_, steps, lanes, words, to, [](const auto* from, std::size_t) {
                    return load_as<typename L::Floats>(from);
                });
        }
    }

    const VectorTask& task_;
    isa::Source source_;
    Cursor<5> cursor_;
};

/// Results to memory or mailbox, in order: of several to one place the last stays.
class Writer {
public:
    Writer(const VectorTask& task, const AddressStream<5>& stream) : task_(task), cursor_(stream) {}

    void write(std::size_t steps, const Block& block) {
        if (task_.mailbox != nullptr) return write_mailbox(block.words[(steps - 1) * task_.lanes]);
        with_chunk(task_.lanes, [&](auto chunk) { write_chunks<chunk()>(steps, block.words.data()); });
    }

private:
    void write_mailbox(float value) {
        using One = Arithmetic<WIDTH>;
        *task_.mailbox = One::to_integer(splat<F>(value), task_.fields.d_zero)[0];
    }

    template <int CHUNK>
    WEFT_INLINE void write_chunks(std::size_t steps, const float* from) {
        using C = Arithmetic<CHUNK>;
        const std::int32_t zero = task_.fields.d_zero;
        const std::size_t lanes = task_.lanes;
        const auto write_bytes = [&](std::int32_t low, std::int32_t high) {
            scatter_chunks<CHUNK>(cursor_, steps, lanes, from, task_.scratchpad_out, [=](const typename C::F& value) {
                return narrow<CHUNK>(C::to_narrow(value, zero, low, high));
            });
        };
        switch (task_.fields.destination) {
            case isa::Destination::SCRATCHPAD_S8: return write_bytes(-128, 127);
            case isa::Destination::SCRATCHPAD_U8: return write_bytes(0, 255);
            case isa::Destination::ACCUMULATOR_S32:
                return scatter_chunks<CHUNK>(cursor_, steps, lanes, from, task_.accumulators_out,
                                             [=](const typename C::F& value) { return C::to_integer(value, zero); });
            default:
                return scatter_chunks<CHUNK>(cursor_, steps, lanes, from, task_.accumulators_out,
                                             [](const typename C::F& value) { return C::canonical(value); });
        }
    }

    const VectorTask& task_;
    Cursor<5> cursor_;
};
