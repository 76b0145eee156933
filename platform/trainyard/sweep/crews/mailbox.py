"""The mailbox between a slot and its crew.

A slot gives one command at a time (`start`, `epoch`, `save`, `draw`, `stop`); every worker of the crew fetches it,
carries it out and answers. The mailbox runs as a zero-CPU actor, but knows nothing of Ray: it is a plain asyncio object
and is tested as one.

It also is where the loss of a crew becomes known. The workers of one process group share a *generation*, a random
text. When Ray Train has rebuilt a worker group, its workers join with a new generation: whatever command was under way
then ends as lost, and the slot starts its trial again from the last checkpoint. A slot can have that itself: it lets a
generation go, and Ray Train builds another, where there is room then.

Whose the mailbox is, the roster says. A slot waits with `ready` for a crew, never with a command.
"""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

POLL_SECONDS = 20.0
"""How long a worker's request for the next command stays open before it is told to ask again."""

LOST = "a worker of the crew died"
ANOTHERS = "another slot has the crew"

BROKEN_LIMIT = 3
"""So many failed starts in a row, none of which got a crew together, and the crew is given up."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What the slot wants done. Numbers rise by one; a worker never carries out the same number twice."""

    number: int
    verb: str
    payload: Any = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a command on one worker: a value, or the reason why there is none.

    disconnected: the failure is that of a connection to another worker, so the cause may be theirs. unread: the data
    can't be read, which is no doing of the trial. findings: what was found to be wrong with the training before it
    failed.
    """

    rank: int
    value: Any = None
    failure: str | None = None
    diverged: bool = False
    disconnected: bool = False
    unread: bool = False
    findings: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came of a command in the whole crew.

    `answers` are in order of arrival. `lost` says why the crew is gone; `final` that no other crew will come. nodes:
    the ids of those that the crew is on, or was. cramped: there is room for more workers than it has.
    """

    answers: tuple[Answer, ...] = ()
    lost: str | None = None
    final: bool = False
    nodes: frozenset[str] = frozenset()
    cramped: bool = False


@dataclass
class _Group:
    """The workers of one generation."""

    generation: str
    size: int
    nodes: dict[int, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.nodes) == self.size


