"""Reads one ticket with everything that its approval depends on, in as few calls as that takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.core.address import checked_address
from connector.core.case import Approval, Person, fold
from connector.core.ports import ApprovalReading, Clock, Stance, Ticket
from connector.errors import AuthenticationError, PermanentError, TemporaryError
from connector.psa.connectwise import conditions
from connector.psa.connectwise.answers import Forbidden, NotThere, Reply
from connector.psa.connectwise.api import ConnectWiseApi
from connector.psa.connectwise.approval import (
    Carrier,
    Decider,
    NotShown,
    Sign,
    changed_at,
    find_carrier,
    find_decision,
    judge,
    needs_trail,
    words_of,
)
from connector.psa.connectwise.mapping import ConnectWiseMapping, ConnectWiseRequest
from connector.psa.connectwise.names import BoardNames, Names
from connector.psa.connectwise.people import NOBODY, Contact, People
from connector.psa.connectwise.ticket import (
    Readings,
    author_ids,
    first_note,
    gone,
    read_ticket,
    request_of,
    wants_first_note,
    watched_fields,
    whole,
    written_at,
)
from connector.psa.connectwise.trail import Change, Entry, read_entries, touching
from connector.psa.connectwise.values import Record, as_record, inner, records, reference, text, updated

TRAIL_PAGE = 1000
MOST_TRAIL_PAGES = 10
TRAIL_MAY_BE_LATE = timedelta(minutes=1)
"""How long after a ticket's last change the trail is given to show it. Whether it ever lags is UNVERIFIED."""
LOOK_AGAIN = timedelta(seconds=10)
NO_ADDRESS = "no mail address, so nobody can tell whether it is their own account"
SAME_MOMENT = timedelta(seconds=2)
"""What one act writes into a ticket and into its trail bears dates that are no further apart."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads tickets of one ConnectWise. Safe to share between threads.

    Attributes:
        ours: Whether a member's identifier is that of our own API member.
    """

    api: ConnectWiseApi
    mapping: ConnectWiseMapping
    people: People
    ours: Callable[[str], bool]
    clock: Clock

    def read(self, psa: str, key: str, names: Names, *, url: str) -> Ticket:
        """See `Psa.read`.

        Raises:
            TicketGone: Deleted, merged, a project's, or not visible to us while others are.
            TemporaryError: ConnectWise is away, or its trail does not show yet what the ticket shows.
            AuthenticationError.
        """
        reply = fetch_reply(self.api, key)
        record = whole(as_record(reply.body) or {}, key)
        request = request_of(record, names)
        if request is None:
            nothing = Readings(
                contact=None, first_note="", approval=ApprovalReading(Stance.NONE), changed_at=None, logged_by=()
            )
            return read_ticket(psa, record, names, nothing, url=url)
        return _Look(self, record, names, request, reply.sent_at or self.clock()).ticket(psa, url)


