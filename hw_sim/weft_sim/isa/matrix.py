"""MATMUL: the MXU's only instruction, a whole tile of a convolution or matrix product."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from weft_sim.isa.architecture import DEPTHWISE_ROWS, Space, Unit
from weft_sim.isa.field import EnumField, SignedField, UnsignedField
from weft_sim.isa.instruction import AddressStream, Instruction
from weft_sim.isa.state import MachineState, addresses
from weft_sim.machine import MachineConfig

__all__ = ["Matmul", "MatmulMode", "WeightOrder"]

OUTER_LOOPS = 4
INNER_LOOPS = 3


class MatmulMode(enum.IntEnum):
    """DENSE: every lane sees the whole input vector. DEPTHWISE: lane c sees a window of recent values of lane
    c."""

    DENSE = 0
    DEPTHWISE = 1


class WeightOrder(enum.IntEnum):
    """How the vectors of a weight tile enter the array: ROWS: vector k is W[k, :]; COLUMNS: vector c is W[:,
    c]."""

    ROWS = 0
    COLUMNS = 1


class Matmul(Instruction, opcode=7, mnemonic="MATMUL", unit=Unit.MXU):
    """Multiplies a stream of input vectors with weight tiles and adds into accumulator rows.

    For each step of the four outer loops a weight tile of `weight_rows` vectors is loaded from scratchpad
    (vector r at weight + Σ weight_stride_i·digit_i + r·weight_vector_stride); rows (or columns) beyond hold
    zero. Then the three inner loops stream input vectors at input + Σ over all loops, and each result is
    added to accumulator row accumulator + Σ over all loops. Operands are int8 or uint8 with `input_zero` and
    `weight_zero` subtracted; input lanes from `input_lanes` on count as zero; sums wrap modulo 2³². Where all
    digits of the loops in `reduce_mask` are zero and `accumulate` is 0, the result replaces the row instead
    of being added.

    - DENSE: acc[c] += Σ_k x[k]·W[k, c], one row for every input vector.
    - DEPTHWISE: inner loops 1 and 2 walk the rows and columns of an input image plane in order; tap (r, s) of
      lane c is W[r·window_columns + s, c]; a result exists where the window lies inside the plane and the step
      matches: output (i, j) = Σ_{r,s} x[i·2^row_shift + r, j·2^column_shift + s]·W[r·window_columns + s], and
      the accumulator strides of inner loops 1 and 2 count outputs i and j. weight_rows = window_rows ×
      window_columns.
    """

    __slots__ = ()
    mode = EnumField(8, MatmulMode, "dense or depthwise")
    weight_order = EnumField(8, WeightOrder, "by row or by column")
    input_signed = UnsignedField(1, "input vectors are int8 (1) or uint8 (0)")
    weight_signed = UnsignedField(1, "weights are int8 (1) or uint8 (0)")
    accumulate = UnsignedField(1, "1: the first reduction step adds to what the rows hold")
    reduce_mask = UnsignedField(4, "bit i: outer loop i is a reduction")
    input_lanes = UnsignedField(8, "valid input lanes, 1 to lanes", 1)
    weight_rows = UnsignedField(8, "vectors of a weight tile, 1 to lanes", 1)
    input_zero = SignedField(16, "zero point of the input: int8 or uint8 as the input is")
    weight_zero = SignedField(16, "zero point of the weights: int8 or uint8 as they are")
    window_rows = UnsignedField(8, "depthwise: kernel rows, 1 to DEPTHWISE_ROWS", 1)
    window_columns = UnsignedField(8, "depthwise: kernel columns", 1)
    row_shift = UnsignedField(8, "depthwise: log2 of the vertical stride, 0 to 2")
    column_shift = UnsignedField(8, "depthwise: log2 of the horizontal stride, 0 to 2")
    input = UnsignedField(24, "vector address of the first input vector")
    weight = UnsignedField(24, "vector address of the first weight vector")
    weight_vector_stride = SignedField(24, "vectors between the vectors of a weight tile", 1)
    accumulator = UnsignedField(16, "first accumulator row")
    outer_count_0 = UnsignedField(16, "steps of outer loop 0 (outermost)", 1)
    outer_count_1 = UnsignedField(16, "steps of outer loop 1", 1)
    outer_count_2 = UnsignedField(16, "steps of outer loop 2", 1)
    outer_count_3 = UnsignedField(16, "steps of outer loop 3", 1)
    outer_input_stride_0 = SignedField(24, "vectors per step of outer loop 0")
    outer_input_stride_1 = SignedField(24, "vectors per step of outer loop 1")
    outer_input_stride_2 = SignedField(24, "vectors per step of outer loop 2")
    outer_input_stride_3 = SignedField(24, "vectors per step of outer loop 3")
    outer_weight_stride_0 = SignedField(24, "vectors per step of outer loop 0")
    outer_weight_stride_1 = SignedField(24, "vectors per step of outer loop 1")
    outer_weight_stride_2 = SignedField(24, "vectors per step of outer loop 2")
    outer_weight_stride_3 = SignedField(24, "vectors per step of outer loop 3")
    outer_accumulator_stride_0 = SignedField(24, "rows per step of outer loop 0")
    outer_accumulator_stride_1 = SignedField(24, "rows per step of outer loop 1")
    outer_accumulator_stride_2 = SignedField(24, "rows per step of outer loop 2")
    outer_accumulator_stride_3 = SignedField(24, "rows per step of outer loop 3")
    inner_count_0 = UnsignedField(16, "steps of inner loop 0", 1)
    inner_count_1 = UnsignedField(16, "steps of inner loop 1 (depthwise: input rows)", 1)
    inner_count_2 = UnsignedField(16, "steps of inner loop 2, innermost (depthwise: input columns)", 1)
    inner_input_stride_0 = SignedField(24, "vectors per step of inner loop 0")
    inner_input_stride_1 = SignedField(24, "vectors per step of inner loop 1")
    inner_input_stride_2 = SignedField(24, "vectors per step of inner loop 2")
    inner_accumulator_stride_0 = SignedField(24, "rows per step of inner loop 0")
    inner_accumulator_stride_1 = SignedField(24, "rows per step of inner loop 1 (depthwise: per output row)")
    inner_accumulator_stride_2 = SignedField(24, "rows per step of inner loop 2 (depthwise: per output column)")

    def outer_counts(self) -> tuple[int, ...]:
        """Counts of the outer loops, outermost first."""
        return self.consecutive("outer_count_0", OUTER_LOOPS)

    def inner_counts(self) -> tuple[int, ...]:
        """Counts of the inner loops, outermost first."""
        return self.consecutive("inner_count_0", INNER_LOOPS)

    def loop_counts(self) -> tuple[int, ...]:
        return self.outer_counts() + self.inner_counts()

    def check_fields(self, config: MachineConfig) -> str | None:
        detail = super().check_fields(config)
        if detail is not None:
            return detail
        if not 1 <= self.input_lanes <= config.lanes:
            return f"input_lanes={self.input_lanes} is not 1 to {config.lanes}"
        if not 1 <= self.weight_rows <= config.lanes:
            return f"weight_rows={self.weight_rows} is not 1 to {config.lanes}"
        return self._check_zero_points() or self._check_window(config)

    def _check_zero_points(self) -> str | None:
        for name in ("input", "weight"):
            zero, is_signed = getattr(self, f"{name}_zero"), getattr(self, f"{name}_signed")
            low, high = (-128, 127) if is_signed else (0, 255)
            if not low <= zero <= high:
                return f"{name}_zero={zero} is not {low} to {high}"
        return None

    def _check_window(self, config: MachineConfig) -> str | None:
        if self.mode == MatmulMode.DENSE:
            plain = (self.window_rows, self.window_columns, self.row_shift, self.column_shift) == (1, 1, 0, 0)
            return None if plain else "a dense MATMUL has no window"
        if not 1 <= self.window_rows <= DEPTHWISE_ROWS or self.window_columns < 1:
            return f"a window has 1 to {DEPTHWISE_ROWS} rows and at least 1 column"
        if self.window_rows * self.window_columns != self.weight_rows:
            window = f"{self.window_rows}×{self.window_columns}"
            return f"weight_rows={self.weight_rows} is not the window's {window} taps"
        if self.weight_order != WeightOrder.ROWS:
            return "depthwise weights enter by row"
        if self.row_shift > 2 or self.column_shift > 2:
            return "a depthwise stride is 1, 2 or 4"
        if self.inner_count_1 < self.window_rows or self.inner_count_2 < self.window_columns:
            return "the window is larger than the input plane"
        if self.window_rows > 1 and self.inner_count_2 > config.line_depth:
            return f"{self.inner_count_2} columns do not fit the line buffer's {config.line_depth}"
        return None

    def output_counts(self) -> tuple[int, ...]:
        """Counts of the inner loops as the accumulator sees them."""
        if self.mode != MatmulMode.DEPTHWISE:
            return self.inner_counts()
        rows = ((self.inner_count_1 - self.window_rows) >> self.row_shift) + 1
        columns = ((self.inner_count_2 - self.window_columns) >> self.column_shift) + 1
        return (self.inner_count_0, rows, columns)

    def _outer(self, operand: str) -> tuple[tuple[int, int], ...]:
        return tuple(zip(self.outer_counts(), self.consecutive(f"outer_{operand}_stride_0", OUTER_LOOPS), strict=True))

    def _inner(self, operand: str, counts: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        return tuple(zip(counts, self.consecutive(f"inner_{operand}_stride_0", INNER_LOOPS), strict=True))

    def streams(self, config: MachineConfig, registers: Sequence[int]) -> tuple[AddressStream, ...]:
        lanes = config.lanes
        inputs = self._outer("input") + self._inner("input", self.inner_counts())
        weights = (*self._outer("weight"), (self.weight_rows, self.weight_vector_stride))
        rows = self._outer("accumulator") + self._inner("accumulator", self.output_counts())
        local = Space.SCRATCHPAD
        result = (
            AddressStream("input", local, False, self.input * lanes, lanes, tuple((c, s * lanes) for c, s in inputs)),
            AddressStream(
                "weight", local, False, self.weight * lanes, lanes, tuple((c, s * lanes) for c, s in weights)
            ),
            AddressStream("accumulator", Space.ACCUMULATOR, True, self.accumulator, 1, rows),
        )
        if not self.reads_accumulators():
            return result
        return (*result, AddressStream("accumulator", Space.ACCUMULATOR, False, self.accumulator, 1, rows))

    def reads_accumulators(self) -> bool:
        """Whether what the rows held before matters: also where a reduction loop moves on to rows of its
        own."""
        moving = (self.reduce_mask >> i & 1 and n > 1 and s for i, (n, s) in enumerate(self._outer("accumulator")))
        return bool(self.accumulate) or any(moving)

    def execute(self, state: MachineState) -> None:
        lanes = state.config.lanes
        inputs = addresses(0, self._inner("input", self.inner_counts()))
        rows = addresses(0, self._inner("accumulator", self.output_counts()))
        for first, source, tile, target in self._tiles():
            x = _widen(state.vectors[source + inputs], self.input_signed, self.input_zero)
            x[:, self.input_lanes :] = 0
            weights = np.zeros((lanes, lanes), np.int64)
            vectors = state.vectors[tile + np.arange(self.weight_rows) * self.weight_vector_stride]
            weights[: self.weight_rows] = _widen(vectors, self.weight_signed, self.weight_zero)
            if self.weight_order == WeightOrder.COLUMNS:
                weights = weights.T
            sums = _product(x, weights) if self.mode == MatmulMode.DENSE else self._windows(x, weights)
            _accumulate(state.accumulators, target + rows, sums, replace=first and not self.accumulate)

    def _tiles(self) -> Iterator[tuple[bool, int, int, int]]:
        """(first reduction step, input, weight, accumulator address) of every weight tile in order."""
        inputs = addresses(self.input, self._outer("input")).tolist()
        weights = addresses(self.weight, self._outer("weight")).tolist()
        rows = addresses(self.accumulator, self._outer("accumulator")).tolist()
        reducing = tuple((count, self.reduce_mask >> i & 1) for i, count in enumerate(self.outer_counts()))
        digits = addresses(0, reducing).tolist()  # 0 exactly where every reduction digit is 0
        for digit, source, tile, target in zip(digits, inputs, weights, rows, strict=True):
            yield digit == 0, source, tile, target

    def _windows(self, x: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        images, height, width = self.inner_counts()
        _, rows, columns = self.output_counts()
        planes = x.reshape(images, height, width, -1)
        sums = np.zeros((images, rows, columns, x.shape[1]), np.int64)
        for r in range(self.window_rows):
            for s in range(self.window_columns):
                last_row, last_column = (
                    r + ((rows - 1) << self.row_shift),
                    s + ((columns - 1) << self.column_shift),
                )
                tap = planes[:, r : last_row + 1 : 1 << self.row_shift, s : last_column + 1 : 1 << self.column_shift]
                sums += tap * weights[r * self.window_columns + s]
        return sums.reshape(-1, x.shape[1])


def _widen(vectors: npt.NDArray[np.uint8], signed: int, zero: int) -> npt.NDArray[np.int64]:
    values = vectors.view(np.int8) if signed else vectors
    return values.astype(np.int64) - zero


def _product(x: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """x @ weights. In float64, which is quick, and exact: sums of 64 products of 9-bit numbers stay below
    2²⁴."""
    return (x.astype(np.float64) @ weights.astype(np.float64)).astype(np.int64)


def _accumulate(
    accumulators: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int64],
    sums: npt.NDArray[np.int64],
    *,
    replace: bool,
) -> None:
    if not replace:
        np.add.at(accumulators, rows, sums.astype(np.int32))
        return
    for row, values in zip(rows.tolist(), sums.astype(np.int32), strict=True):
        accumulators[row] = values  # one at a time: where a row is hit twice, the later step wins
