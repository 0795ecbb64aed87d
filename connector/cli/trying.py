"""`check` and `rehearse`: what is missing, and what would have happened. Neither changes anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.beginning import JsonOption, assembled, load, start_telemetry
from connector.cli.checking import (
    check_database,
    check_dry_runs,
    check_links,
    check_offline,
    check_tenants,
    print_tenant,
    report_tenants,
    say_well_formed,
)
from connector.cli.printing import counted, print_findings, print_json
from connector.errors import ConfigError

if TYPE_CHECKING:
    from connector.graph.report import TenantReport


def check(
    context: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Only the files; ask no other system.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look for everything that is missing or wrong, all of it at once, each with what to do."""
    settings, place = load(context)
    findings = [say_well_formed(context, settings)]
    reports: list[TenantReport] = []
    if offline:
        findings.extend(check_offline(settings, place))
    else:
        from connector.telemetry import start_logging

        start_logging(level=settings.log.level, format=settings.log.format)  # else logs mix with the JSON
        outfit = assembled(settings, place)
        findings.extend(check_database(settings))
        for psa in outfit.adapters.psas.values():
            findings.extend(psa.check())
        findings.extend(check_dry_runs(outfit.adapters.psas))
        reports = report_tenants(outfit)
        findings.extend(check_tenants(outfit, reports))
        findings.extend(check_links(outfit))
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


def rehearse(
    context: typer.Context,
    since: Annotated[str, typer.Option("--since", help="How far back (30d, 12h), or a day (2026-11-01).")] = "30d",
    psa: Annotated[list[str] | None, typer.Option("--psa", help="Only this PSA; may be repeated.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Replay past tickets of your PSA through the rules, and print what would have happened. Changes nothing."""
    from connector.cli.rehearsing import print_rehearsal, read_since, show_progress
    from connector.wiring import present

    settings, place = load(context)
    start = read_since(since, now=present())
    unknown = sorted(set(psa or ()) - set(settings.psa))
    if unknown:
        raise ConfigError(f"--psa {', '.join(unknown)}: there is no such PSA. There is: {', '.join(settings.psa)}.")
    start_telemetry(settings)
    outfit = assembled(settings, place)
    wanted = [one for name, one in outfit.adapters.psas.items() if not psa or name in psa]
    done = outfit.rehearsal(progress=show_progress).replay(wanted, start)
    print_rehearsal(done, since=start, as_json=as_json)
