"""Mails over SMTP, with the standard library's client.

Each mail has its own short connection: a case sends four to five mails, so a pool would save nothing and would have
to be mended after every idle time-out of the server. A mail counts as sent from the moment the server has answered
the final dot with 250; whatever happens to the connection afterwards changes nothing.

How failures are told apart is `connector.mail.refusals`.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8, EmailPolicy
from email.utils import format_datetime
from pathlib import Path
from time import monotonic
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from connector.adapter import Surroundings
from connector.config import Duration, Place, SecretValue, Section, is_loopback, validate
from connector.core.address import Mailbox, checked_address, domain_of, has_control_characters
from connector.core.case import fold
from connector.core.ports import Clock, Email, Finding, Level
from connector.errors import ConfigError, PermanentError
from connector.mail.refusals import Refusal, Server, Stage, no_smtputf8, translate

_PATIENCE_AT_THE_END_SECONDS: Final = 2.0
_WAITS_PER_MAIL: Final = 3
_MESSAGE_ID: Final = re.compile(r"<[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+>")


class _WholeSubjects(EmailPolicy):
    """Folds subjects by the older `Header`.

    The newer way loses the blank between two words beyond ASCII when a line ends between them, so that a name runs
    together: seen in CPython 3.11.7, "Zoë Müller". RFC 2047 section 6.2: blanks between encoded words are not shown.
    """

    def fold(self, name: str, value: str) -> str:
        return self._subject(name, value) or str(super().fold(name, value))

    def fold_binary(self, name: str, value: str) -> bytes:
        return self._subject(name, value).encode("ascii") or bytes(super().fold_binary(name, value))

    def _subject(self, name: str, value: str) -> str:
        if name.lower() != "subject" or str(value).isascii():
            return ""
        return f"{name}: {Header(str(value), 'utf-8', header_name=name).encode(linesep=self.linesep)}{self.linesep}"


_WHOLE_SUBJECTS: Final = _WholeSubjects(linesep=SMTP.linesep)


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
        self._server = Server(settings.place, settings.sender.address)
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

    @property
    def own_addresses(self) -> frozenset[str]:
        """The sender, and the account that signs in for it, folded: whoever answers to these is never reset."""
        names = (self._settings.sender.address, self._settings.username or "")
        return frozenset(fold(name) for name in names if "@" in name)

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
        message = EmailMessage(policy=_WHOLE_SUBJECTS if email.to.isascii() else SMTPUTF8)
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

    def _converse(self, message: EmailMessage | None, *, recipient: str = "") -> Refusal | None:
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
                    return no_smtputf8(recipient, server=self._server)
                options = ["SMTPUTF8", "BODY=8BITMIME"]
            _expect(begin(Stage.SENDER).mail(settings.sender.address, options))
            _expect(begin(Stage.RECIPIENT).rcpt(recipient))
            _expect(begin(Stage.CONTENT).data(message.as_bytes()))
        except OSError as error:  # smtplib's exceptions are such, too
            return translate(error, stage, recipient, server=self._server)
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
