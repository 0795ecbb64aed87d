"""The command line. Reads its arguments, calls the rest, prints; decides nothing.

Exit codes: 0 fine, 1 something failed, 2 bad configuration or usage. Errors are sentences on standard error, never
tracebacks. What a script would read comes as JSON with `--json` on standard output; logs go to standard error.
The heavy parts are imported where they are used: `connector check --offline` answers in under a second.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.checking import (
    check_database,
    check_offline,
    check_tenants,
    print_tenant,
    refuse_unknown_names,
    report_tenants,
    say_well_formed,
)
from connector.cli.printing import counted, print_findings, print_json, print_table
from connector.cli.psa import psa_app
from connector.cli.wording import case_facts, in_words, print_case, print_moment
from connector.errors import ConfigError, ConnectorError

if TYPE_CHECKING:
    from connector.config import ConnectorSettings, Place
    from connector.core.case import Case
    from connector.core.steps import Record
    from connector.graph.report import TenantReport
    from connector.store import SqlCaseStore
    from connector.wiring import Outfit

app = typer.Typer(
    help="Approved password and MFA resets in Microsoft 365, straight from the tickets of your PSA.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show local variables
    add_completion=False,
    rich_markup_mode=None,
)
audit_app = typer.Typer(help="The audit: who asked, who approved, what was done.", no_args_is_help=True)
mails_app = typer.Typer(help="The mails that people get.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")
app.add_typer(mails_app, name="mails")
app.add_typer(psa_app, name="psa")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
TicketArgument = Annotated[str, typer.Argument(metavar="TICKET", help="The ticket's number, or psa:number.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Read and decide everything, change nothing outside. Notes say so only where "
                                         "a mapping has dry_run: true.")
]  # fmt: skip
CLAIM_PATIENCE = timedelta(seconds=20)


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The configuration file.", envvar="CONNECTOR_CONFIG")
    ] = Path("connector.yaml"),
) -> None:
    context.obj = config


# ---------------------------------------------------------------- the services


@app.command()
def run(context: typer.Context, dry_run: DryRunOption = False) -> None:
    """Run the service until it is stopped (SIGTERM, Ctrl+C); it finishes what is in hand."""
    from connector.config import split_listen
    from connector.inbound import Inbound, create_app
    from connector.migrations import upgrade
    from connector.runner import stopped_by_signals
    from connector.store import exclusive

    settings, place = _load(context)
    _start_telemetry(settings)
    with exclusive(settings.database):
        upgrade(settings.database, "connector")
        outfit = _assemble(settings, place, dry_run=dry_run)
        refuse_unknown_names(outfit)
        if settings.database.startswith("sqlite"):  # alone: what a killed process held need not wait
            outfit.store.release_leases()
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


@app.command()
def once(context: typer.Context, dry_run: DryRunOption = False, as_json: JsonOption = False) -> None:
    """Poll everything once, work until nothing is due, then end. For schedulers, and for a first try."""
    from connector.migrations import upgrade
    from connector.runner import stopped_by_signals
    from connector.store import exclusive

    settings, place = _load(context)
    _start_telemetry(settings)
    with exclusive(settings.database):  # a daemon that starts meanwhile would take our claims for a dead process's
        upgrade(settings.database, "connector")
        outfit = _assemble(settings, place, dry_run=dry_run)
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


@app.command(name="serve-links")
def serve_links(context: typer.Context) -> None:
    """Run the one-time link service. `--config` takes the link service's own file."""
    from connector.config import load_link_server
    from connector.migrations import upgrade
    from connector.secretlink.options import LinkServiceOptions
    from connector.secretlink.web import serve
    from connector.telemetry import start_logging

    path: Path = context.obj
    settings = load_link_server(path)
    start_logging(level=settings.log.level, format=settings.log.format)
    link_options = LinkServiceOptions.from_settings(settings, folder=path.resolve().parent)
    upgrade(settings.database, "links")
    serve(link_options)


