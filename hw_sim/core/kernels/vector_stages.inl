// VECTOR's stages over a block, and the loop over blocks. Included behind vector_pipeline.inl.

void multiply_all(Block& block, std::size_t words, float factor) {
    if (factor == 1.0f) return;  // exact, but for NaN, which only the writer makes canonical
    each(block, words, [factor](const F& x, std::size_t) { return x * factor; });
}

void clamp_all(Block& block, std::size_t words, float low, float high) {
    constexpr float INFINITE = std::numeric_limits<float>::infinity();
    if (low == -INFINITE && high == INFINITE) return;
    const F lows = splat<F>(low);
    const F highs = splat<F>(high);
    each(block, words, [&](const F& x, std::size_t) { return A::minimum(A::maximum(x, lows), highs); });
}

/// Entry (saturating rint) modulo 256 of the table.
void look_up(Block& block, std::size_t words, const std::uint32_t* table) {
    each(block, words, [table](const F& x, std::size_t) {
        const I index = A::to_integer(x) & static_cast<std::int32_t>(isa::TABLE_ENTRIES - 1);
        I entries;
        for (int i = 0; i < WIDTH; ++i) entries[i] = static_cast<std::int32_t>(table[index[i]]);
        return A::floats(entries);
    });
}

/// to[l] = from[l XOR exchange] within each step.
void exchange_lanes(const Block& from, std::size_t words, std::size_t exchange, Block& to) {
    for (std::size_t i = 0; i < words; ++i) to.words[i] = from.words[i ^ exchange];
}

/// a = operation(a, b).
void join_operands(isa::Operation operation, Block& a, const Block& b, std::size_t words) {
    const auto two = [&](auto function) {
        each(a, words, [&](const F& x, std::size_t i) { return function(x, load_as<F>(b.words.data() + i)); });
    };
    const auto one = [&](auto function) { each(a, words, [&](const F& x, std::size_t) { return function(x); }); };
    using Operation = isa::Operation;
    switch (operation) {
        case Operation::PASS: return;
        case Operation::ADD: return two([](const F& x, const F& y) { return x + y; });
        case Operation::SUBTRACT: return two([](const F& x, const F& y) { return x - y; });
        case Operation::MULTIPLY: return two([](const F& x, const F& y) { return x * y; });
        case Operation::MAXIMUM: return two([](const F& x, const F& y) { return A::maximum(x, y); });
        case Operation::MINIMUM: return two([](const F& x, const F& y) { return A::minimum(x, y); });
        case Operation::DIVIDE: return two([](const F& x, const F& y) { return x / y; });
        case Operation::GREATER: return two([](const F& x, const F& y) { return A::truth(x > y); });
        case Operation::GREATER_EQUAL: return two([](const F& x, const F& y) { return A::truth(x >= y); });
        case Operation::EQUAL: return two([](const F& x, const F& y) { return A::truth(x == y); });
        case Operation::ABSOLUTE: return one([](const F& x) { return A::floats(A::bits(x) & INT32_MAX); });
        case Operation::FLOOR: return one([](const F& x) { return A::floor(x); });
        case Operation::SQUARE_ROOT:
            for (std::size_t i = 0; i < words; ++i) a.words[i] = std::sqrt(a.words[i]);
            return;
    }
}

/// Joins the steps of each group, in order; a group may continue from block to block.
class Reducer {
public:
    explicit Reducer(const isa::Vector& fields, std::size_t lanes) : reduction_(fields.reduction), lanes_(lanes) {
        const auto counts = fields.counts();
        for (std::size_t i = counts.size() - fields.reduce_loops; i < counts.size(); ++i) group_ *= counts[i];
    }

    /// Replaces the steps in the block by the results that they complete; returns how many.
    std::size_t reduce(Block& block, std::size_t steps) {
        switch (reduction_) {
            case isa::Reduction::NONE: return steps;
            case isa::Reduction::SUM: return join(block, steps, [](const auto& x, const auto& y) { return x + y; });
            case isa::Reduction::MAXIMUM:
                return join(block, steps, [](const auto& x, const auto& y) { return larger(x, y); });
            case isa::Reduction::MINIMUM:
                return join(block, steps, [](const auto& x, const auto& y) { return smaller(x, y); });
        }
        return 0;
    }

private:
    template <typename V>
    WEFT_INLINE static V larger(const V& x, const V& y) {
        return Arithmetic<sizeof(V) / sizeof(float)>::maximum(x, y);
    }
    template <typename V>
    WEFT_INLINE static V smaller(const V& x, const V& y) {
        return Arithmetic<sizeof(V) / sizeof(float)>::minimum(x, y);
    }

    template <typename Function>
    std::size_t join(Block& block, std::size_t steps, Function function) {
        std::size_t results = 0;
        for (std::size_t done = 0; done < steps;) {
            const std::size_t take = std::min(group_ - position_, steps - done);
            with_chunk(lanes_, [&](auto chunk) {
                join_steps<chunk()>(block.words.data() + done * lanes_, take, function);
            });
            done += take;
            position_ += take;
            if (position_ < group_) continue;
            position_ = 0;
            std::memmove(block.words.data() + results++ * lanes_, partial_.data(), lanes_ * sizeof(float));
        }
        return results;
    }

    template <int CHUNK, typename Function>
    WEFT_INLINE void join_steps(const float* from, std::size_t steps, Function function) {
        using Floats = typename Lane<CHUNK>::Floats;
        for (std::size_t lane = 0; lane < lanes_; lane += CHUNK) {
            const bool begins = position_ == 0;
            Floats value = begins ? load_as<Floats>(from + lane) : load_as<Floats>(partial_.data() + lane);
            for (std::size_t s = begins ? 1 : 0; s < steps; ++s)
                value = function(value, load_as<Floats>(from + s * lanes_ + lane));
            store_as(partial_.data() + lane, value);
        }
    }

