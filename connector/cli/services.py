"""`run`, `once`, `serve-links`, `migrate`: the programs that run, and their databases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from connector.cli.beginning import DryRunOption, JsonOption, assembled, load, start_telemetry
from connector.cli.checking import refuse_unknown_names
from connector.cli.printing import print_json

if TYPE_CHECKING:
    from connector.wiring import Outfit


def run(context: typer.Context, dry_run: DryRunOption = False) -> None:
    """Run the service until it is stopped (SIGTERM, Ctrl+C); it finishes what is in hand."""
    from connector.config import split_listen
    from connector.inbound import Inbound, create_app
    from connector.migrations import upgrade
    from connector.runner import stopped_by_signals
    from connector.store import exclusive

    settings, place = load(context)
    start_telemetry(settings)
    with exclusive(settings.database):
        upgrade(settings.database, "connector")
        outfit = assembled(settings, place, dry_run=dry_run)
        refuse_unknown_names(outfit)
        if settings.database.startswith("sqlite"):  # alone: what a killed process held need not wait
            outfit.store.release_leases()
        _warn_of_links(outfit)
        runner = outfit.runner()
        runner.every_day("credentials", lambda: _warn_of_expiry(outfit))
        host, port = split_listen(settings.inbound.listen)
        inbound = Inbound(
            create_app(health=runner.health, psas=list(settings.psa), hear=runner.hear), host=host, port=port
        )
        with stopped_by_signals(runner.stop):
            inbound.start()
            try:
                runner.run()
            finally:
                inbound.stop()
                outfit.store.close()


def _warn_of_links(outfit: Outfit) -> None:
    """Say in the log, once at the start, what people miss with a link service that is not our own."""
    import structlog

    from connector.secretlink.fitness import warnings

    log = structlog.get_logger(__name__)
    for finding in warnings(outfit.settings.links.kind, outfit.adapters.links.capabilities):
        log.warning("links", about=finding.about, text=finding.text, todo=finding.todo)


def _warn_of_expiry(outfit: Outfit) -> bool:
    """Say in the log which credentials of Microsoft's app end soon; for once a day."""
    import structlog

    from connector.graph.report import expiry_warnings

    log = structlog.get_logger(__name__)
    adapters = outfit.adapters
    mail = getattr(adapters.mailer, "credentials", tuple)  # an app of its own, where mails go by Graph
    for finding in expiry_warnings((*adapters.directory.credentials(), *mail())):
        log.warning("credential_ends", about=finding.about, text=finding.text, todo=finding.todo)
    return True


def once(context: typer.Context, dry_run: DryRunOption = False, as_json: JsonOption = False) -> None:
    """Poll everything once, work until nothing is due, then end. For schedulers, and for a first try."""
    from connector.migrations import upgrade
    from connector.runner import stopped_by_signals
    from connector.store import exclusive

    settings, place = load(context)
    start_telemetry(settings)
    with exclusive(settings.database):  # a daemon that starts meanwhile would take our claims for a dead process's
        upgrade(settings.database, "connector")
        outfit = assembled(settings, place, dry_run=dry_run)
        refuse_unknown_names(outfit)
        runner = outfit.runner()
        with stopped_by_signals(runner.stop):
            summary = runner.once()
        outfit.store.close()
    if as_json:
        print_json(asdict(summary))
    else:
        typer.echo(f"{summary.opened} new tickets, {summary.passes} passes over cases.")
        for what, why in summary.failed.items():
            typer.echo(f"{what}: {why}", err=True)
    if summary.failed:
        raise typer.Exit(1)


def serve_links(context: typer.Context) -> None:
    """Run the one-time link service. `--config` takes the link service's own file."""
    from connector.cli import serving

    serving.serve_links(context.obj)


def migrate(context: typer.Context) -> None:
    """Bring the database up to date. `--config` takes the connector's file or the link service's."""
    from connector.config import load_connector, load_link_server, read_yaml
    from connector.migrations import current, upgrade

    path: Path = context.obj
    if _is_link_servers(read_yaml(path)):
        database, history = load_link_server(path).database, "links"
    else:
        database, history = load_connector(path)[0].database, "connector"
    before = current(database, history)  # type: ignore[arg-type]
    upgrade(database, history)  # type: ignore[arg-type]
    after = current(database, history)  # type: ignore[arg-type]
    typer.echo(
        f"The database is up to date ({after})." + ("" if before == after else f" It was at {before or 'nothing'}.")
    )


def _is_link_servers(data: Mapping[str, object]) -> bool:
    """Of which of the two files it has more keys: one may be missing or misspelt, and that is to be told."""
    from connector.config import ConnectorSettings, LinkServerSettings

    links, connectors = (data.keys() & settings.model_fields for settings in (LinkServerSettings, ConnectorSettings))
    return len(links) > len(connectors)
