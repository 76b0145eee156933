"""A slot whose trials do nothing: everything around the training is the real thing."""

import os
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from empty_workers import EmptyWorkers

from trainyard.sweep.slots import slot
from trainyard.sweep.slots.slot import Slot, SlotOrders

SLOTS, ARRIVED = "BENCHMARK_SLOTS", "BENCHMARK_ARRIVED"
"""Variables of the environment: how many slots there will be, and the folder in which each notes that it is there."""


class EmptySlot(Slot):
    """The real slot but for its workers, which wait until all slots are there: the first ones would do all the trials
    while the last ones still start."""

    def setup(self, config: dict[str, Any], orders: SlotOrders) -> None:
        with patch.object(slot, "_workers", lambda orders: EmptyWorkers()):
            super().setup(config, orders)
        (Path(os.environ[ARRIVED]) / str(os.getpid())).touch()

    def step(self) -> dict[str, Any]:
        while len(os.listdir(os.environ[ARRIVED])) < int(os.environ[SLOTS]):
            time.sleep(0.2)
        return super().step()
