"""A sweep on a cluster whose nodes come, are told to go, and die: slots follow, and no epoch is lost or doubled."""

import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from trainyard.tracking.events import Event, TrialEnded, TrialEpoch
from trainyard.tracking.journal import Journal

from .machines import Machines, autoscaling, machines, wait, without_ray

pytestmark = [pytest.mark.slow, pytest.mark.own_cluster, pytest.mark.timeout(300)]

NETS = """
    import time
    from torch import nn

    class Net(nn.Module):
        def __init__(self, image, outputs):
            super().__init__()
            channels, height, width = image
            self.linear = nn.Linear(channels * height * width, outputs)

        def forward(self, images):
            time.sleep(0.02)
            return self.linear(images.flatten(1))

    def build(image, outputs, **unused):
        return Net(image, outputs)
"""

JOB = """
name: slow
task: classification
data: {{path: {data}}}
model: {{name: "nets:build"}}
loss: {{cross_entropy: {{weight: 1.0}}}}
optimizer: {{name: adamw, lr: 1e-3}}
training: {{epochs: {epochs}, batch_size: 128, checkpoint_seconds: 3600}}
resources: {resources}
objective: {{metric: val/accuracy, mode: max}}
"""

SPACE = """
parameters:
  optimizer.lr: {{type: float, low: 1e-4, high: 1e-2, log: true}}
search: {{sampler: random, trials: {trials}, {search}}}
"""


