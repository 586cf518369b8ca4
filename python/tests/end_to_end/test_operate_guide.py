"""The guide for operators: its unit, its container and its alerts are held against real servers.

The commands on the page run as they stand there; only their places and addresses are replaced.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from shoal import serve
from tests.end_to_end.driver import DEADLINE_S, SHOAL, Served, ask
from tests.end_to_end.repository_driver import keeping
from tools import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.models import Sealed

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "operate.md"
METRIC = re.compile(r"\bshoal_\w+")
SELECTION = re.compile(r"(shoal_\w+)\{([^}]*)\}")
OF_HISTOGRAMS = ("_bucket", "_sum", "_count")
ADDRESS = re.compile(r"^[\d.]+:\d+$")


def texts(kind: str) -> list[str]:
    """The blocks of one kind on the page, in order."""
    return [one.text for one in blocks.blocks_of(PAGE.read_text("utf-8")) if one.words[0] == kind]


def unit() -> RawConfigParser:
    """The unit file; a key that is said twice keeps its last value."""
    parser = RawConfigParser(strict=False, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[method-assign, assignment]  # keys keep their letters
    parser.read_string(texts("ini")[0].replace("\\\n", " "))
    return parser


def service(key: str) -> str:
    return unit()["Service"][key]


def container() -> dict[str, Any]:
    """The one container of the pod."""
    pod = yaml.safe_load(texts("yaml")[0])["spec"]
    (one,) = pod["containers"]
    assert isinstance(one, dict)
    return one


def instruction(name: str) -> list[str]:
    """The list after an instruction of the image."""
    line = next(one for one in texts("dockerfile")[0].splitlines() if one.startswith(f"{name} "))
    words = json.loads(line.removeprefix(f"{name} "))
    assert isinstance(words, list)
    return words


def here(words: list[str], package: Path, place: Path) -> list[str]:
    """A command of the page with this package, these places, and free ports."""
    places = {"/srv/shoal/digits": str(package), "/var/cache/shoal": str(place / "cache")}
    return [places.get(word, "127.0.0.1:0" if ADDRESS.match(word) else word) for word in words]


def drained(command: list[str], key: str | None, *, number: int, limit_s: float) -> list[str]:
    """Start a server, ask it, end it by a signal within a time: the lines of its log."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            served = Served(process, json.loads(line)["http"], json.loads(line)["grpc"])
            assert served.ask("GET", "/v2/health/live").status == 200
            assert served.ask("GET", "/v2/health/ready").status == 200
            if key is not None:
                assert served.ask("GET", "/metrics").status == 401
                answer = ask(served.http, "GET", "/metrics", headers={"X-API-Key": key})
                assert answer.status == 200
            process.send_signal(number)
            assert process.wait(limit_s) == 0
            return process.communicate()[1].splitlines()
        finally:
            if process.poll() is None:
                process.kill()


