"""Whom to tell that an account was reset: its owner, by a way that does not lead through the account. Pure.

Whoever asked for the reset or approved it knows of it already: telling them is not telling the owner, so their
mailboxes never get this notice, nor do our own. Where the chosen way leads to nobody, the other one is taken: to be
told by an unexpected way is better than not to be told. Where both lead to nobody, the agent's note says so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connector.core import notes
from connector.core.address import checked_address
from connector.core.case import Case, Person, fold, mailbox
from connector.core.messages import letter_about, note_row
from connector.core.ports import Account, MailKind, Message

MOST_ADDRESSES = 2


class NotifySubject(StrEnum):
    """By which way the owner of an account is told what was done to it."""

    ALTERNATE_MAIL = "alternate_mail"
    """By the addresses that the directory holds beside the account's own mailbox."""
    MANAGER = "manager"
    """Through the manager that the directory names."""
    OFF = "off"


@dataclass(frozen=True)
class Told:
    """Who is told.

    Attributes:
        people: Whom the notice goes to; at most `MOST_ADDRESSES`, each with an address.
        to_manager: It is the owner's manager, and not the owner.
        nobody: Why nobody can be told, for the agent; empty where somebody is, or nobody is to be.
    """

    people: tuple[Person, ...] = ()
    to_manager: bool = False
    nobody: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """For the audit: to whom, with the address as the note shows it."""
        if self.nobody:
            return {"told": "", "not_told": self.nobody}
        way = NotifySubject.MANAGER if self.to_manager else NotifySubject.ALTERNATE_MAIL
        return {"told": f"{way}: {', '.join(map(_masked_address, self.people))}"} if self.people else {}


NOBODY = Told()
"""Nobody is to be told."""


def needs_manager(how: NotifySubject, account: Account, case: Case, *, senders: Collection[str]) -> bool:
    """Whether the manager has to be looked up before `whom_to_tell` can decide."""
    if how is NotifySubject.ALTERNATE_MAIL:
        return not _owner(account, case, senders)
    return how is NotifySubject.MANAGER


def whom_to_tell(
    how: NotifySubject,
    account: Account,
    case: Case,
    *,
    senders: Collection[str],
    manager: Person | None = None,
    unread: str = "",
) -> Told:
    """Decide it.

    Args:
        account: As read right before the write.
        case: With the approvals that the write was done by.
        senders: Folded addresses from which we send our own mails.
        manager: As the directory names them; `None` where there is none, or nobody asked.
        unread: Why the manager could not be looked up; empty where that was not tried, or was answered.
    """
    if how is NotifySubject.OFF:
        return NOBODY
    owner = _owner(account, case, senders)
    known = manager is not None and _can_be_told(manager, account, case, senders)
    if manager is not None and known and (how is NotifySubject.MANAGER or not owner):
        return Told((manager,), to_manager=True)
    if owner:
        return Told(owner)
    return Told(nobody=f"{_why_not_the_owner(account)}, and {_why_not_the_manager(manager, unread)}")


def messages_for(told: Told, case: Case, *, now: datetime) -> tuple[Message, ...]:
    """The notices, for the outbox. One to each address, once a round."""
    facts = {
        "done_at": now.isoformat(),
        "requested_by": _line(case.requester) if case.requester else "",
        "approved_by": "\n".join(dict.fromkeys(_line(one.approver) for one in case.approvals if one.approved)),
        "to_manager": "yes" if told.to_manager else "",
    }
    return tuple(
        Message(key=key, body=letter_about(case, key, MailKind.SUBJECT_NOTICE, person, **facts))
        for number, person in enumerate(told.people, start=1)
        for key in [f"notice:{case.round}:{number}"]
    )


def who_is_told(told: Told, case: Case, public: Collection[str], *, topic: str) -> tuple[str, tuple[Message, ...]]:
    """For the agent: a line for the note on what was done, and a note beside it; one of the two, or neither.

    A note that the requester can read must not tell by which address the owner is warned, or that nobody warns them.

    Args:
        public: Topics of the notes that the requester can read.
        topic: Of the note on what was done.
    """
    line = _words(told)
    if not line or topic not in public:
        return line, ()
    return "", (note_row(case, f"told:{case.round}", line),)


def _words(told: Told) -> str:
    if told.nobody:
        return notes.not_told(told.nobody)
    if not told.people:
        return ""
    if told.to_manager:
        (manager,) = told.people
        return notes.told_manager(manager.name, _masked_address(manager))
    return notes.told_owner([_masked_address(person) for person in told.people])


def masked(address: str) -> str:
    """An address that its owner recognises and nobody else can use: `d…a@gmail.com`."""
    local, at, domain = address.rpartition("@")
    if not at:
        return "…"
    return f"{local[:1]}…{local[-1:] if len(local) > 2 else ''}@{domain}"


def _masked_address(person: Person) -> str:
    return masked(person.email or "")


def _owner(account: Account, case: Case, senders: Collection[str]) -> tuple[Person, ...]:
    """The owner, by the first of the other addresses; a mailbox once."""
    candidates = (Person(account.display_name, address) for address in account.alternate_mails)
    found: dict[str, Person] = {}
    for person in candidates:
        if _can_be_told(person, account, case, senders):
            found.setdefault(mailbox(person.email or ""), person)
    return tuple(found.values())[:MOST_ADDRESSES]


def _can_be_told(person: Person, account: Account, case: Case, senders: Collection[str]) -> bool:
    """Whether this address leads to somebody who does not know yet, and past the account."""
    try:
        address = mailbox(checked_address(person.email or ""))
    except ValueError:
        return False
    own = {mailbox(account.upn)} | ({mailbox(case.subject)} if case.subject else set())
    if address in own or f"entra:{fold(account.id)}" in person.ids:
        return False
    if address in {mailbox(sender) for sender in senders}:
        return False
    return not any(person.may_be(knowing) for knowing in _knowing(case))


def _knowing(case: Case) -> Sequence[Person]:
    """Who asked and who approved, with every identity that we have of them."""
    requester = case.requester or Person("")
    asked = Person(requester.name, requester.email, requester.ids | case.requester_ids)
    return [asked, *(approval.approver for approval in case.approvals)]


def _why_not_the_owner(account: Account) -> str:
    if account.alternate_mails:
        return "the directory's other addresses of the owner cannot be used or belong to somebody who knows already"
    return "the directory holds no other address of the owner"


def _why_not_the_manager(manager: Person | None, unread: str) -> str:
    if unread:
        return f"the manager could not be looked up: {notes.quote(unread)}"
    if manager is None:
        return "it names no manager"
    if not manager.email:
        return "it shows no address of the manager"
    return "the manager has asked for it, approved it or cannot be written to"


def _line(person: Person) -> str:
    """As the mail's facts want people: address, tab, name."""
    return f"{notes.quote(person.email or '')}\t{notes.quote(person.name)}".strip()
