"""What commands begin with: their common options, the configuration, and what is put together from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from connector.errors import ConnectorError

if TYPE_CHECKING:
    from connector.config import ConnectorSettings, Place
    from connector.store import SqlCaseStore
    from connector.wiring import Outfit

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
TicketArgument = Annotated[str, typer.Argument(metavar="TICKET", help="The ticket's number, or psa:number.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Read and decide everything, change nothing outside. Notes say so only where "
                                         "a mapping has dry_run: true.")
]  # fmt: skip


def load(context: typer.Context) -> tuple[ConnectorSettings, Place]:
    from connector.config import load_connector

    return load_connector(context.obj)


def assembled(settings: ConnectorSettings, place: Place, *, dry_run: bool = False) -> Outfit:
    from connector.wiring import assemble

    return assemble(settings, place, dry_run=dry_run)


def start_telemetry(settings: ConnectorSettings) -> None:
    from connector.telemetry import start_logging, start_sentry

    start_logging(level=settings.log.level, format=settings.log.format)
    if settings.sentry is not None:
        from importlib.metadata import version

        start_sentry(settings.sentry.dsn, environment=settings.environment, release=version("psa-reset-connector"))


@contextmanager
def open_cases(context: typer.Context) -> Iterator[SqlCaseStore]:
    """The database of the configuration, which must be there already."""
    from connector.migrations import NEWEST, current
    from connector.store import open_store

    settings, _ = load(context)
    if current(settings.database, "connector") != NEWEST["connector"]:
        raise ConnectorError("The database is empty or older than this program. Run: connector migrate")
    store = open_store(settings.database)
    try:
        yield store
    finally:
        store.close()
