"""What config/docker-compose.ha.yml and config/haproxy.cfg repeat of the daemon and of each other is the same everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from mailbridge.app.engine import FLUSH
from mailbridge.cli.serve import TO_THE_END
from mailbridge.config.settings import SmtpSettings
from mailbridge.config.values import duration
from mailbridge.store.cipher import KEY_LENGTH
from mailbridge.web.codes import LONGEST_WAIT
from mailbridge.web.events import KEEP_ALIVE
from mailbridge.web.server import LEAST_PATIENCE

CONFIG = Path(__file__).resolve().parents[1] / "config"
BALANCER = (CONFIG / "haproxy.cfg").read_text(encoding="utf-8")
SECTION = re.compile(r"^(?=\S)", re.MULTILINE)


def section(name: str) -> str:
    """The lines of a section of HAProxy's configuration."""
    (found,) = (one for one in SECTION.split(BALANCER) if one.startswith(f"{name}\n"))
    return found


def seconds(of: str, key: str) -> float:
    """A timeout that stands there."""
    found = re.search(rf"^\s+{key} (\S+)$", section(of), re.MULTILINE)
    assert found is not None, key
    return duration(found[1]).total_seconds()


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The Compose file, as it is written."""
    found: dict[str, Any] = yaml.safe_load((CONFIG / "docker-compose.ha.yml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def replica(compose: dict[str, Any]) -> dict[str, Any]:
    """What both replicas are."""
    one, two = ({**compose["services"][name], "volumes": None} for name in ("mailbridge-1", "mailbridge-2"))
    assert one == two
    return one


def test_haproxy_sends_to_the_ports_of_the_container(compose: dict[str, Any]) -> None:
    """Those that the Dockerfile makes the daemon listen on, at the names of the services; and it listens where Compose publishes."""
    dockerfile = (CONFIG / "Dockerfile").read_text(encoding="utf-8")
    ports = dict(re.findall(r"MAILBRIDGE_(SMTP|HTTP)__LISTEN=0\.0\.0\.0:(\d+)", dockerfile))
    for name in ("smtp", "http"):
        servers = re.findall(r"^\s+server (\S+) (\S+):(\d+)", section(f"backend {name}"), re.MULTILINE)
        both = ("mailbridge-1", "mailbridge-2")
        named = [*((one, one) for one in both), *((f"{one}-unready", one) for one in both if name == "smtp")]
        assert servers == [(one, host, ports[name.upper()]) for one, host in named]
        assert {host for _, host, _ in servers} <= compose["services"].keys()
    bound = re.findall(r"^\s+bind :(\d+)", BALANCER, re.MULTILINE)
    assert [one.rpartition(":")[2] for one in compose["services"]["haproxy"]["ports"]] == bound


def test_haproxy_alone_may_speak_for_others(compose: dict[str, Any], replica: dict[str, Any]) -> None:
    """Its own address, which no other container can be given."""
    address = compose["services"]["haproxy"]["networks"]["front"]["ipv4_address"]
    assert {replica["environment"][key] for key in ("MAILBRIDGE_SMTP__PROXY_FROM", "FORWARDED_ALLOW_IPS")} == {address}
    assert "send-proxy-v2" in section("backend smtp")
    assert "option forwardfor" in section("backend http")
    (pool,) = compose["networks"]["front"]["ipam"]["config"]
    assert int(address.rpartition(".")[2]) < int(pool["ip_range"].partition("/")[0].rpartition(".")[2])


def test_both_have_the_same_key_and_database(compose: dict[str, Any], replica: dict[str, Any]) -> None:
    """By secrets that both are given, a key as long as the database wants it, and a user and a database that are made."""
    environment, database = replica["environment"], compose["services"]["database"]["environment"]
    named = {value.removeprefix("/run/secrets/") for key, value in environment.items() if key.endswith("_FILE")}
    assert named == set(replica["secrets"]) == compose["secrets"].keys()
    assert f"head -c {KEY_LENGTH} /dev/urandom" in (CONFIG / "docker-compose.ha.yml").read_text(encoding="utf-8")
    user, name = database["POSTGRES_USER"], database["POSTGRES_DB"]
    assert environment["MAILBRIDGE_STORE__URL"] == f"postgresql://{user}@database:5432/{name}"
    assert replica["networks"] == ["front", "back"]


def test_a_replica_has_time_to_stop(replica: dict[str, Any]) -> None:
    """It goes on until HAProxy has seen it, finishes what is in hand, and is not killed before that."""
    checks = dict(re.findall(r"\b(inter|fastinter|fall) (\w+)", section("backend http")))
    noticed = duration(checks["inter"]) + (int(checks["fall"]) - 1) * duration(checks["fastinter"])
    drain = duration(replica["environment"]["MAILBRIDGE_HTTP__DRAIN"])
    assert noticed < drain / 2
    assert drain + TO_THE_END <= duration(replica["stop_grace_period"])
    assert FLUSH + LEAST_PATIENCE < TO_THE_END


def test_mail_is_given_to_a_replica_that_is_not_ready_only_where_none_is() -> None:
    """Each replica stands twice for mail: by its readiness, and as a backup that nobody checks, equal but for that."""
    lines = re.findall(r"^\s+server (\S+) (.+)$", section("backend smtp"), re.MULTILINE)
    checked, backups = dict(lines[:2]), dict(lines[2:])
    for name, line in checked.items():
        assert "backup" not in line
        assert backups[f"{name}-unready"].replace(" backup", "") == line.replace(f" track http/{name}", "")
    assert "option allbackups" in section("backend smtp")
    assert "backup" not in section("backend http")


def test_haproxy_waits_longer_than_the_daemon() -> None:
    """The daemon ends what takes too long, with a reply; HAProxy would end it without one."""
    assert seconds("backend smtp", "timeout server") > SmtpSettings().session_timeout.total_seconds()
    assert seconds("frontend smtp", "timeout client") > SmtpSettings().session_timeout.total_seconds()
    assert seconds("backend http", "timeout server") > max(LONGEST_WAIT, KEEP_ALIVE) + 10
    assert seconds("frontend http", "timeout client") > max(LONGEST_WAIT, KEEP_ALIVE) + 10


def test_haproxy_asks_what_the_daemon_answers() -> None:
    """Readiness, by each replica's own /readyz, also for mail; its log names no path, which may name an identifier."""
    assert "option httpchk GET /readyz" in section("backend http")
    assert section("backend smtp").count("track http/mailbridge-") == 2
    assert "httplog" not in BALANCER
    assert re.findall(r"%(?:HP|HU|HQ|r\b|\[path)", BALANCER) == []