    isa::Reduction reduction_;
    std::size_t lanes_;
    std::size_t group_ = 1;
    std::size_t position_ = 0;
    alignas(64) Pattern<float> partial_{};
};

/// What each lane of operand a is given: an offset to subtract and a scale.
struct LaneParameters {
    alignas(64) Pattern<std::uint32_t> offsets;
    alignas(64) Pattern<float> scales;
    bool uniform = true;

    explicit LaneParameters(const isa::Vector& fields) {
        offsets.fill(static_cast<std::uint32_t>(std::int32_t{fields.a_zero}));
        scales.fill(fields.a_scale);
    }

    /// Takes the record of one step of loop 0: int32 biases, then float32 scales, little-endian.
    void load_record(const std::uint8_t* record, const isa::Vector& fields, std::size_t lanes) {
        const auto word = [&](std::size_t i) {
            const std::uint8_t* b = record + 4 * i;
            return std::uint32_t{b[0]} | std::uint32_t{b[1]} << 8 | std::uint32_t{b[2]} << 16 | std::uint32_t{b[3]} << 24;
        };
        const auto zero = static_cast<std::uint32_t>(std::int32_t{fields.a_zero});
        for (std::size_t i = 0; i < MAX_LANES; ++i) {
            offsets[i] = zero - word(i % lanes);
            scales[i] = std::bit_cast<float>(word(lanes + i % lanes));
        }
        uniform = false;
    }
};

/// One instruction under way: its operands' cursors, its reduction's state and its blocks.
class Pipeline {
public:
    explicit Pipeline(const VectorTask& task)
        : task_(task),
          fields_(task.fields),
          parameters_(task.fields),
          a_(task, fields_.a_source, operand(fields_.a, fields_.a_strides())),
          b_(task, fields_.b_source, operand(fields_.b, fields_.b_strides())),
          reducer_(fields_, task.lanes),
          writer_(task, make_stream<5>(fields_.d, result_counts(fields_), fields_.d_strides())) {
        b_offsets_.fill(static_cast<std::uint32_t>(std::int32_t{fields_.b_zero}));
        if (fields_.b_source == isa::Source::IMMEDIATE) b_block_.words.fill(fields_.b_scale);
    }

    void run() {
        const auto counts = fields_.counts();
        std::size_t inner = 1;
        for (std::size_t i = 1; i < counts.size(); ++i) inner *= counts[i];
        if (!fields_.parameters) return run_steps(inner * counts[0]);
        const std::int64_t lanes = task_.lanes;
        for (std::int64_t step = 0; step < counts[0]; ++step) {
            const std::int64_t record = (fields_.parameter + step * fields_.parameter_stride) * lanes;
            parameters_.load_record(task_.scratchpad_in + record, fields_, task_.lanes);
            run_steps(inner);
        }
    }

private:
    template <typename Strides>
    AddressStream<5> operand(std::uint32_t base, const Strides& strides) const {
        return make_stream<5>(base, task_.fields.counts(), strides);
    }

    void run_steps(std::size_t steps) {
        const std::size_t most = VECTOR_BLOCK_WORDS / task_.lanes;
        for (std::size_t done = 0; done < steps;) {
            const std::size_t now = std::min(most, steps - done);
            run_block(now);
            done += now;
        }
    }

    void run_block(std::size_t steps) {
        const std::size_t words = steps * task_.lanes;
        make_a(steps, words);
        make_b(steps, words);
        join_operands(fields_.operation, a_block_, b_block_, words);
        const std::size_t results = reducer_.reduce(a_block_, steps);
        if (results == 0) return;
        multiply_all(a_block_, results * task_.lanes, fields_.scale);
        clamp_all(a_block_, results * task_.lanes, fields_.low, fields_.high);
        writer_.write(results, a_block_);
    }

    void make_a(std::size_t steps, std::size_t words) {
        a_.read(steps, parameters_.offsets, a_block_);
        if (parameters_.uniform)
            multiply_all(a_block_, words, fields_.a_scale);
        else
            each(a_block_, words, [this](const F& x, std::size_t i) {
                return x * load_as<F>(parameters_.scales.data() + i % MAX_LANES);
            });
        if (fields_.a_round) {
            each(a_block_, words, [](const F& x, std::size_t) { return A::rint(x); });
            clamp_all(a_block_, words, fields_.a_low, fields_.a_high);
        }
        if (task_.table != nullptr) look_up(a_block_, words, task_.table);
        multiply_all(a_block_, words, fields_.a_rescale);
    }

    void make_b(std::size_t steps, std::size_t words) {
        if (fields_.b_source == isa::Source::IMMEDIATE) return;
        if (fields_.b_source == isa::Source::EXCHANGE)
            return exchange_lanes(a_block_, words, fields_.exchange, b_block_);
        b_.read(steps, b_offsets_, b_block_);
        multiply_all(b_block_, words, fields_.b_scale);
    }

    const VectorTask& task_;
    const isa::Vector& fields_;
    LaneParameters parameters_;
    alignas(64) Pattern<std::uint32_t> b_offsets_{};
    Reader a_;
    Reader b_;
    Reducer reducer_;
    Writer writer_;
    Block a_block_{};
    Block b_block_{};
};

void run_vector(const VectorTask& task) { Pipeline(task).run(); }
