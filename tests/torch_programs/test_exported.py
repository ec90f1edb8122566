"""torch.export programs: cond, while_loop and scan within each other, against eager execution."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (weft[torch]) is absent")

import exported_programs  # noqa: E402
from comparison import compare, draw  # noqa: E402

import weft  # noqa: E402
from weft.errors import SourceError  # noqa: E402
from weft.frontend.topology import all_graphs, all_nodes  # noqa: E402

SHAPE = (1, 4)
KINDS = {
    "CondOfCond": {"If": 2}, "CondInWhile": {"Loop": 1, "If": 1}, "WhileInCond": {"If": 1, "Loop": 1},
    "WhileInWhile": {"Loop": 2}, "CarriedNumber": {"Loop": 1}, "ScanWithCond": {"Scan": 1, "If": 1},
    "CondInScanInCond": {"If": 2, "Scan": 1}, "PassesThrough": {"If": 1},
    "ConstantsInBodies": {"If": 1, "Loop": 1}, "ConstantsInScan": {"Scan": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_exported_program(name: str) -> None:
    torch.manual_seed(0)
    module = getattr(exported_programs, name)().eval()
    model = weft.from_torch(torch.export.export(module, (torch.ones(SHAPE),)))
    compare(module, model, draw((SHAPE,), 100))
    operators = [node.op_type for node in all_nodes(model.proto.graph)]
    for kind, count in KINDS[name].items():
        assert operators.count(kind) == count


def test_a_weight_of_many_pieces_is_one_initializer() -> None:
    module = exported_programs.WhileInCond().eval()
    model = weft.from_torch(torch.export.export(module, (torch.ones(SHAPE),)))
    graphs = list(all_graphs(model.proto.graph))
    assert not any(graph.initializer for graph in graphs[1:])
    matrices = [tensor for tensor in graphs[0].initializer if list(tensor.dims) == [4, 4]]
    assert len(matrices) == 1


def test_an_exported_program_is_left_as_it_is() -> None:
    exported = torch.export.export(exported_programs.ConstantsInBodies(), (torch.ones(SHAPE),))
    before = str(exported)
    weft.from_torch(exported)
    assert str(exported) == before


def test_models_hold_no_lines_of_source() -> None:
    """PyTorch's exporter notes at each node where its source lies on this machine."""
    for program in (exported_programs.WhileInCond().eval(), exported_programs.CondInWhile()):
        model = weft.from_torch(torch.export.export(program, (torch.ones(SHAPE),)))
        assert not any(node.metadata_props or node.doc_string for node in all_nodes(model.proto.graph))
        assert __file__.rpartition("/")[0].encode() not in model.proto.SerializeToString()


def test_changed_buffer_is_refused() -> None:
    exported = torch.export.export(exported_programs.ChangedBuffer(), (torch.ones(SHAPE),))
    with pytest.raises(SourceError, match="'count' in place"):
        weft.from_torch(exported)


@pytest.mark.parametrize("hint", ["AUTO", "DYNAMIC"])
def test_specialized_extent_is_refused(hint: str) -> None:
    free = {0: getattr(torch.export.Dim, hint)}
    exported = torch.export.export(exported_programs.BakedExtent(), (torch.ones(6, 4),), dynamic_shapes=(free,))
    with pytest.raises(SourceError, match=r"axis 0 has the free extent .* specialized to extents in VR\[5"):
        weft.from_torch(exported)


def test_fixed_extents_decide_in_python() -> None:
    for rows in (4, 5):
        module = exported_programs.BakedExtent()
        model = weft.from_torch(module, (torch.ones(rows, 4),))
        compare(module, model, draw(((rows, 4),), 3))


@pytest.mark.parametrize(
    ("program", "examples", "reason"),
    [
        ("no module", (), "takes a torch.nn.Module"),
        (exported_programs.BakedExtent(), (), "one example tensor"),
        (exported_programs.BakedExtent(), (3,), "example input 0 is a int"),
    ],
)
def test_wrong_arguments(program: object, examples: tuple[object, ...], reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        weft.from_torch(program, examples)  # type: ignore[arg-type]
