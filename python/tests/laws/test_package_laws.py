"""Law 6: a package's digest depends on its content only, and one flipped bit is refused."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper

from shoal import package
from shoal.errors import CorruptPackageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shoal.package import Package

FLIPS = 300

SEALING = """
import sys
from sklearn.linear_model import LogisticRegression
from sklearn.datasets import load_iris
from shoal import package
rows, labels = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=500).fit(rows[::2], labels[::2])
built = package.build(
    model, name="iris", version="1", output=sys.argv[1], example=rows[1::2], weak_proof=True
)
print(built.digest)
"""


def identity() -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["X"], ["Y"])],
        "test",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["N", 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@pytest.fixture
def attested(tmp_path: Path) -> Package:
    rows = np.ones((2, 2), np.float32)
    built = package.build(
        identity(), name="same", version="1", output=tmp_path / "same", example=rows
    )
    report = {"report.html": b"<p>good</p>"}
    return built.attest("metrics", {"accuracy": 1.0}).attest("report", {"host": "a"}, files=report)


def _refuses(root: Path, place: Path, bit: int) -> bool:
    data = bytearray(place.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    original = place.read_bytes()
    place.write_bytes(data)
    try:
        package.open(root)
    except CorruptPackageError:
        return True
    finally:
        place.write_bytes(original)
    return False


def test_one_flipped_bit_anywhere_is_refused(
    attested: Package, prove_scale: int, record_property: Callable[[str, object], None]
) -> None:
    files = sorted(path for path in attested.path.rglob("*") if path.is_file())
    seed = 6 if prove_scale == 1 else random.SystemRandom().randrange(2**32)
    draw = random.Random(seed)
    kept = []
    for number in range(FLIPS * prove_scale):
        place = files[number % len(files)]
        bit = draw.randrange(8 * place.stat().st_size)
        if not _refuses(attested.path, place, bit):
            kept.append((place.name, bit))
    assert not kept, f"seed {seed}"
    record_property("cases", FLIPS * prove_scale)
    package.open(attested.path)


def test_a_size_in_a_tar_that_is_no_octal_number_is_refused(attested: Package) -> None:
    layer = max(
        (attested.path / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size
    )
    size_field = 3 * 512 + 124
    assert all(_refuses(attested.path, layer, 8 * (size_field + place) + 3) for place in range(11))


def test_the_whole_index_is_guarded(attested: Package) -> None:
    place = attested.path / "index.json"
    bits = range(0, 8 * place.stat().st_size, 37)
    assert all(_refuses(attested.path, place, bit) for bit in bits)


def test_the_digest_knows_neither_process_nor_place_nor_time(tmp_path: Path) -> None:
    digests = set()
    for number, seed in enumerate(("1", "2")):
        place = tmp_path / f"at-{number}" / "iris"
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": f"UTC+{number}"}
        command = [sys.executable, "-W", "ignore", "-c", SEALING, str(place)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        digests.add(done.stdout.strip())
    assert len(digests) == 1
    assert digests.pop().startswith("sha256:")


def test_other_content_has_another_digest(tmp_path: Path) -> None:
    digests = {
        package.build(identity(), name=name, version=version, output=tmp_path / f"{at}").digest
        for at, (name, version) in enumerate([("a", "1"), ("a", "2"), ("b", "1")])
    }
    assert len(digests) == 3
