"""What `connector check` looks at, in the order in which it tells; each part says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from connector.cli.printing import print_table, print_wrapped
from connector.errors import ConfigError, ConnectorError

if TYPE_CHECKING:
    from connector.config import ConnectorSettings, Place
    from connector.core.ports import Finding, Psa
    from connector.graph.report import TenantReport
    from connector.wiring import Outfit

TENANTS_AT_ONCE = 8


def say_well_formed(context: typer.Context, settings: ConnectorSettings) -> Finding:
    from connector.core.ports import Finding, Level

    return Finding(Level.OK, "configuration", f"{context.obj} is well formed ({settings.environment}).")


def check_offline(settings: ConnectorSettings, place: Place) -> Iterator[Finding]:
    from connector.core.ports import Finding, Level
    from connector.wiring import build_adapters

    adapters = build_adapters(settings, place)
    yield Finding(Level.OK, "adapters", "Every section, mapping and secret file can be read.")
    yield from check_dry_runs(adapters.psas)
    yield check_passwords(settings)


def check_passwords(settings: ConnectorSettings) -> Finding:
    from connector.core.ports import Finding, Level
    from connector.passwords import describe

    return Finding(Level.OK, "passwords", f"{describe(settings.passwords.policy)}.")


def report_tenants(outfit: Outfit) -> list[TenantReport]:
    """Every tenant looked over, some at a time: each waits for Microsoft, none for another."""
    from concurrent.futures import ThreadPoolExecutor

    adapters, settings = outfit.adapters, outfit.settings

    def report(tenant: str) -> TenantReport:
        # A customer whom no PSA is mapped to yet may come to ask for everything.
        psas = [adapters.psas[name] for name in settings.tenants[tenant].clients]
        actions = {action for psa in psas for action in psa.rules.actions} if psas else None
        return adapters.directory.report(tenant, actions=actions, sends_mail=tenant == mail_tenant(settings))

    with ThreadPoolExecutor(TENANTS_AT_ONCE, thread_name_prefix="check") as pool:
        return list(pool.map(report, settings.tenants))


def mail_tenant(settings: ConnectorSettings) -> str:
    """The tenant from which the app of `graph` sends mails; empty where it sends none, or another app does."""
    mail = settings.mail
    if mail.get("kind") != "graph" or mail.get("client_id"):
        return ""
    wanted = str(mail.get("tenant_id") or "").casefold()
    named = [name for name, section in settings.tenants.items() if wanted in ("", section.tenant_id.casefold())]
    return named[0] if len(named) == 1 else ""


def check_tenants(outfit: Outfit, reports: Sequence[TenantReport]) -> Iterator[Finding]:
    from connector.core.ports import Finding, Level
    from connector.graph.report import credential_findings

    yield from credential_findings(outfit.adapters.directory.credentials())
    yield check_passwords(outfit.settings)
    for report in reports:
        yield from report.findings
        if not outfit.settings.tenants[report.tenant].clients:
            yield Finding(
                Level.WARNING, f"tenants.{report.tenant}.clients", "No client of any PSA is mapped to this tenant.",
                "Add the customer's ids in the PSA, or nothing will ever be reset here.",
            )  # fmt: skip


def check_dry_runs(psas: Mapping[str, Psa]) -> Iterator[Finding]:
    """A dry run that somebody forgot looks like a connector that does nothing."""
    from connector.core.ports import DryRun, Finding, Level

    for name, psa in psas.items():
        if psa.rules.dry_run is not DryRun.OFF:
            yield Finding(
                Level.WARNING, f"psa.{name}.mapping", f"dry_run is on ({psa.rules.dry_run.value}): nothing is reset.",
                "Remove dry_run from the mapping when you have seen enough.",
            )  # fmt: skip


def check_database(settings: ConnectorSettings) -> Iterator[Finding]:
    from connector.core.ports import Finding, Level
    from connector.migrations import NEWEST, current

    try:
        revision = current(settings.database, "connector")
    except ConfigError as failure:
        yield Finding(Level.ERROR, "database", str(failure))
        return
    except ConnectorError as failure:
        yield Finding(Level.ERROR, "database", str(failure), "Start it, and check the address and the rights.")
        return
    if revision == NEWEST["connector"]:
        yield Finding(Level.OK, "database", f"It can be reached and is up to date ({revision}).")
    else:
        yield Finding(
            Level.WARNING, "database", f"It is {'empty' if revision is None else 'older than this program'}.",
            "Nothing: run brings it up to date. Or run: connector migrate",
        )  # fmt: skip


def check_links(outfit: Outfit) -> Iterator[Finding]:
    """The link service, and whether its history goes on where we left it."""
    from connector.core.ports import Finding, Level
    from connector.errors import PermanentError
    from connector.intake import LINKS

    links, broken = outfit.adapters.links, False
    for finding in links.check():
        broken = broken or finding.level is Level.ERROR
        yield finding
    if broken or links.capabilities.needs_watched:  # one that has to be asked link by link has no history of its own
        return
    try:
        cursor = outfit.store.poll_cursor(LINKS)
    except ConnectorError:
        return  # the database has its own line
    try:
        links.news(cursor)
    except PermanentError as failure:
        yield Finding(Level.ERROR, "links", str(failure))
    except ConnectorError as failure:
        yield Finding(Level.WARNING, "links", str(failure), "Look again in a minute.")
    else:
        if cursor:
            yield Finding(Level.OK, "links", "Its history goes on where it was read last.")


def refuse_unknown_names(outfit: Outfit) -> None:
    """A mapping that names what does not exist stops the start; a PSA that is merely away does not."""
    import structlog

    log = structlog.get_logger(__name__)
    problems: list[str] = []
    for name, psa in outfit.adapters.psas.items():
        findings = [finding for finding in psa.check() if finding.level == "error"]
        for finding in findings:
            if finding.temporary:
                log.warning("check", psa=name, about=finding.about, text=finding.text)
            else:
                problems.append(f"{finding.about}: {finding.text} {finding.todo}".strip())
    if problems:
        raise ConfigError(problems)


def print_tenant(report: TenantReport) -> None:
    from connector.graph.report_text import HEAD, app_line, app_rows, tenant_lines

    typer.secho(f"Tenant {report.tenant} ({report.tenant_id})", bold=True)
    for app_report in report.apps:
        typer.echo(f"\n{app_line(app_report)}")
        if app_report.permissions:
            print_table(HEAD, app_rows(app_report), colours={"MISSING": "red", "missing": "yellow", "EXCESS": "yellow"})
    typer.echo("")
    lines = list(tenant_lines(report))
    widest = max((len(name) for name, _ in lines), default=0)
    for name, text in lines:
        print_wrapped(f"{name:<{widest + 2}}", text)
    typer.echo("")
