"""Bringing a ticket back to the agents when somebody said "this was not me", out of an ended status too.

Opening a ticket again is a transition of its life cycle, which may not have it; RT answers 200 all the same, so the
ticket is read before and after. Tried against Request Tracker 5.0.3 (Debian 12) on 2026-11-22, as was this:

- `Priority` is a number. A name is taken as well (`PriorityAsString`, capitals counting), but one that RT does not know
  for the queue sets the priority to 0 without a word.
- The owner is given away with ModifyTicket while the ticket is nobody's or ours, else with ReassignTicket only.
"""

from __future__ import annotations

from connector.errors import PermanentError
from connector.psa.requesttracker.mapping import RequestTrackerMapping, is_number, is_status
from connector.psa.requesttracker.rest import SYSTEM, Rest, fold, quoted
from connector.psa.requesttracker.write import Seen, Writer, said

PLAIN_OPEN = "open"
OPEN = frozenset({"new", PLAIN_OPEN, "stalled"})
"""Of RT's life cycle `default`, and of most others."""


class Alarms:
    """Brings back tickets of one RT."""

    def __init__(self, rest: Rest, mapping: RequestTrackerMapping, writer: Writer) -> None:
        self._rest = rest
        self._mapping = mapping
        self._writer = writer

    def bring_back(self, key: str) -> bool:
        """See `Psa.move` for an alarm: status, priority and owner in one change.

        Without a mapped status an ended ticket goes to `open` where RT itself offers that, and an open one stays.

        Returns:
            `False`: there is nowhere to bring it, or nothing is mapped; nothing was sent.

        Raises:
            TicketGone, PermanentError: RT refused a part of it; the message says which, and what an agent has to do.
            TemporaryError: Also where the ticket changed meanwhile.
        """
        seen = self._writer.look_for(key)
        rules, statuses = self._mapping.alarm, self._mapping.statuses
        status = statuses.alarm or statuses.hand_off
        if status is None and not self._is_open(seen):
            if PLAIN_OPEN not in seen.offers:
                return False
            status = PLAIN_OPEN
        owner = self._owner(key, seen)
        if status is None and owner is None and rules.priority is None:
            return False
        wanted = {}
        if status is not None and not is_status(seen.status, status):
            wanted["Status"] = status
        if owner is not None and owner != seen.owner:
            wanted["Owner"] = owner
        if rules.priority is not None and (wanted or not self._has_priority(key, seen, rules.priority)):
            wanted["Priority"] = rules.priority
        if wanted:
            self._change(key, wanted, seen, status)
        return True

    def _is_open(self, seen: Seen) -> bool:
        statuses = self._mapping.statuses
        return fold(seen.status) in OPEN or any(
            is_status(seen.status, one) for one in (statuses.working, statuses.retry)
        )

    def _is_active(self, key: str, seen: Seen) -> bool:
        """Whether RT counts the status among those of work in hand; own life cycles are asked about."""
        if fold(seen.status) in OPEN:
            return True
        return next(self._rest.tickets(f"id = {key} AND Status = '__Active__'"), None) is not None

    def _owner(self, key: str, seen: Seen) -> str | None:
        """Whoever the mapping names for alarms, whoever has it now; else as at a hand-off. `None` changes nothing."""
        if self._mapping.alarm.owner is not None:
            return self._writer.user_name(self._mapping.alarm.owner, "alarm.owner")
        if self._mapping.claim or self._mapping.hand_off.owner is not None:
            return self._writer.owner_after_hand_off(key, seen)
        return None

    def _has_priority(self, key: str, seen: Seen, wanted: str) -> bool:
        """Whether the ticket has this priority. What a name stands for, RT only tells by finding it.

        How a name is searched for that RT does not know depends on its database, so 0 is no named priority.
        """
        if is_number(wanted):
            return seen.priority == int(wanted)
        if seen.priority == 0:
            return False
        return next(self._rest.tickets(f"id = {key} AND Priority = {quoted(wanted)}"), None) is not None

    def _change(self, key: str, wanted: dict[str, str], before: Seen, status: str | None) -> None:
        answer = self._rest.send("PUT", f"/ticket/{key}", wanted, expect=(200, 400, 403, 404), unchanged=before.etag)
        now = self._writer.look_for(key)
        left = []
        if "Status" in wanted and not is_status(now.status, wanted["Status"]):
            offered = f" (RT offers {', '.join(sorted(now.offers))})" if now.offers else ""
            left.append(f"in the status {now.status} instead of {wanted['Status']}{offered}")
        elif "Status" in wanted and not self._is_active(key, now):
            left.append(f"in the status {now.status}, which is none of work in hand: name an active one in the mapping")
        if "Owner" in wanted and now.owner != wanted["Owner"]:
            left.append(f"with {now.owner} instead of {wanted['Owner']}")
        if "Priority" in wanted and not self._has_priority(key, now, wanted["Priority"]):
            left.append(f"with the priority {now.priority} instead of {wanted['Priority']}")
            if now.priority == 0 and before.priority and not is_number(wanted["Priority"]):
                # It did not know the name: a ticket that people shall see first must not end up last.
                self._rest.send(
                    "PUT", f"/ticket/{key}", {"Priority": str(before.priority)}, expect=(200, 400, 403, 404),
                    unchanged=None,
                )  # fmt: skip
        if left:
            priority = self._mapping.alarm.priority
            raise PermanentError(
                f"{SYSTEM} left ticket {key} {', '.join(left)}: {said(answer)}. Somebody said that a reset was not "
                f"theirs: open ticket {key} again now{f', set it to {status!r}' if status else ''}"
                f"{f', priority {priority!r}' if priority else ''}. Then check the life cycle of its queue, and the "
                "rights ModifyTicket, and ReassignTicket to take it from whoever has it."
            )
