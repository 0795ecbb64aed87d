"""What is written into Request Tracker's tickets: notes, statuses, the owner.

RT answers 200 to a change that it did not make, and under a merged ticket's number it writes to the other ticket. So
every write looks at the ticket before and, where something was to change, after it.

Tried against Request Tracker 5.0.3 (Debian 12) on 2026-11-22.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from connector.core.ports import Note, StatusTarget
from connector.errors import PermanentError, TemporaryError, TicketGone
from connector.http import Answer
from connector.psa.requesttracker.approval import ENDED
from connector.psa.requesttracker.mapping import RequestTrackerMapping, is_status
from connector.psa.requesttracker.rest import (
    NOBODY,
    SYSTEM,
    Rest,
    any_of,
    fold,
    in_path,
    not_understood,
    quoted,
    read_ticket,
)

KEY = re.compile(r"[1-9][0-9]{0,17}")
NUMBER = re.compile(r"-?[0-9]{1,9}", re.ASCII)
MARKER = re.compile(r"[A-Za-z0-9._:-]{1,100}")
LONGEST_TITLE = 100
LONGEST_ANSWER = 200


def key_of(ticket_id: str) -> str:
    """The id as a number: it becomes part of a query and of an address.

    Raises:
        TicketGone: It is none.
    """
    if not KEY.fullmatch(ticket_id):
        raise TicketGone(f"{SYSTEM} has no ticket with the id {ticket_id[:40]!r}: its ids are numbers.")
    return ticket_id


@dataclass(frozen=True)
class Seen:
    """What a write needs to know of a ticket.

    Attributes:
        owner: RT's user name; `Nobody` where there is none.
        offers: The statuses to which RT itself offers us to bring it now: actions of its life cycle that our rights
            allow. Others may be possible, too.
    """

    status: str
    subject: str
    owner: str
    etag: str | None
    priority: int = 0
    offers: frozenset[str] = frozenset()

    @property
    def ended(self) -> bool:
        return fold(self.status) in ENDED


class Writer:
    """Writes into the tickets of one RT, as the user to whom the token belongs."""

    def __init__(self, name: str, rest: Rest, mapping: RequestTrackerMapping) -> None:
        self._name = name
        self._rest = rest
        self._mapping = mapping
        self._own_name = ""
        self._users: dict[str, str] = {}

    def look_for(self, key: str) -> Seen:
        """The ticket as it is now, or why there is none. RT answers for a merged ticket with the one that took it in.

        Raises:
            TicketGone: Not there, not visible, deleted, merged.
        """
        answer = self._rest.get(f"/ticket/{key}", expect=(200, 403, 404))
        if answer.status == 404:
            raise TicketGone(f"{SYSTEM} has no ticket {key}. Nothing more can be done with it.")
        if answer.status == 403:
            raise TicketGone(
                f"{SYSTEM} does not show ticket {key} to the user of {self._name}: it was moved out of the mapped "
                "queues, or the right ShowTicket is missing."
            )
        ticket = answer.json()
        if not isinstance(ticket, dict) or not {"id", "Status", "Subject", "Owner"} <= ticket.keys():
            raise not_understood("a ticket")
        if str(ticket["id"]) != key:
            raise TicketGone(f"Ticket {key} was merged into {ticket['id']} in {SYSTEM}. Go on there.")
        if ticket["Status"] == "deleted":
            raise TicketGone(f"Ticket {key} was deleted in {SYSTEM}. Nothing more can be done with it.")
        owner, priority = ticket["Owner"], str(ticket.get("Priority"))
        return Seen(
            status=str(ticket["Status"]),
            subject=str(ticket["Subject"]),
            owner=str(owner.get("id")) if isinstance(owner, dict) else str(owner),
            etag=answer.headers.get("ETag"),
            priority=int(priority) if NUMBER.fullmatch(priority) else 0,
            offers=frozenset(
                fold(str(link.get("to")))
                for link in ticket.get("_hyperlinks") or ()
                if isinstance(link, dict) and link.get("ref") == "lifecycle" and link.get("to")
            ),
        )

    # ---------------------------------------------------------------- notes

    def add_note(self, key: str, note: Note) -> None:
        """Write a note: a private one is a comment, a public one a reply, which RT mails to the requestors.

        A reply reopens a ticket that has ended (RT's own scrip "On Correspond Open Inactive Tickets"), so on such a
        ticket a public note is a comment, too.

        Raises:
            TicketGone, PermanentError: Refused; or the note was written and its time was not booked.
        """
        seen = self.look_for(key)
        public = note.public and not seen.ended
        title = " ".join(seen.subject.split())[:LONGEST_TITLE]
        reference = f"connector ref={_marker(note.marker)}"
        minutes = _minutes(note.time_spent)
        answer = self._rest.send(
            "POST",
            f"/ticket/{key}/{'correspond' if public else 'comment'}",
            {
                # RT gives a transaction's subject back as its `Data`, which can be searched for; its text cannot be.
                "Subject": f"{title} [{reference}]" if public else reference,
                "Content": f"{note.text}\n\n[{reference}]",
                "ContentType": "text/plain",
                # Of the two names that RT has for minutes, only this one books them; `TimeWorked` is ignored here.
                **({"TimeTaken": str(minutes)} if minutes else {}),
            },
            expect=(201, 400, 403, 404),
            unchanged=None,  # RT answers 412 here whatever the ETag is
        )
        if answer.status != 201:
            self.look_for(key)
            right = "ReplyToTicket" if public else "CommentOnTicket"
            raise PermanentError(
                f"{SYSTEM} refused a note on ticket {key} ({answer.status}). "
                f"Give the user of {self._name} the right {right} on its queue."
            )
        if minutes:
            self._see_booked(key, answer, minutes)

    def _see_booked(self, key: str, answer: Answer, minutes: int) -> None:
        """RT ignores fields that it does not know, so the minutes are read back from what it wrote."""
        written = re.search(r"/transaction/([0-9]{1,18})$", answer.headers.get("Location", ""))
        if written is None:
            raise not_understood("where it wrote a note")
        line = self._rest.get(f"/transaction/{written[1]}", expect=(200, 403, 404))
        booked = line.json().get("TimeTaken") if line.status == 200 and isinstance(line.json(), dict) else None
        if str(booked) != str(minutes):
            raise PermanentError(
                f"{SYSTEM} wrote a note on ticket {key} but booked {booked or 'no'} minutes with it instead of "
                f"{minutes}. Book the time by hand, and take time_entry out of the mapping if that stays so."
            )

    def has_note(self, key: str, marker: str) -> bool:
        """Whether our own user wrote a note with this marker."""
        reference = f"ref={_marker(marker)}"
        exactly = re.compile(rf"(?<![\w.:-]){re.escape(reference)}(?![\w.:-])")
        written = any_of("Type", ("Comment", "Correspond"))
        ours = f"(Creator = '__CurrentUser__' AND Data LIKE {quoted(reference)} AND {written})"
        # The creation is the oldest line of all: when it comes, there is nothing more.
        query = f"ObjectType = 'RT::Ticket' AND ObjectId = {key} AND ({ours} OR Type = 'Create')"
        for line in self._rest.transactions(query):
            if line.type == "Create":
                return False
            if exactly.search(line.data):
                return True
        return False

    # ---------------------------------------------------------------- status and owner

    def move(self, key: str, target: StatusTarget) -> bool:
        """Bring a ticket into the mapped status, and to its owner (mapping: `claim`). A repeat changes nothing.

        Alarms are brought back by `requesttracker.alarm`.

        Returns:
            `False`: the mapping names nothing to do for `target`, or the ticket is not ours to move: it has ended
            before the work began, or somebody else owns it.

        Raises:
            TicketGone, PermanentError: RT refused; it answers 200 also when it did nothing, so that is read back.
        """
        status = self._mapping.statuses.target(target)
        claims = self._mapping.claim and target is StatusTarget.WORKING
        owned = target is StatusTarget.HAND_OFF and (self._mapping.claim or self._mapping.hand_off.owner is not None)
        if status is None and not claims and not owned:
            return False
        seen = self.look_for(key)
        if target is StatusTarget.WORKING and seen.ended:
            return False
        if claims:
            if not self._take(key, seen):
                return False
            seen = self.look_for(key)
        owner = self.owner_after_hand_off(key, seen) if owned else None
        wanted = {}
        if status is not None and not is_status(seen.status, status):
            wanted["Status"] = status
        if owner is not None and owner != seen.owner:
            wanted["Owner"] = owner
        if wanted:
            self._change(key, wanted, seen)
        return status is not None or owner is not None or claims

    def _change(self, key: str, wanted: dict[str, str], before: Seen) -> None:
        answer = self._rest.send("PUT", f"/ticket/{key}", wanted, expect=(200, 400, 403, 404), unchanged=before.etag)
        now = self.look_for(key)
        status, owner = wanted.get("Status", now.status), wanted.get("Owner", now.owner)
        if not is_status(now.status, status):
            raise PermanentError(
                f"{SYSTEM} left ticket {key} in the status {now.status} instead of {status}: {said(answer)}. "
                "Check the life cycle of its queue, open approvals, and the right ModifyTicket."
            )
        if now.owner != owner:
            raise PermanentError(
                f"{SYSTEM} left ticket {key} with {now.owner} instead of {owner}: {said(answer)}. "
                "Check that the new owner has the right OwnTicket on its queue."
            )

    # ---------------------------------------------------------------- taking

    def is_ours(self, key: str, owner: str) -> bool:
        """Whether `owner`, as read from the ticket, is the user to whom our token belongs.

        RT tells nobody who they are, but finds the tickets of `__CurrentUser__`; what it said once is remembered.
        """
        if not self._own_name and owner != NOBODY:
            found = next(self._rest.tickets(f"id = {key} AND Owner = '__CurrentUser__'"), None)
            # Only what both readings say: the ticket may have changed hands in between.
            if found is not None and read_ticket(found).owner_name == owner:
                self._own_name = owner
        return bool(self._own_name) and owner == self._own_name

    def _take(self, key: str, seen: Seen) -> bool:
        """Become the owner of a ticket. Of several who try, RT lets one win.

        The loser is told 200 as well, so the owner is read back. From an agent a ticket is only taken where it stands
        in the retry status: there the agent has given it back.

        Raises:
            TemporaryError: The ticket changed since `seen`.
            PermanentError: The ticket belongs to nobody, and RT does not let us have it.
        """
        if seen.owner != NOBODY and not is_status(seen.status, self._mapping.statuses.retry):
            return self.is_ours(key, seen.owner)
        if seen.owner != NOBODY and self.is_ours(key, seen.owner):
            return True
        verb = "take" if seen.owner == NOBODY else "steal"
        answer = self._rest.send("PUT", f"/ticket/{key}/{verb}", {}, expect=(200, 400, 403, 404), unchanged=seen.etag)
        now = self.look_for(key)
        if now.owner == NOBODY:
            raise PermanentError(
                f"{SYSTEM} did not let the user of {self._name} take ticket {key}: {said(answer)}. Give it the rights "
                "TakeTicket and OwnTicket on its queue, or take claim out of the mapping."
            )
        return self.is_ours(key, now.owner)

    def owner_after_hand_off(self, key: str, seen: Seen) -> str | None:
        """Who gets the ticket: the mapped owner, or nobody where it was ours. `None` leaves it with whoever has it."""
        wanted = self._mapping.hand_off.owner
        if seen.owner != NOBODY and not self.is_ours(key, seen.owner):
            return None  # a person has it already
        return self.user_name(wanted, "hand_off.owner") if wanted is not None else NOBODY

    def user_name(self, wanted: str, place: str) -> str:
        """RT's name of the user under `place` in the mapping, by which an owner is read back.

        Raises:
            PermanentError: There is no such user, or none that could own a ticket.
        """
        if wanted not in self._users:
            answer = self._rest.get(f"/user/{in_path(wanted)}", expect=(200, 403, 404))
            user = answer.json() if answer.status == 200 else {}
            if not isinstance(user, dict):
                raise not_understood("a user")
            if not user.get("Name") or str(user.get("Disabled", "0")) == "1":
                raise PermanentError(
                    f"{SYSTEM} has no active user {wanted!r} that the user of {self._name} may see. Correct {place} "
                    "in the mapping: a user name."
                )
            self._users[wanted] = str(user["Name"])
        return self._users[wanted]


def _minutes(span: timedelta) -> int:
    """Whole minutes, upwards: RT books nothing smaller."""
    return -(-int(span.total_seconds()) // 60)


def _marker(marker: str) -> str:
    if not MARKER.fullmatch(marker):
        raise ValueError(f"{marker[:40]!r} is no marker: one word of letters, digits and . _ : - is wanted")
    return marker


def said(answer: Answer) -> str:
    """RT's own reason: a list of sentences such as "Ticket 1: That ticket has unresolved dependencies"."""
    try:
        body = answer.json()
    except TemporaryError:
        body = []
    said = "; ".join(str(one) for one in body) if isinstance(body, list) else ""
    clean = " ".join("".join(letter if letter.isprintable() else " " for letter in said).split())
    return clean[:LONGEST_ANSWER].rstrip(".") or "it gave no reason"
