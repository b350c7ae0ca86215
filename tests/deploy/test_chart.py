"""The Helm chart: what it renders fits Kubernetes, the program and its settings."""

import copy
import json
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python import Chart, lint
from helm_python.errors import HelmError
from tests.harness.cli import parse
from tests.harness.documents import blocks, commands
from tests.harness.stack.places import ROOT

from voltpay_cli.settings import OPTIONS, Settings, load

CHART = ROOT / "deploy/helm/voltpay-writer"
UNIT = ROOT / "deploy/systemd/voltpay-consume@.service"
GUIDE = ROOT / "docs/how-to/deploy-on-kubernetes.md"
VALUES = sorted(path.name for path in CHART.glob("ci/*-values.yaml"))
KUBERNETES = ("1.29", "1.31", "1.34", "1.37")
CUSTOM = {"keda.sh/v1alpha1": "keda.v1alpha1", "monitoring.coreos.com/v1": "prometheus_operator.v1"}
NAMED_BY_A_FILE = {"kafka.password", "database.password", "database.migrator_password"}
OF_THE_PODS = {
    "listen",  # the chart's probes ask this port
    "database.liquibase",  # the image of the migrations brings it
    "database.liquibase_classpath",
    "database.superuser",  # nothing in the cluster should have these rights
}

each_values = pytest.mark.parametrize("values", VALUES)


def given(values: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CHART / "ci" / values).read_text("utf-8"))
    return loaded


@cache
def chart() -> Chart:
    return Chart.load(CHART)


def render(
    values: Mapping[str, Any], release: str = "eu", of: Chart | None = None
) -> list[dict[str, Any]]:
    files = (of or chart()).render(dict(values), name=release, namespace="payments")
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    return [resource for text in texts for resource in yaml.safe_load_all(text) if resource]


@cache
def rendered(values: str) -> list[dict[str, Any]]:
    return render(given(values))


