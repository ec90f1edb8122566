"""The pass pipeline that every model goes through before quantization or `integerize`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weft.frontend.model import Model
from weft.frontend.passes.bind_shapes import BindShapes
from weft.frontend.passes.bound_loops import BoundLoops
from weft.frontend.passes.explicit_pads import ExplicitPads
from weft.frontend.passes.fold_batch_norm import FoldBatchNorm
from weft.frontend.passes.fold_bias_add import FoldBiasAdd
from weft.frontend.passes.fold_channel_scale import FoldChannelScale
from weft.frontend.passes.fold_constants import FoldConstants
from weft.frontend.passes.hoist_common import HoistCommonNodes
from weft.frontend.passes.infer_shapes import InferShapes
from weft.frontend.passes.inline_conditions import InlineConditions
from weft.frontend.passes.inline_functions import InlineFunctions
from weft.frontend.passes.lift_constants import LiftConstants
from weft.frontend.passes.logical_conditions import LogicalConditions
from weft.frontend.passes.protocol import Pass
from weft.frontend.passes.remove_identities import RemoveIdentities
from weft.frontend.passes.sink_bias import SinkBias
from weft.frontend.passes.sum_to_add import SumToAdd
from weft.frontend.passes.transposed_weights import TransposeStoredWeights
from weft.frontend.passes.unique_names import UniqueNames
from weft.frontend.passes.unroll_recurrent import UnrollRecurrent
from weft.frontend.passes.upgrade_opset import UpgradeOpset
from weft.frontend.qoperator import StandardizeQOperators

NO_SHAPES: Mapping[str, int] = {}
# Before operator set 7, operators broadcast by attribute: what cannot be converted stays as it is, on the host.
OLDEST_UNDERSTOOD = 7


def opening_passes(shapes: Mapping[str, int] = NO_SHAPES) -> tuple[Pass, ...]:
    """The passes that depend on no operator's meaning, and bring old operator sets up."""
    return (
        BindShapes(shapes),
        InlineFunctions(),
        UniqueNames(),
        LiftConstants(),
        InlineConditions(),
        UpgradeOpset(),
        LiftConstants(),
        HoistCommonNodes(),
        UniqueNames(),
        BoundLoops(),
        InferShapes(),
        LogicalConditions(),
    )


def operator_passes() -> tuple[Pass, ...]:
    """The passes behind those, over operators of set 7 and newer."""
    return (
        StandardizeQOperators(),
        SumToAdd(),
        RemoveIdentities(),
        FoldConstants(),
        UnrollRecurrent(),
        TransposeStoredWeights(),
        RemoveIdentities(),
        FoldBatchNorm(),
        FoldChannelScale(),
        SinkBias(),
        FoldBiasAdd(),
        ExplicitPads(),
        InferShapes(),
    )


def normalize(model: Model, shapes: Mapping[str, int] = NO_SHAPES) -> Model:
    """The model in the form that the quantizer and the compiler expect, computing the same.

    Extents bound (`shapes` by symbol; the batch is 1 if not given), constants folded, nodes uniquely named,
    nodes that do nothing removed, batch normalization and bias folded in float models, pads explicit,
    operator set >= 13 where the model can be converted, the shape of every tensor static where inference
    finds it. Raises ModelError for shapes that do not fit the model.
    """
    model = run_passes(model, opening_passes(shapes))
    if 0 < model.opset < OLDEST_UNDERSTOOD:
        return model
    return run_passes(model, operator_passes())


def run_passes(model: Model, pipeline: Sequence[Pass]) -> Model:
    """Runs passes one after the other."""
    for each in pipeline:
        model = each.run(model)
    return model
