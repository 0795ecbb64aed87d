"""The mapping's names as HaloPSA's ids, looked up at first use and remembered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from connector.core.ports import StatusTarget
from connector.errors import ConfigError
from connector.psa.halopsa import lists
from connector.psa.halopsa.api import HaloApi
from connector.psa.halopsa.mapping import HaloMapping, HaloRequest
from connector.psa.mapping import HandOff, Named, resolve, resolve_all


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the mapping means in this HaloPSA.

    Attributes:
        requests: By id of the ticket type.
        statuses: Name of every status, by id.
        targets: Id of the status for each target that the mapping names one for.
        team: Name of the team that a hand-off goes to; empty for none.
        owner: Id of the agent that a hand-off goes to; `None` for none.
        alarm_team, alarm_owner: The same for an alarm.
        priorities: Number of the alarm's priority by number of the service level agreement that knows it.
        processes: Ids of the approval processes that count; `None`: every one.
    """

    requests: Mapping[int, HaloRequest]
    statuses: Mapping[int, str]
    approved: frozenset[int]
    rejected: frozenset[int]
    targets: Mapping[StatusTarget, int]
    retry: int | None
    team: str = ""
    owner: int | None = None
    alarm_team: str = ""
    alarm_owner: int | None = None
    priorities: Mapping[int, int] = field(default_factory=dict)
    processes: frozenset[int] | None = None

    def status_for(self, target: StatusTarget) -> int | None:
        """Where tickets are moved for `target`: an alarm without a status of its own is a hand-off."""
        status = self.targets.get(target)
        if status is None and target is StatusTarget.ALARM:
            return self.targets.get(StatusTarget.HAND_OFF)
        return status


class Catalogue:
    """Looks names up once. Safe to share between threads. A failed look-up is not remembered."""

    def __init__(self, api: HaloApi, mapping: HaloMapping, where: str) -> None:
        self._api = api
        self._mapping = mapping
        self._where = where
        self._lock = threading.Lock()
        self._names: Names | None = None
        self._outcome: int | None = None

    def names(self) -> Names:
        """Ticket types and statuses: two calls at first use, and one each for what else the mapping names.

        Raises:
            ConfigError: Every name that is unknown or ambiguous, with the list of what exists.
            TemporaryError, AuthenticationError, PermanentError: HaloPSA does not tell.
        """
        with self._lock:
            if self._names is None:
                types = lists.ticket_types(self._api)
                names, problems = resolve_names(types, lists.statuses(self._api), self._mapping, self._where)
                if names is None or problems:
                    raise ConfigError(problems)
                names = with_people(self._api, names, self._mapping, self._where)
                if priority := self._mapping.alarm.priority:
                    names = with_priorities(lists.priorities(self._api), names, priority, self._where)
                self._names = with_processes(self._api, names, self._mapping.approval.processes, self._where)
            return self._names

    def outcome(self) -> int:
        """The outcome of our notes: one call at first use. Raises like `names`."""
        with self._lock:
            if self._outcome is None:
                found = resolve(
                    self._mapping.note_outcome,
                    lists.outcomes(self._api),
                    what="outcome",
                    where=f"{self._where}note_outcome",
                )
                self._outcome = int(found.id)
            return self._outcome


def with_people(api: HaloApi, names: Names, mapping: HaloMapping, where: str) -> Names:
    """The names with the teams and owners of hand-offs and alarms, looked up where the mapping names them.

    An owner written as a number is taken as it is: the list of agents may need a right that nothing else needs.

    Raises:
        ConfigError: Every name that is unknown or ambiguous.
        TemporaryError, AuthenticationError, PermanentError: HaloPSA does not tell.
    """
    rules: Mapping[str, HandOff] = {"hand_off": mapping.hand_off, "alarm": mapping.alarm}
    wanted_teams = {place: rule.team for place, rule in rules.items() if rule.team}
    wanted_owners = {place: rule.owner for place, rule in rules.items() if rule.owner}
    by_name = {place: owner for place, owner in wanted_owners.items() if not (owner.isascii() and owner.isdigit())}
    in_teams, problems = _looked_up(wanted_teams, "team", lambda: lists.teams(api), where)
    in_agents, more = _looked_up(by_name, "owner", lambda: lists.agents(api), where, what="agent")
    problems += more
    if problems:
        raise ConfigError(problems)
    # A ticket names its team, it does not number it.
    found_teams = {place: team.name for place, team in in_teams.items()}
    owners = {
        place: int(in_agents[place].id) if place in by_name else int(owner) for place, owner in wanted_owners.items()
    }
    return replace(
        names,
        team=found_teams.get("hand_off", ""),
        owner=owners.get("hand_off"),
        alarm_team=found_teams.get("alarm") or found_teams.get("hand_off", ""),
        alarm_owner=owners.get("alarm", owners.get("hand_off")),
    )


