"""`connector check` for Request Tracker: everything that can be tried without writing anything."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from connector.core.ports import Finding, Level
from connector.errors import AuthenticationError, ConfigError, ConnectorError, TemporaryError
from connector.psa.mapping import Named, resolve, resolve_all
from connector.psa.requesttracker.mapping import SUBJECT_LINE, RequestTrackerMapping, fields_of, is_number
from connector.psa.requesttracker.rest import APPROVALS, SYSTEM, Rest, fold, in_path, quoted, understood

TICKETS_TRIED = 20
DEFAULT_STATUSES = frozenset({"new", "open", "stalled", "resolved", "rejected", "deleted"})
"""Of RT's life cycle `default` as delivered."""


def findings(name: str, rest: Rest, mapping: RequestTrackerMapping) -> Iterator[Finding]:
    """Every problem with credentials, names and rights; our own errors become findings, too."""
    about = f"psa.{name}"
    try:
        version = understood(lambda body: str(body["Version"]), rest.get("/rt").json(), "its version")
    except AuthenticationError as failure:
        todo = "Make a new token for the API user in RT."
        yield Finding(Level.ERROR, f"{about}.token", str(failure), todo, temporary=True)
        return
    except ConnectorError as failure:
        yield _refused(f"{about}.url", failure, "Check the address, the network and the server.")
        return
    yield Finding(Level.OK, about, f"{SYSTEM} {version} answers and takes the token.")
    if not version.startswith("5."):
        yield Finding(Level.WARNING, about, f"Version {version} was never tried.", "Watch the first cases closely.")
    yield _alarm(f"{about} mapping, statuses.alarm", mapping)
    for part in (_queues, _approvals, _owner):
        try:
            yield from part(about, rest, mapping)
        except ConnectorError as failure:
            yield _refused(about, failure, "Mend this, then check again.")


def _alarm(about: str, mapping: RequestTrackerMapping) -> Finding:
    """Where a ticket goes when somebody says "this was not me"."""
    statuses = mapping.statuses
    if statuses.alarm is not None:
        return Finding(Level.OK, about, f"Alarms bring tickets to {statuses.alarm}.")
    if statuses.hand_off is not None:
        return Finding(Level.OK, about, f"Alarms bring tickets where hand-offs go, to {statuses.hand_off}.")
    return Finding(
        Level.WARNING,
        about,
        'No status is mapped for alarms ("this was not me"), nor for hand-offs: a ticket that has ended is only opened '
        "again where RT itself offers that.",
        "Name an active status.",
    )


def _refused(about: str, failure: ConnectorError, todo: str) -> Finding:
    """A server that is away, or a refused token, stops no start: other PSAs go on, and this one may come back."""
    for_now = isinstance(failure, TemporaryError | AuthenticationError)
    return Finding(Level.ERROR, about, str(failure), todo, temporary=for_now)


def _queues(about: str, rest: Rest, mapping: RequestTrackerMapping) -> Iterator[Finding]:
    visible = [
        Named(str(row["id"]), str(row["Name"]))
        for row in rest.rows("/queues/all", [("fields", "Name")])
        if row.get("Name") and row.get("id")
    ]
    seen: set[str] = set()
    for index, request in enumerate(mapping.requests):
        place = f"{about} mapping, requests[{index}]"
        try:
            queue = resolve(request.queue, visible, what="queue", where=f"{place}.queue")
        except ConfigError as failure:
            todo = "Correct the name, or give the API user the right SeeQueue on that queue."
            yield Finding(Level.ERROR, f"{place}.queue", _without_place(str(failure), f"{place}.queue"), todo)
            continue
        known = understood(_queue, rest.get(f"/queue/{in_path(queue.id)}").json(), "a queue")
        lifecycle, existing = known
        wanted = {
            where: field
            for where, field in fields_of(mapping, request)
            if fold(field) != fold(SUBJECT_LINE) or any(fold(one.name) == fold(SUBJECT_LINE) for one in existing)
        }
        _, problems = resolve_all(wanted, existing, what="custom field", where=f"{place}.")
        for problem in problems:
            todo = "Correct the name; apply the field to the queue; give the API user SeeCustomField."
            yield Finding(Level.ERROR, place, _without_place(problem, place), todo)
        if not problems:
            yield Finding(Level.OK, place, f"Queue {queue.name} and its fields are there.")
        if queue.id not in seen:
            seen.add(queue.id)
            yield from _statuses(f"{about} mapping, statuses", rest, mapping, queue, lifecycle)
            yield from _priority(f"{about} mapping, alarm.priority", rest, mapping, queue)
            yield from _rights(about, rest, queue)


