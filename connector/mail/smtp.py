"""Mails over SMTP, with the standard library's client.

Each mail has its own short connection: a case sends four to five mails, so a pool would save nothing and would have
to be mended after every idle time-out of the server. A mail counts as sent from the moment the server has answered
the final dot with 250; whatever happens to the connection afterwards changes nothing.

Failures, by where in the conversation they happen:

* no connection, no certificate that we trust, no STARTTLS where it is required, any 4xx: `TemporaryError`;
* sign-in refused, or the server wants one, or does not let us use this sender: `AuthenticationError`, scope `mail`;
* 5xx for the recipient or for the mail itself: `PermanentError`.

An answer's text is never repeated, as servers echo what they were sent; its numbers (`550 5.1.1`) are enough.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from connector.adapter import Surroundings
from connector.config import Duration, Place, SecretValue, Section, is_loopback, validate
from connector.core.ports import Clock, Email, Finding, Level
from connector.errors import AuthenticationError, ConfigError, ConnectorError, PermanentError, TemporaryError
from connector.mail.address import checked_address, domain_of, has_control_characters

SCOPE: Final = "mail"
_PATIENCE_AT_THE_END_SECONDS: Final = 2.0
_WAITS_PER_MAIL: Final = 3
_ENHANCED: Final = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}\b")
_MESSAGE_ID: Final = re.compile(r"<[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+>")
_MAILBOX: Final = re.compile(r'\s*(?:"(?P<quoted>[^"\\]*)"|(?P<plain>[^"<>,;\\]*?))\s*<(?P<address>[^<>]*)>\s*')

# Exchange Online's words for "not with this account": the whole mail channel is affected, not one recipient.
# Source: learn.microsoft.com, "Fix issues with printers, scanners, and LOB applications that send email" and
# "Email non-delivery reports"; from memory, UNVERIFIED. Not listed codes fall back to what the stage says.
_NOT_WITH_THIS_ACCOUNT: Final = frozenset({"5.7.57", "5.7.60", "5.7.139"})


@dataclass(frozen=True)
class Mailbox:
    """An address with the name that is shown beside it; the name may be empty."""

    name: str
    address: str

    @classmethod
    def parse(cls, text: object) -> Mailbox:
        """Read `IT Support <support@msp.example>` or a bare address.

        Raises:
            ValueError: Anything else, with a sentence that says what is wrong.
        """
        if isinstance(text, Mailbox):
            return text
        if not isinstance(text, str):
            raise ValueError("write it as: IT Support <support@msp.example>")
        if has_control_characters(text):
            raise ValueError("a line break or control character has no place in a mail address")
        match = _MAILBOX.fullmatch(text)
        name, address = (match["quoted"] or match["plain"] or "", match["address"]) if match else ("", text.strip())
        try:
            checked_address(address)
        except ValueError as error:
            raise ValueError(f"write it as: IT Support <support@msp.example> ({error})") from None
        if not address.isascii():
            raise ValueError("the service's own address has to be plain ASCII, as not every server takes others")
        return cls(name=name.strip(), address=address)

    def header(self) -> Address:
        local, _, domain = self.address.rpartition("@")
        return Address(display_name=self.name, username=local, domain=domain)


class SmtpSettings(Section):
    """The section `mail` of `connector.yaml` with `kind: smtp`.

    Attributes:
        port: 587 as a rule; 465 with `tls: true`; 25 for a relay in the same house.
        starttls: Turn the connection into an encrypted one and refuse to go on if the server cannot. On unless
            `tls` is set or this is explicitly `false`.
        tls: Encrypted from the first byte ("implicit TLS", port 465). Not together with `starttls`.
        ca_bundle: A PEM file that replaces the list of trusted authorities; default: `http.ca_bundle`, or the
            system's list.
        username, password: Both or none.
        sender: The key is `from`: `IT Support <support@msp.example>`.
        reply_to: Where answers go; `None` leaves them with the sender.
        timeout: For each wait on the server; a whole mail may take three times as long. 1 s to 60 s.

    Unencrypted is refused in production, and never carries a password, unless the server is on this machine.
    """

    kind: Literal["smtp"] = "smtp"
    host: Annotated[str, Field(pattern=r"^[^\s/@]+$")]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    starttls: bool | None = None
    tls: bool = False
    ca_bundle: str | None = None
    username: Annotated[str, Field(min_length=1)] | None = None
    password: SecretValue | None = None
    sender: Annotated[Mailbox, BeforeValidator(Mailbox.parse), Field(alias="from")]
    reply_to: Annotated[Mailbox, BeforeValidator(Mailbox.parse)] | None = None
    timeout: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(seconds=60))] = timedelta(seconds=20)

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        place: Place | None = info.context
        if self.tls and self.starttls:
            raise ValueError("tls and starttls exclude each other: use tls for port 465, starttls for 587 and 25")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: give both or neither")
        if not self.encrypted and not is_loopback(self.host):
            if self.username:
                raise ValueError("username and password would cross the network unencrypted: set starttls or tls")
            if place is None or place.production:
                raise ValueError("links to passwords would cross the network unencrypted: set starttls or tls")
        if not f"{self.username or ''}{self.password.reveal() if self.password else ''}".isascii():
            # smtplib cannot send them, and its UnicodeEncodeError would carry the password into a traceback.
            raise ValueError("username and password have to be plain ASCII for SMTP")
        return self

    @property
    def uses_starttls(self) -> bool:
        return not self.tls if self.starttls is None else self.starttls

    @property
    def encrypted(self) -> bool:
        return self.tls or self.uses_starttls

    @property
    def place(self) -> str:
        """`host:port`, for messages."""
        return f"{self.host}:{self.port}"


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
class _Refusal:
    """Why the server does not take it: what failed with which thing, and what to do."""

    kind: Callable[[str], ConnectorError]
    what: str
    todo: str

    def error(self) -> ConnectorError:
        message = f"{self.what} {self.todo}"
        return self.kind(message)


def _authentication_error(message: str) -> AuthenticationError:
    return AuthenticationError(message, scope=SCOPE)


class SmtpMailer:
    """The `Mailer` that speaks SMTP. Holds no connection and no state: safe to use from several threads.

    Args:
        ca_bundle: A PEM file that replaces the system's list of trusted authorities.
        clock: For the Date header.
    """

    def __init__(
        self, settings: SmtpSettings, *, ca_bundle: Path | None = None, clock: Clock = lambda: datetime.now(UTC)
    ) -> None:
        self._settings = settings
        self._clock = clock
        # Verifies chain and host name, and takes TLS 1.2 or newer only.
        self._tls = ssl.create_default_context(cafile=str(ca_bundle) if ca_bundle else None)

    @classmethod
    def from_config(cls, name: str, section: Mapping[str, object], surroundings: Surroundings) -> Self:
        """Build it from `mail` of the configuration.

        Raises:
            ConfigError: With every problem of the section, or a CA bundle that cannot be read.
        """
        settings = validate(SmtpSettings, section, surroundings.place, where=name)
        bundle = settings.ca_bundle or surroundings.http.ca_bundle
        path = surroundings.place.folder / bundle if bundle else None
        try:
            return cls(settings, ca_bundle=path, clock=surroundings.clock)
        except OSError:  # ssl.SSLError is one, too
            raise ConfigError(
                f"{name}: the CA bundle {path} cannot be read: give a PEM file with certificates."
            ) from None

    @property
    def sender_domain(self) -> str:
        """The domain of the configured sender: what a Message-ID ends with."""
        return domain_of(self._settings.sender.address)

    def ready(self) -> None:
        """Connect, encrypt, sign in, NOOP, leave. See `Mailer.ready`."""
        refusal = self._converse(None)
        if refusal is not None:
            raise refusal.error()

    def send(self, email: Email) -> None:
        """Hand the mail over. See `Mailer.send`.

        Raises:
            PermanentError: Also for an address, a subject or a Message-ID that would smuggle in a header, and for a
                non-ASCII address where the server offers no SMTPUTF8. Nothing was sent.
        """
        refusal = self._converse(self._message(email), recipient=email.to)
        if refusal is not None:
            raise refusal.error()

    def check(self) -> Iterable[Finding]:
        """Whether the server would take a mail, and whether the way there is safe. Sends nothing."""
        settings = self._settings
        refusal = self._converse(None)
        if refusal is not None:
            yield Finding(Level.ERROR, "mail", refusal.what, refusal.todo)
        else:
            way = "with TLS" if settings.tls else "with STARTTLS" if settings.uses_starttls else "unencrypted"
            who = f", signed in as {settings.username}" if settings.username else ""
            yield Finding(Level.OK, "mail", f"The mail server {settings.place} answers {way}{who}.")
        if not settings.encrypted and not is_loopback(settings.host):
            yield Finding(
                Level.WARNING,
                "mail.starttls",
                f"Mails go to {settings.place} unencrypted, and one of them holds the link to a password.",
                "Set mail.starttls: true, or make sure that nobody can listen on the way to this relay.",
            )

    def _message(self, email: Email) -> EmailMessage:
        """Build the message, refusing what would be read as more than one header or recipient."""
        try:
            checked_address(email.to)
        except ValueError as error:
            raise _unfit(f"the recipient's address is refused: {error}") from None
        if has_control_characters(email.subject):
            raise _unfit("the subject holds a line break or another control character")
        if not _MESSAGE_ID.fullmatch(email.message_id):
            raise _unfit("the Message-ID is not of the form <name@domain>")
        settings = self._settings
        message = EmailMessage(policy=SMTP if email.to.isascii() else SMTPUTF8)
        local, _, domain = email.to.rpartition("@")
        message["From"] = settings.sender.header()
        message["To"] = Address(username=local, domain=domain)
        message["Subject"] = email.subject
        message["Date"] = format_datetime(self._clock())
        message["Message-ID"] = email.message_id
        if settings.reply_to is not None:
            message["Reply-To"] = settings.reply_to.header()
        # No out-of-office answers, please. Sources: RFC 3834 §5; Microsoft's [MS-OXCMAIL], X-Auto-Response-Suppress.
        message["Auto-Submitted"] = "auto-generated"
        message["X-Auto-Response-Suppress"] = "All"
        # Quoted-printable passes servers without 8BITMIME and keeps every line short, however long a link is.
        message.set_content(email.text, charset="utf-8", cte="quoted-printable")
        message.add_alternative(email.html, subtype="html", charset="utf-8", cte="quoted-printable")
        return message

    def _converse(self, message: EmailMessage | None, *, recipient: str = "") -> _Refusal | None:
        """Go from the greeting to the goodbye, with a mail or just to see whether the server would take one.

        The refusal is returned rather than raised, so that the error made of it has no `__context__`: the standard
        library's exceptions carry the server's echo of what we sent.
        """
        settings = self._settings
        until = monotonic() + _WAITS_PER_MAIL * settings.timeout.total_seconds()
        stage = Stage.CONNECT
        smtp: smtplib.SMTP | None = None

        def begin(next_stage: Stage) -> smtplib.SMTP:
            nonlocal stage
            stage = next_stage
            remaining = until - monotonic()
            if smtp is None or smtp.sock is None:
                raise smtplib.SMTPServerDisconnected("gone")
            if remaining <= 0:
                raise TimeoutError
            smtp.sock.settimeout(min(settings.timeout.total_seconds(), remaining))
            return smtp

        try:
            smtp = self._connect()
            smtp.ehlo_or_helo_if_needed()
            if settings.uses_starttls:
                begin(Stage.STARTTLS).starttls(context=self._tls)
                smtp.ehlo_or_helo_if_needed()
            if settings.username is not None and settings.password is not None:
                begin(Stage.SIGN_IN).login(settings.username, settings.password.reveal())
            if message is None:
                _expect(begin(Stage.NOOP).noop())
                return None
            options: list[str] = []
            if not recipient.isascii():
                if not smtp.has_extn("smtputf8"):
                    return self._no_utf8(recipient)
                options = ["SMTPUTF8", "BODY=8BITMIME"]
            _expect(begin(Stage.SENDER).mail(settings.sender.address, options))
            _expect(begin(Stage.RECIPIENT).rcpt(recipient))
            _expect(begin(Stage.CONTENT).data(message.as_bytes()))
        except OSError as error:  # smtplib's exceptions are such, too
            return self._refusal(stage, error, recipient)
        finally:
            _leave(smtp)
        return None

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        timeout = settings.timeout.total_seconds()
        # smtplib's own default asks the DNS for this machine's name, without any time-out.
        own_name = socket.gethostname()
        if "." not in own_name or not own_name.isascii():
            own_name = self.sender_domain
        if settings.tls:
            return smtplib.SMTP_SSL(
                settings.host, settings.port, local_hostname=own_name, timeout=timeout, context=self._tls
            )
        return smtplib.SMTP(settings.host, settings.port, local_hostname=own_name, timeout=timeout)

    def _no_utf8(self, recipient: str) -> _Refusal:
        return _Refusal(
            PermanentError,
            f"The mail server {self._settings.place} does not take addresses with non-ASCII letters (no SMTPUTF8), "
            f"so {recipient} cannot be written to.",
            "Use an address in plain ASCII for this person, with a non-ASCII domain in its xn-- form.",
        )

    def _refusal(self, stage: Stage, error: OSError, recipient: str) -> _Refusal:
        """Translate a failure. Uses the numbers of an answer, never its text."""
        place = self._settings.place
        if isinstance(error, ssl.SSLCertVerificationError):
            return _Refusal(
                TemporaryError,
                f"The certificate of the mail server {place} does not verify, so nothing was sent.",
                "Check mail.host against the certificate's names, its expiry, and http.ca_bundle.",
            )
        if isinstance(error, ssl.SSLError):
            return _Refusal(
                TemporaryError,
                f"No encrypted connection to the mail server {place} came about.",
                "Check mail.port with mail.tls (465) and mail.starttls (587, 25), and that it speaks TLS 1.2 or newer.",
            )
        if isinstance(error, smtplib.SMTPNotSupportedError) and stage is Stage.STARTTLS:
            return _Refusal(
                TemporaryError,
                f"The mail server {place} offers no STARTTLS, so nothing was sent.",
                "Check mail.host and mail.port; if this is new, somebody may be in between.",
            )
        if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code > 0:
            return self._answered(stage, _Answer.of(error), recipient)
        # smtplib says "no suitable method" with its base class, and "no AUTH at all" with this one.
        if stage is Stage.SIGN_IN and type(error) in (smtplib.SMTPException, smtplib.SMTPNotSupportedError):
            return _Refusal(
                _authentication_error,
                f"The mail server {place} offers no way of signing in that we know (AUTH CRAM-MD5, PLAIN, LOGIN).",
                "Check mail.port, switch SMTP AUTH on for this account, or remove mail.username and mail.password.",
            )
        return _Refusal(
            TemporaryError,
            f"The mail server {place} cannot be reached, or broke off ({stage}).",
            "It is tried again by itself; if it stays, check mail.host, mail.port and the firewall.",
        )

    def _answered(self, stage: Stage, answer: _Answer, recipient: str) -> _Refusal:
        """Translate an answer of the server, by its code and by what it answered to."""
        place = self._settings.place
        later = 400 <= answer.code < 500
        if not later and (
            stage is Stage.SIGN_IN or answer.code in (530, 534, 535, 538) or answer.enhanced in _NOT_WITH_THIS_ACCOUNT
        ):
            return _Refusal(
                _authentication_error,
                f"The mail server {place} refused our sign-in ({answer}).",
                "Check mail.username and mail.password, that SMTP AUTH is on for this account and that it may send "
                "as mail.from; then run: connector check",
            )
        if not later and stage is Stage.SENDER:
            return _Refusal(
                _authentication_error,
                f"The mail server {place} refused the sender {self._settings.sender.address} ({answer}).",
                "Check mail.from, and let this account send as that address; then run: connector check",
            )
        if not later and stage is Stage.RECIPIENT:
            return _Refusal(
                PermanentError,
                f"The mail server {place} refused the recipient {recipient} ({answer}).",
                "Check the address; if it is right, let the mail server send to other domains for us.",
            )
        if not later and stage is Stage.CONTENT:
            return _Refusal(
                PermanentError,
                f"The mail server {place} refused a mail to {recipient} ({answer}).",
                "Look for the reason in the mail server's log: a filter, or a limit of size.",
            )
        return _Refusal(
            TemporaryError,
            f"The mail server {place} asks us to come back later ({stage}, {answer}).",
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


def _expect(answer: tuple[int, bytes]) -> None:
    """Turn every answer other than 2xx into the exception that the other calls of smtplib raise by themselves."""
    code, text = answer
    if not 200 <= code < 300:
        raise smtplib.SMTPResponseException(code, text)


def _leave(smtp: smtplib.SMTP | None) -> None:
    """Say goodbye, without waiting long and without minding: what was accepted stays accepted."""
    if smtp is None:
        return
    connection: socket.socket | None = smtp.sock  # None after a failure, whatever the type stubs say
    with suppress(OSError):
        if connection is not None:
            connection.settimeout(_PATIENCE_AT_THE_END_SECONDS)
            smtp.quit()
    smtp.close()


def _unfit(reason: str) -> PermanentError:
    return PermanentError(f"A mail cannot be sent as it is: {reason}. Correct the requester's address in the PSA.")
