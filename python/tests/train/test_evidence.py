"""How a package came to be is stated beside it, and read again; its digest knows nothing of it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from shoal import package
from shoal.errors import (
    CorruptPackageError,
    InvalidRequestError,
    PathError,
    RequirementError,
    StorageError,
)
from shoal.train import (
    Account,
    Budget,
    Code,
    Data,
    Evidence,
    PrivacySpent,
    attest,
    choose_privately,
    code_revision,
    environment_here,
    evidence_of,
)
from shoal.train._seal._here import code_revision_or_reason

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import GoldenRows, Package

ROWS = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
LABELS = (ROWS[:, 0] > 0).astype(int)
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture(scope="module")
def model() -> Any:
    return LogisticRegression().fit(ROWS[:200], LABELS[:200])


def seal(model: Any, place: Path, golden_rows: GoldenRows = "synthetic") -> Package:
    settings = package.Settings(golden_rows=golden_rows)
    return package.build(
        model, name="m", version="1", output=place, example=ROWS[200:], settings=settings
    )


@pytest.fixture
def sealed(model: Any, tmp_path: Path) -> Package:
    return seal(model, tmp_path / "m")


def evidence(**named: Any) -> Evidence:
    whole: dict[str, Any] = {
        "plan": {"estimator": "logistic_regression", "folds": [1, 2]},
        "data": (Data(name="customers", digest=DIGEST, rows=200), Data(name="x", digest=DIGEST)),
        "environment": environment_here(),
        "code": Code(commit="1" * 40, changed=True),
        "seed": 7,
        "metrics": {"accuracy": 0.5},
        "report": DIGEST,
        "finished_at": datetime(2026, 1, 31, 12, tzinfo=UTC),
    }
    return Evidence(**{**whole, **named})


def spent() -> PrivacySpent:
    account = Account(Budget(3.0), records=100)
    choose_privately(account, [1.0, 2.0], epsilon=1.0, sensitivity=1.0)
    return account.spent


def test_what_is_stated_is_read_again(sealed: Package) -> None:
    stated = evidence(privacy=spent())
    attested = attest(sealed, stated, files={"report.html": b"<p>good</p>"})
    assert attested.digest == sealed.digest
    assert evidence_of(attested) == evidence_of(sealed.path) == stated
    assert attested.attached("report.html") == b"<p>good</p>"


def test_what_may_be_left_out_is_left_out(sealed: Package) -> None:
    stated = Evidence(plan=None, data=(), environment=environment_here())
    assert evidence_of(attest(sealed.path, stated)) == stated


def test_the_statement_is_one_of_in_toto_about_the_package(sealed: Package) -> None:
    attested = attest(sealed, evidence(), files={"report.html": b"x", "card.md": b"y"})
    (attestation,) = attested.attestations()
    statement = attestation.document
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [
        {"name": "m:1", "digest": {"sha256": sealed.digest.removeprefix("sha256:")}}
    ]
    assert attestation.predicate_type == "https://slsa.dev/provenance/v1"
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"plan": evidence().plan, "seed": 7}
    by_name = {each["name"]: each for each in definition["resolvedDependencies"]}
    assert by_name["data/customers"]["digest"] == {"sha256": "ab" * 32}
    assert by_name["code"]["digest"] == {"gitCommit": "1" * 40}
    assert by_name["numpy"]["uri"] == f"pkg:pypi/numpy@{np.__version__}"
    details = statement["predicate"]["runDetails"]
    assert details["metadata"] == {"finishedOn": "2026-01-31T12:00:00Z"}
    products = {each["name"]: each["digest"]["sha256"] for each in details["byproducts"]}
    assert products["report.html"] == hashlib.sha256(b"x").hexdigest()


def test_it_is_stored_as_an_artifact_that_refers_to_the_package(sealed: Package) -> None:
    attest(sealed, evidence(), files={"report.html": b"x"})
    index = json.loads((sealed.path / "index.json").read_bytes())
    entry = index["manifests"][2]
    assert entry["artifactType"] == "application/vnd.in-toto+json"
    blobs = sealed.path / "blobs" / "sha256"
    manifest = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_bytes())
    assert manifest["subject"]["digest"] == sealed.digest
    first, second = manifest["layers"]
    assert first["mediaType"] == "application/vnd.in-toto+json"
    assert first["annotations"] == {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}
    assert second["mediaType"] == "text/html"
    assert second["annotations"] == {"org.opencontainers.image.title": "report.html"}


def test_inspecting_tells_what_is_stated(sealed: Package) -> None:
    attest(sealed, evidence(), files={"report.html": b"x"})
    (shown,) = package.inspect(sealed.path).attestations
    assert (shown["kind"], shown["files"]) == ("provenance", {"report.html": 1})
    assert package.verify(sealed.path).attestations == 1


def test_the_same_statement_is_held_once_and_of_several_the_latest_counts(
    sealed: Package,
) -> None:
    later = evidence(seed=8, finished_at=datetime(2026, 2, 1, tzinfo=UTC))
    for each in (evidence(), later, evidence(), evidence(seed=9, finished_at=None)):
        attested = attest(sealed, each)
    assert len(attested.attestations()) == 3
    assert evidence_of(attested) == later


def test_a_package_of_which_nothing_is_stated_is_refused(sealed: Package) -> None:
    with pytest.raises(InvalidRequestError, match="how it came to be"):
        evidence_of(sealed)
    sealed.attest("metrics", {"accuracy": 1.0})
    with pytest.raises(InvalidRequestError, match="how it came to be"):
        evidence_of(sealed.path)


def test_a_provenance_that_another_builder_wrote_is_passed_over(sealed: Package) -> None:
    stated = evidence()
    (own,) = attest(sealed, stated).attestations()
    foreign = {
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {"ref": "refs/heads/main"}},
        },
        "runDetails": {"builder": {"id": "https://github.com/actions"}, "metadata": {"n": 1}},
    }
    for predicate in (foreign, {}, None):
        sealed.attest("provenance", own.document | {"predicate": predicate})
    found = package.open(sealed.path)
    assert len(found.attestations()) == 4
    assert evidence_of(found) == stated


def test_a_statement_whose_time_has_no_zone_is_refused_by_name(sealed: Package) -> None:
    (own,) = attest(sealed, evidence()).attestations()
    text = json.dumps(own.document).replace("2026-01-31T12:00:00Z", "2026-01-31T12:00:00")
    sealed.attest("provenance", json.loads(text))
    with pytest.raises(InvalidRequestError, match="finishedOn is '2026-01-31T12:00:00', expected"):
        evidence_of(sealed.path)


def test_a_private_package_holds_no_records(model: Any, tmp_path: Path) -> None:
    holding = seal(model, tmp_path / "real", "real")
    with pytest.raises(InvalidRequestError, match="holds records as golden rows"):
        attest(holding, evidence(privacy=spent()))
    assert attest(holding, evidence()).attestations()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"data": (Data(name="x", digest="abc"),)}, "digest of the data 'x' is 'abc'"),
        ({"metrics": {"loss": float("nan")}}, "cannot be stored as JSON"),
        ({"finished_at": datetime(2026, 1, 1)}, "has no zone"),  # noqa: DTZ001 - that is the point
    ],
)
def test_evidence_that_cannot_be_stored_is_refused(
    sealed: Package, named: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        attest(sealed, evidence(**named))
    assert package.open(sealed.path).attestations() == ()


def test_files_are_bounded_and_have_plain_names(sealed: Package, tmp_path: Path) -> None:
    for files, message in (
        ({"../x": b""}, "'../x'"),
        ({f"{at}.txt": b"" for at in range(17)}, "17 files"),
        ({"large": bytes(16 * 1024 * 1024 + 1)}, "the file large has more than"),
    ):
        with pytest.raises(InvalidRequestError, match=message):
            attest(sealed, evidence(), files=files)
    with pytest.raises(PathError):
        attest(sealed, evidence(), files={"a": tmp_path / "nothing"})
    with pytest.raises(InvalidRequestError, match="0 attestations"):
        package.open(sealed.path).attached("a")


def test_a_statement_about_another_package_is_refused(sealed: Package, tmp_path: Path) -> None:
    attested = attest(sealed, evidence())
    other = package.build(
        LogisticRegression().fit(ROWS[:200], 1 - LABELS[:200]),
        name="m",
        version="1",
        output=tmp_path / "other",
        example=ROWS[200:],
    )
    with pytest.raises(InvalidRequestError, match="not about"):
        other.attest("provenance", attested.attestations()[0].document)


def test_a_bit_of_an_attached_file_is_refused(sealed: Package) -> None:
    attested = attest(sealed, evidence(), files={"report.html": b"<p>good</p>"})
    (file,) = attested.attestations()[0].files
    blob = sealed.path / "blobs" / "sha256" / file.digest.removeprefix("sha256:")
    blob.write_bytes(b"<p>bad!</p>")
    with pytest.raises(CorruptPackageError, match="changed after"):
        attested.attached("report.html")
    with pytest.raises(CorruptPackageError):
        package.open(sealed.path)


def test_what_a_killed_attest_leaves_is_no_harm_but_other_files_are(sealed: Package) -> None:
    index = (sealed.path / "index.json").read_bytes()
    attested = attest(sealed, evidence(), files={"report.html": b"<p>good</p>"})
    (sealed.path / "index.json").write_bytes(index)
    assert package.open(sealed.path).attestations() == ()  # its blobs are there, and not listed
    manifest = attested.attestations()[0].digest.removeprefix("sha256:")
    (sealed.path / "blobs" / "sha256" / manifest).unlink()
    with pytest.raises(CorruptPackageError, match="does not list"):
        package.open(sealed.path)


def test_a_full_disk_leaves_the_package_as_it_was(
    sealed: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in sealed.path.parent.rglob("*") if p.is_file()}

    before, calls = everything(), 0
    with monkeypatch.context() as patch:

        def full(handle: int) -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise OSError(28, "No space left on device")

        patch.setattr("os.fsync", full)
        with pytest.raises(StorageError):
            attest(sealed, evidence(), files={"report.html": b"x"})
    assert everything() == before


def test_the_revision_of_code_is_a_commit_and_whether_it_changed(tmp_path: Path) -> None:
    assert code_revision(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    with pytest.raises(RequirementError, match="cannot tell the revision"):
        code_revision(tmp_path)
    (tmp_path / "train.py").write_text("print(1)\n")
    git(tmp_path, "add", "train.py")
    author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    git(tmp_path, *author, "commit", "--quiet", "-m", "one")
    inner = tmp_path / "inner"
    inner.mkdir()
    found = code_revision(inner)
    assert found is not None
    assert found == Code(commit=git(tmp_path, "rev-parse", "HEAD").strip(), changed=False)
    (tmp_path / "train.py").write_text("print(2)\n")
    assert code_revision(tmp_path) == msgspec.structs.replace(found, changed=True)


def committed(place: Path, content: str) -> str:
    """The commit of a new repository of one file."""
    place.mkdir()
    git(place, "init", "--quiet")
    (place / "train.py").write_text(content)
    git(place, "add", "train.py")
    author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    git(place, *author, "commit", "--quiet", "-m", content)
    return git(place, "rev-parse", "HEAD").strip()


def test_the_revision_is_that_of_the_directory_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, other = (committed(tmp_path / name, name) for name in ("wanted", "other"))
    assert wanted != other
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "nothing"))
    assert code_revision(tmp_path / "wanted") == Code(commit=wanted, changed=False)


def test_asking_for_the_revision_writes_nothing(tmp_path: Path) -> None:
    """A file that was only touched makes git write its index anew, if it is let."""
    place = tmp_path / "code"
    commit = committed(place, "one")
    index, moment = place / ".git" / "index", 1_000_000_000
    os.utime(place / "train.py", (moment, moment))
    before, written_ns = index.read_bytes(), index.stat().st_mtime_ns
    assert code_revision(place) == Code(commit=commit, changed=False)
    assert (index.read_bytes(), index.stat().st_mtime_ns) == (before, written_ns)


def test_a_revision_that_git_cannot_tell_may_be_a_note_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, programs = tmp_path / "code", tmp_path / "programs"
    commit = committed(code, "one")
    assert code_revision_or_reason(code) == Code(commit=commit, changed=False)
    assert code_revision_or_reason(tmp_path) is None
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "--quiet")
    reason = f"git cannot tell the revision of {empty}: fatal: Needed a single revision"
    assert code_revision_or_reason(empty) == reason
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    assert "git is not there" in str(code_revision_or_reason(code))
    (programs / "git").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (programs / "git").chmod(0o755)
    monkeypatch.setattr("shoal.train._seal._here._GIT_WAIT_SECONDS", 0.2)
    assert "git said nothing" in str(code_revision_or_reason(code))
    (programs / "git").write_text("no program")
    assert "git cannot be asked" in str(code_revision_or_reason(code))


def git(place: Path, *words: str) -> str:
    command = ["git", "-C", str(place), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_environment_names_what_computes(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text("x")
    found = environment_here(tmp_path / "uv.lock")
    assert found.distributions["numpy"] == np.__version__
    assert {"scikit-learn", "skl2onnx", "onnxruntime", "shoal"} <= set(found.distributions)
    assert found.lock == "sha256:" + hashlib.sha256(b"x").hexdigest()
