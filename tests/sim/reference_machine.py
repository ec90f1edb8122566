"""docs/machine.md once more, as plainly as possible: one cycle at a time, address lists instead of generators, pipelines as
lists. For programs without faults and without jumps on mailboxes. Slow; the simulator must agree in every number."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from weft_sim import isa
from weft_sim.isa import TIMING, Unit
from weft_sim.isa.architecture import INSTRUCTION_BYTES
from weft_sim.isa.matrix import INNER_LOOPS
from weft_sim.isa.state import addresses
from weft_sim.machine import MachineConfig

MASK64 = (1 << 64) - 1
WAYS = {Unit.LOAD: "load", Unit.STORE: "store", Unit.MXU: "mxu", Unit.VPU: "vpu"}


def mix(seed: int, a: int, b: int) -> int:
    """The documented random numbers of DRAM stalls."""
    z = (seed + a * 0x9E3779B97F4A7C15 + b * 0xBF58476D1CE4E5B9) & MASK64
    z ^= z >> 30
    z = z * 0xBF58476D1CE4E5B9 & MASK64
    z ^= z >> 27
    z = z * 0x94D049BB133111EB & MASK64
    return z ^ z >> 31


class Dram:
    """Ports 0 FETCH and 1 LOAD read, STORE writes."""

    def __init__(self, config: MachineConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self.credit = config.dram_rate_denominator
        self.bursts: list[deque[list[int]]] = [deque(), deque()]  # [ready, beats]
        self.output: list[bool | None] = [None, None]  # last?
        self.numbers = [0, 0]
        self.buffer: deque[bool] = deque()
        self.open_writes = 0
        self.responses: deque[int] = deque()
        self.read_beats = self.write_beats = 0

    def signals(self, t: int) -> dict[str, Any]:
        limit = self.config.outstanding_bursts
        return {
            "ar_ready": [len(queue) < limit for queue in self.bursts],
            "r": list(self.output),
            "aw_ready": self.open_writes < limit,
            "w_ready": len(self.buffer) < TIMING["DRAM_WRITE_BUFFER"],
            "b": bool(self.responses) and self.responses[0] <= t,
        }

    def step(
        self,
        t: int,
        signals: dict[str, Any],
        ar: list[int | None],
        ready: list[bool],
        aw: bool,
        w: bool | None,
    ) -> None:
        """`ar`: beats of the burst presented; `w`: last flag of the beat presented."""
        config = self.config
        for port in (0, 1):
            if self.output[port] is not None and ready[port]:
                self.output[port] = None
        moved = self._move(t)
        for port in (0, 1):
            beats = ar[port]
            if beats is not None and signals["ar_ready"][port]:
                late = mix(self.seed, port, self.numbers[port]) % 32 if self.seed else 0
                self.bursts[port].append([t + config.dram_latency + late, beats])
                self.numbers[port] += 1
        if signals["b"]:
            self.responses.popleft()
            self.open_writes -= 1
        if aw and signals["aw_ready"]:
            self.open_writes += 1
        if w is not None and signals["w_ready"]:
            self.buffer.append(w)
        top = config.dram_rate_denominator + config.dram_rate_numerator - 1
        spent = config.dram_rate_denominator if moved else 0
        self.credit = min(self.credit - spent + config.dram_rate_numerator, top)

    def _move(self, t: int) -> bool:
        if self.credit < self.config.dram_rate_denominator or (self.seed and mix(self.seed, 3, t) % 4 == 0):
            return False
        for port in (0, None, 1):
            if port is None and self.buffer:
                self.write_beats += 1
                if self.buffer.popleft():
                    self.responses.append(t + self.config.dram_latency)
                return True
            if port is None or self.output[port] is not None:
                continue
            queue = self.bursts[port]
            if queue and queue[0][0] <= t:
                queue[0][1] -= 1
                self.output[port] = queue[0][1] == 0
                if self.output[port]:
                    queue.popleft()
                self.read_beats += 1
                return True
        return False


class Reference:
    """One run. Afterwards: cycles, events (number → [index, unit, issue, start, end]), counts per (unit, activity)."""

    def __init__(self, config: MachineConfig, program: Sequence[isa.Instruction], seed: int = 0) -> None:
        self.config, self.program = config, program
        self.dram = Dram(config, seed)
        self.tokens: Counter[tuple[Unit, Unit]] = Counter()
        self.given: list[tuple[Unit, Unit]] = []
        self.queues: dict[Unit, deque[tuple[int, isa.Instruction, list[int]]]] = {
            unit: deque() for unit in WAYS
        }
        self.events: list[list[int]] = []
        self.activity: Counter[tuple[str, str]] = Counter()
        self.registers = [0] * isa.REGISTERS
        self.lanes, self.beat = config.lanes, config.dram_beat_bytes
        self.capacity = TIMING["BYTE_FIFO_BEATS"] * max(self.beat, self.lanes)
        # FETCH
        self.mode, self.fetch_ar, self.next, self.reserved = "run", False, 0, 0
        self.coming: deque[int] = deque()
        self.drop = 0
        self.buffer: deque[int] = deque()
        self.decoder: list[int] | None = None  # [index, countdown]
        # LOAD
        self.load_contexts: deque[dict[str, Any]] = deque()
        self.generator: deque[tuple[int, int]] | None = None  # runs (address, bytes) still to request
        self.generating = -1
        self.load_ar: int | None = None
        self.load_flight: deque[deque[int]] = deque()  # valid bytes of the beats to come
        self.load_fifo = 0
        # STORE
        self.store_contexts: deque[dict[str, Any]] = deque()
        self.aw = False
        self.w: bool | None = None
        self.store_bursts: deque[deque[int]] = deque()
        self.store_flight: deque[bool] = deque()
        self.store_fifo = self.landing = 0
        # MXU
        self.loader: dict[str, Any] | None = None
        self.free, self.shadow = 0, -1
        self.x: dict[str, Any] | None = None
        self.rows: dict[int, tuple[int | None, bool]] = {}  # cycle streamed → row, added
        self.mxu_retire: dict[int, dict[str, Any]] = {}
        # VPU
        self.vpu: dict[str, Any] | None = None

    # Helpers

    def bank(self, byte: int) -> int:
        return byte // self.config.bank_bytes

    def row_bank(self, row: int) -> int:
        return row // self.config.accumulator_bank_rows

    def ready(self, unit: Unit, instruction: isa.Instruction) -> bool:
        return all(self.tokens[source, unit] for source in Unit if instruction.wait >> source & 1)

    def take(self, unit: Unit, instruction: isa.Instruction) -> None:
        for source in Unit:
            self.tokens[source, unit] -= instruction.wait >> source & 1

    def retire(self, unit: Unit, instruction: isa.Instruction, number: int, t: int) -> None:
        self.given += [(unit, target) for target in Unit if instruction.signal >> target & 1]
        self.events[number][4] = t

    def started(self, number: int, t: int) -> None:
        if self.events[number][3] < 0:
            self.events[number][3] = t

    def head(self, unit: Unit) -> str:
        """Whether the queue's head can issue in this cycle: "go", "token" or "idle"."""
        if not self.queues[unit]:
            return "idle"
        return "go" if self.ready(unit, self.queues[unit][0][1]) else "token"

    def pop(self, unit: Unit, t: int) -> tuple[int, isa.Instruction, list[int]]:
        number, instruction, registers = self.queues[unit].popleft()
        self.take(unit, instruction)
        self.events[number][2] = t
        return number, instruction, registers

    def count(self, unit: str, activity: str) -> None:
        self.activity[unit, "idle" if activity == "go" else activity] += 1

    def burst(self, runs: deque[tuple[int, int]]) -> tuple[int, int]:
        """Cuts (address, bytes) off the first run."""
        address, left = runs.popleft()
        size = min(left, self.config.burst_beats * self.beat - address % self.beat, 4096 - address % 4096)
        if size < left:
            runs.appendleft((address + size, left - size))
        return address, size

    def beats(self, address: int, size: int) -> deque[int]:
        first = min(size, self.beat - address % self.beat)
        rest = size - first
        return deque([first] + [min(self.beat, rest - at) for at in range(0, rest, self.beat)])

    def pieces(self, local: isa.AddressStream, run: int) -> deque[tuple[int, int]]:
        """(address, bytes) of the accesses to one vector each."""
        found: deque[tuple[int, int]] = deque()
        for start in addresses(local.base, local.dims).tolist():
            at = start
            while at < start + run:
                size = min(self.lanes - at % self.lanes, start + run - at)
                found.append((at, size))
                at += size
        return found

    # The machine

    def run(self, limit: int = 1 << 20) -> int:
        for t in range(limit):
            if self.cycle(t):
                return t + 1
        raise AssertionError("the reference does not end")

    def cycle(self, t: int) -> bool:
        signals = self.dram.signals(t)
        idle = not any(self.queues.values()) and not self.load_contexts and not self.store_contexts
        idle = idle and self.loader is None and self.x is None and not self.mxu_retire and self.vpu is None
        heads = {unit: self.head(unit) for unit in WAYS}
        rooms = {unit: len(self.queues[unit]) < self.config.queue_depth for unit in WAYS}
        written = self.rows.get(t - TIMING["MXU_LATENCY"], (None, False))[0]
        read, added = self.rows.get(t - TIMING["MXU_LATENCY"] + 1, (None, False))
        vpu = self.vpu_asks(written)
        load_piece, store_piece = self.load_asks(), self.store_asks()
        ports: list[tuple[str, str, int | None]] = [
            ("read", "mxu", self.bank(self.x["inputs"][0]) if self.x else None),
            ("read", "weight", self.weight_asks(t)),
            ("read", "a", vpu["a"]),
            ("read", "b", vpu["b"]),
            ("read", "store", self.bank(store_piece[0]) if store_piece else None),
            ("rows", "mxu", self.row_bank(read) if read is not None and added else None),
            ("rows", "a", vpu["row_a"]),
            ("rows", "b", vpu["row_b"]),
            ("write", "vpu", vpu["write"]),
            ("write", "load", self.bank(load_piece[0]) if load_piece else None),
        ]
        taken: set[tuple[str, int]] = set()
        grants: set[str] = set()
        for port, name, bank in ports:
            if bank is not None and (port, bank) not in taken:
                taken.add((port, bank))
                grants.add(name)
        ar = [INSTRUCTION_BYTES // self.beat if self.fetch_ar else None, self.load_ar]
        receives = signals["r"][1] is not None and self.load_fifo + self.beat <= self.capacity
        ready, aw, w = [True, receives], self.aw, self.w
        done = self.step_fetch(t, signals, rooms, idle)
        self.step_load(t, signals, heads[Unit.LOAD], load_piece, "load" in grants, receives)
        self.step_store(t, signals, heads[Unit.STORE], store_piece, "store" in grants)
        self.step_mxu(t, heads[Unit.MXU], "weight" in grants)
        self.step_vpu(t, heads[Unit.VPU], vpu, grants)
        self.dram.step(t, signals, ar, ready, aw, w)
        for channel in self.given:
            self.tokens[channel] += 1
        self.given = []
        return done

    # FETCH

    def step_fetch(self, t: int, signals: dict[str, Any], rooms: dict[Unit, bool], idle: bool) -> bool:
        mode, buffered, decoder = self.mode, len(self.buffer), self.decoder
        done = mode != "run" and idle and not self.fetch_ar and not self.coming
        requests = mode == "run" and (not self.fetch_ar or signals["ar_ready"][0])
        requests = requests and self.next < len(self.program) and self.reserved < self.config.fetch_depth
        if signals["ar_ready"][0]:
            self.fetch_ar = False
        if signals["r"][0]:
            index = self.coming.popleft()
            if self.drop:
                self.drop -= 1
            elif mode == "run":
                self.buffer.append(index)
        jumps = False
        if mode != "run":
            self.count("fetch", "idle")
        elif decoder is None:
            self.count("fetch", "dram")
            if buffered:
                self.decoder = [self.buffer.popleft(), TIMING["DECODE_CYCLES"]]
                self.reserved -= 1
        elif decoder[1]:
            self.count("fetch", "busy")
            decoder[1] -= 1
        else:
            jumps = self.leave(t, decoder[0], rooms)
        if requests and not jumps:
            self.fetch_ar = True
            self.coming.append(self.next)
            self.next += 1
            self.reserved += 1
        return done

    def leave(self, t: int, index: int, rooms: dict[Unit, bool]) -> bool:
        instruction = self.program[index]
        unit = instruction.UNIT
        if unit != Unit.FETCH and not rooms[unit]:
            self.count("fetch", "queue")
            return False
        if unit == Unit.FETCH and not self.ready(unit, instruction):
            self.count("fetch", "token")
            return False
        self.count("fetch", "busy")
        number = len(self.events)
        self.events.append([index, int(unit), -1, -1, -1])
        self.decoder = None
        if unit != Unit.FETCH:
            self.queues[unit].append((number, instruction, list(self.registers)))
            return False
        self.take(unit, instruction)
        self.events[number][2:] = [t, t, t]
        self.retire(unit, instruction, number, t)
        if isinstance(instruction, isa.Halt):
            self.mode = "halting"
        if isinstance(instruction, isa.Register):
            base = 0 if instruction.source == isa.NO_REGISTER else self.registers[instruction.source]
            self.registers[instruction.destination] = (base + instruction.offset) & 0xFFFFFFFF
        if not isinstance(instruction, isa.Jump) or not instruction.taken(0):
            return False
        self.next, self.drop, self.reserved = instruction.target, len(self.coming), 0
        self.buffer.clear()
        return True

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
        self.load_contexts.append(
            {"number": number, "instruction": instruction, "fill": fill, "pieces": pieces}
        )
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
            runs = deque(
                (run, instruction.run_bytes) for run in addresses(outside.base, outside.dims).tolist()
            )
            pieces = self.pieces(local, instruction.run_bytes)
            self.store_contexts.append(
                {"number": number, "instruction": instruction, "runs": runs, "pieces": pieces}
            )

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
                asks[name if kind == "byte" else f"row_{name}"] = (
                    self.bank if kind == "byte" else self.row_bank
                )(address)
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
        fits = (
            fits and down % (1 << instruction.row_shift) == 0 and right % (1 << instruction.column_shift) == 0
        )
        outputs = (image, down >> instruction.row_shift, right >> instruction.column_shift)
        found.append(base + int(np.dot(outputs, strides)) if fits else None)
    return found
