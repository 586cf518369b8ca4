"""Walking an ONNX file as plain protobuf: bounded, and never surprised by its bytes."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from shoal.errors import CorruptPackageError, UnsupportedModelError
from shoal.runtime import check_domains, external_files


def model_of(*nodes: onnx.NodeProto) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["N"])],
    )
    data: bytes = helper.make_model(graph).SerializeToString()
    return data


PLAIN = model_of(helper.make_node("Neg", ["X"], ["Y"]))


def test_a_plain_model_wants_no_files_and_no_library() -> None:
    assert external_files(PLAIN) == frozenset()
    check_domains(PLAIN)


def test_functions_of_the_model_itself_are_allowed() -> None:
    own = helper.make_function(
        "own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], []
    )
    model = onnx.load_model_from_string(
        model_of(helper.make_node("Twice", ["X"], ["Y"], domain="own"))
    )
    with pytest.raises(UnsupportedModelError, match="'own'"):
        check_domains(model.SerializeToString())
    model.functions.append(own)
    check_domains(model.SerializeToString())


def test_data_named_in_an_attribute_is_found() -> None:
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[4], name="t")
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "inner/t.bin"
    node = helper.make_node("Constant", [], ["Y"], value=tensor)
    assert external_files(model_of(node)) == {"inner/t.bin"}


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50),
    st.lists(st.floats(width=32), max_size=50),
    st.lists(st.text(max_size=20), max_size=20),
)
def test_numbers_and_names_around_a_tensor_hide_no_file(
    whole: list[int], real: list[float], names: list[str]
) -> None:
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[4], name="t")
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "inner/t.bin"
    attribute = onnx.AttributeProto(name="all", type=onnx.AttributeProto.TENSOR, t=tensor)
    attribute.ints.extend(whole)
    attribute.floats.extend(real)
    attribute.strings.extend(name.encode() for name in names)
    node = helper.make_node("Constant", [], ["Y"], domain="far")
    node.attribute.append(attribute)
    model = model_of(node)
    assert external_files(model) == {"inner/t.bin"}
    with pytest.raises(UnsupportedModelError, match="'far'"):
        check_domains(model)


def test_graphs_nested_without_end_are_refused() -> None:
    graph = helper.make_graph([helper.make_node("Neg", ["X"], ["Y"])], "g", [], [])
    for _ in range(25):
        node = helper.make_node("If", ["X"], ["Y"], then_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
    data = helper.make_model(graph).SerializeToString()
    with pytest.raises(CorruptPackageError, match="nest deeper"):
        check_domains(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_model_or_refused(data: bytes) -> None:
    for look in (external_files, check_domains):
        try:
            look(data)
        except (CorruptPackageError, UnsupportedModelError):
            continue


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 255))
def test_any_changed_byte_is_a_model_or_refused(at: int, value: int) -> None:
    data = PLAIN[:at] + bytes([value]) + PLAIN[at + 1 :]
    try:
        assert all(isinstance(name, str) for name in external_files(data))
        check_domains(data)
    except (CorruptPackageError, UnsupportedModelError):
        assert data != PLAIN
