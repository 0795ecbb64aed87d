"""How the command line prints: findings, tables, paragraphs, JSON. Nothing that it prints can steer a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from connector.core.ports import Finding


def print_findings(findings: Sequence[Finding]) -> None:
    marks = {"ok": ("ok", "green"), "warning": ("warn", "yellow"), "error": ("ERROR", "red")}
    for finding in findings:
        mark, colour = marks[finding.level.value]
        print_wrapped(f"{mark:<6}", f"{finding.about}: {finding.text}", colour=colour)
        if finding.todo:
            print_wrapped("      -> ", finding.todo)


def print_wrapped(start: str, text: str, *, colour: str | None = None) -> None:
    """A paragraph behind its start; never broken inside a word, so that a link stays whole."""
    import textwrap

    room = max(40, width() - len(start))
    first, *more = textwrap.wrap(plain(text), room, break_long_words=False, break_on_hyphens=False) or [""]
    typer.secho(start, fg=colour, nl=False)
    typer.echo(first)
    for line in more:
        typer.echo(f"{' ' * len(start)}{line}")


def plain(text: str) -> str:
    """Without control characters: what other systems send must not steer the admin's terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def width() -> int:
    """Of the terminal; 100 where there is none."""
    import shutil

    return shutil.get_terminal_size((100, 20)).columns


def print_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, colours: Mapping[str, str] | None = None
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        # Text: what comes from tickets is no markup
        table.add_row(*(Text(plain(cell), style=(colours or {}).get(cell, "")) for cell in row))
    Console(soft_wrap=False, width=width()).print(table)


def print_json(data: object) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