class _Look:
    """One reading of one ticket; notes are fetched at most once."""

    def __init__(
        self, reader: Reader, record: Record, names: Names, request: ConnectWiseRequest, now: datetime
    ) -> None:
        self._reader = reader
        self._record = record
        self._names = names
        self._request = request
        self._now = now
        self._id = int(str(record["id"]))
        self._company = reference(record, "company")
        self._fetched: list[Record] | None = None
        self._decider = ""

    def ticket(self, psa: str, url: str) -> Ticket:
        board: BoardNames = self._names.boards[reference(self._record, "board") or 0]
        contact = self._contact()
        carrier = find_carrier(self._record, board, self._reader.mapping.approval)
        entries = self._trail() if needs_trail(carrier) else None
        approval = self._approval(carrier, entries, contact)
        decision = approval.decisions[-1] if approval.decisions else None
        readings = Readings(
            contact=contact,
            first_note=first_note(self._notes()) if wants_first_note(self._request) else "",
            approval=approval,
            changed_at=self._changed_at(decision, entries),
            logged_by=self._logged_by(decision, contact) if decision else (),
        )
        return read_ticket(psa, self._record, self._names, readings, url=url)

    # -- people

    def _contact(self) -> Contact | None:
        """Who asks. Without an active contact nobody does: the free text of name and address can be typed by anybody,
        and who reads the mailbox of somebody who has left is not known."""
        contact_id = reference(self._record, "contact")
        found = self._reader.people.contact(contact_id) if contact_id is not None else None
        return found if found is not None and found.active and found.company == self._company else None

    def _logged_by(self, decision: Approval, contact: Contact | None) -> tuple[Person, ...]:
        """Who had a part in raising the ticket besides its contact, which a technician can change.

        The portal's people stand in `enteredBy` as they stand in the trail (UNVERIFIED), so the same name is the same
        person; the typed address is a copy of the first contact's. Both are only ever a reason to refuse.
        """
        name = text(inner(self._record, "_info"), "enteredBy").strip()
        if name and fold(name) == fold(self._decider):
            return (decision.approver,)
        member = self._reader.people.member(name)
        found = [member.person] if member is not None and not member.program else []
        typed = text(self._record, "contactEmailAddress").strip()
        found += [Person(one, one, frozenset()) for one in dict.fromkeys((name, typed)) if _is_address(one)]
        return tuple(one for one in found if contact is None or not contact.widest.is_same(one))

    def _asked(self, contact: Contact | None) -> tuple[Person, ...]:
        if self._company is None:
            return ()
        found = self._reader.people.approvers(self._company, self._names.contact_types)
        return tuple(one.person for one in found if contact is None or one.id != contact.id)

    def _who(self, entry: Entry) -> Decider:
        """Whose doing a row of the trail was, or why that is nobody whose yes could count."""
        name = entry.entered_by
        if fold(name) in NOBODY:
            return "the audit trail does not say who set it"
        if not entry.by_a_person:
            return f"a rule or a program set it ({_quoted(entry.source)})"
        if self._reader.ours(name):
            return "the connector's own API member set it, or another program with keys"
        # A customer may bear the name that is a member's identifier.
        member = None if entry.by_a_customer else self._reader.people.member(name)
        if member is not None:
            if member.program or not member.active:
                kind = "a program with keys" if member.program else "a member who is not active any more"
                return f"{_quoted(name)}, who set it, is {kind}"
            if not member.person.email:
                return f"{_quoted(name)}, who set it, has {NO_ADDRESS}"
            if self._reader.people.shares_address(member):
                return f"{_quoted(name)}, who set it, has the same mail address as another member"
            if self._reader.mapping.approval.approvers.who == "psa" and member.id not in self._names.members:
                return f"{_quoted(name)}, who set it, is not one of approval.members"
            return member.person
        return self._customer(name)

    def _customer(self, name: str) -> Decider:
        # How the trail names a contact who uses the portal is UNVERIFIED. Only an address identifies one.
        found = None
        if self._company is not None and _is_address(name):
            found = self._reader.people.contact_by_address(name, self._company)
        if found is None:
            return f"{_quoted(name)}, who set it, is no member and no address of a contact of this company"
        if self._reader.mapping.approval.approvers.who == "psa" and not found.types & self._names.contact_types:
            return f"{_quoted(name)}, who set it, has none of approval.contact_types"
        return found.person if found.person.email else f"{_quoted(name)}, who set it, has no default or {NO_ADDRESS}"

    # -- approval

    def _approval(
        self, carrier: Carrier, entries: tuple[Entry, ...] | None, contact: Contact | None
    ) -> ApprovalReading:
        found = None
        if entries is not None:
            wordings = self._reader.mapping.approval.trail.wordings
            found = find_decision(carrier, entries, wordings=wordings, ours=self._reader.ours)
            changed = updated(self._record)
            recently = changed is not None and abs(self._now - changed) < TRAIL_MAY_BE_LATE
            late = isinstance(found, NotShown) or (isinstance(found, Change) and self._is_ahead_of(entries))
            if late and carrier.sign in (Sign.YES, Sign.NO) and recently:
                raise TemporaryError(
                    f"ConnectWise's audit trail does not show yet what ticket {self._id} shows. It is looked at again "
                    "in a moment.",
                    retry_after=LOOK_AGAIN,
                )
            self._decider = found.entry.entered_by if isinstance(found, Change) else ""
        return judge(
            carrier,
            found,
            ticket_id=self._id,
            who=self._who,
            comment=lambda person, when: words_of(self._notes(), person, when, written_at, author_ids),
            asked=lambda: self._asked(contact),
        )

    def _is_ahead_of(self, entries: tuple[Entry, ...]) -> bool:
        """Whether somebody else touched the ticket after everything that the trail shows: then the sign may be of that
        moment, and the yes that the trail shows one that was taken back since."""
        changed = updated(self._record)
        newest = max((entry.entered_at for entry in entries if entry.entered_at is not None), default=None)
        return (
            changed is not None
            and (newest is None or changed - newest > SAME_MOMENT)
            and not self._reader.ours(text(inner(self._record, "_info"), "updatedBy"))
        )

    def _changed_at(self, decision: Approval | None, entries: tuple[Entry, ...] | None) -> datetime | None:
        rows = touching(watched_fields(self._record, self._request), entries or ())
        moments = [entry.entered_at for entry in rows if entry.entered_at is not None]
        return changed_at(decision, moments)

    # -- calls

    def _notes(self) -> list[Record]:
        if self._fetched is None:
            self._fetched = self._reader.api.everything(f"service/tickets/{self._id}/notes")
        return self._fetched

    def _trail(self) -> tuple[Entry, ...] | None:
        """The whole audit trail; `None` when it cannot be read. Forward-only paging does not work for it (developer
        guide, read 2026-11-22)."""
        found: list[Entry] = []
        try:
            for page in range(1, MOST_TRAIL_PAGES + 1):
                wanted = {"type": "Ticket", "id": str(self._id), "page": str(page), "pageSize": str(TRAIL_PAGE)}
                reply = self._reader.api.get("system/audittrail", wanted)
                rows = records(reply.body)
                found += read_entries(rows)
                more = len(rows) >= TRAIL_PAGE if reply.says_more is None else reply.says_more
                if not more or not rows:
                    return tuple(dict.fromkeys(found))
        except (Forbidden, PermanentError):
            return None  # the ticket itself could be read; without the trail nothing counts as approved
        return None


def fetch_reply(api: ConnectWiseApi, key: str) -> Reply:
    """The answer of GET /service/tickets/{id}.

    Raises:
        TicketGone: Not there, or not visible to us while others are: that must not pause the whole PSA.
    """
    try:
        return api.get(f"service/tickets/{key}")
    except NotThere:
        raise gone(key) from None
    except Forbidden as failure:
        wanted = {"conditions": conditions.is_one_of("id", {int(key)}), "pageSize": "1"}
        try:
            listed = records(api.get("service/tickets", wanted).body)
        except AuthenticationError:
            raise failure from None
        if listed:
            raise
        raise gone(key) from None


def fetch_ticket(api: ConnectWiseApi, key: str) -> Record:
    """The ticket as it is now. Raises like `fetch_reply`, and `TicketGone` for one that was merged."""
    return whole(as_record(fetch_reply(api, key).body) or {}, key)


def _is_address(name: str) -> bool:
    try:
        return bool(checked_address(name))
    except ValueError:
        return False


def _quoted(name: str) -> str:
    clean = "".join(letter if letter.isprintable() else " " for letter in name)
    return " ".join(clean.split())[:60] or "nobody"
