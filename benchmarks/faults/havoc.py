"""A sweep by its real command on several raylets, and the kills of a plan while it goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults.audit import sampled_by
from faults.losses import Struck
from faults.plan import NOTICE_SECONDS, Kill
from faults.processes import family, kill_all, read_marks, titled
from faults.raylets import Raylets

from trainyard.tracking.events import Event, TrialEpoch
from trainyard.tracking.journal import Journal

NAME = "chaos"
OBSERVED = str(Path(__file__).with_name("observed.py"))
POLL_SECONDS = 0.2
STALL_SECONDS = 240.0
"""A sweep of which nothing is heard for so long counts as hung."""
WAIT_FOR_VICTIM = 60.0
"""Should there be nothing to kill (a crew is being formed), it is waited for so long."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder with `job.yaml`, `space.yaml` and `marks/`, in which `results/` and the log of the driver will be."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def sweep(self) -> Path:
        return self.results / NAME

    @property
    def marks(self) -> Path:
        return self.folder / "marks"

    @property
    def tune(self) -> Path:
        """What the last driver's Ray Tune knew at its end."""
        return self.folder / "tune.json"

    @property
    def log(self) -> Path:
        return self.folder / "driver.log"

    def events(self) -> list[Event]:
        journal = self.sweep / "journal.jsonl"
        return list(Journal.read(journal)) if journal.exists() else []


def _say(line: str) -> None:
    print(line, flush=True)


@dataclass(kw_only=True)
class Havoc:
    """One run of it. struck: the kills that were carried out. problems: what went wrong, as far as it shows here."""

    place: Place
    raylets: Raylets
    plan: Sequence[Kill]
    tell: Callable[[str], None] = _say
    struck: list[Struck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _events: list[Event] = field(default_factory=list)
    _size: int = 0
    _heard: float = field(default_factory=time.monotonic)
    _vacant: list[float] = field(default_factory=list)
    _leaving: dict[int, float] = field(default_factory=dict)
    _due: tuple[int, float] | None = None

    def run(self) -> None:
        """Until the sweep has ended, or hangs. Leaves no driver behind."""
        self._driver = self._start("job.yaml", "space.yaml", "--name", NAME)
        waiting = list(self.plan)
        try:
            while self._driver.poll() is None and not self._hangs():
                self._listen()
                self._fill_vacancies()
                self._take_away()
                if waiting and self._strike(waiting[0]):
                    del waiting[0]
                time.sleep(POLL_SECONDS)
        finally:
            self._driver.kill()
            self._driver.wait()
        self._listen()
        if self._driver.returncode > 0:
            self.problems.append(f"the driver ended with {self._driver.returncode}, see {self.place.log}")
        if waiting:
            self.problems.append(f"the sweep ended before {len(waiting)} of the kills")
        while self._vacant:
            self._fill_vacancies()
            time.sleep(POLL_SECONDS)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        self.place.tune.unlink(missing_ok=True)
        command = [sys.executable, OBSERVED, str(self.place.tune), "sweep", *arguments]
        command += ["--results", str(self.place.results), "--address", self.raylets.address]
        with self.place.log.open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.place.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def _listen(self) -> None:
        journal = self.place.sweep / "journal.jsonl"
        size = journal.stat().st_size if journal.exists() else 0
        if size != self._size:
            self._events, self._size, self._heard = self.place.events(), size, time.monotonic()

    def _hangs(self) -> bool:
        if time.monotonic() - self._heard < STALL_SECONDS:
            return False
        last = self.struck[-1].kind if self.struck else "nothing"
        self.problems.append(f"nothing was heard for {STALL_SECONDS:.0f} s, {last} having been killed last")
        return True

    def _fill_vacancies(self) -> None:
        for moment in [moment for moment in self._vacant if moment <= time.monotonic()]:
            self._vacant.remove(moment)
            self.raylets.add()

    def _take_away(self) -> None:
        for raylet in [raylet for raylet, moment in self._leaving.items() if moment <= time.monotonic()]:
            del self._leaving[raylet]
            self.raylets.kill(raylet)

    # -- killing

    def _strike(self, kill: Kill) -> bool:
        """Carry out a kill when its time has come; whether it is done with."""
        epochs = sum(isinstance(event, TrialEpoch) for event in self._events)
        if epochs < kill.at:
            return False
        if self._due is None or self._due[0] != kill.number:
            self._due = (kill.number, time.monotonic() + kill.delay)
        if time.monotonic() < self._due[1]:
            return False
        if self._kill(kill):
            what = "a node is told to leave" if kill.kind == "notice" else f"killed a {kill.kind}"
            self.tell(f"  {epochs:4d} epochs: {what}")
            self._heard = time.monotonic()
            return True
        if time.monotonic() - self._due[1] > WAIT_FOR_VICTIM:
            self.problems.append(f"kill {kill.number}: there was no {kill.kind} to kill for {WAIT_FOR_VICTIM:.0f} s")
            return True
        return False

    def _kill(self, kill: Kill) -> bool:
        match kill.kind:
            case "driver":
                return self._kill_driver(kill)
            case "node" | "notice":
                return self._kill_node(kill)
            case _:
                return self._kill_process(kill)

    def _kill_process(self, kill: Kill) -> bool:
        victims = titled(family(self.raylets.pid), kill.kind)
        if not victims:
            return False
        victim = victims[int(kill.pick * len(victims))]
        hit = self._trials_in([victim.pid])
        kill_all([victim])
        # A slot that has a crew trains nothing itself: which trial it had shows afterwards.
        self._note(kill, hit or None)
        return True

    def _kill_node(self, kill: Kill) -> bool:
        candidates = [raylet for raylet in self.raylets.nodes if raylet not in self._leaving]
        if not candidates:
            return False
        raylet = candidates[int(kill.pick * len(candidates))]
        hit = self._trials_in([process.pid for process in family(raylet)])
        if kill.kind == "node":
            self.raylets.kill(raylet)
            self._note(kill, hit)
        else:
            self.raylets.notify(raylet, NOTICE_SECONDS)
            self._leaving[raylet] = time.monotonic() + NOTICE_SECONDS
            self._note(kill, hit, until=time.time() + NOTICE_SECONDS)
        if kill.vacancy is not None:
            self._vacant.append(time.monotonic() + kill.vacancy)
        return True

    def _kill_driver(self, kill: Kill) -> bool:
        if self._driver.poll() is not None:
            return False
        hit = self._trials_in([process.pid for process in family(self.raylets.pid)])
        self._driver.send_signal(signal.SIGKILL)
        self._driver.wait()
        self._note(kill, hit)
        self._driver = self._start("--resume", NAME)
        return True

    def _trials_in(self, pids: Sequence[int]) -> tuple[int, ...]:
        marks, trials = read_marks(self.place.marks), sampled_by(self._events, "model.mark")
        return tuple(sorted({trials[marks[pid]] for pid in pids if marks.get(pid) in trials}))

    def _note(self, kill: Kill, hit: tuple[int, ...] | None, *, until: float | None = None) -> None:
        self.struck.append(Struck(number=kill.number, kind=kill.kind, at=time.time(), until=until, hit=hit))


def environment() -> None:
    """This process's and its children's: nobody else's Ray or server is to be met."""
    for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "TRAINYARD_RESULTS"):
        os.environ.pop(name, None)