def test_the_command_of_the_unit_serves_and_ends_as_the_unit_says(
    digits: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = serve.new_key("ann")
    credential, _, _ = service("LoadCredential").partition(":")
    (tmp_path / credential).write_text(f"{key.line}\n", "utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    program, *words = shlex.split(os.path.expandvars(service("ExecStart")))
    assert Path(program).name == "shoal"
    command = [*SHOAL, *here(words, digits.path, tmp_path)]
    number = signal.Signals[service("KillSignal")]
    limit_s = float(service("TimeoutStopSec"))
    log = drained(command, key.secret, number=number, limit_s=limit_s)
    assert [json.loads(line)["level"] for line in log] == ["INFO"] * len(log)
    assert log
    assert key.secret not in "".join(log)


def test_the_unit_leaves_the_server_what_it_needs() -> None:
    options = serve.Options()
    assert int(service("LimitNOFILE")) > options.max_connections
    assert float(service("TimeoutStopSec")) > options.worker_timeout_ms / 1000 + 10
    assert service("KillMode") == "mixed"  # workers are ended by the server, when nobody waits
    assert service("OOMPolicy") == "continue"  # one worker without memory is not the service's end
    words = shlex.split(service("ExecStart"))
    bodies = int(words[words.index("--bodies-in-flight-limit-bytes") + 1])
    assert service("MemoryMax") == "2G"
    assert bodies * 4 < 2 * 2**30


@pytest.mark.parametrize("words", ["CMD", "pod"])
def test_the_command_of_the_container_serves_and_ends_by_sigterm(
    words: str, digits: Sealed, tmp_path: Path
) -> None:
    program, *fixed = instruction("ENTRYPOINT")
    assert program == "shoal"
    more = container()["args"] if words == "pod" else instruction(words)
    command = [*SHOAL, *here([*fixed, *more], digits.path, tmp_path)]
    assert drained(command, None, number=signal.SIGTERM, limit_s=DEADLINE_S)


def test_the_probes_of_the_pod_ask_what_is_answered() -> None:
    pod = container()
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    ports = {port["name"]: port["containerPort"] for port in pod["ports"]}
    asked = [pod[probe]["httpGet"] for probe in probes]
    words = ["ready", "ready", "live"]
    assert [one["path"] for one in asked] == [f"/v2/health/{word}" for word in words]
    listens = instruction("ENTRYPOINT")[instruction("ENTRYPOINT").index("--http") + 1]
    assert {ports[one["port"]] for one in asked} == {int(listens.partition(":")[2])}
    starts_s = pod["startupProbe"]["periodSeconds"] * pod["startupProbe"]["failureThreshold"]
    assert starts_s > serve.Options().worker_start_timeout_ms / 1000


@pytest.fixture(scope="module")
def metrics(
    digits: Sealed, fragile: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """What a server tells that has all there is: a worker, weights, a trace, a refusal."""
    place = tmp_path_factory.mktemp("metrics")
    arguments = ("--allow-code", "--trace-file", str(place / "trace.jsonl"))
    with keeping(place, digits.path, fragile, arguments=arguments) as kept:
        assert kept.call("models/digits/canary", {"weights": {"1": 1}}).status == 200
        assert kept.served.ask("GET", "/nothing").status == 404
        question: dict[str, Any] = {"inputs": []}
        assert kept.served.ask("POST", "/v2/models/digits/infer", question).status == 400
        yield kept.served.ask("GET", "/metrics").body.decode()


def samples(text: str) -> dict[str, set[str]]:
    """The labels of each sample, by its name."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := re.match(r"(shoal_\w+)(?:\{(.*)\})? ", line):
            labels = re.findall(r'(\w+)="', match[2] or "")
            found.setdefault(match[1], set()).update(labels)
    return found


def metric_of(sample: str) -> str:
    """The metric that a sample belongs to."""
    return next((sample.removesuffix(end) for end in OF_HISTOGRAMS if sample.endswith(end)), sample)


def test_the_table_of_metrics_has_exactly_what_a_server_exports(metrics: str) -> None:
    told = re.findall(r"^\| `(shoal_\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(told) == len(set(told))
    assert set(told) == {metric_of(sample) for sample in samples(metrics)}


def rules() -> list[dict[str, Any]]:
    (group,) = next(block for block in map(yaml.safe_load, texts("yaml")) if "groups" in block)[
        "groups"
    ]
    found = group["rules"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_is_about_samples_and_labels_that_a_server_exports(
    rule: dict[str, Any], metrics: str
) -> None:
    exported = samples(metrics)
    named = METRIC.findall(rule["expr"])
    assert named or rule["alert"] == "ShoalDown"
    assert set(named) <= set(exported)
    added = {"instance"}  # by Prometheus itself
    for grouped in re.findall(r"\bby \(([^)]*)\)", rule["expr"]):
        assert set(grouped.split(", ")) <= added.union(*(exported[name] for name in named))
    for name, selection in SELECTION.findall(rule["expr"]):
        assert set(re.findall(r"(\w+)=~?\"", selection)) <= exported[name]


def test_alerts_and_tables_name_codes_and_reasons_that_exist(root: Path, metrics: str) -> None:
    catalogue = (root / "protocol" / "errors.toml").read_text("utf-8")
    reasons = set(re.findall(r'connections_dropped_total\{reason="(\w+)"', metrics))
    for rule in rules():
        for name, selection in SELECTION.findall(rule["expr"]):
            for value in selection.partition('"')[2].rstrip('"').split("|"):
                is_known = value in reasons if "dropped" in name else f"[{value}]" in catalogue
                assert is_known, value
