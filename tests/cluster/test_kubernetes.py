"""The manifests of docs/clusters/kubernetes.yaml."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainyard.cluster.groups import groups_of

from .kubernetes_models import faults

FILE = Path(__file__).parent.parent.parent / "docs" / "clusters" / "kubernetes.yaml"


def manifests() -> list[dict[str, Any]]:
    return [manifest for manifest in yaml.safe_load_all(FILE.read_text()) if manifest]


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in manifests() if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each template of pods by a name."""
    cluster = one("RayCluster", "trainyard")["spec"]
    yield "head", cluster["headGroupSpec"]["template"]
    yield from ((group["groupName"], group["template"]) for group in cluster["workerGroupSpecs"])
    for manifest in manifests():
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]


@pytest.mark.parametrize("manifest", manifests(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_kubernetes_takes_it(manifest: dict[str, Any]) -> None:
    assert faults(manifest) == []
    assert manifest["metadata"]["namespace"] == "trainyard"


def test_a_misspelled_field_is_found() -> None:
    cluster = one("RayCluster", "trainyard")
    worker = cluster["spec"]["workerGroupSpecs"][0]
    worker["maxreplicas"] = worker.pop("maxReplicas")
    worker["template"]["spec"]["containers"][0]["volumeMount"] = []
    assert faults(cluster) == [
        "RayCluster.spec.workerGroupSpecs[0].maxReplicas: is missing",
        "RayCluster.spec.workerGroupSpecs[0].template.spec.containers[0].volumeMount: unknown field of V1Container",
        "RayCluster.spec.workerGroupSpecs[0].maxreplicas: unknown field of WorkerGroupSpec",
    ]


def test_rays_autoscaler_reads_the_cluster_as_meant() -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    config = _derive_autoscaling_config_from_ray_cr(one("RayCluster", "trainyard"))
    kinds = config["available_node_types"]
    assert kinds["headgroup"]["resources"]["CPU"] == 0
    assert kinds["gpu"]["resources"]["CPU"] == 8
    assert kinds["gpu"]["resources"]["GPU"] == 1
    assert (kinds["gpu"]["min_workers"], kinds["gpu"]["max_workers"]) == (0, 4)
    assert config["idle_timeout_minutes"] == 10


def test_sweeps_plan_with_what_the_autoscaler_may_start() -> None:
    """The file that drivers are told of says the same as the groups of workers."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    cluster = one("RayCluster", "trainyard")
    meant = _derive_autoscaling_config_from_ray_cr(cluster)
    planned = groups_of(yaml.safe_load(one("ConfigMap", "trainyard-groups")["data"]["groups.yaml"]))
    assert planned.most == meant["max_workers"]
    kinds = {name: kind for name, kind in meant["available_node_types"].items() if name != meant["head_node_type"]}
    assert {group.name: group.most for group in planned.groups} == {n: kind["max_workers"] for n, kind in kinds.items()}
    starts = {group["groupName"]: group["rayStartParams"] for group in cluster["spec"]["workerGroupSpecs"]}
    for group in planned.groups:
        store = float(starts[group.name]["object-store-memory"])
        assert group.resources == {**kinds[group.name]["resources"], "object_store_memory": store}
    head = cluster["spec"]["headGroupSpec"]["template"]["spec"]
    (container,) = head["containers"]
    (named,) = [item["value"] for item in container["env"] if item["name"] == "TRAINYARD_CLUSTER_FILE"]
    (mount,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "groups"]
    assert named == f"{mount}/groups.yaml"


def test_ray_answers_nobody_without_its_token() -> None:
    assert one("RayCluster", "trainyard")["spec"]["authOptions"] == {"mode": "token"}


def test_nothing_is_served_outside_of_the_cluster() -> None:
    for manifest in manifests():
        if manifest["kind"] == "Service":
            assert manifest["spec"].get("type", "ClusterIP") == "ClusterIP"
    cluster = one("RayCluster", "trainyard")["spec"]
    assert not cluster["headGroupSpec"].get("enableIngress")


def test_each_server_is_open_only_to_those_who_need_it() -> None:
    """Every pod with a port is chosen by a policy of its own, whose sources are all named."""
    policies = [manifest["spec"] for manifest in manifests() if manifest["kind"] == "NetworkPolicy"]
    chosen = [policy["podSelector"]["matchLabels"] for policy in policies]
    assert chosen == [{"ray.io/cluster": "trainyard"}, {"app": "mlflow"}, {"app": "mlflow-db"}]
    for policy in policies:
        sources = [source for rule in policy["ingress"] for source in rule["from"]]
        assert sources
        assert all(source["podSelector"]["matchLabels"] for source in sources)


def test_passwords_come_from_secrets() -> None:
    for name, pod in pods():
        for container in pod["spec"]["containers"]:
            for variable in container.get("env", ()):
                if "PASSWORD" in variable["name"]:
                    assert "secretKeyRef" in variable["valueFrom"], name


def test_the_head_alone_may_ask_anything_of_kubernetes() -> None:
    """KubeRay gives the account of the head the right to end pods."""
    accounts = {each["metadata"]["name"]: each for each in manifests() if each["kind"] == "ServiceAccount"}
    named = {name: pod["spec"].get("serviceAccountName", "default") for name, pod in pods()}
    asking = {name for name, pod in pods() if "automountServiceAccountToken" not in pod["spec"]}
    asking -= {name for name in asking if accounts[named[name]].get("automountServiceAccountToken") is False}
    assert asking == {"head"}
    assert [name for name, account in named.items() if account == named["head"]] == ["head"]
    (bucket,) = {account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] for account in accounts.values()}
    assert bucket, "what reads and writes the bucket has the same rights to it"


def test_the_object_store_has_memory() -> None:
    """A container has 64 MiB of shared memory, and what is more would go to its disk."""
    for name, pod in pods():
        if name in ("mlflow", "mlflow-db"):
            continue
        (volume,) = [
            volume for volume in pod["spec"]["volumes"] if volume.get("emptyDir", {}).get("medium") == "Memory"
        ]
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
        assert mounts[volume["name"]] == "/dev/shm", name


def test_a_node_that_leaves_has_time_to_say_so() -> None:
    for name, pod in pods():
        if name != "gpu":
            continue
        settings = {item["name"]: item.get("value") for item in pod["spec"]["containers"][0]["env"]}
        assert float(settings["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"]) < pod["spec"]["terminationGracePeriodSeconds"]
