"""One idle poll, the first poll and the slow sweep, with few and with many tickets around that are not ours.

Real: each PSA's adapter, the polls, a SQLite store, HTTP over loopback. One imitated PSA for each crowd, in a process
of its own; both are asked in turns, so that whatever else the machine does hits both alike. What the imitation itself
spends on an answer is told apart: a real PSA has an index for what ours has to look up in Python.
"""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from bench.figures import Figure, median, say
from bench.graph import logging_to
from bench.watch import REQUESTER, SUBJECTS, counted, resident_megabytes, start_counting
from connector.adapter import Surroundings
from connector.config import HttpSection, Place
from connector.core.ports import Changes, Psa
from connector.intake import Polls
from connector.migrations import upgrade
from connector.psa.connectwise.adapter import ConnectWise
from connector.psa.halopsa.adapter import HaloPsa
from connector.store import open_store
from sandbox.stage import Stage
from tests.fakes.links import FakeLinks

FEW, MANY = 1_000, 100_000
WAITING = 500
ROUNDS = 60
SPARE_ROUNDS = 5
"""Asked first and left out: connections are opened, statements prepared."""
MOST_RATIO = 1.3
NO_BUDGET = {"share": "100%", "calls": 1_000_000, "per": "1m"}
MAPPINGS = Path(__file__).parent.parent / "mappings"


@dataclass(frozen=True)
class Kind:
    """One kind of PSA.

    Attributes:
        system: Its name in the sandbox's record.
        build: The adapter, from its section of a configuration.
        section: That section, from what the sandbox tells.
        crowd: Fills the imitation with so many unrelated tickets and with those that wait.
    """

    title: str
    system: str
    build: Callable[[str, Mapping[str, object], Surroundings], Psa]
    section: Callable[[Stage], dict[str, object]]
    crowd: Callable[[Stage, int], None]


class Timed:
    """As much of a PSA as a poll asks for. Remembers how long the latest answer took.

    Attributes:
        seconds: Of the adapter with its calls.
    """

    def __init__(self, psa: Psa) -> None:
        self._psa = psa
        self.name = psa.name
        self.seconds = 0.0

    def changed(self, cursor: str | None) -> Changes:
        started = time.perf_counter()
        changes = self._psa.changed(cursor)
        self.seconds = time.perf_counter() - started
        return changes


@dataclass
class Desk:
    """An imitated PSA with its crowd, and the polls of it."""

    stage: Stage
    kind: Kind
    unrelated: int
    times: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kind.crowd(self.stage, self.unrelated)
        database = f"sqlite:///{self.stage.folder / f'{self.kind.system}.db'}"
        upgrade(database, "connector")
        place = Place(folder=self.stage.folder, production=False, environ={})
        surroundings = Surroundings(place=place, http=HttpSection(), clock=_now)
        self.psa = self.kind.build(self.kind.system, self.kind.section(self.stage), surroundings)
        self.timed = Timed(self.psa)
        self.store = open_store(database)
        self.polls = Polls(store=self.store, links=FakeLinks(clock=_now), clock=_now, every=timedelta(seconds=15))

    def poll(self) -> tuple[float, float]:
        """Poll once. Seconds, and those of them that the adapter and its calls took."""
        started = time.perf_counter()
        if self.polls.poll_psa(cast(Psa, self.timed), early=True) is None:
            raise RuntimeError("somebody else polls this PSA")
        return time.perf_counter() - started, self.timed.seconds

    def calls(self) -> Mapping[str, int]:
        """Since they were counted from nothing."""
        return counted(self.stage).calls

    def answering(self) -> float:
        """Median milliseconds that the imitation itself spent on a list since the record was emptied."""
        exchanges: list[dict[str, Any]] = self.stage.control("GET", f"/exchanges?system={self.kind.system}")
        return median([one["milliseconds"] for one in exchanges])


def measure(folder: Path, *, rounds: int = ROUNDS, few: int = FEW, many: int = MANY) -> Sequence[Figure]:
    """Measure every kind. About 40 seconds; most of it fills the larger imitations."""
    folder.mkdir(parents=True, exist_ok=True)
    with logging_to(folder / "log"):
        return [figure for kind in KINDS for figure in _kind(folder / kind.system, kind, rounds, (few, many))]


def _kind(folder: Path, kind: Kind, rounds: int, crowds: Sequence[int]) -> Sequence[Figure]:
    say(f"  {kind.title}: {' and '.join(f'{crowd:,}' for crowd in crowds)} unrelated tickets, {WAITING} waiting")
    with ExitStack() as stack:
        desks = []
        for crowd in crowds:
            stage = stack.enter_context(Stage(folder / str(crowd)))
            stage.start_sandbox()
            stage.write_files()
            desks.append(Desk(stage, kind, crowd))
            stack.callback(desks[-1].store.close)
        first = [figure for desk in desks for figure in _first(desk)]
        for number in range(-SPARE_ROUNDS, rounds):
            if number == 0:
                for desk in desks:
                    start_counting(desk.stage)
                    desk.stage.control("DELETE", "/exchanges")
            # Turn about, so that neither always runs with the other's memory still in the cache.
            for desk in desks if number % 2 else reversed(desks):
                seconds, asked = desk.poll()
                if number >= 0:
                    desk.times.append(seconds)
                    desk.asked.append(asked)
        idle = [figure for desk in desks for figure in _idle(desk, rounds)]
        return [*idle, _ratio(desks, rounds), *first, *(figure for desk in desks for figure in _sweep(desk))]


