#include "matmul_task.hpp"

namespace weft {

std::int64_t Window::result(std::uint32_t step) const {
    const std::uint32_t image = step / input_plane, in_plane = step % input_plane;
    const std::uint32_t row = in_plane / input_columns, column = in_plane % input_columns;
    if (row < rows_before || column < columns_before) return -1;
    const std::uint32_t down = row - rows_before, right = column - columns_before;
    if ((down & ((1u << row_shift) - 1)) != 0 || (right & ((1u << column_shift) - 1)) != 0) return -1;
    return std::int64_t{image} * output_plane + (down >> row_shift) * output_columns + (right >> column_shift);
}

namespace {

Window make_window(const isa::Matmul& matmul) {
    Window window;
    window.input_columns = matmul.inner_count_2;
    window.input_plane = std::uint32_t{matmul.inner_count_1} * matmul.inner_count_2;
    window.rows_before = matmul.window_rows - 1u;
    window.columns_before = matmul.window_columns - 1u;
    window.row_shift = matmul.row_shift;
    window.column_shift = matmul.column_shift;
    window.output_columns = ((matmul.inner_count_2 - matmul.window_columns) >> matmul.column_shift) + 1u;
    const std::uint32_t output_rows = ((matmul.inner_count_1 - matmul.window_rows) >> matmul.row_shift) + 1u;
    window.output_plane = output_rows * window.output_columns;
    return window;
}

}  // namespace

MatmulTask make_task(const isa::Matmul& matmul, const Config& config) {
    const std::int64_t lanes = config.lanes;
    MatmulTask task;
    task.wait = matmul.wait;
    task.signal = matmul.signal;
    task.reduce_mask = matmul.reduce_mask;
    task.accumulate = matmul.accumulate != 0;
    task.depthwise = matmul.mode == isa::MatmulMode::DEPTHWISE;
    task.weight_rows = matmul.weight_rows;
    task.weight_row_bytes = matmul.weight_vector_stride * lanes;
    task.count = {matmul.outer_count_0, matmul.outer_count_1, matmul.outer_count_2, matmul.outer_count_3};
    task.input_stride = {matmul.outer_input_stride_0 * lanes, matmul.outer_input_stride_1 * lanes,
                         matmul.outer_input_stride_2 * lanes, matmul.outer_input_stride_3 * lanes};
    task.weight_stride = {matmul.outer_weight_stride_0 * lanes, matmul.outer_weight_stride_1 * lanes,
                          matmul.outer_weight_stride_2 * lanes, matmul.outer_weight_stride_3 * lanes};
    task.row_stride = {matmul.outer_accumulator_stride_0, matmul.outer_accumulator_stride_1,
                       matmul.outer_accumulator_stride_2, matmul.outer_accumulator_stride_3};
    task.input = matmul.input * lanes;
    task.weight = matmul.weight * lanes;
    task.row = matmul.accumulator;
    task.inputs.wrap(matmul.inner_count_2, matmul.inner_input_stride_2 * lanes);
    task.inputs.wrap(matmul.inner_count_1, matmul.inner_input_stride_1 * lanes);
    task.inputs.wrap(matmul.inner_count_0, matmul.inner_input_stride_0 * lanes);
    if (task.depthwise) task.window = make_window(matmul);
    const std::uint32_t columns = task.depthwise ? task.window.output_columns : matmul.inner_count_2;
    const std::uint32_t rows = task.depthwise ? task.window.output_plane / columns : matmul.inner_count_1;
    task.rows.wrap(columns, matmul.inner_accumulator_stride_2);
    task.rows.wrap(rows, matmul.inner_accumulator_stride_1);
    task.rows.wrap(matmul.inner_count_0, matmul.inner_accumulator_stride_0);
    return task;
}

void Tiles::start(const MatmulTask& task) {
    digit_.fill(0);
    input = task.input;
    weight = task.weight;
    row = task.row;
}

bool Tiles::next(const MatmulTask& task) {
    for (std::size_t loop = MatmulTask::OUTER; loop-- > 0;) {
        const bool wraps = digit_[loop] + 1 == task.count[loop];
        const std::int64_t steps = wraps ? -static_cast<std::int64_t>(digit_[loop]) : 1;
        digit_[loop] = wraps ? 0 : digit_[loop] + 1;
        input += steps * task.input_stride[loop];
        weight += steps * task.weight_stride[loop];
        row += steps * task.row_stride[loop];
        if (!wraps) return true;
    }
    return false;
}

bool Tiles::first(const MatmulTask& task) const {
    for (std::size_t loop = 0; loop < MatmulTask::OUTER; ++loop) {
        if ((task.reduce_mask >> loop & 1) != 0 && digit_[loop] != 0) return false;
    }
    return true;
}

bool Tiles::last(const MatmulTask& task) const {
    for (std::size_t loop = 0; loop < MatmulTask::OUTER; ++loop) {
        if (digit_[loop] + 1 != task.count[loop]) return false;
    }
    return true;
}

}  // namespace weft
