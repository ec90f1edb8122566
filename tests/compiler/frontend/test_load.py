"""Reading models: what is accepted, and that everything else is a ModelError of one line."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, defs, helper, numpy_helper

from weft.errors import ModelError, WeftError
from weft.frontend import Model, load

FLOAT = TensorProto.FLOAT


def relu_model(opset: int = 17) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Add", ["x", "c"], ["s"], name="add"),
        helper.make_node("Relu", ["s"], ["y"], name="relu"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "small",
        [value("x", FLOAT, ["N", 4])],
        [value("y", FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.arange(4, dtype=np.float32), "c")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def refused(source: object) -> str:
    with pytest.raises(ModelError) as caught:
        load(source)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) > 20
    return message


def test_path_bytes_and_protobuf_give_the_same_model(tmp_path):
    proto = relu_model()
    file = tmp_path / "net.onnx"
    file.write_bytes(proto.SerializeToString())
    models = [load(file), load(str(file)), load(proto.SerializeToString()), load(proto)]
    assert all(model.proto == proto for model in models)
    assert models[0].path == file
    assert models[0].name == "net"
    assert models[2].path is None
    assert load(models[0]) is models[0]


def test_signature_has_symbols_numbers_and_numpy_types():
    model = load(relu_model())
    assert [(value.name, value.dtype, value.shape) for value in model.inputs] == [("x", "float32", ("N", 4))]
    assert [value.name for value in model.outputs] == ["y"]
    assert not model.is_quantized


def test_a_protobuf_given_is_copied():
    proto = relu_model()
    model = load(proto)
    proto.graph.node[0].op_type = "Sub"
    assert model.proto.graph.node[0].op_type == "Add"


def test_unsorted_nodes_are_sorted():
    proto = relu_model()
    first, second = proto.graph.node[0], proto.graph.node[1]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in (second, first)]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    assert [node.name for node in load(proto).proto.graph.node] == ["add", "relu"]


def test_cycle_is_named():
    proto = relu_model()
    proto.graph.node[0].input[1] = "y"
    assert "'add'" in refused(proto)
    assert "cycle" in refused(proto)


def test_missing_initializer_names_node_and_tensor():
    proto = relu_model()
    del proto.graph.initializer[:]
    message = refused(proto)
    assert "'add'" in message
    assert "'c'" in message


def test_unproduced_output_is_named():
    proto = relu_model()
    proto.graph.output[0].name = "nowhere"
    assert "'nowhere'" in refused(proto)


def test_unknown_domain_names_the_node():
    proto = relu_model()
    proto.graph.node[1].domain = "com.acme"
    proto.opset_import.append(helper.make_opsetid("com.acme", 1))
    message = refused(proto)
    assert "'relu'" in message
    assert "com.acme" in message


def test_unknown_operator_is_refused():
    proto = relu_model()
    proto.graph.node[1].op_type = "Rolu"
    assert "Rolu" in refused(proto)


@pytest.mark.parametrize("opset", [1, 6, 7, 13, defs.onnx_opset_version()])
def test_opsets_in_range_load(opset):
    assert load(relu_model(opset)).opset == opset


@pytest.mark.parametrize("opset", [defs.onnx_opset_version() + 1])
def test_opsets_out_of_range_are_refused(opset):
    assert f"operator set {opset}" in refused(relu_model(opset))


@pytest.mark.parametrize("source", [b"", b"\0" * 64, b"PK\x03\x04 a zip file", b"\xff" * 1000])
def test_noise_is_refused(source):
    refused(source)


def test_absent_file_and_directory_are_refused(tmp_path):
    assert "no-such.onnx" in refused(tmp_path / "no-such.onnx")
    refused(tmp_path)
    refused("a\0b")


def test_every_truncation_is_refused():
    data = relu_model().SerializeToString()
    for length in range(len(data)):
        # Cut off behind the graph only the operator set import is lost, which is an error too.
        refused(data[:length])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_flipped_bytes_never_escape_as_another_exception(data):
    content = bytearray(relu_model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    message = ""
    try:
        assert isinstance(load(bytes(content)), Model)
    except WeftError as error:
        message = str(error)
    assert message == "" or message.isprintable()


def test_initializer_shorter_than_its_shape_is_refused():
    proto = relu_model()
    proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[:-1]
    assert "'c'" in refused(proto)


@pytest.mark.parametrize("dims", [[2**40, 2**40], [-4], [2**31]])
def test_initializer_of_absurd_shape_is_refused_without_allocating(dims):
    proto = relu_model()
    del proto.graph.initializer[0].dims[:]
    proto.graph.initializer[0].dims.extend(dims)
    assert "'c'" in refused(proto)


def test_sequence_inputs_load():
    proto = relu_model()
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    proto.graph.input.append(onnx.ValueInfoProto(name="several", type=kind))
    assert [(each.name, each.dtype) for each in load(proto).inputs][-1] == ("several", "sequence")


class TestExternalData:
    """Data outside the model file: only from the model's own folder."""

    @staticmethod
    def external(location: str, offset: int | None = None, length: int | None = None) -> onnx.ModelProto:
        proto = relu_model()
        tensor = proto.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        if offset is not None:
            tensor.external_data.add(key="offset", value=str(offset))
        if length is not None:
            tensor.external_data.add(key="length", value=str(length))
        return proto

    @staticmethod
    def save(folder, proto):
        folder.mkdir(exist_ok=True)
        file = folder / "net.onnx"
        file.write_bytes(proto.SerializeToString())
        return file

    def test_inside_the_folder_is_read(self, tmp_path):
        file = self.save(tmp_path / "m", self.external("sub/weights.bin", 8, 16))
        (tmp_path / "m" / "sub").mkdir()
        (tmp_path / "m" / "sub" / "weights.bin").write_bytes(b"\7" * 8 + np.arange(4, dtype=np.float32).tobytes())
        tensor = load(file).proto.graph.initializer[0]
        assert np.array_equal(numpy_helper.to_array(tensor), np.arange(4))
        assert not tensor.external_data

    @pytest.mark.parametrize("location", ["../weights.bin", "sub/../../weights.bin", "{absolute}", "", "link.bin"])
    def test_outside_the_folder_is_refused(self, tmp_path, location):
        outside = tmp_path / "weights.bin"
        outside.write_bytes(bytes(16))
        file = self.save(tmp_path / "m", self.external(location.format(absolute=outside)))
        (tmp_path / "m" / "link.bin").symlink_to(outside)
        assert "'c'" in refused(file)

    def test_absent_is_refused(self, tmp_path):
        assert "absent" in refused(self.save(tmp_path / "m", self.external("weights.bin")))

    @pytest.mark.parametrize(("offset", "length"), [(0, 17), (1, 16), (17, None), (-1, 4), (0, -4), (4, 8)])
    def test_ranges_that_do_not_fit_are_refused(self, tmp_path, offset, length):
        file = self.save(tmp_path / "m", self.external("weights.bin", offset, length))
        (tmp_path / "m" / "weights.bin").write_bytes(bytes(16))
        refused(file)

    def test_bytes_have_no_folder(self):
        assert "path" in refused(self.external("weights.bin").SerializeToString())
