"""What Ray is told so that it listens on loopback. That it does is tested in tests/safety/test_listening.py."""

import os
from contextlib import suppress

import pytest
from ray._private import ray_constants

from trainyard.cluster.loopback import on_loopback


@pytest.mark.parametrize("chosen", [None, "1"])
def test_a_driver_that_joins_a_cluster_afterwards_can_be_reached(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    monkeypatch.delenv(setting, raising=False)
    if chosen is not None:
        monkeypatch.setenv(setting, chosen)
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    with suppress(RuntimeError), on_loopback():
        assert os.environ[setting] == "0"
        assert not ray_constants.ENABLE_RAY_CLUSTER
        raise RuntimeError("Ray could not be started")
    assert os.environ.get(setting) == chosen
    assert ray_constants.ENABLE_RAY_CLUSTER