def _without_place(sentence: str, place: str) -> str:
    """A finding names its place already."""
    return sentence.removeprefix(place).lstrip(".: ")


def _queue(body: dict[str, Any]) -> tuple[str, list[Named]]:
    fields = [Named(str(one["id"]), str(one["name"])) for one in body["TicketCustomFields"]]
    return str(body["Lifecycle"]), fields


def _statuses(
    about: str, rest: Rest, mapping: RequestTrackerMapping, queue: Named, lifecycle: str
) -> Iterator[Finding]:
    """RT takes any status for a search and tells its life cycles to nobody, so use is the only proof."""
    statuses = mapping.statuses
    for key, status in (
        ("working", statuses.working),
        ("closed", statuses.closed),
        ("hand_off", statuses.hand_off),
        ("retry", statuses.retry),
        ("alarm", statuses.alarm),
    ):
        if status is None or (lifecycle == "default" and fold(status) in DEFAULT_STATUSES):
            continue
        used = next(rest.tickets(f"Queue = {quoted(queue.id)} AND Status = {quoted(status)}"), None)
        if used is None:
            yield Finding(
                Level.WARNING,
                f"{about}.{key}",
                f"No ticket in {queue.name} has ever stood in {status}, and RT does not tell the statuses of the life "
                f"cycle {lifecycle}.",
                "Check the spelling in RT's life cycle; a move to an unknown status is refused.",
            )


def _priority(about: str, rest: Rest, mapping: RequestTrackerMapping, queue: Named) -> Iterator[Finding]:
    """The names of priorities stand in RT's configuration only (`PriorityAsString`), so use is the only proof.

    A name that RT does not know may be searched for as 0, so a ticket that has 0 proves nothing.
    """
    wanted = mapping.alarm.priority
    if wanted is None or is_number(wanted):
        return
    query = f"Queue = {quoted(queue.id)} AND Priority = {quoted(wanted)}"
    used = next(rest.rows("/tickets", [("query", query), ("fields", "Priority")]), {})
    if str(used.get("Priority") or 0) == "0":
        yield Finding(
            Level.WARNING,
            about,
            f"No ticket in {queue.name} has ever had the priority {wanted}, and RT does not tell its names for "
            "priorities. It sets 0 for a name that it does not know.",
            "Write the number that the name stands for, or check its spelling in RT's PriorityAsString.",
        )


def _rights(about: str, rest: Rest, queue: Named) -> Iterator[Finding]:
    """What RT offers us to do with the newest open tickets of the queue.

    A ticket whose approval is open may be offered no change of its status at all, whoever asks, so one of them alone
    says nothing about that right. Seen on Request Tracker 5.0.3, 2026-11-22.
    """
    query = f"Queue = {quoted(queue.id)} AND Status = '__Active__'"
    order = [("orderby", "id"), ("order", "DESC")]
    rows = rest.rows("/tickets", [("query", query), ("fields", "_hyperlinks"), *order])
    tickets = [{str(link.get("ref")) for link in row.get("_hyperlinks") or ()} for row in islice(rows, TICKETS_TRIED)]
    if not tickets:
        yield Finding(
            Level.WARNING,
            about,
            f"{queue.name} shows no open ticket, so the rights to write could not be tried.",
            "Make one and check again; see docs/psa/requesttracker.md for the rights.",
        )
        return
    offered = frozenset().union(*tickets)
    if not offered:
        yield Finding(Level.WARNING, about, "This version of RT does not tell our rights.", "Check them by hand.")
        return
    for ref, doing, right in (
        ("comment", "comment", "CommentOnTicket"),
        ("correspond", "reply", "ReplyToTicket"),
        ("lifecycle", "change the status", "ModifyTicket"),
    ):
        if ref in offered:
            continue
        if ref == "lifecycle" and all("depends-on" in ticket for ticket in tickets):
            yield Finding(
                Level.WARNING,
                about,
                f"Every open ticket of {queue.name} waits for an approval, so the right to change the status could not "
                "be tried.",
                f"See that the API user has {right} there.",
            )
            continue
        yield Finding(
            Level.ERROR, about, f"The API user may not {doing} in {queue.name}.", f"Give it the right {right} there."
        )


