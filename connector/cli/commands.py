"""The command line. Reads its arguments, calls the rest, prints; decides nothing.

Exit codes: 0 fine, 1 something failed, 2 bad configuration or usage. Errors are sentences on standard error, never
tracebacks. What a script would read comes as JSON with `--json` on standard output; logs go to standard error.
The heavy parts are imported where they are used: `connector check --offline` answers in under a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connector.cli import casework, services, trying
from connector.cli.links import links_app
from connector.cli.papers import audit_app, mails_app
from connector.cli.psa import psa_app

app = typer.Typer(
    help="Approved password and MFA resets in Microsoft 365, straight from the tickets of your PSA.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show local variables
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The configuration file.", envvar="CONNECTOR_CONFIG")
    ] = Path("connector.yaml"),
) -> None:
    context.obj = config


# In the order in which the help lists them.
app.command()(services.run)
app.command()(services.once)
app.command(name="serve-links")(services.serve_links)
app.command()(services.migrate)
app.command()(trying.check)
app.command()(trying.rehearse)
for command in (casework.cases, casework.show, casework.retry, casework.cancel, casework.pause, casework.resume):
    app.command()(command)
app.add_typer(audit_app, name="audit")
app.add_typer(mails_app, name="mails")
app.add_typer(links_app, name="links")
app.add_typer(psa_app, name="psa")