def pods(values: str) -> dict[str, dict[str, Any]]:
    """The template of each kind of pod, by its component."""
    found = {}
    for resource in rendered(values):
        match resource:
            case {"kind": "Pod"}:
                pod = resource
            case {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": pod}}}}:
                pass
            case {"spec": {"template": {"spec": {"containers": _}} as pod}}:
                pass
            case _:
                continue
        found[pod["metadata"]["labels"]["app.kubernetes.io/component"]] = pod
    return found


def container(pod: Mapping[str, Any]) -> dict[str, Any]:
    (found,) = pod["spec"]["containers"]
    return dict(found)


def mounted(pod: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The files of a pod that a Secret or a ConfigMap holds: their path, its name, its key."""
    sources = {}
    for volume in pod["spec"]["volumes"]:
        match volume:
            case {"secret": {"secretName": name, "items": items}}:
                sources[volume["name"]] = name, {item["path"]: item["key"] for item in items}
            case {"configMap": {"name": name, "items": items}}:
                sources[volume["name"]] = name, {item["path"]: item["key"] for item in items}
            case {"configMap": {"name": name}}:
                sources[volume["name"]] = name, {"voltpay.toml": "voltpay.toml"}
    return {
        f"{mount['mountPath']}/{path}": (sources[mount["name"]][0], key)
        for mount in container(pod)["volumeMounts"]
        if mount["name"] in sources
        for path, key in sources[mount["name"]][1].items()
    }


def settings_files(values: str) -> dict[str, str]:
    """Each voltpay.toml, by the name of its ConfigMap."""
    return {
        resource["metadata"]["name"]: resource["data"]["voltpay.toml"]
        for resource in rendered(values)
        if resource["kind"] == "ConfigMap" and "voltpay.toml" in resource["data"]
    }


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    known = {option.path for option in OPTIONS}
    for name, value in table.items():
        if isinstance(value, dict) and prefix + name not in known:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


@each_values
def test_the_chart_has_no_lint(values: str) -> None:
    """Helm's strict lint finds nothing worse than that the chart has no icon."""
    messages = lint(CHART, given(values), strict=True)["messages"]
    assert [found["error"] for found in messages] in ([], ["icon is recommended"])


@pytest.mark.parametrize("version", KUBERNETES)
@each_values
def test_kubernetes_accepts_it(values: str, version: str) -> None:
    """Every resource has the fields, and only those, that this version of Kubernetes knows."""
    for resource in rendered(values):
        if resource["apiVersion"] in CUSTOM:
            continue
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            place = ".".join(map(str, error.path))
            pytest.fail(f"{resource['kind']} {place}: {error.message}", pytrace=False)


def test_operators_accept_it() -> None:
    """Every resource of KEDA and of the Prometheus operator has the fields that its kind knows."""
    found = [r for r in rendered("everything-values.yaml") if r["apiVersion"] in CUSTOM]
    assert {resource["kind"] for resource in found} >= {"ScaledObject", "ServiceMonitor"}
    for resource in found:
        assert as_known(resource) == resource


def as_known(resource: Mapping[str, Any]) -> Any:
    """A custom resource with the fields that its definition has, and no others."""
    module = import_module(f"cloudcoil.models.{CUSTOM[resource['apiVersion']]}")
    known = getattr(module, resource["kind"]).model_validate(resource)
    return known.model_dump(mode="json", by_alias=True, exclude_unset=True)


def test_the_oldest_kubernetes_is_tried() -> None:
    """The oldest version that the chart claims is among those that are tried."""
    assert chart().metadata["kubeVersion"] == f">={KUBERNETES[0]}.0-0"


@each_values
def test_names_are_unique_and_short(values: str) -> None:
    """No two resources of a kind share a name, and the longest name leaves room for suffixes."""
    for resources in (rendered(values), render(given(values), "a" * 53)):
        names = [(resource["kind"], resource["metadata"]["name"]) for resource in resources]
        assert len(names) == len(set(names))
        assert all(len(name) <= 52 for _, name in names), names


@each_values
def test_every_command_is_one_of_the_program(values: str) -> None:
    """The arguments of every container are a command of the program with what it takes."""
    found = {component: container(pod)["args"] for component, pod in pods(values).items()}
    assert set(found) == {"writer", "observer", "maintain", "purge", "migrations", "check"}
    for arguments in found.values():
        parse(["voltpay", *arguments])
    notes = chart().render(given(values))["voltpay-writer/templates/NOTES.txt"]
    (named,) = re.findall(r"kubectl exec .* -- (voltpay .*)", notes)
    parse(named.split())


@each_values
def test_the_settings_file_is_what_was_given(values: str, tmp_path: Path) -> None:
    """voltpay.toml can be loaded, and has exactly the given settings and the paths of files."""
    path = tmp_path / "voltpay.toml"
    sources = chart().merge_values(given(values))
    wanted = dict(flat(sources["settings"]))
    for name, section in [*sources["secrets"].items(), ("trust", sources["trust"])]:
        for setting, key in flat(section["files"]):
            wanted[setting] = f"/run/secrets/voltpay/{name}/{key}"
    assert len(settings_files(values)) == 2
    for text in settings_files(values).values():
        path.write_text(text, "utf-8")
        assert dict(flat(tomllib.loads(text))) == wanted
        assert set(load({}, str(path)).origins) == set(wanted)


@each_values
def test_every_named_file_is_there(values: str) -> None:
    """A pod has each file that its settings name for its command, from the Secret that was given.

    The migrator's secrets are seen only by what works as the migrator, and the writer's only by
    the others.
    """
    secrets = chart().merge_values(given(values))["secrets"]
    for component, pod in pods(values).items():
        files = mounted(pod)
        name, key = files[container(pod)["args"][-1]]
        role, other = ("writer", "migrator")
        if component in {"maintain", "migrations"}:
            role, other = other, role
        paths = {
            setting: value
            for setting, value in flat(tomllib.loads(settings_files(values)[name]))
            if str(value).startswith("/run/secrets/")
        }
        needed = {path for path in paths.values() if f"/{other}/" not in path}
        assert key == "voltpay.toml"
        assert needed | {container(pod)["args"][-1]} == set(files)
        for path, (source, _) in files.items():
            assert (f"/{role}/" in path) == (source == secrets[role]["name"]), path


@each_values
def test_pods_have_no_rights(values: str) -> None:
    """No pod has a token, root, a writable image, a capability or an unbounded memory."""
    for pod in pods(values).values():
        spec, only = pod["spec"], container(pod)
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert only["resources"]["requests"]
        assert only["resources"]["limits"]["memory"]


@each_values
def test_the_schema_comes_first(values: str) -> None:
    """The migrations run before anything of the release is there, so they bring what they need."""
    hooks = {
        (resource["kind"], resource["metadata"]["name"]): resource["metadata"]["annotations"]
        for resource in rendered(values)
        if "helm.sh/hook" in resource["metadata"].get("annotations", {})
    }
    pod = pods(values)["migrations"]
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    settings = volumes["settings"]["configMap"]["name"]
    job = hooks["Job", "eu-voltpay-writer-migrations"]
    assert "serviceAccountName" not in pod["spec"]
    for kind, name in (("ConfigMap", settings), ("NetworkPolicy", "eu-voltpay-writer-migrations")):
        needed = hooks[kind, name]
        assert needed["helm.sh/hook"] == job["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert int(needed["helm.sh/hook-weight"]) < int(job.get("helm.sh/hook-weight", 0))
        assert "hook-succeeded" in needed["helm.sh/hook-delete-policy"]
    assert "emptyDir" in volumes["scratch"]
    assert {"name": "scratch", "mountPath": "/tmp"} in container(pod)["volumeMounts"]


@each_values
def test_a_job_that_cannot_work_is_not_repeated(values: str) -> None:
    """A job has failed after the exit codes after which systemd does not start the writer again."""
    jobs = [
        resource["spec"].get("jobTemplate", resource)["spec"]
        for resource in rendered(values)
        if resource["kind"] in {"CronJob", "Job"}
    ]
    assert len(jobs) == 3
    for job in jobs:
        (rule,) = job["podFailurePolicy"]["rules"]
        assert rule["action"] == "FailJob"
        codes = " ".join(map(str, rule["onExitCodes"]["values"]))
        assert f"RestartPreventExitStatus={codes}\n" in UNIT.read_text("utf-8")


def test_a_roll_out_keeps_the_writers() -> None:
    """A changed setting replaces the pods that read it, and each writer before it is stopped."""
    found: dict[str, list[str]] = {}
    for size in (1, 1, 2):
        for resource in render(changed(settings__batch_size=size)):
            if resource["kind"] == "Deployment":
                pod = resource["spec"]["template"]["metadata"]["annotations"]
                found.setdefault(resource["metadata"]["name"], []).append(pod["checksum/settings"])
                if resource["metadata"]["name"] == "eu-voltpay-writer":
                    update = resource["spec"]["strategy"]["rollingUpdate"]
                    assert update == {"maxSurge": 1, "maxUnavailable": 0}
    assert found
    for first, again, other in found.values():
        assert first == again != other


def test_the_network_is_open_for_servers_alone() -> None:
    """Pods reach DNS, Kafka, PostgreSQL and what is added; the migrations PostgreSQL and DNS."""
    policies = {
        resource["metadata"]["name"]: {
            port["port"] for rule in resource["spec"]["egress"] for port in rule["ports"]
        }
        for resource in rendered("everything-values.yaml")
        if resource["kind"] == "NetworkPolicy"
    }
    assert policies == {
        "eu-voltpay-writer": {53, 9092, 9093, 5432, 4318},
        "eu-voltpay-writer-migrations": {53, 5432},
    }


def test_scaling_owns_the_number_of_writers() -> None:
    """With autoscaling the Deployment has no number of its own, and no metric is not a lag of 0."""
    found = {(r["kind"], r["metadata"]["name"]): r for r in rendered("everything-values.yaml")}
    scaled = found["ScaledObject", "eu-voltpay-writer"]["spec"]
    assert "replicas" not in found["Deployment", scaled["scaleTargetRef"]["name"]]["spec"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (3, 24)
    assert scaled["triggers"][0]["metadata"]["ignoreNullValues"] == "false"


@each_values
def test_policies_select_their_pods(values: str) -> None:
    """Each pod is under exactly one network policy; the disruption budget is the writers' alone."""
    found = {
        component: [
            resource["kind"]
            for resource in rendered(values)
            if (selector := selector_of(resource)) is not None and selects(selector, pod)
        ]
        for component, pod in pods(values).items()
    }
    assert found.pop("writer") == ["NetworkPolicy", "Deployment", "PodDisruptionBudget"]
    assert found.pop("observer") == ["NetworkPolicy", "Deployment"]
    assert all(kinds == ["NetworkPolicy"] for kinds in found.values()), found


def selector_of(resource: Mapping[str, Any]) -> dict[str, Any] | None:
    if resource["kind"] not in {"Deployment", "NetworkPolicy", "PodDisruptionBudget"}:
        return None
    spec = resource["spec"]
    found: dict[str, Any] | None = spec.get("selector", spec.get("podSelector"))
    return found


def selects(selector: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    labels = pod["metadata"]["labels"]
    return selector["matchLabels"].items() <= labels.items() and all(
        labels[rule["key"]] not in rule["values"] for rule in selector.get("matchExpressions", ())
    )


def test_metrics_are_found() -> None:
    """Each service of metrics has the pods of its component, at the port where these listen."""
    services = set()
    for resource in rendered("everything-values.yaml"):
        if resource["kind"] == "Service":
            spec = resource["spec"]
            services.add(resource["metadata"]["name"])
            (component,) = (
                name
                for name, pod in pods("everything-values.yaml").items()
                if spec["selector"].items() <= pod["metadata"]["labels"].items()
            )
            only = container(pods("everything-values.yaml")[component])
            ((name, port),) = ((port["name"], port["containerPort"]) for port in only["ports"])
            assert spec["ports"] == [{"name": name, "port": port, "targetPort": name}]
            assert f"0.0.0.0:{port}" in only["args"]
    (scaled,) = (
        resource["spec"]
        for resource in rendered("everything-values.yaml")
        if resource["kind"] == "ScaledObject"
    )
    assert set(services) == {"eu-voltpay-writer", "eu-voltpay-writer-observer"}
    query = scaled["triggers"][0]["metadata"]["query"]
    assert 'service="eu-voltpay-writer-observer"' in query
    assert 'namespace="payments"' in query


@each_values
def test_probes_leave_an_outage_to_the_writer(values: str, tmp_path: Path) -> None:
    """A writer is asked for both probes, and may start for longer than it waits out an outage."""
    path = tmp_path / "voltpay.toml"
    path.write_text(settings_files(values)["eu-voltpay-writer"], "utf-8")
    waits = load({}, str(path)).settings.limits.retry_seconds
    only = container(pods(values)["writer"])
    starts = only["startupProbe"]
    assert starts["periodSeconds"] * starts["failureThreshold"] > waits + 60
    assert [
        only[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    ] == ["/readyz", "/readyz", "/livez"]


RULES = """
groups:
  - name: lag
    rules:
      - alert: Lag
        expr: voltpay_group_lag_records > 1
        annotations:
          summary: '{{ $labels.partition }}: {{ $value }}'
"""


def test_rules_and_dashboards_are_embedded(tmp_path: Path) -> None:
    """Files of rules and dashboards get into the cluster as they are; other files do not."""
    without_files = shutil.ignore_patterns("files")
    copied = shutil.copytree(CHART, tmp_path / CHART.name, ignore=without_files)
    dashboard = json.dumps({"title": "Writer", "legend": "{{partition}}"}, indent=2)
    for name, text in {
        "files/prometheus/rules/lag.rules.yml": RULES,
        "files/prometheus/prometheus.yml": "scrape_configs: []",
        "files/grafana/writer.json": dashboard,
    }.items():
        path = copied / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    with Chart.load(copied) as changed:
        found = render(given("everything-values.yaml"), of=changed)
    (rules,) = (resource for resource in found if resource["kind"] == "PrometheusRule")
    assert rules["metadata"]["name"] == "eu-voltpay-writer-lag-rules"
    assert rules["spec"] == yaml.safe_load(RULES)
    assert as_known(rules) == rules
    assert dashboards(found) == {"writer.json": dashboard}


def test_the_project_s_rules_and_dashboards_are_embedded() -> None:
    """The chart has every rule of deploy/prometheus and every dashboard of deploy/grafana."""
    found = rendered("everything-values.yaml")
    groups = [
        group
        for path in sorted(ROOT.glob("deploy/prometheus/**/*.yml"))
        for group in (yaml.safe_load(path.read_text("utf-8")) or {}).get("groups", ())
    ]
    assert groups == [
        group for r in found if r["kind"] == "PrometheusRule" for group in r["spec"]["groups"]
    ]
    paths = ROOT.glob("deploy/grafana/**/*.json")
    assert dashboards(found) == {path.name: path.read_text("utf-8") for path in paths}


def dashboards(resources: list[dict[str, Any]]) -> dict[str, str]:
    maps = [resource["data"] for resource in resources if resource["kind"] == "ConfigMap"]
    return {name: text for data in maps for name, text in data.items() if name.endswith(".json")}


def test_cron_and_systemd_say_the_same() -> None:
    """The daily jobs are those of the crontab, and a stop gets the time that systemd gives it."""
    lines = (ROOT / "deploy/crontab").read_text("utf-8").splitlines()
    cron = {}
    for line in lines:
        if "/voltpay " in line and not line.startswith("#"):
            ((program, *arguments),) = commands(line[line.index("/") :])
            assert Path(program).name == "voltpay"
            cron[" ".join(line.split()[:5])] = arguments
    jobs = {
        resource["spec"]["schedule"]: container(resource["spec"]["jobTemplate"]["spec"]["template"])
        for resource in rendered("minimal-values.yaml")
        if resource["kind"] == "CronJob"
    }
    assert {schedule: job["args"] for schedule, job in jobs.items()} == cron
    unit = UNIT.read_text("utf-8")
    seconds = pods("minimal-values.yaml")["writer"]["spec"]["terminationGracePeriodSeconds"]
    assert f"TimeoutStopSec={seconds}\n" in unit


def test_the_schema_knows_every_setting() -> None:
    """values.schema.json has each setting but secrets and what is not for the user to say."""
    schema = chart().schema
    assert schema
    tables = schema["properties"]["settings"]["properties"]
    known = {
        f"{name}.{below}" if below else name
        for name, table in tables.items()
        for below in table.get("properties", [""])
    }
    assert known == {option.path for option in OPTIONS} - NAMED_BY_A_FILE - OF_THE_PODS


def test_the_version_is_the_project_s() -> None:
    """The chart deploys the version beside which it stands."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    metadata = chart().metadata
    assert (metadata["version"], metadata["appVersion"]) == (project, project)


def changed(**changes: Any) -> dict[str, Any]:
    """The smallest values with these changes; ``a__b`` is b in a."""
    values = copy.deepcopy(given("minimal-values.yaml"))
    for path, value in changes.items():
        table, (*parents, last) = values, path.split("__")
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    return values


MORE_THAN_PARTITIONS = Settings().topics.partitions + 1
LAG_BY_SERVICE = {"autoscaling__enabled": True, "metrics__serviceMonitor__enabled": True}
WITH_PASSWORD = "postgresql://voltpay:canary@db/voltpay"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed(replicas=MORE_THAN_PARTITIONS), "replicas: 101 writers, but .*partitions is 100"),
        (changed(replicas=4, settings__topics__partitions=3), "replicas: 4 writers, but .* is 3"),
        (
            changed(**LAG_BY_SERVICE, autoscaling__maxReplicas=101),
            "autoscaling.maxReplicas: 101 writers, but .*partitions is 100",
        ),
        (
            changed(**LAG_BY_SERVICE, replicas=7, autoscaling__maxReplicas=6),
            "autoscaling.maxReplicas: 6, but replicas, the least, is 7",
        ),
        (
            changed(autoscaling__enabled=True),
            "autoscaling.query: not set; .*metrics.serviceMonitor.enabled",
        ),
        (changed(replicas="two"), "'/replicas': got string, want integer"),
        (changed(replica=3), "additional properties 'replica' not allowed"),
        (changed(settings__sauce="x"), "'/settings': additional properties 'sauce' not allowed"),
        (changed(settings={}), "'/settings': missing properties 'source', 'store'"),
        (changed(settings__node_id=7), "'/settings/node_id': value must be 'auto'"),
        (changed(settings__source="file:-"), "settings.source: the chart is for Kafka"),
        (changed(settings__store="sqlite:x"), "settings.store: the chart is for PostgreSQL"),
        (changed(settings__store=WITH_PASSWORD), "settings.store: a password in a ConfigMap"),
        (
            changed(settings__database__migrator=WITH_PASSWORD),
            "settings.database.migrator: a password in a ConfigMap",
        ),
        (
            changed(settings__database__password="canary"),
            "'/settings/database': additional properties 'password' not allowed",
        ),
        (changed(settings__database={}), "settings.database.migrator: not set; the migrations"),
        (
            changed(settings__database__password_file="/vault/password"),
            "settings.database.password_file: .*; null removes a default",
        ),
        (changed(trust__files__kafka__cafile="ca.pem"), "trust.configMap: not set; which"),
        (changed(image__digest="latest"), "'/image/digest': 'latest' does not match"),
        (changed(networkPolicy__kafka__ports=[0]), "'/networkPolicy/kafka/ports/0': minimum"),
    ],
    ids=str,
)
def test_wrong_values_are_named(values: dict[str, Any], message: str) -> None:
    """A value that cannot work is rejected with its name and the reason, and without secrets."""
    with pytest.raises(HelmError) as caught:
        render(values)
    assert re.search(message, str(caught.value)), caught.value
    assert "canary" not in str(caught.value)


def test_documented_values_are_accepted() -> None:
    """The values that the guide shows, one after the other, make a chart that can be installed."""
    shown = [block.text for block in blocks("yaml") if block.document == GUIDE]
    values: dict[str, Any] = {}
    for text in shown:
        merge(values, yaml.safe_load(text))
        assert render(values)
    assert shown


def merge(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict):
            merge(values.setdefault(name, {}), value)
        else:
            values[name] = value


def test_as_many_writers_as_partitions() -> None:
    """Each partition may have its writer, and a file that others mount may be named by its path."""
    values = changed(
        replicas=Settings().topics.partitions,
        settings__database__password_file="/vault/password",
        secrets__writer__files__database=None,
    )
    found = {(r["kind"], r["metadata"]["name"]): r for r in render(values)}
    writer = found["Deployment", "eu-voltpay-writer"]
    assert writer["spec"]["replicas"] == Settings().topics.partitions


def test_what_is_off_is_not_rendered() -> None:
    """Migrations, daily jobs, the observer and network policies can be switched off."""
    off = {name: {"enabled": False} for name in ("migrations", "maintain", "observer", "purge")}
    values = changed(settings__database={}, networkPolicy__enabled=False, **off)
    kinds = {resource["kind"] for resource in render(values)}
    needed = {"ConfigMap", "Deployment", "PodDisruptionBudget", "Service", "ServiceAccount"}
    assert kinds == needed | {"Pod"}