@app.command()
def migrate(context: typer.Context) -> None:
    """Bring the database up to date. `--config` takes the connector's file or the link service's."""
    from connector.config import load_connector, load_link_server, read_yaml
    from connector.migrations import current, upgrade

    path: Path = context.obj
    if "pepper" in read_yaml(path):
        database, history = load_link_server(path).database, "links"
    else:
        database, history = load_connector(path)[0].database, "connector"
    before = current(database, history)  # type: ignore[arg-type]
    upgrade(database, history)  # type: ignore[arg-type]
    after = current(database, history)  # type: ignore[arg-type]
    typer.echo(
        f"The database is up to date ({after})." + ("" if before == after else f" It was at {before or 'nothing'}.")
    )


# ---------------------------------------------------------------- check


@app.command()
def check(
    context: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Only the files; ask no other system.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look for everything that is missing or wrong, all of it at once, each with what to do."""
    settings, place = _load(context)
    findings = [say_well_formed(context, settings)]
    reports: list[TenantReport] = []
    if offline:
        findings.extend(check_offline(settings, place))
    else:
        from connector.telemetry import start_logging

        start_logging(level=settings.log.level, format=settings.log.format)  # else logs mix with the JSON
        outfit = _assemble(settings, place)
        findings.extend(check_database(settings))
        for psa in outfit.adapters.psas.values():
            findings.extend(psa.check())
        reports = report_tenants(outfit)
        findings.extend(check_tenants(outfit, reports))
        findings.extend(outfit.adapters.links.check())
        findings.extend(outfit.adapters.mailer.check())
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    if as_json:
        from connector.graph.report_text import as_json as report_json

        print_json({"findings": [asdict(finding) for finding in findings], "errors": errors, "warnings": warnings,
                     "tenants": [report_json(report) for report in reports]})  # fmt: skip
    else:
        for report in reports:
            print_tenant(report)
        print_findings(findings)
        typer.echo(f"\n{counted(errors, 'error')}, {counted(warnings, 'warning')}.")
    if errors:
        raise typer.Exit(1)


@app.command()
def rehearse(
    context: typer.Context,
    since: Annotated[str, typer.Option("--since", help="How far back (30d, 12h), or a day (2026-11-01).")] = "30d",
    psa: Annotated[list[str] | None, typer.Option("--psa", help="Only this PSA; may be repeated.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Replay past tickets of your PSA through the rules, and print what would have happened. Changes nothing."""
    from connector.cli.rehearsing import print_rehearsal, read_since, show_progress
    from connector.wiring import present

    settings, place = _load(context)
    start = read_since(since, now=present())
    unknown = sorted(set(psa or ()) - set(settings.psa))
    if unknown:
        raise ConfigError(f"--psa {', '.join(unknown)}: there is no such PSA. There is: {', '.join(settings.psa)}.")
    _start_telemetry(settings)
    outfit = _assemble(settings, place)
    wanted = [one for name, one in outfit.adapters.psas.items() if not psa or name in psa]
    done = outfit.rehearsal(progress=show_progress).replay(wanted, start)
    print_rehearsal(done, since=start, as_json=as_json)


# ---------------------------------------------------------------- cases


@app.command()
def cases(
    context: typer.Context,
    as_json: JsonOption = False,
    needs_person: Annotated[bool, typer.Option("--needs-person", help="Only those that wait for a person.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
) -> None:
    """List the cases."""
    from connector.core.case import State

    with _store(context) as store:
        found = store.cases(open_only=not everything)
        if needs_person:
            found = [case for case in found if case.state is State.NEEDS_PERSON]
        paused = store.paused()
    if as_json:
        print_json({"paused": paused, "cases": [case_facts(case) for case in found]})
        return
    if paused:
        typer.echo(f"Writing to accounts is paused: {paused}. Lift it with: connector resume\n")
    if not found:
        typer.echo("No cases." if everything else "No open cases. See the closed ones with --all.")
        return
    print_table(
        ("ticket", "state", "action", "account", "requester", "since", "what"),
        [
            (
                f"{case.psa}:{case.number}",
                case.state.value,
                case.action.value if case.action else "?",
                case.subject or "?",
                (case.requester.email or case.requester.name) if case.requester else "?",
                f"{case.created_at.astimezone():%d %b %H:%M}",
                case.explanation,
            )
            for case in found
        ],
    )


@app.command()
def show(context: typer.Context, ticket: TicketArgument, as_json: JsonOption = False) -> None:
    """Show one case and its time line."""
    with _store(context) as store:
        case = _find(store, ticket)
        lines = store.audit_of(case.id)
        waiting = store.outbox(case.id)
    if as_json:
        print_json(
            {
                "case": case_facts(case),
                "timeline": [
                    {"at": line.entry.at.isoformat(), "event": line.entry.event, **dict(line.entry.facts)}
                    for line in lines
                ],
                "undelivered": [
                    {"key": row.message.key, "kind": row.message.kind.value, "attempts": row.attempts}
                    for row in waiting
                ],
            }
        )
        return
    print_case(case)
    typer.echo("\nTime line")
    for line in lines:
        print_moment(f"{line.entry.at.astimezone():%d %b %H:%M:%S}", in_words(line.entry))
    if waiting:
        typer.echo("\nStill to be delivered")
        print_table(
            ("what", "kind", "tries"),
            [(row.message.key, row.message.kind.value, str(row.attempts)) for row in waiting],
        )


@app.command()
def retry(context: typer.Context, ticket: TicketArgument) -> None:
    """Start a case over that waits for a person. The approval is checked again like any other."""
    from connector.core.case import State
    from connector.core.records import retry as begin_again

    def decide(case: Case) -> Record:
        if case.state is not State.NEEDS_PERSON:
            raise ConnectorError(
                f"Ticket {case.psa}:{case.number} is {case.state.value}, it does not wait for a person. "
                "Only what was handed off can be tried again; see: connector cases --needs-person"
            )
        return begin_again(case)

    case = _command(context, ticket, decide)
    typer.echo(f"{case.psa}:{case.number} starts over. Follow it with: connector show {case.psa}:{case.number}")


@app.command()
def cancel(context: typer.Context, ticket: TicketArgument) -> None:
    """End a case. A link that is out is revoked; what was already reset stays so."""
    from connector.core.case import State
    from connector.core.machine import ENDING
    from connector.core.records import cancel as end

    settings, place = _load(context)

    def decide(case: Case) -> Record:
        if case.state in ENDING or case.state is State.CLOSED:
            raise ConnectorError(
                f"Ticket {case.psa}:{case.number} is {case.state.value} already. There is nothing to cancel."
            )
        if case.link_id:
            from connector.wiring import build_adapters

            build_adapters(settings, place).links.revoke(case.link_id)
        return end(case, "an administrator")

    case = _command(context, ticket, decide)
    typer.echo(f"{case.psa}:{case.number} is cancelled." + (" Its link is revoked." if case.link_id else ""))


@app.command()
def pause(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever looks next.")] = "by an administrator",
) -> None:
    """Write to no account until `resume`. Tickets are still read, notes and mails still go out."""
    from connector.wiring import present

    with _store(context) as store:
        store.pause(reason, now=present())
    typer.echo("Paused: no account is written to. Lift it with: connector resume")


@app.command()
def resume(context: typer.Context) -> None:
    """Lift `pause`, or the stop of the overall brake."""
    from connector.wiring import present

    with _store(context) as store:
        reason = store.paused()
        store.resume(now=present())
    typer.echo(f"Resumed (it was paused: {reason})." if reason else "It was not paused.")


# ---------------------------------------------------------------- audit, mails


@audit_app.command(name="verify")
def audit_verify(context: typer.Context, as_json: JsonOption = False) -> None:
    """Prove that no line of the audit was changed or removed. Keep the printed head elsewhere."""
    with _store(context) as store:
        report = store.verify_audit()
        head = store.head()
    if as_json:
        print_json({"whole": report.whole, "broken_at": report.broken_at, "problem": report.problem,
                     "head": asdict(head)})  # fmt: skip
    elif report.whole:
        typer.echo(f"The audit is whole: {head.seq} lines. Head: {head.hash}")
    else:
        typer.echo(f"The audit is broken at line {report.broken_at}: {report.problem}", err=True)
    if not report.whole:
        raise typer.Exit(1)


@audit_app.command(name="export")
def audit_export(
    context: typer.Context,
    since: Annotated[
        datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="From this day on (UTC).")
    ] = None,
) -> None:
    """Print the audit as JSON lines, each with its hash."""
    from datetime import UTC

    from connector.store.audit import export

    with _store(context) as store:
        for line in export(store.audit_lines(since=since.replace(tzinfo=UTC) if since else None)):
            typer.echo(line.rstrip("\n"))


@mails_app.command(name="preview")
def mails_preview(
    context: typer.Context, directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made if missing.")]
) -> None:
    """Write every mail with sample data, with your name, phone and colour, as HTML and text."""
    from zoneinfo import ZoneInfo

    from connector.config import SupportSection
    from connector.mail.preview import preview
    from connector.mail.render import Brand
    from connector.wiring import brand_of

    if Path(context.obj).exists():
        settings, _ = _load(context)
        brand, zone = brand_of(settings), ZoneInfo(settings.support.time_zone)
    else:
        support = SupportSection()
        brand, zone = Brand(name=support.name, phone="+44 20 7946 0000"), ZoneInfo(support.time_zone)
    written = preview(directory, brand, zone=lambda _: zone)
    typer.echo(f"{len(written)} files. Open {written[0]}")


# ---------------------------------------------------------------- inside


def main() -> None:
    """The program. Turns our errors into sentences and exit codes."""
    try:
        app()
    except ConfigError as failure:
        for problem in failure.problems:
            typer.echo(problem, err=True)
        sys.exit(2)
    except ConnectorError as failure:
        typer.echo(str(failure), err=True)
        sys.exit(1)


def _load(context: typer.Context) -> tuple[ConnectorSettings, Place]:
    from connector.config import load_connector

    return load_connector(context.obj)


def _assemble(settings: ConnectorSettings, place: Place, *, dry_run: bool = False) -> Outfit:
    from connector.wiring import assemble

    return assemble(settings, place, dry_run=dry_run)


def _start_telemetry(settings: ConnectorSettings) -> None:
    from connector.telemetry import start_logging, start_sentry

    start_logging(level=settings.log.level, format=settings.log.format)
    if settings.sentry is not None:
        from importlib.metadata import version

        start_sentry(settings.sentry.dsn, environment=settings.environment, release=version("psa-reset-connector"))


@contextmanager
def _store(context: typer.Context) -> Iterator[SqlCaseStore]:
    """The database of the configuration, which must be there already."""
    from connector.migrations import NEWEST, current
    from connector.store import open_store

    settings, _ = _load(context)
    if current(settings.database, "connector") != NEWEST["connector"]:
        raise ConnectorError("The database is empty or older than this program. Run: connector migrate")
    store = open_store(settings.database)
    try:
        yield store
    finally:
        store.close()


def _find(store: SqlCaseStore, ticket: str) -> Case:
    psa, colon, number = ticket.partition(":")
    found = store.find(number, psa=psa) if colon else store.find(ticket)
    if not found:
        raise ConnectorError(f"There is no case of a ticket {ticket}. See: connector cases --all")
    if len({case.id for case in found}) > 1:
        choices = ", ".join(f"{case.psa}:{case.number}" for case in found)
        raise ConnectorError(f"More than one PSA has a ticket {ticket}. Say which: {choices}")
    return found[0]


def _command(context: typer.Context, ticket: str, decide: Any) -> Case:
    """Claim the case, decide on what it is then, write that down; a running service carries on from there."""
    import time

    from connector.core.machine import advance
    from connector.reconciler import LEASE
    from connector.wiring import present

    with _store(context) as store:
        case_id = _find(store, ticket).id
        patience = present() + CLAIM_PATIENCE
        while (case := store.claim(case_id, now=present(), lease=LEASE)) is None:
            if present() > patience:
                raise ConnectorError(f"Ticket {ticket} is being worked on right now. Try again in a minute.")
            time.sleep(0.25)
        try:
            record: Record = decide(case)
        except BaseException:
            store.save(case, now=present())
            raise
        now = present()
        after = advance(case, record.event, now=now, **record.changes)
        return store.save(after, now=now, messages=record.messages, audit=[record.audit(case, now)])


if __name__ == "__main__":
    main()
