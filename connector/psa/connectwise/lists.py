"""What exists in ConnectWise, as far as a mapping's names need it: lists, in as few calls as that takes.

Statuses, types and teams belong to one board each. Sources: OpenAPI document 2026.4; `service/boards/{id}/teams` is not
in our excerpt of it, but in every public client (django-connectwise, ConnectWiseManageAPI); read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from connector.psa.connectwise.api import ConnectWiseApi
from connector.psa.connectwise.mapping import ConnectWiseMapping
from connector.psa.connectwise.values import Record, flag, identifier, text
from connector.psa.mapping import Named, resolve_all


@dataclass(frozen=True, kw_only=True)
class BoardLists:
    """What exists on one board."""

    board: Named
    statuses: list[Record]
    types: list[Named]
    teams: list[Named]


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Everything that names are looked up in; only what the mapping needs was read."""

    boards: list[Named]
    of_board: list[BoardLists]
    contact_types: list[Named]
    members: list[Named]
    priorities: list[Named]


def read_lists(api: ConnectWiseApi, mapping: ConnectWiseMapping, where: str) -> tuple[Lists, list[str]]:
    """What exists, as far as the mapping needs it, and a sentence for each board that does not."""
    boards = named(api.everything("service/boards"), "name")
    found, problems = resolve_all(
        {f"requests.{index}.board": request.board for index, request in enumerate(mapping.requests)},
        boards,
        what="board",
        where=where,
    )
    hand_off, alarm, rules = mapping.hand_off, mapping.alarm, mapping.approval
    wants_teams = bool(hand_off.team or alarm.team)
    of_board = [
        BoardLists(
            board=board,
            statuses=api.everything(f"service/boards/{board.id}/statuses"),
            types=named(_active(api.everything(f"service/boards/{board.id}/types")), "name"),
            teams=named(api.everything(f"service/boards/{board.id}/teams"), "name") if wants_teams else [],
        )
        for board in {one.id: one for one in found.values()}.values()
    ]
    wants_members = bool(hand_off.owner or alarm.owner or rules.members)
    lists = Lists(
        boards=boards,
        of_board=of_board,
        contact_types=named(api.everything("company/contacts/types"), "description") if rules.contact_types else [],
        members=member_names(_active(api.everything("system/members"))) if wants_members else [],
        priorities=named(api.everything("service/priorities"), "name") if alarm.priority else [],
    )
    return lists, problems


def named(rows: Iterable[Record], key: str) -> list[Named]:
    """Rows as things with a name; captions and names may end in blanks."""
    return [
        Named(str(id_), text(row, key).strip())
        for row in rows
        if (id_ := identifier(row)) is not None and text(row, key).strip()
    ]


def member_names(rows: Iterable[Record]) -> list[Named]:
    """Members by their identifier; first and last name together are another way to write one."""
    return [
        Named(
            one.id, one.name, (full,) if (full := f"{text(row, 'firstName')} {text(row, 'lastName')}".strip()) else ()
        )
        for row in rows
        for one in named([row], "identifier")
    ]


def _active(rows: Iterable[Record]) -> list[Record]:
    return [row for row in rows if not flag(row, "inactiveFlag")]
