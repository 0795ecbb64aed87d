"""`python -m bench` measures everything in about fifteen minutes, `python -m bench NAME …` some of it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console

from bench import calls, graph, idle, latency, links, memory, psa, reveals, startup
from bench.figures import Figure, Result, machine, say, show

Measure = Callable[[Path], Sequence[Figure]]
MEASUREMENTS: dict[str, Measure] = {
    "calls": calls.measure,
    "latency": latency.measure,
    "graph": graph.measure,
    "memory": memory.measure,
    "psa": psa.measure,
    "links": links.measure,
    "past": links.measure_past,
    "reveals": reveals.measure,
    "startup": startup.measure,
    "idle": idle.measure,
}
FILE_COLUMNS = 140


def main() -> int:
    """Measure, print, and end with 1 when something could not be measured; a missed aim is no failure."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(MEASUREMENTS)}; default: all")
    parser.add_argument(
        "--full", action="store_true", help="drive all 1,000 cases for the memory, however long it takes"
    )
    parser.add_argument("--short", action="store_true", help="fewer tickets, approvals and links")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    unknown = set(options.names) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}")
    # Into a file or a pipe, rich would take 80 columns.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else FILE_COLUMNS)
    if not options.json:
        console.print(machine(), style="dim")
    results = []
    for result in _results(options.names or list(MEASUREMENTS), full=options.full, short=options.short):
        results.append(result)
        if not options.json:
            show(result, console)
    if options.json:
        print(json.dumps({"machine": machine(), "results": [result.as_dict() for result in results]}, indent=2))
    return 1 if any(result.failure for result in results) else 0


def _results(names: Sequence[str], *, full: bool, short: bool) -> Iterator[Result]:
    with (
        tempfile.TemporaryDirectory(prefix="connector-bench-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
    ):
        place = Path(folder)
        measurements = {name: measure for name, measure in MEASUREMENTS.items() if name in names}
        if "memory" in measurements:
            measurements["memory"] = partial(memory.measure, full=full)
        if "psa" in measurements:
            measurements["psa"] = partial(psa.measure, short=short)
        if "links" in measurements:
            measurements["links"] = partial(links.measure, short=short)
        if "past" in measurements:
            measurements["past"] = partial(links.measure_past, short=short)
        if "idle" in names and len(names) > 1:
            # Its crowd must be left alone for five minutes: the rest is measured meanwhile.
            crowd = idle.Crowd(place / "idle")
            began = _timed("idle", lambda _: stack.enter_context(crowd).figures, place)
            if began.failure:
                yield began
                del measurements["idle"]
            else:
                measurements["idle"] = lambda _: crowd.finish()
        for name, measure in measurements.items():
            yield _timed(name, measure, place / name)


def _timed(name: str, measure: Measure, folder: Path) -> Result:
    say(f"{name} …")
    started = time.monotonic()
    try:
        figures, failure = measure(folder), ""
    except (TimeoutError, RuntimeError, LookupError, OSError) as problem:
        figures, failure = [], f"{type(problem).__name__}: {problem}"
    return Result(name, figures, time.monotonic() - started, failure)


if __name__ == "__main__":
    sys.exit(main())
