"""The mapping's names as ConnectWise's ids, looked up at first use and remembered.

Statuses, types and teams belong to one board each, so every name is looked up on every board that the mapping names.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from connector.core.ports import StatusTarget
from connector.errors import ConfigError
from connector.psa.connectwise.api import ConnectWiseApi
from connector.psa.connectwise.lists import BoardLists, Lists, named, read_lists
from connector.psa.connectwise.mapping import ConnectWiseMapping, ConnectWiseRequest
from connector.psa.connectwise.values import Record, flag, fold, identifier, text
from connector.psa.connectwise.wordings import plain
from connector.psa.mapping import Named, resolve, resolve_all


@dataclass(frozen=True, kw_only=True)
class BoardNames:
    """What the mapping means on one board.

    Attributes:
        statuses: Name of every status, inactive ones too, by id: an old audit trail may name them.
        closing: Statuses that close a ticket, which takes a right of its own.
        targets: Id of the status for each target that the mapping names one for.
        open_status: Where the board itself brings new tickets, where that is one open status and means nothing to us.
        alarm_team: The team for alarms; `team` is that for hand-offs.
    """

    id: int
    name: str
    statuses: Mapping[int, str]
    closing: frozenset[int]
    approved: frozenset[int]
    rejected: frozenset[int]
    targets: Mapping[StatusTarget, int]
    retry: int | None
    team: int | None
    open_status: int | None = None
    alarm_team: int | None = None

    def status_for(self, target: StatusTarget) -> int | None:
        """Where tickets are moved for `target`: an alarm without a status of its own is a hand-off."""
        status = self.targets.get(target)
        if status is None and target is StatusTarget.ALARM:
            status = self.targets.get(StatusTarget.HAND_OFF)
            return None if status in self.closing else status
        return status


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the mapping means in this ConnectWise.

    Attributes:
        requests: By ids of board and type.
        members: Ids of the members whose yes counts besides those of contacts.
        owner: Id of the member who owns handed-off tickets, or `None`; `alarm_owner` that for alarms.
        priority: Id of the priority of alarms, or `None`.
    """

    boards: Mapping[int, BoardNames]
    requests: Mapping[tuple[int, int], ConnectWiseRequest]
    contact_types: frozenset[int]
    members: frozenset[int]
    owner: int | None
    alarm_owner: int | None = None
    priority: int | None = None

    def request(self, board: int | None, kind: int | None) -> ConnectWiseRequest | None:
        """The request that a ticket of this board and type is, if any."""
        return None if board is None or kind is None else self.requests.get((board, kind))


class Catalogue:
    """Looks names up once. Safe to share between threads. A failed look-up is not remembered."""

    def __init__(self, api: ConnectWiseApi, mapping: ConnectWiseMapping, where: str) -> None:
        self._api = api
        self._mapping = mapping
        self._where = where
        self._lock = threading.Lock()
        self._names: Names | None = None

    def names(self) -> Names:
        """One call for the boards and two for each mapped one at first use; more for teams, contact types, members.

        Raises:
            ConfigError: Every name that is unknown or ambiguous, with the list of what exists.
            TemporaryError, AuthenticationError, PermanentError: ConnectWise does not tell.
        """
        with self._lock:
            if self._names is None:
                lists, problems = read_lists(self._api, self._mapping, self._where)
                names, more = resolve_names(lists, self._mapping, self._where)
                if names is None or problems or more:
                    raise ConfigError([*problems, *more])
                self._names = names
            return self._names


