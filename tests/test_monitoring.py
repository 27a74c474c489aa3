"""The files for Prometheus, Grafana and proxies name only what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from mailbridge.metrics import Metrics
from mailbridge.web.pull import PATH

CONFIG = Path(__file__).resolve().parents[1] / "config"
ALERTS, DASHBOARD = CONFIG / "monitoring" / "alerts.yml", CONFIG / "monitoring" / "grafana.json"
NAME = re.compile(r"mailbridge_[a-z_]+")
LABEL = re.compile(r"(mailbridge_[a-z_]+)\{([a-z]+)=~?")


def _rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def _expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [rule["expr"] for rule in _rules()] + [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_metric_that_is_asked_for_exists() -> None:
    """Alerts and dashboard ask for series that /metrics has; a histogram's by its buckets."""
    metrics = Metrics()
    metrics.tls_expiry(datetime(2030, 1, 1, tzinfo=UTC))  # absent where there is no TLS
    known = metrics.render().decode()
    families = set(re.findall(r"^# TYPE (\S+) ", known, re.MULTILINE))
    histograms = set(re.findall(r"^# TYPE (\S+) histogram", known, re.MULTILINE))
    for expression in _expressions():
        names = NAME.findall(expression)
        assert names, expression
        for name in names:
            assert name in families or (name.endswith("_bucket") and name.removesuffix("_bucket") in histograms), name


def test_every_alert_says_what_to_do() -> None:
    """A summary, a severity, and in the description a command or a series to look at; brackets are balanced."""
    for rule in _rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert "`mailbridge" in rule["annotations"]["description"]
        for opened, closed in ("()", "{}", "[]"):
            assert rule["expr"].count(opened) == rule["expr"].count(closed)


def test_promtool_takes_the_alerts() -> None:
    """Prometheus' own checker, where it is installed."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no promtool: apt install prometheus")
    done = subprocess.run([tool, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_can_be_imported() -> None:
    """Panels have numbers of their own, and one place each."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    assert len({(one["gridPos"]["x"], one["gridPos"]["y"]) for one in panels}) == len(panels)


@pytest.mark.parametrize("name", ["Caddyfile", "nginx.conf"])
def test_a_proxy_lets_through_the_pull_endpoint_and_no_metrics(name: str) -> None:
    """Its path is the daemon's own; brackets are balanced."""
    text = (CONFIG / "proxy" / name).read_text(encoding="utf-8")
    active = "\n".join(line.partition("#")[0] for line in text.splitlines())
    assert PATH in active
    assert "/metrics" not in active
    assert active.count("{") == active.count("}")
    assert "127.0.0.1:8025" in active
