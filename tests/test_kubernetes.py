"""config/kubernetes/: valid by the schemas of Kubernetes, and what it repeats of the daemon is the daemon's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]

from mailbridge.cli.serve import TO_THE_END
from mailbridge.config.load import TRUSTED_SECRETS, load
from mailbridge.config.places import SYSTEM
from mailbridge.config.settings import Settings
from mailbridge.metrics import Metrics
from mailbridge.store import cipher
from mailbridge.web.codes import MOST_WAITS
from mailbridge.web.health import Health, Level, health_app
from tests.cli.running import command
from tests.peers.daemon import free_port

CONFIG = Path(__file__).resolve().parents[1] / "config"
FOLDER = CONFIG / "kubernetes"
DOCKERFILE = (CONFIG / "Dockerfile").read_text(encoding="utf-8")
VERSIONS = ("1.30", "1.37")
"""The oldest and the newest release of Kubernetes by whose schemas the manifests are judged."""


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of every file, with a name for it."""
    for path in sorted(FOLDER.glob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield f"{path.stem}-{one['kind']}-{one['metadata']['name']}", one


OBJECTS = dict(manifests())


def only(kind: str, name: str = "mailbridge") -> dict[str, Any]:
    """The object of a kind."""
    (found,) = (one for one in OBJECTS.values() if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def pod() -> dict[str, Any]:
    """What a pod is made of."""
    found: dict[str, Any] = only("Deployment")["spec"]["template"]["spec"]
    return found


def container() -> dict[str, Any]:
    """Its one container."""
    (found,) = pod()["containers"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """What a pod loads: the ConfigMap with the environment of the Deployment."""
    path, environ = placed(tmp_path)
    return load(path, environ=environ, cwd=tmp_path).settings


def placed(folder: Path) -> tuple[Path, dict[str, str]]:
    """The configuration in a folder, with its secrets there too, and the environment that goes with it."""
    mount = next(one["mountPath"] for one in container()["volumeMounts"] if one["name"] == "secrets")
    for name in only("Secret")["stringData"]:
        (folder / name).write_text("k" * cipher.KEY_LENGTH, encoding="utf-8")
        (folder / name).chmod(0o600)
    path = folder / SYSTEM.name
    path.write_text(only("ConfigMap")["data"][SYSTEM.name].replace(mount, str(folder)), encoding="utf-8")
    environ = dict(re.findall(r"(MAILBRIDGE_[A-Z_]+)=(\S+)", DOCKERFILE))
    return path, environ | {one["name"]: one["value"] for one in container()["env"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_is_valid(name: str, version: str) -> None:
    """By Kubernetes' own schema, strictly: no field that there is not."""
    kubernetes_validate.validate(OBJECTS[name], version, strict=True)


def test_a_misspelt_field_is_noticed() -> None:
    """The check above is one."""
    bad = {**only("PodDisruptionBudget"), "spec": {"maxUnavailabel": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(bad, VERSIONS[-1], strict=True)


def test_the_configuration_inside_is_right(tmp_path: Path) -> None:
    """`mailbridge check-config`, as a pod runs it, finds nothing wrong but that no database answers here."""
    path, environ = placed(tmp_path)
    url = environ["MAILBRIDGE_STORE__URL"]
    environ["MAILBRIDGE_STORE__URL"] = url.replace("database.example.com:5432", f"127.0.0.1:{free_port()}")
    assert environ["MAILBRIDGE_STORE__URL"] != url
    done = command("check-config", "--config", str(path), cwd=tmp_path, env=environ)
    mistakes = done.err.splitlines()
    assert len(mistakes) == 1, mistakes
    assert "[store] url" in mistakes[0]
    assert "the server cannot be reached" in mistakes[0]


def test_a_mistake_inside_would_be_noticed(tmp_path: Path) -> None:
    """A misspelt key in the ConfigMap is named: the check above is one."""
    path, environ = placed(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("drain =", "drian ="), encoding="utf-8")
    done = command("check-config", "--config", str(path), cwd=tmp_path, env=environ)
    assert done.code == 78
    assert "did you mean drain?" in done.err


def test_a_pod_listens_where_it_is_asked(settings: Settings) -> None:
    """The ports of the container, and by their names those of services and probes, are the daemon's."""
    ports = {one["name"]: one["containerPort"] for one in container()["ports"]}
    assert ports == {
        "smtp": int(settings.smtp.listen[0].rpartition(":")[2]),
        "http": int(settings.http.listen.rpartition(":")[2]),
    }
    services = [one for one in OBJECTS.values() if one["kind"] == "Service"]
    assert {port["targetPort"] for one in services for port in one["spec"]["ports"]} == ports.keys()
    mail = only("Service", "mailbridge-smtp")["spec"]
    assert (mail["ports"][0]["port"], mail["externalTrafficPolicy"]) == (25, "Local")
    allowed = [port["port"] for rule in only("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]]
    assert sorted(allowed) == sorted(ports.values())
    notes = only("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert int(notes["prometheus.io/port"]) == ports["http"]


def test_probes_and_scrapes_ask_for_what_there_is() -> None:
    """Paths of the daemon. Nothing that only cannot take mail is killed for it: only /healthz decides on life."""

    async def ready() -> Health:
        return Health(level=Level.READY)

    async def metrics() -> bytes:
        return b""

    served = {getattr(route, "path", "") for route in health_app(ready=ready, metrics=metrics).routes}
    asked = {name: container()[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: one["path"] for name, one in asked.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    notes = only("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert {notes["prometheus.io/path"], *(one["path"] for one in asked.values())} <= served
    assert {one["port"] for one in asked.values()} == {"http"}


def test_a_pod_has_time_to_stop(settings: Settings) -> None:
    """Its drain, and what the daemon needs to finish, before it is killed; and nobody is replaced before another one is ready."""
    grace = pod()["terminationGracePeriodSeconds"]
    assert settings.http.drain.total_seconds() > 0
    assert (settings.http.drain + TO_THE_END).total_seconds() <= grace
    assert only("Deployment")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_secrets_are_where_the_configuration_looks_and_readable_there(settings: Settings) -> None:
    """Each is mounted below /run/secrets, where a file that a pod's group may read is taken, and no other one; each is named by a key."""
    mount = next(one["mountPath"] for one in container()["volumeMounts"] if one["name"] == "secrets")
    assert {TRUSTED_SECRETS, cipher.MOUNTED} == {Path(mount).parent}
    (volume,) = (one["secret"] for one in pod()["volumes"] if one["name"] == "secrets")
    assert (volume["secretName"], volume["defaultMode"]) == (only("Secret")["metadata"]["name"], 0o440)
    assert pod()["securityContext"]["fsGroup"] == pod()["securityContext"]["runAsUser"]
    text = only("ConfigMap")["data"][SYSTEM.name]
    assert set(re.findall(rf'"{mount}/(\w+)"', text)) == only("Secret")["stringData"].keys()
    assert settings.store.folder is not None


def test_a_pod_is_the_image_that_is_built() -> None:
    """The user of the Dockerfile, its folder for state, and the place where the daemon looks for its configuration."""
    user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert user is not None
    context = pod()["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user[1]), int(user[2]))
    mounts = {one["name"]: one["mountPath"] for one in container()["volumeMounts"]}
    assert f"VOLUME {mounts['state']}\n" in DOCKERFILE
    assert Path(mounts["configuration"]) == SYSTEM.parent
    assert "--extra postgres" in DOCKERFILE


def test_a_pod_is_confined() -> None:
    """As the Compose file has it: no root, no capability, no writable root; and no token of the cluster."""
    own = container()["securityContext"]
    assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert pod()["automountServiceAccountToken"] is False
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    metadata = only("Namespace")["metadata"]
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_everything_is_about_the_same_pods() -> None:
    """Selectors name the label of the template, and all objects but the adapter's are in one namespace."""
    labels = only("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        only("Deployment")["spec"]["selector"]["matchLabels"],
        only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(one["spec"]["selector"] for one in OBJECTS.values() if one["kind"] == "Service"),
        *(one["labelSelector"]["matchLabels"] for one in pod()["topologySpreadConstraints"]),
    ]
    assert [one for one in selectors if one != labels] == []
    elsewhere = {one["kind"] for one in OBJECTS.values() if one["metadata"].get("namespace") != "mailbridge"}
    assert elsewhere == {"Namespace", "ConfigMap"}
    target = only("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", only("Deployment")["metadata"]["name"])


def test_the_autoscaler_asks_for_metrics_that_there_are() -> None:
    """Each that it names is made by a rule of the adapter, out of a series that /metrics has with these labels."""
    rules = yaml.safe_load(only("ConfigMap", "adapter-config")["data"]["config.yaml"])["rules"]
    asked = [one["pods"]["metric"]["name"] for one in only("HorizontalPodAutoscaler")["spec"]["metrics"]]
    assert asked == [rule["name"]["as"] for rule in rules]
    metrics = Metrics()
    metrics.stage("accept", 0.001)
    shown = metrics.render().decode()
    for rule in rules:
        for query in (rule["seriesQuery"], rule["metricsQuery"]):
            series = re.search(r"(mailbridge_\w+)\{(\w+)=\"(\w+)\"", query)
            assert series is not None, query
            assert f'{series[1]}{{{series[2]}="{series[3]}"}}' in shown


def test_a_replica_is_added_before_it_must_refuse() -> None:
    """Waits: well below the number from which on a daemon answers 503."""
    (waits,) = (
        int(one["pods"]["target"]["averageValue"])
        for one in only("HorizontalPodAutoscaler")["spec"]["metrics"]
        if one["pods"]["metric"]["name"] == "mailbridge_requests_waiting"
    )
    assert waits <= MOST_WAITS / 2
