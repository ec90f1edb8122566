// The inner loops of a weight tile. Included, inside an unnamed namespace, by each set of kernels.

/// Calls step(input, accumulator row) in loop order.
template <typename Step>
WEFT_INLINE void for_each_step(const std::array<TileLoop, 3>& loops, const std::uint8_t* input, std::int32_t* rows,
                               Step step) {
    for (std::int64_t i = 0; i < loops[0].count; ++i)
        for (std::int64_t j = 0; j < loops[1].count; ++j) {
            const std::uint8_t* x = input + i * loops[0].input_stride + j * loops[1].input_stride;
            std::int32_t* row = rows + i * loops[0].accumulator_stride + j * loops[1].accumulator_stride;
            for (std::int64_t k = 0; k < loops[2].count; ++k)
                step(x + k * loops[2].input_stride, row + k * loops[2].accumulator_stride);
        }
}
