"""Requests and answers of the Open Inference Protocol over HTTP, in JSON and in binary.

A body is JSON, or JSON followed by the raw bytes of the tensors that are sent in binary, in their
order. The header `Inference-Header-Content-Length` says where the JSON ends; without it there is
JSON only.

Rules:

- A request with a field nobody knows is refused; in an answer it is passed over, so that a newer
  server can say more.
- Every byte of a body is accounted for: a length beyond the body and bytes left over are refused.
- A column with missing records travels as JSON also beside binary ones, because binary has no null.
- Nothing larger than `limit_bytes` is looked at.

Source: Open Inference Protocol v2, "Inference" and "Binary Tensor Data Extension".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from shoal.errors import (
    BinaryError,
    BodyTooLargeError,
    DtypeError,
    NullError,
    UnexpectedColumnError,
)
from shoal.values._json import (
    JsonTensor,
    Parameters,
    RequestTensor,
    check_shape,
    json_data,
    read_tensor,
)
from shoal.values._raw import from_binary, to_binary
from shoal.values._signature import Column, Signature, check_unique, read_json
from shoal.values._wire import Buffer, WireColumn, match_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

LENGTH_HEADER = "Inference-Header-Content-Length"
# What Triton takes by default as well.
# Source: Triton Inference Server, `--http-max-input-size`, 64 MiB.
DEFAULT_LIMIT_BYTES = 64 * 1024 * 1024


class Message(NamedTuple):
    """A body and the headers it has to travel with."""

    body: bytes
    headers: dict[str, str]


class RequestedOutput(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """An output a request asks for; the parameter `binary_data` asks for it in binary."""

    name: str
    parameters: Parameters | None = None


class InferRequest(NamedTuple):
    """A request as read: its columns, and what it says beside them."""

    columns: list[WireColumn]
    id: str | None
    parameters: Parameters
    outputs: tuple[RequestedOutput, ...] | None


class InferResponse(NamedTuple):
    """An answer as read: its columns, and who gave it."""

    columns: list[WireColumn]
    model_name: str
    model_version: str | None
    id: str | None


class _Head(msgspec.Struct):
    """The JSON part of a message, of either direction."""

    @property
    def tensors(self) -> Sequence[JsonTensor]:
        raise NotImplementedError


class _Request(_Head, forbid_unknown_fields=True):
    inputs: list[RequestTensor]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: tuple[RequestedOutput, ...] | None = None

    @property
    def tensors(self) -> Sequence[JsonTensor]:
        return self.inputs


class _Response(_Head):
    model_name: str
    outputs: list[JsonTensor]
    model_version: str | None = None
    id: str | None = None

    @property
    def tensors(self) -> Sequence[JsonTensor]:
        return self.outputs


_AnyHead = TypeVar("_AnyHead", bound=_Head)


def encode_request(
    columns: Sequence[WireColumn],
    *,
    binary: bool | Collection[str] = False,
    request_id: str | None = None,
    parameters: Parameters | None = None,
    outputs: Sequence[RequestedOutput] | None = None,
) -> Message:
    """Writes a request.

    Args:
        columns: The inputs.
        binary: Which of them go in binary: all, none, or those named.
        request_id: Comes back in the answer.
        parameters: Of the whole request; `{"binary_data_output": True}` asks for binary answers.
        outputs: Those wanted; None is all.

    Raises:
        DtypeError: A column that goes in JSON cannot; see `to_json`.
        NullError: A column has missing records and values that JSON does not carry.
    """
    head = {"id": request_id, "parameters": parameters, "outputs": outputs}
    return _encode("inputs", columns, _names(columns, binary), head)


def encode_response(
    columns: Sequence[WireColumn],
    *,
    model_name: str,
    model_version: str | None = None,
    request_id: str | None = None,
    binary: bool | Collection[str] = False,
) -> Message:
    """Writes an answer; `binary` and what is raised are as in `encode_request`."""
    head = {"model_name": model_name, "model_version": model_version, "id": request_id}
    return _encode("outputs", columns, _names(columns, binary), head)


def decode_request(
    body: Buffer,
    headers: Mapping[str, str],
    signature: Signature | None = None,
    *,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
) -> InferRequest:
    """Reads a request.

    Args:
        body: The whole body, not compressed.
        headers: Looked up without regard to upper and lower case.
        signature: What inputs and outputs have to be; None reads them as they are.
        limit_bytes: The most the body may have.

    Returns:
        The request; its inputs are in declared order. Numbers that came in binary share the
        memory of `body`.

    Raises:
        InputError: The class says what is wrong.
    """
    head, columns = _decode(_limited(body, limit_bytes), headers, _Request)
    if head.outputs is not None:
        check_unique((output.name for output in head.outputs), "the requested outputs")
    if signature is not None:
        columns = match_columns(columns, signature.inputs)
        _select([output.name for output in head.outputs or ()], signature.outputs)
    return InferRequest(columns, head.id, head.parameters or {}, head.outputs)


def decode_response(
    body: Buffer,
    headers: Mapping[str, str],
    signature: Signature | None = None,
    *,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
) -> InferResponse:
    """Reads an answer; arguments and errors are those of `decode_request`.

    An answer may hold some of the declared outputs only: those that were asked for.
    """
    head, columns = _decode(_limited(body, limit_bytes), headers, _Response)
    if signature is not None:
        declared = _select([column[0] for column in columns], signature.outputs)
        columns = match_columns(columns, declared)
    return InferResponse(columns, head.model_name, head.model_version, head.id)


def _select(names: Sequence[str], columns: Sequence[Column]) -> list[Column]:
    """Gives the declared columns that are named; refuses a name that is not declared."""
    declared = [column.name for column in columns]
    for name in names:
        if name not in declared:
            raise UnexpectedColumnError(
                f"output {name!r} is not one of {declared}",
                hint=f"the outputs are: {', '.join(declared)}",
            )
    return [column for column in columns if column.name in names]


def _names(columns: Sequence[WireColumn], binary: bool | Collection[str]) -> Collection[str]:  # noqa: FBT001 - the value of the public keyword
    """Gives the names of the columns that go in binary."""
    if not isinstance(binary, bool):
        return binary
    return [column[0] for column in columns] if binary else []


def _encode(
    side: str, columns: Sequence[WireColumn], binary: Collection[str], head: dict[str, Any]
) -> Message:
    tensors: list[dict[str, Any]] = []
    tail: list[Buffer] = []
    for one in columns:
        name, dtype, shape, _, missing = one
        tensor: dict[str, Any] = {"name": name, "datatype": str(dtype), "shape": list(shape)}
        tensors.append(tensor)
        if name not in binary:
            tensor["data"] = json_data(one)
        elif missing is not None:
            tensor["data"] = _data_with_nulls(one)
        else:
            raw = to_binary(one)
            tensor["parameters"] = {"binary_data_size": memoryview(raw).nbytes}
            tail.append(raw)
    said = {key: value for key, value in head.items() if value is not None}
    text = msgspec.json.encode({**said, side: tensors})
    if not tail:
        return Message(text, {"Content-Type": "application/json"})
    headers = {"Content-Type": "application/octet-stream", LENGTH_HEADER: str(len(text))}
    return Message(b"".join([text, *tail]), headers)


def _data_with_nulls(wire: WireColumn) -> list[Any]:
    try:
        return json_data(wire)
    except DtypeError as error:
        raise NullError(
            f"column {wire[0]!r} has a null, which binary does not carry, and so goes in JSON; "
            f"but {error}",
            hint="fill the nulls in before",
        ) from None


def _limited(body: Buffer, limit_bytes: int) -> memoryview:
    view = memoryview(body).cast("B")
    if len(view) > limit_bytes:
        raise BodyTooLargeError(f"the body has {len(view)} bytes, expected at most {limit_bytes}")
    return view


def _decode(
    body: memoryview, headers: Mapping[str, str], kind: type[_AnyHead]
) -> tuple[_AnyHead, list[WireColumn]]:
    at = _json_length(headers, len(body))
    what = "the request" if kind is _Request else "the answer"
    head = read_json(bytes(body[:at]), kind, what)
    columns: list[WireColumn] = []
    for tensor in head.tensors:
        size = _binary_size(tensor)
        if size is None:
            columns.append(read_tensor(tensor, limit=len(body)))
            continue
        check_shape(tensor, len(body))
        if size > len(body) - at:
            raise BinaryError(
                f"column {tensor.name!r} announces {size} bytes, "
                f"expected at most the {len(body) - at} that are left of the body"
            )
        raw = body[at : at + size]
        columns.append(from_binary(raw, (tensor.name, tensor.datatype, tensor.shape)))
        at += size
    if at != len(body):
        raise BinaryError(f"the body has {len(body) - at} bytes after its last tensor")
    check_unique((column[0] for column in columns), what)
    return head, columns


def _json_length(headers: Mapping[str, str], body_bytes: int) -> int:
    """Gives where the JSON ends."""
    stated = [value for name, value in headers.items() if name.lower() == LENGTH_HEADER.lower()]
    if not stated:
        return body_bytes
    if not re.fullmatch(r"[0-9]{1,18}", stated[0], flags=re.ASCII):
        raise BinaryError(f"{LENGTH_HEADER} is {stated[0][:40]!r}, expected a whole number")
    length = int(stated[0])
    if length > body_bytes:
        raise BinaryError(
            f"{LENGTH_HEADER} is {length}, expected at most the {body_bytes} bytes of the body"
        )
    return length


def _binary_size(tensor: JsonTensor) -> int | None:
    """Gives how many raw bytes a tensor has, or None where it is in JSON."""
    size = (tensor.parameters or {}).get("binary_data_size")
    if size is None:
        return None
    if tensor.data is not msgspec.UNSET:
        raise BinaryError(
            f"column {tensor.name!r} has data and binary_data_size, expected one of them"
        )
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise BinaryError(
            f"column {tensor.name!r} has binary_data_size {size!r}, expected a whole number"
        )
    return size