def _approvals(about: str, rest: Rest, mapping: RequestTrackerMapping) -> Iterator[Finding]:
    if rest.get(f"/queue/{APPROVALS}", expect=(200, 403, 404)).status != 200:
        yield Finding(
            Level.ERROR,
            about,
            f"The API user cannot see the queue {APPROVALS}, so it may miss approvals.",
            "Give it SeeQueue, ShowTicket and ShowTicketComments there, and nothing else.",
        )
    order = [("orderby", "id"), ("order", "DESC"), ("fields", "AdminCc,_hyperlinks")]
    query = f"Type = 'approval' AND Queue = '{APPROVALS}'"
    newest = next(rest.rows("/tickets", [("query", query), *order]), None)
    if newest is None:
        yield Finding(
            Level.WARNING,
            about,
            f"No approval is visible in {APPROVALS}: there is none yet, or the right ShowTicket is missing there.",
            "Make a request in RT and check again; docs/psa/requesttracker.md has the scrip that creates approvals.",
        )
        return
    offered = {str(link.get("ref")) for link in newest.get("_hyperlinks") or ()}
    if offered & {"comment", "correspond", "lifecycle"}:
        yield Finding(
            Level.ERROR,
            about,
            "The API user may write into approvals, so a stolen token might approve its own resets.",
            f"Take every right but SeeQueue, ShowTicket and ShowTicketComments on {APPROVALS} (and any role) from it.",
        )
    for group in (str(one.get("id")) for one in newest.get("AdminCc") or () if one.get("type") == "group"):
        if rest.get(f"/group/{in_path(group)}", expect=(200, 403, 404)).status != 200:
            yield Finding(
                Level.ERROR if mapping.approval.approvers.who == "psa" else Level.WARNING,
                about,
                f"The members of the group {group}, which is asked for approvals, cannot be read. Approvers are not "
                "reminded" + (", and no decision counts." if mapping.approval.approvers.who == "psa" else "."),
                "Give the API user the right SeeGroup on that group.",
            )
    yield Finding(Level.OK, about, "Approvals are visible.")


def _owner(about: str, rest: Rest, mapping: RequestTrackerMapping) -> Iterator[Finding]:
    """Whether the users for hand-offs and alarms are there. That they may own tickets, and that we may give and take
    them, RT tells nobody."""
    for place, wanted, what in (
        ("hand_off.owner", mapping.hand_off.owner, "gets what is handed off"),
        ("alarm.owner", mapping.alarm.owner, "gets the tickets of alarms"),
    ):
        if wanted is not None:
            yield from _user(f"{about} mapping, {place}", rest, wanted, what)


def _user(place: str, rest: Rest, wanted: str, what: str) -> Iterator[Finding]:
    answer = rest.get(f"/user/{in_path(wanted)}", expect=(200, 403, 404))
    user = understood(dict, answer.json(), "a user") if answer.status == 200 else {}
    if not user.get("Name"):
        yield Finding(
            Level.ERROR, place, f"{SYSTEM} has no user {wanted!r} that the API user may see.", "Correct the user name."
        )
    elif str(user.get("Disabled", "0")) == "1" or not user.get("Privileged", 1):
        yield Finding(
            Level.ERROR, place, f"The user {wanted!r} is disabled or not privileged.", "Name one who can own tickets."
        )
    else:
        yield Finding(Level.OK, place, f"{user['Name']} {what}.")