def resolve_names(lists: Lists, mapping: ConnectWiseMapping, where: str) -> tuple[Names | None, list[str]]:
    """The mapping's names as ids.

    Returns:
        The names, `None` when one is missing, and every problem in a sentence.
    """
    problems: list[str] = []
    requests = _requests(lists, mapping, where, problems)
    boards: dict[int, BoardNames] = {}
    for one in lists.of_board:
        names = _board(one, mapping, where, problems)
        if names is not None:
            boards[names.id] = names
    problems += _ids_of_no_board(lists, mapping, where)
    types, more = resolve_all(
        {f"approval.contact_types.{i}": name for i, name in enumerate(mapping.approval.contact_types)},
        lists.contact_types,
        what="contact type",
        where=where,
    )
    wanted = {f"approval.members.{i}": name for i, name in enumerate(mapping.approval.members)}
    if mapping.hand_off.owner:
        wanted["hand_off.owner"] = mapping.hand_off.owner
    if mapping.alarm.owner:
        wanted["alarm.owner"] = mapping.alarm.owner
    members, still_more = resolve_all(wanted, lists.members, what="member", where=where)
    urgent = {"alarm.priority": mapping.alarm.priority} if mapping.alarm.priority else {}
    priorities, yet_more = resolve_all(urgent, lists.priorities, what="priority", where=where)
    problems += more + still_more + yet_more
    if problems or not lists.of_board:
        return None, problems
    owner = members.get("hand_off.owner")
    alarm_owner = members.get("alarm.owner", owner)
    return Names(
        boards=boards,
        requests=requests,
        contact_types=frozenset(int(found.id) for found in types.values()),
        members=frozenset(int(found.id) for place, found in members.items() if place.startswith("approval.")),
        owner=int(owner.id) if owner else None,
        alarm_owner=int(alarm_owner.id) if alarm_owner else None,
        priority=next((int(found.id) for found in priorities.values()), None),
    ), []


def _requests(
    lists: Lists, mapping: ConnectWiseMapping, where: str, problems: list[str]
) -> dict[tuple[int, int], ConnectWiseRequest]:
    found: dict[tuple[int, int], ConnectWiseRequest] = {}
    for index, request in enumerate(mapping.requests):
        place = f"{where}requests.{index}"
        try:
            board = resolve(request.board, lists.boards, what="board", where=f"{place}.board")
            types = next(one.types for one in lists.of_board if one.board.id == board.id)
            on_board = f"{place}.ticket_type (board {board.name})"
            kind = resolve(request.ticket_type, types, what="type", where=on_board)
        except ConfigError as failure:
            if not str(failure).startswith(f"{place}.board"):  # told already
                problems.extend(failure.problems)
            continue
        key = (int(board.id), int(kind.id))
        if key in found:
            problems.append(
                f"{where}requests: two of them name {board.name} / {kind.name}, once by name and once by id. Keep one."
            )
        found[key] = request
    return found


def _board(one: BoardLists, mapping: ConnectWiseMapping, where: str, problems: list[str]) -> BoardNames | None:
    existing = named([row for row in one.statuses if not flag(row, "inactive")], "name")
    ids: dict[str, int] = {}
    before = len(problems)
    for place, name in status_names(mapping).items():
        try:
            on_board = f"{where}{place} (board {one.board.name})"
            ids[place] = int(resolve(name, existing, what="status", where=on_board).id)
        except ConfigError as failure:
            if not _is_id(name):  # an id is of one board only: `_ids_of_no_board` looks at those
                problems.extend(failure.problems)
    teams: dict[str, int] = {}
    for place, team in (("hand_off.team", mapping.hand_off.team), ("alarm.team", mapping.alarm.team)):
        try:
            if team:
                on_board = f"{where}{place} (board {one.board.name})"
                teams[place] = int(resolve(team, one.teams, what="team", where=on_board).id)
        except ConfigError as failure:
            problems.extend(failure.problems)
    if len(problems) > before:
        return None
    problems += _alike(existing, ids, one.board.name, where)
    names = BoardNames(
        id=int(one.board.id),
        name=one.board.name,
        statuses={id_: text(row, "name") for row in one.statuses if (id_ := identifier(row)) is not None},
        closing=frozenset(
            id_ for row in one.statuses if flag(row, "closedStatus") and (id_ := identifier(row)) is not None
        ),
        approved=frozenset(id_ for place, id_ in ids.items() if place.startswith("approval.approved")),
        rejected=frozenset(id_ for place, id_ in ids.items() if place.startswith("approval.rejected")),
        targets={target: ids[f"statuses.{target}"] for target in StatusTarget if f"statuses.{target}" in ids},
        retry=ids.get("statuses.retry"),
        team=teams.get("hand_off.team"),
        open_status=_open_status(one.statuses, frozenset(ids.values())),
        alarm_team=teams.get("alarm.team", teams.get("hand_off.team")),
    )
    problems += _contradictions(names, mapping, where)
    return names


