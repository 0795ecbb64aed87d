"""Moving a ticket: what is sent, and whether the answer shows it.

HaloPSA ignores what it does not know and answers 201 all the same, so nothing counts as done before it was read back.
`team` is a name and `agent_id` a number, as in the vendor's own ticket; read 2026-11-22.
"""

from __future__ import annotations

from dataclasses import dataclass

from connector.core.ports import StatusTarget
from connector.psa.halopsa.names import Names
from connector.psa.halopsa.values import Record, as_record, flag, identifier, number, text


@dataclass(frozen=True, kw_only=True)
class Move:
    """What a ticket is to be: a status, and where the mapping says so a team, an owner and a priority.

    `None` and empty leave it as it is. `no_priority`: one is wanted, and the ticket's service level agreement has none
    of that name.
    """

    status: int | None
    closes: bool
    names: Names
    team: str = ""
    owner: int | None = None
    priority: int | None = None
    no_priority: bool = False

    @classmethod
    def to(cls, target: StatusTarget, names: Names) -> Move | None:
        """What the mapping says about this target; `None` when it says nothing. For an alarm: `alarm`."""
        status = names.status_for(target)
        hand_off = target is StatusTarget.HAND_OFF
        team, owner = (names.team, names.owner) if hand_off else ("", None)
        if status is None and not team and owner is None:
            return None
        return cls(status=status, closes=target is StatusTarget.CLOSED, team=team, owner=owner, names=names)

    @classmethod
    def alarm(cls, names: Names, ticket: Record) -> Move | None:
        """What this ticket is to be when somebody said "this was not me"; `None` where there is nowhere to bring it.

        Without a mapped status a closed ticket goes where its type brings reopened ones, and an open one stays.
        """
        status = names.status_for(StatusTarget.ALARM)
        if status is None and is_closed(ticket, names):
            status = _reopened_status(ticket, names)
            if status is None:
                return None
        agreement = number(ticket.get("sla_id")) or 0
        priority = names.priorities.get(agreement, names.priorities.get(0))
        move = cls(
            status=status,
            closes=False,
            team=names.alarm_team,
            owner=names.alarm_owner,
            priority=priority,
            no_priority=bool(names.priorities) and priority is None,
            names=names,
        )
        nothing = status is None and not move.team and move.owner is None and not names.priorities
        return None if nothing else move

    def record(self, ticket_id: int) -> Record:
        """What is sent."""
        change: dict[str, object] = {"id": ticket_id}
        if self.status is not None:
            change["status_id"] = self.status
        if self.team:
            change["team"] = self.team
        if self.owner is not None:
            change["agent_id"] = self.owner
        if self.priority is not None:
            change["priority_id"] = self.priority
        if self.closes:
            change["_appointment01_ok"] = True  # otherwise an open appointment makes HaloPSA ask back
        return change

    def missing(self, ticket: Record, ticket_id: int) -> str:
        """What this ticket does not show of it, in words to follow "but"; empty when it shows everything."""
        if identifier(ticket, "id") != ticket_id:
            return "its answer shows another ticket"
        status = number(ticket.get("status_id"))
        closed = self.closes and flag(ticket, "hasbeenclosed")
        if self.status is not None and status != self.status and not closed:
            return f"the ticket does not stand in {self.status_name!r} but in {self._status_of(ticket)!r}"
        if self.team and text(ticket, "team").strip().casefold() != self.team.casefold():
            return f"the ticket is not with the team {self.team!r}"
        if self.owner is not None and identifier(ticket, "agent_id") != self.owner:
            return f"the ticket is not with the agent {self.owner}"
        if self.no_priority:
            agreement = text(ticket, "sla_name") or text(ticket, "sla_id") or "none"
            return f"its service level agreement ({agreement}) does not have the priority that alarm.priority names"
        if self.priority is not None and number(ticket.get("priority_id")) != self.priority:
            return f"the ticket does not have the priority {self.priority}"
        return ""

    @property
    def status_name(self) -> str:
        """What agents call the wanted status; empty where none is wanted."""
        return "" if self.status is None else self.names.statuses.get(self.status, str(self.status))

    def _status_of(self, ticket: Record) -> str:
        status = number(ticket.get("status_id"))
        if status is None:
            return "no status"
        return self.names.statuses.get(status, text(ticket, "status_name") or str(status))


def is_closed(ticket: Record, names: Names) -> bool:
    """Whether nobody works on this ticket any more.

    `hasbeenclosed` is the vendor's own flag for it. Whether it goes away when a ticket is reopened is UNVERIFIED, and
    its name suggests that it may not; so a ticket that stands where alarms bring theirs is open, whatever it says.
    """
    status = number(ticket.get("status_id"))
    if status is not None and status == names.targets.get(StatusTarget.CLOSED):
        return True
    brought_back = status is not None and status == names.status_for(StatusTarget.ALARM)
    return flag(ticket, "hasbeenclosed") and not brought_back


def _reopened_status(ticket: Record, names: Names) -> int | None:
    """Where the ticket's type brings tickets that are opened again, as the detail itself shows it.

    `tickettype.reopenedstatus` is in the public Halo swagger and in a real answer of POST /Tickets (22, beside the
    closed status 9) in uktrade/help-desk-service; read 2026-11-22. A status that means something to us is none of it.
    """
    found = identifier(as_record(ticket.get("tickettype")) or {}, "reopenedstatus")
    ours = {names.retry, *names.targets.values()} | names.approved | names.rejected
    return found if found in names.statuses and found not in ours else None
