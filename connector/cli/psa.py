"""`connector psa`: what is set up in a PSA from here."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import typer

psa_app = typer.Typer(help="What is set up in a PSA from here.", no_args_is_help=True)

BY_HAND = {
    "halopsa": "In HaloPSA, webhooks are made in its configuration (Integrations > Webhooks): docs/psa/halopsa.md",
    "requesttracker": "In Request Tracker, a scrip pushes: docs/psa/requesttracker.md",
}
"""How a kind is made to push that has no API for it."""


@psa_app.callback()
def psa() -> None:
    """What is set up in a PSA from here."""


@psa_app.command(name="register-callback")
def register_callback(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The PSA's name in the configuration, under psa.")],
    url: Annotated[
        str, typer.Option("--url", help="Where it reaches this connector: https://push.msp.example/nudge/NAME")
    ],
) -> None:
    """Have a PSA push changed tickets to this connector, so that nobody waits for the next poll."""
    from connector.adapter import CallbackPsa
    from connector.config import load_connector
    from connector.errors import ConfigError, ConnectorError
    from connector.wiring import build_adapters

    settings, place = load_connector(context.obj)
    if name not in settings.psa:
        raise ConfigError(
            f"psa.{name}: there is no such PSA in the configuration. There is: {', '.join(sorted(settings.psa))}."
        )
    warnings = check_address(name, url, production=place.production)
    adapter = build_adapters(settings, place).psas[name]
    if not isinstance(adapter, CallbackPsa):
        kind = str(settings.psa[name].get("kind"))
        how = BY_HAND.get(kind, "See its documentation for how it is made to push.")
        raise ConnectorError(f"psa.{name}: {kind} takes no callbacks from here, and nothing was changed. {how}")
    for warning in warnings:
        typer.echo(warning, err=True)
    typer.echo(adapter.register_callback(url))


def check_address(name: str, url: str, *, production: bool) -> list[str]:
    """What is doubtful about the address at which a PSA is to reach us.

    Raises:
        ConfigError: It cannot be used, with every reason. The address itself is not repeated: it may hold a secret.
    """
    from connector.errors import ConfigError

    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        whole = False
    if not whole:
        raise ConfigError(f"--url: write the whole address, such as https://push.msp.example/nudge/{name}")
    problems = []
    if parts.username is not None or parts.password is not None:
        problems.append("--url: it holds a user name or password, which would be stored in the PSA. Leave them out.")
    if production and parts.scheme != "https":
        problems.append("--url: in production it is https: pushes go over the internet. Put a reverse proxy before us.")
    if problems:
        raise ConfigError(problems)
    warnings = []
    if parts.scheme != "https":
        warnings.append("Warning: --url is not https; whoever is on the way can read and change what is pushed.")
    if not parts.path.endswith(f"/nudge/{name}"):
        warnings.append(
            f"Warning: --url does not end in /nudge/{name}, where this connector takes pushes of psa.{name}. "
            "That is right only where your reverse proxy leads it there."
        )
    return warnings
