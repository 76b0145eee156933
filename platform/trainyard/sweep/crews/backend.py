"""What a crew's workers are told by Ray Train's controller: which group they belong to.

Ray's own Torch backend has the workers import `ray.train.torch` and wait for one another in several rounds, before
anything of ours is imported: 10 s of each start on a small machine. Ours form their process group by themselves
(`sweep.crews.meeting`). This is read by every worker, and imports nothing that Ray Train has not.
"""

import os
import uuid
from typing import Any

from ray.train.backend import Backend, BackendConfig

GENERATION = "TRAINYARD_GENERATION"
"""The environment variable by which the workers of one group know each other."""


class CrewBackend(Backend):
    """Ray Train's hooks at the start of a group of workers."""

    # NCCL goes from GPU to GPU only between those that both processes see.
    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        worker_group.execute(_belong_to, uuid.uuid4().hex)


def _belong_to(generation: str) -> None:
    os.environ[GENERATION] = generation


class CrewBackendConfig(BackendConfig):
    """Without settings."""

    @property
    def backend_cls(self) -> type[CrewBackend]:
        return CrewBackend
