"""Alerts, dashboard and scaling ask for what a server shows, in words that Prometheus knows."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from shoal import deploy, serve
from shoal.deploy._objects._watch._dashboard import dashboard
from shoal.deploy._objects._watch._signals import METRICS, metrics_in
from tests.deploy.objects.made import TARGETS, asked, rendered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERIES = re.compile(r"^(shoal_\w+?)(?:\{|\s)", re.MULTILINE)
FAMILY = re.compile(r"^# TYPE (shoal_\w+) (\w+)$", re.MULTILINE)
OTHERS = {"up"}  # of Prometheus itself


@pytest.fixture(scope="module")
def shown(fragile: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a server shows that has workers, weights and a trace, has answered and has refused."""
    place = tmp_path_factory.mktemp("repository")
    shutil.copytree(fragile, place / "models" / "fragile")
    token = secrets.token_hex(32)
    (place / "token").write_text(token)
    (place / "token").chmod(0o600)
    options = serve.Options(
        admin="127.0.0.1:0", admin_token_file=place / "token", trace_file=place / "trace"
    )
    with serve.start(
        serve.Repository(place / "models"), allow_code=True, options=options
    ) as server:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{server.http}/predict", b"{", timeout=30)
        refused.value.close()
        ask(f"http://{server.http}")
        weigh(f"http://{server.admin}", token)
        with urllib.request.urlopen(f"http://{server.http}/metrics", timeout=30) as page:
            yield page.read().decode()


def ask(server: str) -> None:
    """One row, so that the server knows what one takes."""
    body = json.dumps({"features": [1.0]}).encode()
    request = urllib.request.Request(f"{server}/predict", body)
    urllib.request.urlopen(request, timeout=30).close()


def weigh(admin: str, token: str) -> None:
    request = urllib.request.Request(
        f"{admin}/v2/repository/models/fragile/canary",
        json.dumps({"weights": {"1": 100}}).encode(),
        {"Authorization": f"Bearer {token}"},
    )
    urllib.request.urlopen(request, timeout=30).close()


def queries(settings: deploy.Deployment) -> list[str]:
    """Every question of the dashboard, the rules, and whatever scales."""
    asks = [
        target["expr"] for panel in dashboard(settings)["panels"] for target in panel["targets"]
    ]
    asks += [rule["expr"] for group in deploy.alert_groups(settings) for rule in group["rules"]]
    content = [each.to_dict() for each in deploy.render(settings)]
    return asks + [text for each in content for text in asked_in(each)]


def asked_in(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from asked_in(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from asked_in(each)
    elif key == "query" and "shoal_" in value:
        yield value


def test_the_metrics_of_the_registry_are_those_of_a_server(shown: str) -> None:
    assert dict(FAMILY.findall(shown)) == {each.name: each.kind for each in METRICS}


@pytest.mark.parametrize("target", TARGETS)
def test_every_metric_that_is_asked_for_is_shown_by_a_server(target: str, shown: str) -> None:
    known = set(SERIES.findall(shown))
    asks = queries(asked(**TARGETS[target]))
    assert len(asks) > len(METRICS)
    assert {name for ask in asks for name in metrics_in(ask)} <= known


def test_every_metric_of_a_server_has_a_panel() -> None:
    asks = " ".join(queries(asked()))
    assert [each.name for each in METRICS if f"{each.name}" not in asks] == []


def test_panels_stand_beside_each_other_and_have_names_of_their_own() -> None:
    panels = dashboard(asked())["panels"]
    places = {(each["gridPos"]["x"], each["gridPos"]["y"]) for each in panels}
    assert len(places) == len({each["id"] for each in panels}) == len(panels)
    assert len({each["title"] for each in panels}) == len(panels)


def test_grafana_finds_the_dashboard_and_reads_it() -> None:
    content = rendered()["ConfigMap", "digits-dashboard"]
    assert content["metadata"]["labels"]["grafana_dashboard"] == "1"
    (text,) = content["data"].values()
    assert json.loads(text) == dashboard(asked())


def test_prometheus_asks_one_service_of_each_track() -> None:
    objects = rendered(**TARGETS["plain"])
    wanted = objects["ServiceMonitor", "digits"]["spec"]["selector"]["matchLabels"].items()
    chosen = [
        name
        for (kind, name), each in objects.items()
        if kind == "Service" and wanted <= each["metadata"]["labels"].items()
    ]
    assert chosen == ["digits", "digits-canary"]


def test_promtool_takes_every_question(program: Callable[[str], str], tmp_path: Path) -> None:
    for number, target in enumerate(TARGETS):
        settings = asked(**TARGETS[target])
        asks = [
            {"record": f"asked:{place}", "expr": ask} for place, ask in enumerate(queries(settings))
        ]
        groups = [*deploy.alert_groups(settings), {"name": "asked", "rules": asks}]
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump({"groups": groups}))
    files = sorted(str(each) for each in tmp_path.iterdir())
    answer = subprocess.run(
        [program("promtool"), "check", "rules", *files],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


OF = 'namespace="models", service="digits"'
MODEL = f'{OF}, model="digits", version="1"'


def test_alerts_fire_when_they_should(program: Callable[[str], str], tmp_path: Path) -> None:
    proved(program("promtool"), asked(), [*of_requests(), *of_replicas()], tmp_path)


def test_no_replica_at_all_is_no_alarm_where_the_first_one_is_woken(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    settings = asked(**TARGETS["keda, from none"])
    tests = [
        silent("ShoalDown", "5m", {'up{namespace="models", service="other"}': "1x200"}),
        fires("ShoalDown", "5m", {f"up{{{OF}}}": "0x200"}),
    ]
    proved(program("promtool"), settings, tests, tmp_path)


def proved(
    promtool: str, settings: deploy.Deployment, tests: list[dict[str, Any]], place: Path
) -> None:
    groups = deploy.alert_groups(settings)
    (place / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    described = {"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": tests}
    (place / "tests.yaml").write_text(yaml.safe_dump(described))
    answer = subprocess.run(
        [promtool, "test", "rules", "tests.yaml"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def of_requests() -> list[dict[str, Any]]:
    return [
        fires(
            "ShoalErrors",
            "10m",
            {
                f'shoal_requests_total{{{MODEL}, outcome="ok"}}': "0+60x200",
                f'shoal_requests_total{{{MODEL}, outcome="model_failed"}}': "0+6x200",
            },
        ),
        silent(
            "ShoalErrors",
            "10m",
            {
                f'shoal_requests_total{{{MODEL}, outcome="ok"}}': "0+60x200",
                f'shoal_requests_total{{{MODEL}, outcome="wrong_shape"}}': "0+60x200",
            },
        ),
        fires(
            "ShoalQueueWait",
            "10m",
            {
                f"shoal_queue_seconds_sum{{{MODEL}}}": "0+30x200",
                f"shoal_queue_seconds_count{{{MODEL}}}": "0+60x200",
            },
        ),
        silent(
            "ShoalQueueWait",
            "10m",
            {
                f"shoal_queue_seconds_sum{{{MODEL}}}": "0+3x200",
                f"shoal_queue_seconds_count{{{MODEL}}}": "0+60x200",
            },
        ),
    ]


def of_replicas() -> list[dict[str, Any]]:
    return [
        fires("ShoalDown", "5m", {f"up{{{OF}}}": "0x200"}),
        silent(
            "ShoalDown", "5m", {f'up{{{OF}, pod="a"}}': "0x200", f'up{{{OF}, pod="b"}}': "1x200"}
        ),
        fires("ShoalModelUnavailable", "5m", {f"shoal_workers{{{MODEL}}}": "0x200"}),
        fires(
            "ShoalWorkersRestart",
            "30m",
            {
                f"shoal_worker_restarts_total{{{MODEL}}}": "0+1x200",
            },
        ),
    ]


def fires(alert: str, at: str, series: dict[str, str]) -> dict[str, Any]:
    rules = {each["alert"]: each for each in deploy.alert_groups(asked())[1]["rules"]}
    rule = rules[alert]
    expected = {"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}
    return case_of(alert, at, series, [expected])


def silent(alert: str, at: str, series: dict[str, str]) -> dict[str, Any]:
    return case_of(alert, at, series, [])


def case_of(
    alert: str, at: str, series: dict[str, str], expected: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"alertname": alert, "eval_time": at, "exp_alerts": expected}],
    }
