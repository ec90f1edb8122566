"""QDQ model to integer graph."""

from __future__ import annotations

import onnx

from weft.frontend.graph import Graph, is_standard
from weft.frontend.integer import bounds, conv, matmul
from weft.frontend.integer.emit import Match
from weft.frontend.integer.expand_operands import ExpandOperands
from weft.frontend.integer.gemm_factors import AbsorbGemmFactors
from weft.frontend.integer.quantization import read, stored
from weft.frontend.integer.store_biases import StoreBiases
from weft.frontend.model import Model
from weft.frontend.normalize import run_passes
from weft.frontend.passes.explicit_pads import ExplicitPads
from weft.frontend.passes.infer_shapes import InferShapes
from weft.frontend.passes.lift_constants import LiftConstants
from weft.frontend.passes.unique_names import UniqueNames


def integerize(model: Model) -> Model:
    """The integer graph of a QDQ model: each quantized Conv, MatMul and Gemm as QLinearConv or QLinearMatMul.

    An operator is quantized if its operands come from DequantizeLinear, its result goes (through a bias Add
    and through Relu and Clip, if any, that nothing else reads) into QuantizeLinear alone, and its bias is
    int32 with the scale sx * sw, or a float constant that can be stored so. Relu and Clip become an integer
    Clip where they bound tighter than the output's type does. Everything else stays literally as it is,
    integer operators that are there already too. Tensors that survive keep their names; a node made of
    several keeps the main one's name and lists all in its metadata "weft.nodes". A model without
    quantization comes back as it is. `docs/numerics.md` has the formulas.
    """
    if not model.is_quantized:
        return model
    prepared = (
        UniqueNames(),
        LiftConstants(),
        InferShapes(),
        ExplicitPads(),
        AbsorbGemmFactors(),
        StoreBiases(),
        ExpandOperands(),
    )
    graph = Graph(run_passes(model, prepared))
    for node in list(graph.nodes):
        match = _match(graph, node) if is_standard(node, "QuantizeLinear") else None
        if match is None:
            continue
        if match.main.op_type == "Conv":
            conv.rewrite(graph, match)
        else:
            matmul.rewrite(graph, match)
    return InferShapes().run(graph.finish())


def _match(graph: Graph, quantize: onnx.NodeProto) -> Match | None:
    """The operator in front of a QuantizeLinear, where nothing else reads what is computed in between."""
    output = read(graph, quantize)
    if output is None or not output.is_per_tensor or not output.scale > 0 or output.dtype.itemsize != 1:
        return None
    if graph.only_consumer(quantize.input[0]) is not quantize:
        return None
    bounded = bounds.behind(graph, quantize.input[0])
    main = graph.producer(bounded.tensor)
    if main is None:
        return None
    if is_standard(main, "Conv", "MatMul", "Gemm"):
        return Match(main, None, bounded, quantize, output)
    product = _biased_product(graph, main)
    return None if product is None else Match(product, main, bounded, quantize, output)


def _biased_product(graph: Graph, add: onnx.NodeProto) -> onnx.NodeProto | None:
    """The MatMul to which `add` adds an int32 constant, or None."""
    if not is_standard(add, "Add"):
        return None
    for index in (0, 1):
        product = graph.producer(add.input[index])
        if product is None or not is_standard(product, "MatMul"):
            continue
        if graph.only_consumer(product.output[0]) is add and stored(graph, add.input[1 - index]) is not None:
            return product
    return None