class Driver:
    """`trainyard sweep --address` in a process of its own."""

    def __init__(
        self,
        home: Path,
        digits: Path,
        address: str,
        *,
        trials: int,
        epochs: int,
        search: str = "scheduler: none",
        resources: str = "{workers: 1}",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._trials, self._epochs = trials, epochs
        self._folder = home / "results" / "s"
        (home / "nets.py").write_text(textwrap.dedent(NETS))
        (home / "job.yaml").write_text(JOB.format(data=digits, epochs=epochs, resources=resources))
        (home / "space.yaml").write_text(SPACE.format(trials=trials, search=search))
        self.log = home / "driver.log"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "trainyard", "sweep", "job.yaml", "space.yaml"),
                *("--name", "s", "--results", "results", "--address", address),
            ],
            cwd=home,
            env={**without_ray(), **(environment or {})},
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )

    def events(self) -> list[Event]:
        journal = self._folder / "journal.jsonl"
        return list(Journal.read(journal)) if journal.exists() else []

    def epochs(self) -> Counter[tuple[int, int]]:
        return Counter((event.trial, event.epoch) for event in self.events() if isinstance(event, TrialEpoch))

    def said(self, words: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return words in self.log.read_text()

    def assert_complete(self) -> None:
        """It ends, and every trial is there once, with every epoch once, and finished."""
        assert self.process.wait(timeout=150) == 0, self.log.read_text()
        ends = [event for event in self.events() if isinstance(event, TrialEnded)]
        assert Counter(event.trial for event in ends) == Counter(range(self._trials))
        assert {event.state for event in ends} == {"finished"}
        every = [(trial, epoch) for trial in range(self._trials) for epoch in range(1, self._epochs + 1)]
        assert self.epochs() == Counter(every)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def cluster() -> Iterator[Machines]:
    with machines() as cluster:
        yield cluster


@pytest.fixture
def drivers() -> Iterator[list[Driver]]:
    started: list[Driver] = []
    yield started
    for driver in started:
        driver.close()


SLOT = "ResourceTrainable"
"""What Ray Tune calls the actors of slots."""


def test_slots_follow_the_nodes_and_leave_one_in_time(
    cluster: Machines, drivers: list[Driver], tmp_path: Path, digits: Path
) -> None:
    first = cluster.add()
    driver = Driver(tmp_path, digits, cluster.address, trials=3, epochs=150)
    drivers.append(driver)
    wait(lambda: driver.said("1 at a time") and len(driver.epochs()) > 3)

    second = cluster.add()
    wait(lambda: driver.said("2 at a time") and set(cluster.of_actors(SLOT)) == {first, second})

    (beside,) = set(cluster.of_actors("Roster"))
    spot, stays = (first, second) if beside != first else (second, first)
    third = cluster.add()
    wait(lambda: len([trial for trial, epoch in driver.epochs() if epoch == 2]) > 1)
    cluster.drain(spot)
    wait(lambda: spot not in cluster.of_actors(SLOT), 20)
    wait(lambda: not cluster.alive(spot), 20)
    wait(lambda: {stays, third} <= set(cluster.of_actors(SLOT)))
    driver.assert_complete()
    assert set(cluster.counted_deaths()) == {0}


def test_the_death_of_a_node_is_not_the_doing_of_its_trial(
    cluster: Machines, drivers: list[Driver], tmp_path: Path, digits: Path
) -> None:
    nodes = {cluster.add(), cluster.add()}
    driver = Driver(tmp_path, digits, cluster.address, trials=2, epochs=120)
    drivers.append(driver)
    wait(lambda: len({trial for trial, epoch in driver.epochs() if epoch > 3}) == 2)
    (victim, *_) = nodes - set(cluster.of_actors("Roster"))
    cluster.kill(victim)
    cluster.add()
    driver.assert_complete()
    assert set(cluster.counted_deaths()) == {0}
    assert "aylet" not in driver.log.read_text(), "Ray's messages are among ours"


@pytest.mark.parametrize(
    ("trials", "search"),
    [
        pytest.param(4, "scheduler: none", id="more trials than crews"),
        pytest.param(2, "scheduler: {name: pbt, interval: 5}", id="all trials alive"),
    ],
)
def test_a_crew_that_will_not_have_room_again_leaves_its_trial_to_another(
    cluster: Machines, drivers: list[Driver], tmp_path: Path, digits: Path, trials: int, search: str
) -> None:
    """A fixed cluster, which has become too small for both crews."""
    nodes = {cluster.add() for _ in range(4)}
    resources = "{workers: 2, placement: spread}"
    driver = Driver(tmp_path, digits, cluster.address, trials=trials, epochs=30, search=search, resources=resources)
    drivers.append(driver)
    wait(lambda: len({trial for trial, epoch in driver.epochs() if epoch > 1}) == 2, 150)
    (victim, *_) = nodes - set(cluster.of_actors("Roster"))
    cluster.kill(victim)
    driver.assert_complete()
    assert set(cluster.counted_deaths()) <= {0}


@pytest.mark.parametrize(
    ("placement", "cpus", "expected"),
    [
        ("spread", (2, 2), {0, 1}),
        ("one_node", (1, 1, 2), {2}),
        pytest.param("pack", (1, 2), {1}, id="pack, one has room"),
        pytest.param("pack", (1, 1), {0, 1}, id="pack, none has room"),
    ],
)
def test_a_crew_is_where_its_job_wants_it(
    cluster: Machines,
    drivers: list[Driver],
    tmp_path: Path,
    digits: Path,
    placement: str,
    cpus: tuple[int, ...],
    expected: set[int],
) -> None:
    nodes = [cluster.add(count) for count in cpus]
    resources = f"{{workers: 2, placement: {placement}}}"
    driver = Driver(tmp_path, digits, cluster.address, trials=1, epochs=1000, resources=resources)
    drivers.append(driver)
    wait(lambda: len(driver.epochs()) > 0, 120)
    workers = cluster.of_actors("RayTrainWorker")
    assert len(workers) == 2
    assert {nodes.index(node) for node in workers} == expected


def test_an_autoscaling_cluster_is_asked_for_what_the_sweep_needs(
    drivers: list[Driver], tmp_path: Path, digits: Path
) -> None:
    with autoscaling(most=4) as cluster:
        wait(lambda: "Ray runtime started" in cluster.log.read_text())
        driver = Driver(
            tmp_path,
            digits,
            cluster.address,
            trials=5,
            epochs=10,
            search="scheduler: none, max_concurrent: 2",
            environment={"TRAINYARD_CLUSTER_FILE": str(cluster.file), "RAY_AUTH_MODE": "disabled"},
        )
        drivers.append(driver)
        most = 0
        while driver.process.poll() is None:
            most = max(most, len(cluster.nodes()))
            time.sleep(0.5)
        driver.assert_complete()
        assert "2 at a time" in driver.log.read_text()
        assert most == 2


def test_an_elastic_crew_has_the_machines_started_that_it_could_have(
    drivers: list[Driver], tmp_path: Path, digits: Path
) -> None:
    """On a cluster that begins with a head alone, and may have more machines than the crew wants."""
    with autoscaling(most=4) as cluster:
        wait(lambda: "Ray runtime started" in cluster.log.read_text())
        driver = Driver(
            tmp_path,
            digits,
            cluster.address,
            trials=1,
            epochs=10_000,
            resources="{workers: [1, 3]}",
            environment={"TRAINYARD_CLUSTER_FILE": str(cluster.file), "RAY_AUTH_MODE": "disabled"},
        )
        drivers.append(driver)
        wait(lambda: len(set(cluster.of_actors("RayTrainWorker"))) == 3, 150)
        trained = len(driver.epochs())
        wait(lambda: len(driver.epochs()) > trained)
        assert len(cluster.nodes()) == 3
        driver.process.send_signal(signal.SIGINT)
        assert driver.process.wait(timeout=60) == 130
        wait(lambda: not cluster.nodes())
