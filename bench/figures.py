"""A measured figure, and how it is shown."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Figure:
    """One line of a table.

    Attributes:
        aim: At most this much is wanted; `None` where the figure is only for information.
        note: What the number is made of, or what it was measured over.
        at_least: Whether at least `aim` is wanted instead.
    """

    name: str
    value: float
    unit: str
    aim: float | None = None
    note: str = ""
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        """The value as a share of the aim, or the other way round: up to 1 is within it. `None` without an aim."""
        if self.aim is None:
            return None
        value, most = (self.aim, self.value) if self.at_least else (self.value, self.aim)
        if most == 0:  # nothing at all is wanted, or nothing at all was reached
            return 0.0 if value == 0 else float("inf")
        return value / most


@dataclass(frozen=True)
class Result:
    """What one measurement found.

    Attributes:
        seconds: How long measuring took.
        failure: Why it could not be finished; empty when it was.
    """

    name: str
    figures: Sequence[Figure]
    seconds: float
    failure: str = ""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        figures = [{**asdict(figure), "ratio": figure.ratio} for figure in self.figures]
        return {"name": self.name, "seconds": round(self.seconds, 1), "failure": self.failure, "figures": figures}


def machine() -> str:
    """What the times and sizes were measured on."""
    cores = os.cpu_count() or 0
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {cores} cores{load}"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values do not exceed; the nearest one that was really measured."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def show(result: Result, console: Console) -> None:
    """Print one result as a small table."""
    table = Table(title=f"{result.name} ({result.seconds:.0f} s)", title_justify="left", box=None, pad_edge=False,
                  header_style="dim")  # fmt: skip
    table.add_column("figure", overflow="fold")
    for name in ("measured", "aim", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note", style="dim", overflow="fold")
    for figure in result.figures:
        ratio = figure.ratio
        style = "" if ratio is None else "green" if ratio <= 1 else "yellow"
        table.add_row(
            figure.name,
            _amount(figure.value, figure.unit),
            "" if figure.aim is None else f"{'≥ ' if figure.at_least else ''}{_amount(figure.aim, figure.unit)}",
            "" if ratio is None else Text(f"{ratio:.2f}", style=style),
            figure.note,
        )
    console.print()
    console.print(table)
    if result.failure:
        console.print(Text(f"Not finished: {result.failure}", style="red"))


def say(text: str) -> None:
    """Progress, on standard error: standard output is for the figures."""
    print(text, file=sys.stderr, flush=True)


def _amount(value: float, unit: str) -> str:
    text = f"{value:.0f}" if value == round(value) else f"{value:.2f}"
    return f"{text} {unit}".rstrip()
