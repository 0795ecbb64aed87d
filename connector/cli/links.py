"""`connector links`: what a person does with one-time links, and the keys of their service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from connector.cli import linkwork
from connector.cli.beginning import JsonOption
from connector.cli.printing import print_json

links_app = typer.Typer(help="One-time links, and the keys of their service.", no_args_is_help=True)


@links_app.callback()
def links() -> None:
    """One-time links, and the keys of their service."""


@links_app.command(name="new-key")
def new_key(
    name: Annotated[
        str, typer.Option("--name", help="By which logs know the key: small letters, digits and '-'.")
    ] = "connector",
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="What it may do; give it several times. Default: everything the connector does."),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option("--expires", formats=["%Y-%m-%d"], help="The first day (UTC) on which it no longer works."),
    ] = None,
    networks: Annotated[
        list[str] | None, typer.Option("--network", help="From where it works, such as 10.0.0.0/8.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key for the API of the link service. It is shown this once; the service keeps only its hash."""
    from connector.errors import ConfigError
    from connector.secretlink.place import parse_networks
    from connector.secretlink.service.api import keys

    known = [scope.value for scope in keys.Scope]
    chosen = [scope for scope in known if scope in scopes] if scopes else known
    problems = [
        f"--scope: {scope!r} is none. Use any of: {', '.join(known)}." for scope in scopes or () if scope not in known
    ]
    if not keys.is_key_name(name):
        problems.append("--name: use 1 to 32 small letters, digits or '-', such as connector-2027.")
    if expires and expires.date() <= datetime.now(UTC).date():
        problems.append("--expires: that day is here already, so the key would open nothing. Name a later one.")
    try:
        parse_networks(networks or ())
    except ConfigError as failure:
        problems += [problem.replace("trusted_proxies", "--network", 1) for problem in failure.problems]
    if problems:
        raise ConfigError(problems)
    key = keys.new_key(name)
    entry: dict[str, object] = {"name": name, "sha256": keys.digest_of(key).hex(), "scopes": chosen}
    if expires:
        entry["expires"] = expires.date().isoformat()
    if networks:
        entry["networks"] = networks
    if as_json:
        print_json({"key": key, "entry": entry})
        return
    typer.echo(f"The key, shown this once (into the file that links.api_key names):\n\n{key}\n")
    typer.echo("The link service's file gets only its hash, in place of or beside what is there:\n")
    typer.echo(f"api_keys:\n{yaml_lines(entry)}")


def yaml_lines(entry: dict[str, object]) -> str:
    """One entry of `api_keys`, to be pasted."""
    import json

    # JSON is YAML too, and quotes what YAML would take for a number.
    first, *more = (f"{key}: {json.dumps(value)}" for key, value in entry.items())
    return "\n".join([f"  - {first}", *(f"    {line}" for line in more)])


links_app.command(name="list")(linkwork.list_links)
links_app.command(name="revoke")(linkwork.revoke)
links_app.command(name="accept-history")(linkwork.accept_history)
