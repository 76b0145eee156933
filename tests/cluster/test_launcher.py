"""Ray's cluster launcher sets up machines by cluster.yaml: its own code, real shells, and a machine that is made up."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .launched import Machine, Provider, packages_of

ROOT = Path(__file__).parent.parent.parent
HEAD_IP = "192.0.2.10"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("pkill") or not shutil.which("setsid"),
    reason="needs the processes of Linux, pkill and setsid",
)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "machine", packages_of(ROOT / "Dockerfile"))
    yield machine
    machine.stop()


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """cluster.yaml, but for its paths outside of the test's folder."""
    token = tmp_path / "auth_token"
    token.write_text("a token")
    text = (ROOT / "cluster.yaml").read_text().replace("/tmp/spot.log", str(tmp_path / "spot.log"))
    config: dict[str, Any] = yaml.safe_load(text)
    config["file_mounts"] = {there: str(token) for there in config["file_mounts"]}
    return config


def set_up_worker(machine: Machine, provider: Provider, config: dict[str, Any]) -> None:
    """As the autoscaler on the head does when a machine has come."""
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.instance_manager.ray_installer import RayInstaller
    from ray.core.generated.instance_manager_pb2 import Instance

    installer = RayInstaller(provider, AutoscalingConfig(config), process_runner=machine)
    installer.install_ray(Instance(instance_id="1", cloud_instance_id="i-1", instance_type="gpu"), HEAD_IP)


def set_up_head(machine: Machine, provider: Provider, config: dict[str, Any]) -> None:
    """As `ray up` does, with the file that it leaves there for the autoscaler."""
    from ray.autoscaler._private.updater import NodeUpdater
    from ray.autoscaler._private.util import prepare_config

    config = prepare_config(config)
    (token,) = config["file_mounts"].values()
    NodeUpdater(
        node_id="i-0",
        provider_config=config["provider"],
        provider=provider,
        auth_config=config["auth"],
        cluster_name=config["cluster_name"],
        file_mounts={**config["file_mounts"], "~/ray_bootstrap_config.yaml": token},
        initialization_commands=config["initialization_commands"],
        setup_commands=config["head_setup_commands"],
        ray_start_commands=config["head_start_ray_commands"],
        runtime_hash="of the file",
        file_mounts_contents_hash="of the token",
        is_head_node=True,
        docker_config=config["docker"],
        process_runner=machine,
    ).run()
    assert provider.tags["ray-node-status"] == "up-to-date"


def positions(calls: list[str], *starts: str) -> list[int]:
    return [next(index for index, call in enumerate(calls) if call.startswith(start)) for start in starts]


def test_a_worker_comes_stays_and_comes_back(machine: Machine, config: dict[str, Any]) -> None:
    provider = Provider()
    set_up_worker(machine, provider, config)
    wanted = positions(machine.calls, "docker login", "docker pull", "docker run", "ray stop", "ray start")
    assert wanted == sorted(wanted), "nobody gets the image before the login"
    assert f"ray start --address={HEAD_IP}:6379 --disable-usage-stats" in machine.calls
    # The autoscaler runs in the container of the head, and reaches workers from there.
    assert machine.programs == {"ssh", "rsync"}
    assert all((machine.folder / "home" / "bin" / name).exists() for name in machine.programs), "not in the image"

    first = machine.watchers(started=1)
    assert len(first) == 1
    set_up_worker(machine, provider, config)
    second = machine.watchers(started=2)
    assert len(second) == 1, "one listens for the notice of the cloud"
    assert second != first, "the new one, which knows where the head is"

    machine.stop()
    machine.forget_calls()
    set_up_worker(machine, provider, config)
    assert len(machine.watchers(started=3)) == 1
    assert not [call for call in machine.calls if call.startswith("docker pull")], "its image is on its disk"


def test_a_head_comes_stays_and_comes_back(machine: Machine, config: dict[str, Any]) -> None:
    provider = Provider()
    set_up_head(machine, provider, config)
    wanted = positions(machine.calls, "docker login", "docker run --detach --name mlflow-db", "ray stop", "ray start")
    assert wanted == sorted(wanted)
    assert [call for call in machine.calls if "mlflow server --host 127.0.0.1" in call]
    set_up_head(machine, provider, config)
    machine.stop()
    machine.forget_calls()
    set_up_head(machine, provider, config)
    assert [call for call in machine.calls if call.startswith("ray start --head")]
