"""LOAD, STORE, MXU and VPU of docs/machine.md, as plainly as possible; see reference_machine.py."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from reference_state import ReferenceState

from weft_sim import isa
from weft_sim.isa import TIMING, Unit
from weft_sim.isa.matrix import INNER_LOOPS
from weft_sim.isa.state import addresses


class Transfers(ReferenceState):
    """LOAD and STORE."""

    # LOAD

    def load_asks(self) -> tuple[int, int] | None:
        if not self.load_contexts:
            return None
        context = self.load_contexts[0]
        piece: tuple[int, int] = context["pieces"][0]
        return piece if context["fill"] or self.load_fifo >= piece[1] else None

    def step_load(
        self,
        t: int,
        signals: dict[str, Any],
        head: str,
        piece: tuple[int, int] | None,
        granted: bool,
        receives: bool,
    ) -> None:
        busy = "busy" if granted else "bank" if piece else "dram" if self.load_contexts else head
        self.count("load", busy)
        issues = self.generator is None and len(self.load_contexts) < TIMING["LOAD_CONTEXTS"] and head == "go"
        accepted = self.load_ar is not None and signals["ar_ready"][1]
        forms = self.generator is not None and (self.load_ar is None or accepted)
        forms = forms and len(self.load_flight) < self.config.outstanding_bursts
        if accepted:
            self.load_ar = None
        if receives:
            self.load_fifo += self.load_flight[0].popleft()
            if signals["r"][1]:
                assert not self.load_flight.popleft()
        if forms:
            assert self.generator is not None
            self.started(self.generating, t)
            beats = self.beats(*self.burst(self.generator))
            self.load_ar = len(beats)
            self.load_flight.append(beats)
            self.generator = self.generator or None
        if granted:
            self.write_piece(t)
        if issues:
            self.issue_load(t)

    def write_piece(self, t: int) -> None:
        context = self.load_contexts[0]
        size = context["pieces"].popleft()[1]
        if context["fill"]:
            self.started(context["number"], t)
        else:
            self.load_fifo -= size
        if not context["pieces"]:
            self.retire(Unit.LOAD, context["instruction"], context["number"], t)
            self.load_contexts.popleft()

    def issue_load(self, t: int) -> None:
        number, instruction, registers = self.pop(Unit.LOAD, t)
        assert isinstance(instruction, isa.Load | isa.Fill)
        streams = instruction.streams(self.config, registers)
        pieces = self.pieces(streams[-1], instruction.run_bytes)
        fill = isinstance(instruction, isa.Fill)
        self.load_contexts.append({"number": number, "instruction": instruction, "fill": fill, "pieces": pieces})
        if not fill:
            runs = addresses(streams[0].base, streams[0].dims).tolist()
            self.generator = deque((run, instruction.run_bytes) for run in runs)
            self.generating = number

    # STORE

    def store_asks(self) -> tuple[int, int] | None:
        reading = next((context for context in self.store_contexts if context["pieces"]), None)
        if reading is None or self.store_fifo + self.landing + self.lanes > self.capacity:
            return None
        piece: tuple[int, int] = reading["pieces"][0]
        return piece

    def step_store(
        self, t: int, signals: dict[str, Any], head: str, piece: tuple[int, int] | None, granted: bool
    ) -> None:
        issues = len(self.store_contexts) < TIMING["STORE_CONTEXTS"] and head == "go"
        generating = next((context for context in self.store_contexts if context["runs"]), None)
        forms = generating is not None and (not self.aw or signals["aw_ready"])
        forms = forms and len(self.store_flight) < self.config.outstanding_bursts
        sends = bool(self.store_bursts) and (self.w is None or signals["w_ready"])
        sends = sends and self.store_fifo >= self.store_bursts[0][0]
        busy = "busy" if granted or sends else "bank" if piece else "dram" if self.store_contexts else head
        self.count("store", busy)
        self.aw = self.aw and not signals["aw_ready"]
        if signals["w_ready"]:
            self.w = None
        if sends:
            self.store_fifo -= self.store_bursts[0].popleft()
            self.w = not self.store_bursts[0]
            if self.w:
                self.store_bursts.popleft()
        self.store_fifo += self.landing
        self.landing = 0
        if granted:
            reading = next(context for context in self.store_contexts if context["pieces"])
            self.started(reading["number"], t)
            self.landing = reading["pieces"].popleft()[1]
        if forms:
            assert generating is not None
            self.store_bursts.append(self.beats(*self.burst(generating["runs"])))
            self.store_flight.append(not generating["runs"])
            self.aw = True
        if signals["b"] and self.store_flight.popleft():
            context = self.store_contexts.popleft()
            self.retire(Unit.STORE, context["instruction"], context["number"], t)
        if issues:
            number, instruction, registers = self.pop(Unit.STORE, t)
            assert isinstance(instruction, isa.Store)
            outside, local = instruction.streams(self.config, registers)
            runs = deque((run, instruction.run_bytes) for run in addresses(outside.base, outside.dims).tolist())
            pieces = self.pieces(local, instruction.run_bytes)
            self.store_contexts.append({"number": number, "instruction": instruction, "runs": runs, "pieces": pieces})


class Compute(ReferenceState):
    """MXU and VPU."""

    # MXU

    def weight_asks(self, t: int) -> int | None:
        if self.loader is None or t < self.free or not self.loader["tiles"][0]["weights"]:
            return None
        return self.bank(self.loader["tiles"][0]["weights"][0])

    def step_mxu(self, t: int, head: str, granted: bool) -> None:
        loader, x = self.loader, self.x
        wants = self.weight_asks(t) is not None
        waits = head if loader is None else "bank" if wants and not granted else "weights"
        self.count("mxu", "busy" if x else waits)
        swaps = 0 <= self.shadow <= t and (x is None or len(x["inputs"]) == 1)
        if granted:
            assert loader is not None
            self.started(loader["number"], t)
            loader["tiles"][0]["weights"].popleft()
            if not loader["tiles"][0]["weights"]:
                self.shadow = t + 2
        if x is not None:
            x["inputs"].popleft()
            self.rows[t] = (x["rows"].popleft(), x["adds"])
            if not x["inputs"]:
                self.x = None
                if x["final"] is not None:
                    self.mxu_retire[t + TIMING["MXU_LATENCY"]] = x["final"]
        if swaps:
            assert loader is not None
            self.x = loader["tiles"].popleft()
            self.shadow, self.free = -1, t + TIMING["WEIGHT_SWAP_CYCLES"]
            if not loader["tiles"]:
                self.loader = None
        if loader is None and head == "go":
            number, instruction, _ = self.pop(Unit.MXU, t)
            self.loader = {"number": number, "tiles": self.tiles(number, instruction)}
        if t in self.mxu_retire:
            final = self.mxu_retire.pop(t)
            self.retire(Unit.MXU, final["instruction"], final["number"], t)

    def tiles(self, number: int, instruction: isa.Instruction) -> deque[dict[str, Any]]:
        assert isinstance(instruction, isa.Matmul)
        inner = [getattr(instruction, f"inner_input_stride_{loop}") for loop in range(INNER_LOOPS)]
        inputs = addresses(0, list(zip(instruction.inner_counts(), inner, strict=True)))
        found: deque[dict[str, Any]] = deque()
        for first, source, weight, row in instruction._tiles():
            weights = weight + np.arange(instruction.weight_rows) * instruction.weight_vector_stride
            found.append(
                {
                    "inputs": deque(((source + inputs) * self.lanes).tolist()),
                    "rows": deque(result_rows(instruction, row)),
                    "weights": deque((weights * self.lanes).tolist()),
                    "adds": bool(instruction.accumulate) or not first,
                    "final": None,
                }
            )
        found[-1]["final"] = {"number": number, "instruction": instruction}
        return found

    # VPU

    def vpu_asks(self, written: int | None) -> dict[str, Any]:
        asks: dict[str, Any] = {
            "a": None,
            "b": None,
            "row_a": None,
            "row_b": None,
            "write": None,
            "frozen": False,
        }
        vpu = self.vpu
        if vpu is None:
            return asks
        due = vpu["pipe"][0] if vpu["pipe"] else None
        if due is not None and due[0] == "row" and written is not None:
            asks["frozen"] = self.row_bank(due[1]) == self.row_bank(written)
        if asks["frozen"]:
            return asks
        if due is not None and due[0] == "byte":
            asks["write"] = self.bank(due[1])
        if vpu["records"]:
            asks["a"] = self.bank(vpu["records"][0])
        elif vpu["countdown"] == 0 and vpu["steps"]:
            for name in "ab":
                kind, address = vpu["steps"][0][name]
                if kind is None or name in vpu["held"]:
                    continue
                asks[name if kind == "byte" else f"row_{name}"] = (self.bank if kind == "byte" else self.row_bank)(
                    address
                )
        return asks

    def step_vpu(self, t: int, head: str, asks: dict[str, Any], grants: set[str]) -> None:
        vpu = self.vpu
        if vpu is None:
            self.count("vpu", head)
            if head == "go":
                number, instruction, _ = self.pop(Unit.VPU, t)
                self.vpu = self.vector(number, instruction)
            return
        if asks["frozen"]:
            self.count("vpu", "write")
            return
        if grants & {"a", "b"}:
            self.started(vpu["number"], t)
        done = vpu["pipe"].popleft() if vpu["pipe"] else None
        requested = any(asks[name] is not None for name in ("a", "b", "row_a", "row_b"))
        entered, completed = self.fetch_operands(vpu, requested, grants)
        if entered is None:
            vpu["countdown"] = max(0, vpu["countdown"] - 1)
        waits = "bank" if requested else "interval" if vpu["steps"] and vpu["waiting"] else "drain"
        self.count("vpu", "busy" if completed else waits)
        vpu["waiting"] = vpu["countdown"] > 0
        if vpu["instruction"].UNIT and isinstance(vpu["instruction"], isa.Table):
            if completed and not vpu["records"]:
                vpu["retire"] = t + 2
        else:
            vpu["pipe"].append(entered["result"] if entered else None)
        if vpu["retire"] == t or (done is not None and done[2]):
            self.retire(Unit.VPU, vpu["instruction"], vpu["number"], t)
            self.vpu = None

    def fetch_operands(
        self, vpu: dict[str, Any], requested: bool, grants: set[str]
    ) -> tuple[dict[str, Any] | None, bool]:
        """The step that enters the pipeline, and whether a grant was completed."""
        if not requested:
            return None, False
        if vpu["records"]:
            if "a" in grants:
                vpu["records"].popleft()
            return None, "a" in grants
        vpu["held"] |= grants & {"a", "b"}
        step: dict[str, Any] = vpu["steps"][0]
        if any(step[name][0] is not None and name not in vpu["held"] for name in "ab"):
            return None, False
        vpu["steps"].popleft()
        vpu["held"] = set()
        vpu["countdown"] = vpu["interval"] - 1
        vpu["records"] = deque(step["next_records"])
        return step, True

    def vector(self, number: int, instruction: isa.Instruction) -> dict[str, Any]:
        state: dict[str, Any] = {
            "number": number,
            "instruction": instruction,
            "held": set(),
            "countdown": 0,
            "retire": -1,
            "waiting": False,
            "steps": deque(),
            "pipe": deque([None] * TIMING["VPU_LATENCY"]),
            "interval": 1,
            "records": deque(),
        }
        if isinstance(instruction, isa.Table):
            state["records"] = deque(
                range(instruction.source * self.lanes, instruction.source * self.lanes + 1024, self.lanes)
            )
            state["pipe"] = deque()
            return state
        assert isinstance(instruction, isa.Vector)
        if instruction.operation in (isa.Operation.DIVIDE, isa.Operation.SQUARE_ROOT):
            state["interval"] = TIMING["DIVIDE_INTERVAL"]
        elif instruction.reduction == isa.Reduction.SUM:
            state["interval"] = TIMING["SUM_INTERVAL"]
        state["steps"] = self.vector_steps(instruction)
        state["records"] = deque(self.record(instruction, 0))
        return state

    def record(self, instruction: isa.Vector, block: int) -> list[int]:
        if not instruction.parameters:
            return []
        first = instruction.parameter + block * instruction.parameter_stride
        return [(first + vector) * self.lanes for vector in range(isa.PARAMETER_VECTORS)]

    def vector_steps(self, instruction: isa.Vector) -> deque[dict[str, Any]]:
        steps = int(np.prod(instruction.loop_counts()))
        reduced = int(np.prod(instruction.loop_counts()[5 - instruction.reduce_loops :]))
        block = steps // instruction.count_0
        places = {stream.name: stream for stream in instruction.streams(self.config, self.registers)}

        def listed(name: str) -> list[tuple[str | None, int]]:
            stream = places.get(name)
            if stream is None or stream.space == isa.Space.MAILBOX:
                return [(None, 0)] * steps
            kind = "row" if stream.space == isa.Space.ACCUMULATOR else "byte"
            return [(kind, address) for address in addresses(stream.base, stream.dims).tolist()]

        a, b, d = listed("a"), listed("b"), listed("d")
        found: deque[dict[str, Any]] = deque()
        for step in range(steps):
            result = (*d[step // reduced], step + 1 == steps) if (step + 1) % reduced == 0 else None
            ends_block = (step + 1) % block == 0 and step + 1 < steps
            records = self.record(instruction, (step + 1) // block) if ends_block else []
            found.append({"a": a[step], "b": b[step], "result": result, "next_records": records})
        return found


def result_rows(instruction: isa.Matmul, base: int) -> list[int | None]:
    """The accumulator row that each streamed vector completes, or None."""
    strides = [getattr(instruction, f"inner_accumulator_stride_{loop}") for loop in range(INNER_LOOPS)]
    found: list[int | None] = []
    for image, row, column in np.ndindex(*instruction.inner_counts()):
        down, right = row - (instruction.window_rows - 1), column - (instruction.window_columns - 1)
        if instruction.mode == isa.MatmulMode.DENSE:
            down, right = row, column
        fits = down >= 0 and right >= 0
        fits = fits and down % (1 << instruction.row_shift) == 0 and right % (1 << instruction.column_shift) == 0
        outputs = (image, down >> instruction.row_shift, right >> instruction.column_shift)
        found.append(base + int(np.dot(outputs, strides)) if fits else None)
    return found
