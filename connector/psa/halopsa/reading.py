"""One ticket of HaloPSA as it is now: its detail, its votes, its approval process, the people whom it only numbers.

An ordinary ticket is one call. More are made only where they decide something: votes that the detail does not show, a
process that was not read lately, a subject that is a user, people whom a vote names without an address, and who logged
a ticket that an agent approved.
"""

from __future__ import annotations

import threading
from functools import cache

from connector.core.case import Person
from connector.core.ports import ApprovalReading, Clock, Ticket
from connector.errors import AuthenticationError, PermanentError, TicketGone
from connector.psa.halopsa.api import HaloApi, NotThere
from connector.psa.halopsa.approval import judge
from connector.psa.halopsa.mapping import HaloApprovalRules
from connector.psa.halopsa.names import Names
from connector.psa.halopsa.people import Look, Subject, find_user, read_looked_up
from connector.psa.halopsa.process import Processes
from connector.psa.halopsa.ticket import approval_facts, logged_by, read_ticket, request_of, who_else_had_a_part
from connector.psa.halopsa.values import Record, as_record, field_value, flag, identifier, number, records
from connector.psa.halopsa.votes import Said, Vote, read_vote, read_votes, with_people

MOST_REMEMBERED = 1000


class TicketReader:
    """Reads tickets. Safe to share between threads: it remembers processes for minutes and who logged a ticket.

    Args:
        name: Of the PSA in the configuration.
        url: Where agents open HaloPSA.
    """

    def __init__(self, *, name: str, url: str, api: HaloApi, rules: HaloApprovalRules, clock: Clock) -> None:
        self._name = name
        self._url = url
        self._api = api
        self._rules = rules
        self._processes = Processes(api, clock)
        self._lock = threading.Lock()
        self._loggers: dict[int, Person | None] = {}

    def ticket(self, ticket_id: str, names: Names) -> Ticket:
        """The ticket with its approval. Raises as `connector.core.ports.Psa.read` does."""
        detail = self.detail(ticket_id, names)
        # A user whom two parts of the ticket mean is asked for once; the next read asks anew.
        look: Look = cache(lambda user_id: find_user(self._api, user_id))
        votes = self._votes(detail, int(ticket_id), names, look)
        subject = self._subject(detail, names, look)
        return read_ticket(
            self._name,
            detail,
            names,
            approval=self._approval(detail, votes, names),
            subject=subject,
            also_not_approvers=who_else_had_a_part(detail, votes, subject, self._logged_by(int(ticket_id), votes)),
            url=f"{self._url}/ticket?id={ticket_id}",
        )

    def detail(self, ticket_id: str, names: Names) -> Record:
        """The ticket's record.

        Raises:
            TicketGone: Not there, deleted, merged into another one, or not visible to us while others are.
        """
        wanted = {"includedetails": "true", "includelastaction": "false", "nocache": "true"}
        try:
            detail = as_record(self._api.get(f"Tickets/{key_of(ticket_id)}", wanted).body) or {}
        except NotThere:
            raise self.gone(ticket_id) from None
        except AuthenticationError:
            if self._sees_others(ticket_id, names):
                raise self.gone(ticket_id) from None
            raise
        other = identifier(detail, "merged_into_id")
        if identifier(detail, "id") != int(ticket_id) or flag(detail, "deleted") or other not in (None, int(ticket_id)):
            raise self.gone(ticket_id)
        return detail

    def gone(self, ticket_id: str) -> TicketGone:
        return TicketGone(
            f"HaloPSA has no ticket {ticket_id} that we may see. It was deleted or merged, or moved to a team that "
            f"the agent of psa.{self._name} does not belong to."
        )

    # -- inside

    def _approval(self, detail: Record, votes: tuple[Vote, ...], names: Names) -> ApprovalReading:
        return judge(approval_facts(detail, votes, names, self._rules, self._processes.get))

    def _subject(self, detail: Record, names: Names, look: Look) -> Subject:
        request = request_of(detail, names)
        if request is None:
            return Subject("")
        if request.subject.lookup is None:
            return Subject(field_value(detail, request.subject.field))
        return read_looked_up(detail, request.subject, look)

    def _votes(self, detail: Record, ticket_id: int, names: Names, look: Look) -> tuple[Vote, ...]:
        votes = read_votes(detail, ticket_id)
        if not votes and number(detail.get("status_id")) in names.approved:
            votes = self._votes_apart(ticket_id)
        return with_people(votes, look)

    def _votes_apart(self, ticket_id: int) -> tuple[Vote, ...]:
        """The votes from their own list, for a ticket that says it is approved and shows none."""
        try:
            reply = self._api.get("TicketApproval", {"ticket_id": str(ticket_id)})
        except (AuthenticationError, PermanentError):
            return ()  # the ticket itself could be read; without votes it does not count as approved
        # An ignored parameter would answer the votes of every ticket.
        own = [row for row in records(reply.body, "approvals") if identifier(row, "ticket_id") == ticket_id]
        return tuple(read_vote(row, ticket_id, current=True) for row in own)

    def _logged_by(self, ticket_id: int, votes: tuple[Vote, ...]) -> Person | None:
        """The agent who logged the ticket, where an agent said yes: only then can the two be one."""
        by_agent = any(
            vote.said is Said.YES and any(one.startswith("halo.agent:") for one in vote.person.ids) for vote in votes
        )
        if not by_agent:
            return None
        with self._lock:
            if ticket_id in self._loggers:
                return self._loggers[ticket_id]
        try:
            opening = as_record(self._api.get("Actions/1", {"ticket_id": str(ticket_id)}).body) or {}
        except (AuthenticationError, PermanentError):
            return None  # HaloPSA does not tell; the other rules stand
        person = logged_by([opening])
        with self._lock:
            if len(self._loggers) >= MOST_REMEMBERED:
                self._loggers.clear()
            self._loggers[ticket_id] = person
        return person

    def _sees_others(self, ticket_id: str, names: Names) -> bool:
        """After a refused detail: whether it is this ticket alone that we may not see.

        A refusal of one ticket must not pause the whole PSA, and a withdrawn right must not end every case.
        Raises `AuthenticationError` when the list is refused, too.
        """
        types = ",".join(map(str, sorted(names.requests)))
        reply = self._api.get(
            "Tickets", {"requesttype": types, "pageinate": "true", "page_size": "100", "page_no": "1"}
        )
        seen = {identifier(row, "id") for row in records(reply.body, "tickets")}
        return bool(seen) and int(ticket_id) not in seen


def key_of(ticket_id: str) -> str:
    """The id for an address; what is not a number was never a ticket of HaloPSA."""
    if not (ticket_id.isascii() and ticket_id.isdigit()):
        raise TicketGone(f"{ticket_id!r} is no ticket number of HaloPSA. Give the number alone.")
    return ticket_id
