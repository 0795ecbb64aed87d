"""`connector serve-links`, with nothing in memory that serving has no use for.

The service runs for months. What only its start needs is done by a process of its own, `starting`, that ends before
the first request: reading the configuration (pydantic and YAML), and after an update bringing the database up to date
(Alembic). What was read comes back through a pipe that nobody else holds; secrets are never in arguments, variables or
files. The command line is read without typer where it is written in the usual way.
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from connector.errors import ConnectorError
from connector.secretlink.service.ending import Ending, Told, noted_signals

if TYPE_CHECKING:
    from connector.secretlink.service.options import LinkServiceOptions


@dataclass(frozen=True)
class Prepared:
    """What the service needs to know when its file was read and its database is up to date."""

    options: LinkServiceOptions
    log_level: str
    log_format: str


def config_of(arguments: Sequence[str], environ: Mapping[str, str]) -> Path | None:
    """The file of the link service, where the arguments of `connector` ask for it in a usual way.

    `None` for everything else: typer reads that, and calls `serve_links` as well where it comes to the same.
    """
    match arguments:
        case ["serve-links"]:
            return Path(environ.get("CONNECTOR_CONFIG") or "connector.yaml")
        case ["--config" | "-c", file, "serve-links"] if file:
            return Path(file)
        case [option, "serve-links"] if option.removeprefix("--config=") not in (option, ""):
            return Path(option.removeprefix("--config="))
    return None


def serve_links(path: Path) -> None:
    """Run the link service until it is stopped.

    Raises:
        ConfigError: It cannot start: options, database or port.
        ConnectorError: The process that prepares the start broke down.
        SystemExit: That process has said on standard error what is wrong; with its exit code.
    """
    # Where they are installed, structlog loads rich for tracebacks that are never printed here (4 MB for as long as the
    # service runs), and it and SQLAlchemy greenlet (1 MB), which only asyncio's drivers of a database need.
    for unused in ("rich", "greenlet"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]
    with noted_signals() as ending:
        prepared = _prepare(path, ending)
        from connector.secretlink.service.web import serve
        from connector.store.lock import exclusive
        from connector.telemetry import start_logging

        start_logging(level=prepared.log_level, format=prepared.log_format)
        # Held from here to the end; while the database was brought up to date, the other process held it.
        with exclusive(prepared.options.database, who="link service"):
            serve(prepared.options, ending=ending)


def _prepare(path: Path, ending: Ending) -> Prepared:
    # -P: what lies in the folder where the service happens to be started is not run, unless this is from there too.
    safe = () if _is_current(Path(__file__).resolve().parents[2]) else ("-P",)
    program = [sys.executable, *safe, "-m", "connector.cli.starting", str(path)]
    try:
        code, given = _outcome_of(program, ending)
    except Told:
        number = ending.signals[0]
        if number == signal.SIGINT:
            raise KeyboardInterrupt from None
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        sys.exit(128 + number)  # the first process of a container does not die of it
    if code > 0:
        sys.exit(code)  # it has said why
    if code < 0 or not given:
        how = f"was ended by signal {-code}" if code else "ended without a word"
        raise ConnectorError(
            f"The link service did not start: the process that reads {path} and brings the database up to date {how}. "
            "Look into the system's log: there may have been too little memory."
        )
    prepared: Prepared = pickle.loads(given)  # noqa: S301 - our own child wrote it, into a pipe that nobody else holds
    return prepared


def _is_current(folder: Path) -> bool:
    try:
        return folder == Path.cwd()
    except FileNotFoundError:  # it was deleted under us
        return False


def _outcome_of(program: Sequence[str], ending: Ending) -> tuple[int, bytes]:
    """The exit code of a process, and what it gives back. It does not outlive an exception here."""
    with subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:  # noqa: S603 - us
        try:
            with ending.breaking_off():
                import connector.secretlink.service.web  # noqa: F401 - meanwhile: it takes as long as the child does

                given, _ = child.communicate()
        except BaseException:
            child.kill()
            raise
        return child.returncode, given