def _open_status(rows: list[Record], ours: frozenset[int]) -> int | None:
    """The board's default status, in which its new tickets begin. `None` unless there is just one and it is open.

    `defaultFlag` and `closedStatus` are in the OpenAPI document 2026.4, read 2026-11-22.
    """
    found = [
        row for row in rows if flag(row, "defaultFlag") and not flag(row, "closedStatus") and not flag(row, "inactive")
    ]
    status = identifier(found[0]) if len(found) == 1 else None
    return None if status in ours else status


def _alike(existing: list[Named], ids: Mapping[str, int], board: str, where: str) -> list[str]:
    """Statuses that the audit trail could not tell from a mapped one: it names them, and not by id."""
    mapped = {id_: next(name.name for name in existing if name.id == str(id_)) for id_ in ids.values()}
    return [
        f"{where}the status {name!r} ({id_}) of the board {board} has a name like {one.name!r} ({one.id}), and the "
        "audit trail could not tell them apart. Rename one."
        for id_, name in mapped.items()
        for one in existing
        if one.id != str(id_) and plain(one.name) == plain(name)
    ]


def status_names(mapping: ConnectWiseMapping) -> dict[str, str]:
    """Every status that the mapping names, by its place."""
    rules, statuses = mapping.approval, mapping.statuses
    return {
        **{f"approval.approved_statuses.{i}": name for i, name in enumerate(rules.approved_statuses)},
        **{f"approval.rejected_statuses.{i}": name for i, name in enumerate(rules.rejected_statuses)},
        **{f"statuses.{target}": name for target in StatusTarget if (name := statuses.target(target))},
        **({"statuses.retry": statuses.retry} if statuses.retry else {}),
    }


def _ids_of_no_board(lists: Lists, mapping: ConnectWiseMapping, where: str) -> list[str]:
    known = {identifier(row) for one in lists.of_board for row in one.statuses if not flag(row, "inactive")}
    called = {fold(text(row, "name")) for one in lists.of_board for row in one.statuses}
    return [
        f"{where}{place}: there is no status with the id {name} on the mapped boards. Write the status' name, or the "
        "id that the board has for it."
        for place, name in status_names(mapping).items()
        if _is_id(name) and lists.of_board and int(name) not in known and fold(name) not in called
    ]


def _contradictions(names: BoardNames, mapping: ConnectWiseMapping, where: str) -> list[str]:
    """What only shows when names and ids are known: the same status with two meanings, or a meaning without a
    status."""

    def say(ids: Iterable[int]) -> str:
        return ", ".join(f"{names.statuses.get(id_, '?')} ({id_})" for id_ in sorted(ids))

    found: list[str] = []
    board = f"on the board {names.name}"
    by_status = mapping.approval.field is None
    decided = names.approved | names.rejected
    if by_status and not names.approved:
        found.append(f"{where}approval.approved_statuses: none of them is a status {board}. Add one of that board.")
    if both := names.approved & names.rejected:
        found.append(f"{where}approval: {say(both)} {board} cannot mean approved and rejected. Keep it in one list.")
    if names.retry is not None and names.retry in names.targets.values():
        found.append(f"{where}statuses.retry: {say({names.retry})} is also a status that we set. Name another.")
    others = {target: id_ for target, id_ in names.targets.items() if target is not StatusTarget.WORKING}
    for target, id_ in others.items():
        if id_ in decided:
            found.append(f"{where}statuses.{target}: {say({id_})} {board} is also a decision. Name another status.")
    if names.retry is not None and names.retry in decided:
        found.append(f"{where}statuses.retry: {say({names.retry})} {board} is also a decision. Name another status.")
    alarm = names.targets.get(StatusTarget.ALARM)
    if alarm is not None and alarm in names.closing:
        found.append(f"{where}statuses.alarm: {say({alarm})} {board} closes tickets. Name an open status.")
    elif alarm is not None and alarm in {names.targets.get(one) for one in (StatusTarget.CLOSED, StatusTarget.WORKING)}:
        found.append(f"{where}statuses.alarm: {say({alarm})} {board} has another meaning, too. Name another status.")
    working = names.targets.get(StatusTarget.WORKING)
    if by_status and working is not None and working not in names.approved:
        found.append(
            f"{where}statuses.working: moving a ticket to {say({working})} would take it out of the approved statuses, "
            "and its approval would no longer count. Set working to null, or list it under approval.approved_statuses "
            "too."
        )
    return found


def _is_id(name: str) -> bool:
    return name.isascii() and name.isdigit()
