"""Why a mail server does not take a mail, told apart and put into words.

By where in the conversation a failure happens:

* no connection, no certificate that we trust, no STARTTLS where it is required, any 4xx: `TemporaryError`;
* sign-in refused, or the server wants one, or does not let us use this sender: `AuthenticationError`, scope `mail`;
* 5xx for the recipient or for the mail itself: `PermanentError`.

An answer's text is never repeated, as servers echo what they were sent; its numbers (`550 5.1.1`) are enough.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from connector.errors import AuthenticationError, ConnectorError, PermanentError, TemporaryError

SCOPE: Final = "mail"
_ENHANCED: Final = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}\b")

# Exchange Online's words for "not with this account": the whole mail channel is affected, not one recipient.
# Source: learn.microsoft.com, "Fix issues with printers, scanners, and LOB applications that send email" and
# "Email non-delivery reports"; from memory, UNVERIFIED. Not listed codes fall back to what the stage says.
_NOT_WITH_THIS_ACCOUNT: Final = frozenset({"5.7.57", "5.7.60", "5.7.139"})


@dataclass(frozen=True)
class Server:
    """Whom we talk to (`host:port`) and as whom we send, for messages."""

    place: str
    sender: str


class Stage(StrEnum):
    """Where in the conversation something failed."""

    CONNECT = "connect"
    STARTTLS = "starttls"
    SIGN_IN = "sign-in"
    NOOP = "noop"
    SENDER = "sender"
    RECIPIENT = "recipient"
    CONTENT = "content"


@dataclass(frozen=True)
class Refusal:
    """Why the server does not take it: what failed with which thing, and what to do."""

    kind: Callable[[str], ConnectorError]
    what: str
    todo: str

    def error(self) -> ConnectorError:
        return self.kind(f"{self.what} {self.todo}")


def _authentication_error(message: str) -> AuthenticationError:
    return AuthenticationError(message, scope=SCOPE)


def no_smtputf8(recipient: str, *, server: Server) -> Refusal:
    return Refusal(
        PermanentError,
        f"The mail server {server.place} does not take addresses with non-ASCII letters (no SMTPUTF8), "
        f"so {recipient} cannot be written to.",
        "Use an address in plain ASCII for this person, with a non-ASCII domain in its xn-- form.",
    )


def translate(error: OSError, stage: Stage, recipient: str, *, server: Server) -> Refusal:
    """Translate a failure. Uses the numbers of an answer, never its text."""
    place = server.place
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refusal(
            TemporaryError,
            f"The certificate of the mail server {place} does not verify, so nothing was sent.",
            "Check mail.host against the certificate's names, its expiry, and http.ca_bundle.",
        )
    if isinstance(error, ssl.SSLError):
        return Refusal(
            TemporaryError,
            f"No encrypted connection to the mail server {place} came about.",
            "Check mail.port with mail.tls (465) and mail.starttls (587, 25), and that it speaks TLS 1.2 or newer.",
        )
    if isinstance(error, smtplib.SMTPNotSupportedError) and stage is Stage.STARTTLS:
        return Refusal(
            TemporaryError,
            f"The mail server {place} offers no STARTTLS, so nothing was sent.",
            "Check mail.host and mail.port; if this is new, somebody may be in between.",
        )
    if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code > 0:
        return _answered(_Answer.of(error), stage, recipient, server)
    # smtplib says "no suitable method" with its base class, and "no AUTH at all" with this one.
    if stage is Stage.SIGN_IN and type(error) in (smtplib.SMTPException, smtplib.SMTPNotSupportedError):
        return Refusal(
            _authentication_error,
            f"The mail server {place} offers no way of signing in that we know (AUTH CRAM-MD5, PLAIN, LOGIN).",
            "Check mail.port, switch SMTP AUTH on for this account, or remove mail.username and mail.password.",
        )
    return Refusal(
        TemporaryError,
        f"The mail server {place} cannot be reached, or broke off ({stage}).",
        "It is tried again by itself; if it stays, check mail.host, mail.port and the firewall.",
    )


def _answered(answer: _Answer, stage: Stage, recipient: str, server: Server) -> Refusal:
    """Translate an answer of the server, by its code and by what it answered to."""
    place = server.place
    later = 400 <= answer.code < 500
    if not later and (
        stage is Stage.SIGN_IN or answer.code in (530, 534, 535, 538) or answer.enhanced in _NOT_WITH_THIS_ACCOUNT
    ):
        return Refusal(
            _authentication_error,
            f"The mail server {place} refused our sign-in ({answer}).",
            "Check mail.username and mail.password, that SMTP AUTH is on for this account and that it may send "
            "as mail.from; then run: connector check",
        )
    if not later and stage is Stage.SENDER:
        return Refusal(
            _authentication_error,
            f"The mail server {place} refused the sender {server.sender} ({answer}).",
            "Check mail.from, and let this account send as that address; then run: connector check",
        )
    if not later and stage is Stage.RECIPIENT:
        return Refusal(
            PermanentError,
            f"The mail server {place} refused the recipient {recipient} ({answer}).",
            "Check the address; if it is right, let the mail server send to other domains for us.",
        )
    if not later and stage is Stage.CONTENT:
        return Refusal(
            PermanentError,
            f"The mail server {place} refused a mail to {recipient} ({answer}).",
            "Look for the reason in the mail server's log: a filter, or a limit of size.",
        )
    return Refusal(
        TemporaryError,
        f"The mail server {place} does not serve us at the moment ({stage}, {answer}).",
        "It is tried again by itself; if it stays, look into the mail server's log.",
    )


@dataclass(frozen=True)
class _Answer:
    """The numbers of an answer: `550` and `5.1.1`."""

    code: int
    enhanced: str

    @classmethod
    def of(cls, error: smtplib.SMTPResponseException) -> _Answer:
        text = error.smtp_error
        match = _ENHANCED.match(text if isinstance(text, bytes) else str(text).encode("ascii", "replace"))
        return cls(error.smtp_code, match[0].decode("ascii") if match else "")

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced}".strip()