class Mailbox:
    """Carries commands from one slot to one crew, and answers back. All methods run on one event loop."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._group: _Group | None = None
        self._command: Command | None = None
        self._answers: list[Answer] = []
        self._number = 0
        self._broken: Counter[str] = Counter()
        self._closed: str | None = None
        self._leaving = False
        self._turn = 0
        self._started: str | None = None
        self._was: frozenset[str] = frozenset()
        self._board: dict[str, Any] = {}
        self._let_go: str | None = None
        self._room = 0

    # -- the slot's side

    async def hand_over(self) -> int:
        """The crew has another slot, which is to name the turn that it gets here in all its calls.

        What the one before it waits for, dead or alive, ends as lost, and it is heard no more.
        """
        async with self._changed:
            self._turn += 1
            self._started = self._command = None
            self._changed.notify_all()
            return self._turn

    async def ready(self, seconds: float) -> bool:
        """Whether the crew is there, or never will be, after waiting so long for it."""
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(self._is_ready), seconds)
            return self._is_ready()

    def _is_ready(self) -> bool:
        return self._closed is not None or (self._group is not None and self._group.complete)

    async def call(self, verb: str, payload: Any = None, *, turn: int = 0) -> Reply:
        """Give a command to the whole crew and wait for every answer, or for the news that the crew is lost.

        A crew that is not there is lost, and so is one that has come after the last `start`: it has no trial.
        """
        async with self._changed:
            if self._closed is not None:
                return Reply(lost=self._closed, final=True)
            group = self._group
            if self._turn != turn:
                return Reply(lost=ANOTHERS)
            if group is None or not group.complete or (verb != "start" and group.generation != self._started):
                return Reply(lost=LOST, nodes=self._was)
            self._started = group.generation
            self._number += 1
            self._command, self._answers = Command(number=self._number, verb=verb, payload=payload), []
            self._changed.notify_all()
            await self._changed.wait_for(
                lambda: (
                    self._closed or self._group is not group or self._turn != turn or len(self._answers) == group.size
                )
            )
            nodes = frozenset(group.nodes.values())
            if self._turn != turn:  # the command and the answers are another's
                return Reply(lost=ANOTHERS, nodes=nodes)
            answers, self._command = tuple(self._answers), None
            if len(answers) == group.size and self._group is group:
                return Reply(answers=answers, nodes=nodes, cramped=self._room > group.size)
            return Reply(answers=answers, lost=self._closed or LOST, final=bool(self._closed), nodes=nodes)

    async def stop(self, *, turn: int = 0) -> None:
        """The trial is over. Waits for nobody: neither for a crew that is not there, nor for an answer."""
        async with self._changed:
            if self._is_ready() and self._turn == turn:
                self._number += 1
                self._command, self._answers = Command(number=self._number, verb="stop"), []
                self._changed.notify_all()

    async def let_go(self, *, turn: int = 0) -> None:
        """Send the workers that are there away. Ray Train builds another group, for which the slot waits."""
        async with self._changed:
            if self._turn == turn:
                self._send_away()

    def _send_away(self) -> None:
        if self._group is not None:
            self._was = frozenset(self._group.nodes.values())
            self._let_go, self._group, self._command = self._group.generation, None, None
            self._changed.notify_all()

    # -- the workers' side

    async def join(self, *, rank: int, size: int, generation: str, node: str = "") -> None:
        """A worker of a (new) process group is ready for commands. node: the id of that which it is on."""
        async with self._changed:
            if generation == self._let_go:  # it comes late, and hears so when it asks for a command
                return
            if self._group is None or self._group.generation != generation:
                self._send_away()
                self._group = _Group(generation=generation, size=size)
                self._board = {key: value for key, value in self._board.items() if key.startswith(generation)}
                self._room = 0
            self._group.nodes[rank] = node
            if self._group.complete:
                self._broken.clear()
            self._changed.notify_all()

    async def next(self, *, generation: str, after: int) -> Command | None:
        """The command that follows number `after`; None: nothing yet, ask again.

        `leave` ends the crew; `quit` the process alone, of which Ray Train makes another.
        """
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: self._due(generation, after)), POLL_SECONDS)
            except TimeoutError:
                return None
            if self._leaving:
                return Command(number=after, verb="leave")
            if self._group is None or self._group.generation != generation:
                return Command(number=after, verb="quit")
            return self._command

    def _due(self, generation: str, after: int) -> bool:
        if self._leaving or self._group is None or self._group.generation != generation:
            return True
        return self._command is not None and self._command.number > after

    async def answer(self, *, generation: str, number: int, answer: Answer) -> None:
        """Answers of a former generation, or to a former command, are dropped."""
        async with self._changed:
            current = self._group is not None and self._group.generation == generation
            if current and self._command is not None and self._command.number == number:
                self._answers.append(answer)
                self._changed.notify_all()

    async def post(self, key: str, value: Any) -> None:
        """Pin something up for the other workers (rank 0's address, when a process group is made anew)."""
        async with self._changed:
            self._board[key] = value
            self._changed.notify_all()

    async def read(self, key: str) -> Any:
        """What was pinned up under `key`, waiting for it."""
        async with self._changed:
            await self._changed.wait_for(lambda: key in self._board)
            return self._board[key]

    # -- Ray Train's controller

    async def room(self, size: int) -> None:
        """There is room for a crew of so many workers."""
        async with self._changed:
            self._room = size

    async def forming(self) -> bool:
        """A crew is about to be formed, so the last one is lost. False: none is wanted, or none will come, any more."""
        async with self._changed:
            self._send_away()
            return self._closed is None

    # -- bad news, and the end

    async def broken(self, rank: str, reason: str) -> None:
        """A worker could not get ready, at most once a start. After some such starts in a row the crew is given up."""
        async with self._changed:
            self._broken[rank] += 1
            if self._broken[rank] >= BROKEN_LIMIT:
                self._closed = f"the crew could not start: {reason}"
            self._changed.notify_all()

    async def close(self, reason: str) -> None:
        """No crew will come any more (its Ray Train run has ended)."""
        async with self._changed:
            self._closed = self._closed or reason
            self._leaving = True
            self._changed.notify_all()