def _looked_up(
    wanted: Mapping[str, str], key: str, existing: Callable[[], list[Named]], where: str, *, what: str = ""
) -> tuple[dict[str, Named], list[str]]:
    """What the mapping names under `<place>.<key>`, by place; nothing is asked for where it names nothing."""
    if not wanted:
        return {}, []
    places = {f"{place}.{key}": name for place, name in wanted.items()}
    found, problems = resolve_all(places, existing(), what=what or key, where=where)
    return {place.removesuffix(f".{key}"): named for place, named in found.items()}, problems


def with_priorities(existing: Mapping[int, list[Named]], names: Names, wanted: str, where: str) -> Names:
    """The names with the alarm's priority, looked up in every service level agreement, since each has its own.

    Raises:
        ConfigError: None of them knows it, with the list of what exists.
    """
    found: dict[int, int] = {}
    for agreement, known in existing.items():
        with suppress(ConfigError):
            found[agreement] = int(resolve(wanted, known, what="priority", where="").id)
    if not found:
        everything = {one.name: one for known in existing.values() for one in known}
        resolve(wanted, everything.values(), what="priority", where=f"{where}alarm.priority")
    return replace(names, priorities=found)


def with_processes(api: HaloApi, names: Names, wanted: Sequence[str], where: str) -> Names:
    """The names with the approval processes that count, looked up where the mapping names any. Raises as above."""
    if not wanted:
        return names
    places = {f"approval.processes.{index}": name for index, name in enumerate(wanted)}
    found, problems = resolve_all(places, lists.processes(api), what="approval process", where=where)
    if problems:
        raise ConfigError(problems)
    return replace(names, processes=frozenset(int(process.id) for process in found.values()))


def resolve_names(
    types: list[Named], statuses: list[Named], mapping: HaloMapping, where: str
) -> tuple[Names | None, list[str]]:
    """The mapping's types and statuses as ids.

    Returns:
        The names, `None` when one is missing, and every problem in a sentence.
    """
    found_types, problems = resolve_all(
        {f"requests.{index}.ticket_type": request.ticket_type for index, request in enumerate(mapping.requests)},
        types,
        what="ticket type",
        where=where,
    )
    wanted = {
        **{f"approval.approved_statuses.{i}": name for i, name in enumerate(mapping.approval.approved_statuses)},
        **{f"approval.rejected_statuses.{i}": name for i, name in enumerate(mapping.approval.rejected_statuses)},
        **{f"statuses.{target}": name for target in StatusTarget if (name := mapping.statuses.target(target))},
        **({"statuses.retry": mapping.statuses.retry} if mapping.statuses.retry else {}),
    }
    found, more = resolve_all(wanted, statuses, what="status", where=where)
    problems += more
    if problems:
        return None, problems
    ids = {place: int(named.id) for place, named in found.items()}
    names = Names(
        requests={
            int(found_types[f"requests.{index}.ticket_type"].id): request
            for index, request in enumerate(mapping.requests)
        },
        statuses={int(status.id): status.name for status in statuses},
        approved=frozenset(id_ for place, id_ in ids.items() if place.startswith("approval.approved")),
        rejected=frozenset(id_ for place, id_ in ids.items() if place.startswith("approval.rejected")),
        targets={target: ids[f"statuses.{target}"] for target in StatusTarget if f"statuses.{target}" in ids},
        retry=ids.get("statuses.retry"),
    )
    return names, _contradictions(names, len(mapping.requests), where)


def _contradictions(names: Names, requests: int, where: str) -> list[str]:
    """What only shows when names and ids are known: the same thing named twice, or with two meanings."""

    def say(ids: frozenset[int]) -> str:
        return ", ".join(f"{names.statuses.get(id_, '?')} ({id_})" for id_ in sorted(ids))

    found: list[str] = []
    if len(names.requests) < requests:
        found.append(f"{where}requests: two of them name the same ticket type, once by name and once by id. Keep one.")
    if both := names.approved & names.rejected:
        found.append(f"{where}approval: {say(both)} cannot mean approved and rejected. Keep it in one list.")
    if names.retry is not None and names.retry in names.targets.values():
        found.append(
            f"{where}statuses.retry: {say(frozenset({names.retry}))} is also a status that we set. Name another."
        )
    alarm = names.targets.get(StatusTarget.ALARM)
    if alarm is not None and alarm in names.approved | names.rejected:
        found.append(f"{where}statuses.alarm: {say(frozenset({alarm}))} is also a decision. Name another status.")
    elif alarm is not None and alarm in (names.targets.get(one) for one in (StatusTarget.CLOSED, StatusTarget.WORKING)):
        found.append(f"{where}statuses.alarm: nobody would look for {say(frozenset({alarm}))}. Name another status.")
    working = names.targets.get(StatusTarget.WORKING)
    if working is not None and working not in names.approved:
        found.append(
            f"{where}statuses.working: moving a ticket to {say(frozenset({working}))} would take it out of the "
            "approved statuses, and its approval would no longer count. Set working to null, or list it under "
            "approval.approved_statuses too."
        )
    return found
