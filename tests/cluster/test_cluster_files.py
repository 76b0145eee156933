"""The files that clusters are made of, held against the schemas of those that read them."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainyard.cluster.groups import groups_of

from .launched import packages_of

ROOT = Path(__file__).parent.parent.parent
AWS = ROOT / "cluster.yaml"
MACHINES = ROOT / "docs" / "clusters" / "machines.yaml"
KUBERNETES = ROOT / "docs" / "clusters" / "kubernetes.yaml"

LAUNCHED = pytest.mark.parametrize("file", [AWS, MACHINES], ids=lambda path: path.name)

SECRETS = re.compile(
    r"AKIA[0-9A-Z]{12,}|-----BEGIN|ghp_\w{20,}|(?:password|secret|token)[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9+/]{8,}",
    re.IGNORECASE,
)
"""What a secret looks like. `key: password` and the name of a parameter are none."""


def read(file: Path) -> dict[str, Any]:
    """As Ray reads it."""
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    return content


def texts(value: Any) -> Iterator[str]:
    """Every text in a tree of mappings and lists."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    else:
        yield str(value)


@LAUNCHED
def test_the_launcher_takes_the_file(file: Path) -> None:
    import jsonschema
    import ray.autoscaler
    from ray.autoscaler._private.util import prepare_config, validate_config

    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(read(file), schema)
    validate_config(prepare_config(read(file)))


@pytest.mark.parametrize("file", [AWS, MACHINES, KUBERNETES, ROOT / "Dockerfile"], ids=lambda path: path.name)
def test_there_is_no_secret_in_a_file(file: Path) -> None:
    assert not SECRETS.findall(file.read_text())


def test_machines_of_aws_are_what_its_api_takes() -> None:
    """The call that starts them, against the description of the API that AWS publishes with its client."""
    import botocore.session
    from botocore.validate import ParamValidator

    session = botocore.session.Session()
    run_instances = session.get_service_model("ec2").operation_model("RunInstances").input_shape
    for name, kind in read(AWS)["available_node_types"].items():
        config = dict(kind["node_config"])
        config["SubnetId"] = config.pop("SubnetIds")[0]  # of several, Ray tries one after the other
        report = ParamValidator().validate({**config, "MinCount": 1, "MaxCount": 1}, run_instances)
        assert not report.has_errors(), f"{name}: {report.generate_report()}"


def test_gpus_come_from_zero_and_the_head_has_no_room_for_trials() -> None:
    config = read(AWS)
    head = config["available_node_types"][config["head_node_type"]]
    assert head["resources"]["CPU"] == 0
    workers = {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}
    assert all(kind["min_workers"] == 0 for kind in workers.values())
    assert sum(kind["max_workers"] for kind in workers.values()) <= config["max_workers"]


def test_sweeps_plan_with_what_the_launcher_may_start() -> None:
    groups = groups_of(read(AWS))
    assert {group.name: group.most for group in groups.groups} == {"gpu": 4, "gpu_spot": 0}


def test_spot_machines_differ_in_nothing_else_and_are_an_option() -> None:
    kinds = read(AWS)["available_node_types"]
    spot, usual = dict(kinds["gpu_spot"]), dict(kinds["gpu"])
    assert spot["node_config"] == {**usual["node_config"], "InstanceMarketOptions": {"MarketType": "spot"}}
    assert spot["max_workers"] == 0


@LAUNCHED
def test_what_serves_on_a_head_listens_on_loopback(file: Path) -> None:
    config = read(file)
    commands = [*config.get("initialization_commands", ()), *config["head_start_ray_commands"]]
    (ray_start,) = [command for command in commands if "ray start" in command]
    assert "--dashboard-host=127.0.0.1" in ray_start
    (mlflow,) = [command for command in commands if "mlflow server" in command]
    assert "--host 127.0.0.1" in mlflow
    for database in (command for command in commands if " postgres:" in command):
        assert "--network none" in database
    assert not [text for text in texts(config) if "0.0.0.0" in text]


@LAUNCHED
def test_ray_answers_nobody_without_its_token(file: Path) -> None:
    config = read(file)
    assert "~/.ray/auth_token" in config["file_mounts"]
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        (start,) = [command for command in commands if "ray start" in command]
        options = config.get("docker", {}).get("run_options", [])
        assert "RAY_AUTH_MODE=token" in start or "--env RAY_AUTH_MODE=token" in options


def test_results_and_records_are_named_where_drivers_run() -> None:
    aws = " ".join(read(AWS)["docker"]["head_run_options"])
    (start,) = [command for command in read(MACHINES)["head_start_ray_commands"] if "ray start" in command]
    for place in (aws, start):
        assert re.search(r"TRAINYARD_RESULTS=(s3://|/)", place)
        assert "MLFLOW_TRACKING_URI=http://127.0.0.1:5000" in place


def test_machines_at_hand_get_what_their_environment_is_made_of() -> None:
    config = read(MACHINES)
    mounts = {there: here for there, here in config["file_mounts"].items() if there.startswith("~/trainyard/")}
    assert all((ROOT / here).exists() for here in mounts.values())
    needed = {"platform", "pyproject.toml", "constraints.txt", "Makefile", "README.md"}
    assert set(mounts.values()) == needed, "the launcher hashes and copies all of it"


SYSTEMCTL = """
case "$*" in
    *is-active*) test "$(cat unit 2> /dev/null)" = active ;;
    *stop*) rm unit ;;
esac
"""
SYSTEMD_RUN = """
test ! -e unit || { echo "Unit mlflow.service was already loaded." >&2; exit 1; }
echo active > unit
echo "$@" > started
"""


@pytest.mark.parametrize("unit", ["", "active", "activating"])
def test_a_head_at_hand_has_an_mlflow_after_ray_up(unit: str, tmp_path: Path) -> None:
    """Also where one fails again and again, since its database was away or its port taken."""
    for name, script in {"systemctl": SYSTEMCTL, "systemd-run": SYSTEMD_RUN, "sudo": '"$@"'}.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    if unit:
        (tmp_path / "unit").write_text(unit)
    (start,) = [command for command in read(MACHINES)["head_start_ray_commands"] if "mlflow server" in command]
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["bash", "-c", f"({start})"], cwd=tmp_path, env={**os.environ, "PATH": path}, check=True, timeout=30)
    assert (tmp_path / "unit").read_text().strip() == "active"
    started = tmp_path / "started"
    assert started.exists() == (unit != "active"), "one that runs goes on"
    if started.exists():
        assert "--collect" in started.read_text(), "else one that has failed for good stays loaded"


def test_the_image_holds_what_the_files_say_of_it() -> None:
    image = (ROOT / "Dockerfile").read_text()
    assert packages_of(ROOT / "Dockerfile") >= {"git", "openssh-client", "procps", "rsync", "sudo", "wget"}
    assert "HOME=/home/ray" in image, "the launcher would mount into /root"
    assert "--uid 1000" in image, "kubernetes.yaml runs as that user"
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    for file in (AWS, KUBERNETES):
        assert f"/trainyard:{version[1]}" in file.read_text()
    needed = {name.rstrip("/") for line in re.findall(r"^COPY (.+) \S+$", image, re.MULTILINE) for name in line.split()}
    shipped = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    assert needed == shipped
    assert all((ROOT / name).exists() for name in needed)
