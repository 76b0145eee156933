"""Whether a manifest is what Kubernetes takes, by the models of its own client, which are made from its OpenAPI schema.

Stricter than the server, which drops fields that it does not know: a misspelled field is a fault here. RayCluster is no
model of Kubernetes; its fields are those of KubeRay 1.5's API (ray-operator/apis/ray/v1/raycluster_types.go), with pods
and what is in them as the models of Kubernetes know them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes.client import models

KINDS = {
    "apps/v1 Deployment": "V1Deployment",
    "apps/v1 StatefulSet": "V1StatefulSet",
    "networking.k8s.io/v1 NetworkPolicy": "V1NetworkPolicy",
    "ray.io/v1 RayCluster": "RayCluster",
    "v1 ConfigMap": "V1ConfigMap",
    "v1 Service": "V1Service",
    "v1 ServiceAccount": "V1ServiceAccount",
}

RAY: dict[str, dict[str, str]] = {
    "RayCluster": {"apiVersion!": "str", "kind!": "str", "metadata!": "V1ObjectMeta", "spec!": "RayClusterSpec"},
    "RayClusterSpec": {
        "rayVersion": "str",
        "authOptions": "AuthOptions",
        "enableInTreeAutoscaling": "bool",
        "autoscalerOptions": "AutoscalerOptions",
        "headGroupSpec!": "HeadGroupSpec",
        "workerGroupSpecs": "List[WorkerGroupSpec]",
        "headServiceAnnotations": "Dict[str, str]",
        "suspend": "bool",
    },
    "AuthOptions": {"mode": "AuthMode"},
    "AutoscalerOptions": {
        "version": "AutoscalerVersion",
        "idleTimeoutSeconds": "int",
        "upscalingMode": "UpscalingMode",
        "resources": "V1ResourceRequirements",
        "image": "str",
        "imagePullPolicy": "str",
        "env": "List[V1EnvVar]",
        "envFrom": "List[V1EnvFromSource]",
        "volumeMounts": "List[V1VolumeMount]",
        "securityContext": "V1SecurityContext",
    },
    "HeadGroupSpec": {
        "serviceType": "str",
        "headService": "V1Service",
        "enableIngress": "bool",
        "rayStartParams": "Dict[str, str]",
        "template!": "V1PodTemplateSpec",
    },
    "WorkerGroupSpec": {
        "groupName!": "str",
        "replicas": "int",
        "minReplicas!": "int",
        "maxReplicas!": "int",
        "idleTimeoutSeconds": "int",
        "numOfHosts": "int",
        "suspend": "bool",
        "rayStartParams": "Dict[str, str]",
        "template!": "V1PodTemplateSpec",
    },
}
"""Type to its fields and their types, as the models of Kubernetes name theirs. `!`: must be there."""

CHOICES = {
    "AuthMode": {"disabled", "token"},
    "AutoscalerVersion": {"v1", "v2"},
    "UpscalingMode": {"Default", "Aggressive", "Conservative"},
}

PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "date": str, "datetime": str}


def faults(manifest: Mapping[str, Any]) -> list[str]:
    """What is wrong with a manifest, each with its path."""
    kind = f"{manifest.get('apiVersion')} {manifest.get('kind')}"
    return list(_faults(manifest, KINDS[kind], str(manifest["kind"]))) if kind in KINDS else [f"unknown kind {kind}"]


def _faults(value: Any, kind: str, where: str) -> Iterator[str]:
    if kind in PLAIN:
        # YAML's true is an int to Python.
        if not isinstance(value, PLAIN[kind]) or (isinstance(value, bool) and kind != "bool"):
            yield f"{where}: must be {kind}, got {value!r}"
    elif kind in CHOICES:
        if value not in CHOICES[kind]:
            yield f"{where}: must be one of {sorted(CHOICES[kind])}, got {value!r}"
    elif kind == "object":  # a port or a quantity: a number or a text
        if not isinstance(value, str | int):
            yield f"{where}: must be a number or a text, got {value!r}"
    elif inner := re.fullmatch(r"List\[(.+)\]", kind):
        yield from _of_list(value, inner[1], where)
    elif inner := re.fullmatch(r"Dict\[str, (.+)\]", kind):
        yield from _of_mapping(value, inner[1], where)
    else:
        yield from _of_fields(value, kind, where)


def _of_list(value: Any, kind: str, where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where}: must be a list, got {value!r}"
        return
    for index, item in enumerate(value):
        yield from _faults(item, kind, f"{where}[{index}]")


def _of_mapping(value: Any, kind: str, where: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where}: must be a mapping, got {value!r}"
        return
    for key, item in value.items():
        yield from _faults(item, kind, f"{where}.{key}")


def _of_fields(value: Any, kind: str, where: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where}: must be a {kind}, got {value!r}"
        return
    fields, required = _fields(kind)
    for missing in sorted(required - value.keys()):
        yield f"{where}.{missing}: is missing"
    for key, item in value.items():
        if key not in fields:
            yield f"{where}.{key}: unknown field of {kind}"
        else:
            yield from _faults(item, fields[key], f"{where}.{key}")


def _fields(kind: str) -> tuple[dict[str, str], set[str]]:
    """The types of the fields by the names that manifests have, and those that must be there."""
    if kind in RAY:
        fields = {name.rstrip("!"): of for name, of in RAY[kind].items()}
        return fields, {name.rstrip("!") for name in RAY[kind] if name.endswith("!")}
    model = getattr(models, kind)
    fields = {model.attribute_map[name]: of for name, of in model.openapi_types.items()}
    return fields, {model.attribute_map[name] for name, field in model.model_fields.items() if field.is_required()}