def _first(desk: Desk) -> Sequence[Figure]:
    """The first poll of a new database: names are looked up, every ticket that is ours is told."""
    start_counting(desk.stage)
    seconds, _ = desk.poll()
    calls = desk.calls()
    note = f"{sum(desk.store.counts().values())} cases opened; {_words(calls)}"
    return [
        Figure(f"{_name(desk)}: first poll", seconds, "s", None, note),
        Figure(f"{_name(desk)}: first poll's calls", sum(calls.values()), "calls", None, "token and names included"),
    ]


def _idle(desk: Desk, rounds: int) -> Sequence[Figure]:
    calls = desk.calls()
    note = (
        f"{rounds} polls, {min(desk.times) * 1000:.1f} to {max(desk.times) * 1000:.1f}; of it the adapter with its "
        f"call {median(desk.asked) * 1000:.1f} (the imitation {desk.answering():.1f}), the rest our two commits"
    )
    return [
        Figure(f"{_name(desk)}: an idle poll's calls", sum(calls.values()) / rounds, "calls", 1, _words(calls)),
        Figure(f"{_name(desk)}: an idle poll, median", median(desk.times) * 1000, "ms", None, note),
    ]


def _ratio(desks: Sequence[Desk], rounds: int) -> Figure:
    few, many = desks
    asked = median(many.asked) / median(few.asked)
    return Figure(
        f"{few.kind.title}: idle poll, {many.unrelated:,} ÷ {few.unrelated:,}",
        median(many.times) / median(few.times),
        "",
        MOST_RATIO,
        f"of the medians of {rounds} rounds; of the adapter with its call alone {asked:.2f}",
    )


def _sweep(desk: Desk) -> Sequence[Figure]:
    before = resident_megabytes(os.getpid())
    start_counting(desk.stage)
    started = time.perf_counter()
    if not desk.polls.sweep_psa(desk.psa):
        raise RuntimeError("the sweep was not due")
    seconds = time.perf_counter() - started
    calls = desk.calls()
    grown = resident_megabytes(os.getpid()) - before
    tracemalloc.start()
    try:
        desk.psa.changed(None)
        peak = tracemalloc.get_traced_memory()[1] / 1024**2
    finally:
        tracemalloc.stop()
    note = f"{_words(calls)}; peak of {peak:.1f} MB of objects, process grown by {max(grown, 0):.1f} MB"
    return [Figure(f"{_name(desk)}: slow sweep", seconds, "s", None, note)]


def _name(desk: Desk) -> str:
    return f"{desk.kind.title}, {desk.unrelated:,}"


def _words(calls: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(calls.items())) or "none"


def _now() -> datetime:
    return datetime.now(UTC)


# -- the kinds


def _halo_section(stage: Stage) -> dict[str, object]:
    settings = json.loads((stage.folder / "connector.yaml").read_text())
    return {**settings["psa"]["halo"], "budget": NO_BUDGET}


def _halo_crowd(stage: Stage, unrelated: int) -> None:
    """Unrelated ones of the past thirty days, nine of ten closed; ours were raised over the past three days."""
    _post(stage, "/bulk-tickets", {"count": unrelated, "days": 30, "closed": 0.9, "ids": False})
    for number, subject in enumerate(SUBJECTS):
        wish = {"count": _part(number), "type": "Password Reset", "subject": subject, "days": 3, "ids": False}
        _post(stage, "/bulk-tickets", wish)


def _connectwise_section(stage: Stage) -> dict[str, object]:
    facts, folder = stage.facts, stage.folder
    (folder / "connectwise.secret").write_text(facts["connectwise_private_key"])
    (folder / "connectwise.yaml").write_text((MAPPINGS / "connectwise.yaml").read_text(encoding="utf-8"))
    return {
        "kind": "connectwise",
        "url": facts["connectwise"],
        "company": facts["connectwise_company"],
        "public_key": facts["connectwise_public_key"],
        "private_key": {"file": "connectwise.secret"},
        "client_id": facts["connectwise_client_id"],
        "mapping": "connectwise.yaml",
        "budget": NO_BUDGET,
    }


def _connectwise_crowd(stage: Stage, unrelated: int) -> None:
    _post(stage, "/connectwise/bulk-tickets", {"count": unrelated})
    for number, subject in enumerate(SUBJECTS):
        wish = {"count": _part(number), "type": "Password Reset", "status": "Waiting Approval", "subject": subject,
                "requester": REQUESTER, "days_old": 3}  # fmt: skip
        _post(stage, "/connectwise/bulk-tickets", wish)


def _post(stage: Stage, path: str, wish: Mapping[str, object]) -> None:
    stage.control("POST", path, wish)


def _part(number: int) -> int:
    share, rest = divmod(WAITING, len(SUBJECTS))
    return share + (number < rest)


KINDS = (
    Kind("HaloPSA", "halo", HaloPsa.from_config, _halo_section, _halo_crowd),
    Kind("ConnectWise", "connectwise", ConnectWise.from_config, _connectwise_section, _connectwise_crowd),
)
