"""`audit` and `mails`: what is kept, and what is sent."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from connector.cli.beginning import JsonOption, load, open_cases
from connector.cli.printing import print_json

audit_app = typer.Typer(help="The audit: who asked, who approved, what was done.", no_args_is_help=True)
mails_app = typer.Typer(help="The mails that people get.", no_args_is_help=True)


@audit_app.command(name="verify")
def audit_verify(context: typer.Context, as_json: JsonOption = False) -> None:
    """Prove that no line of the audit was changed or removed. Keep the printed head elsewhere."""
    with open_cases(context) as store:
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

    with open_cases(context) as store:
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
        settings, _ = load(context)
        brand, zone = brand_of(settings), ZoneInfo(settings.support.time_zone)
    else:
        support = SupportSection()
        brand, zone = Brand(name=support.name, phone="+44 20 7946 0000"), ZoneInfo(support.time_zone)
    written = preview(directory, brand, zone=lambda _: zone)
    typer.echo(f"{len(written)} files. Open {written[0]}")
