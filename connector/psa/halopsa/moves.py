"""Moving a ticket: what is sent, and whether the answer shows it.

HaloPSA ignores what it does not know and answers 201 all the same, so nothing counts as done before it was read back.
`team` is a name and `agent_id` a number, as in the vendor's own ticket; read 2026-11-22.
"""

from __future__ import annotations

from dataclasses import dataclass

from connector.core.ports import StatusTarget
from connector.psa.halopsa.names import Names
from connector.psa.halopsa.values import Record, flag, identifier, number, text


@dataclass(frozen=True)
class Move:
    """What a ticket is to be: a status, and at a hand-off a team and an owner; `None` and empty leave it as it is."""

    status: int | None
    closes: bool
    team: str
    owner: int | None
    names: Names

    @classmethod
    def to(cls, target: StatusTarget, names: Names) -> Move | None:
        """What the mapping says about this target; `None` when it says nothing."""
        status = names.targets.get(target)
        hand_off = target is StatusTarget.HAND_OFF
        team, owner = (names.team, names.owner) if hand_off else ("", None)
        if status is None and not team and owner is None:
            return None
        return cls(status, target is StatusTarget.CLOSED, team, owner, names)

    def record(self, ticket_id: int) -> Record:
        """What is sent."""
        change: dict[str, object] = {"id": ticket_id}
        if self.status is not None:
            change["status_id"] = self.status
        if self.team:
            change["team"] = self.team
        if self.owner is not None:
            change["agent_id"] = self.owner
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
            wanted = self.names.statuses.get(self.status, str(self.status))
            return f"the ticket does not stand in {wanted!r} but in {self._status_of(ticket)!r}"
        if self.team and text(ticket, "team").strip().casefold() != self.team.casefold():
            return f"the ticket is not with the team {self.team!r}"
        if self.owner is not None and identifier(ticket, "agent_id") != self.owner:
            return f"the ticket is not with the agent {self.owner}"
        return ""

    def _status_of(self, ticket: Record) -> str:
        status = number(ticket.get("status_id"))
        if status is None:
            return "no status"
        return self.names.statuses.get(status, text(ticket, "status_name") or str(status))
