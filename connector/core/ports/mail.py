"""Mails: before they are put into words, after it, and on their way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from connector.core.ports.findings import Finding
from connector.core.secret import Secret


class MailKind(StrEnum):
    """One per template directory under `connector/mail/templates`."""

    REQUEST_CONFIRMATION = "request_confirmation"
    APPROVAL_PENDING = "approval_pending"
    APPROVAL_REMINDER = "approval_reminder"
    REQUEST_APPROVED = "request_approved"
    REQUEST_DECLINED = "request_declined"
    PASSWORD_READY = "password_ready"  # noqa: S105 - the name of a mail
    LINK_ACCESSED = "link_accessed"
    LINK_EXPIRED = "link_expired"
    MFA_RESET_DONE = "mfa_reset_done"
    SUBJECT_NOTICE = "subject_notice"
    """To the account's owner, by a way that does not lead through the account; or to the owner's manager."""
    NOT_ME = "not_me"
    """To the requester, after somebody said "this was not me"."""
    HANDED_TO_PERSON = "handed_to_person"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A mail before it is put into words. Holds no secret, so it may wait in the outbox.

    Attributes:
        id: Unique per mail, the same at each repeat; the Message-ID is derived from it.
        to: The address.
        to_name: For the greeting; may be empty.
        ticket: The ticket number.
        facts: What this kind's template names, as strings. Instants are ISO 8601 with zone; the renderer turns
            them into the customer's zone. See `connector/mail/render.py` for each kind's facts.
    """

    id: str
    kind: MailKind
    to: str
    to_name: str
    ticket: str
    tenant: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Email:
    """A mail ready to be sent. `text` and `html` may hold a link's address: never log this object's fields."""

    message_id: str
    to: str
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


class LetterWriter(Protocol):
    """Puts a letter into words."""

    def write(self, letter: Letter, *, link: Secret | None = None) -> Email:
        """Render subject, text and html.

        Args:
            link: `PASSWORD_READY` cannot do without: the address that opens the password. `LINK_ACCESSED` and
                `SUBJECT_NOTICE` may have one: the alarm's, behind "this was not me"; without it they name the service
                desk alone. No other kind takes one.

        Raises:
            PermanentError: A fact that the template needs is missing (a bug), the address is no address, or the link
                is missing where it belongs or given where it does not.
        """


class Mailer(Protocol):
    """Hands mails to a mail server."""

    def ready(self) -> None:
        """Ask the server whether it would take a mail now; sends nothing.

        Raises:
            TemporaryError, AuthenticationError (scope `mail`).
        """

    def send(self, email: Email) -> None:
        """Hand the mail over. A repeat with the same Message-ID may arrive twice.

        Raises:
            PermanentError: The server refuses this recipient for good.
            TemporaryError, AuthenticationError.
        """

    def check(self) -> Iterable[Finding]: ...
