"""The mail sink: takes every mail, offers STARTTLS and AUTH, and can be told to refuse."""

from __future__ import annotations

import asyncio
import ssl
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from sandbox.faults import Fault
from sandbox.world import World

TEXTS = {450: "4.2.0 Mailbox busy, try again later", 550: "5.1.1 Mailbox unavailable", 552: "5.2.2 Mailbox full"}


class Sink:
    """aiosmtpd's hooks. A fault's `match` is searched in "MAIL address", "RCPT address" and "DATA subject"."""

    def __init__(self, world: World) -> None:
        self.world = world

    def protocol(self, context: ssl.SSLContext) -> SMTP:
        """A protocol for one connection; AUTH is offered after STARTTLS only, and neither is required."""
        return SMTP(
            self,
            hostname="sandbox.example",
            ident="sandbox mail sink",
            tls_context=context,
            authenticator=self.authenticate,
            auth_require_tls=True,
            enable_SMTPUTF8=True,
            decode_data=False,
        )

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        known = self.world.credentials
        fits = isinstance(data, LoginPassword) and (data.login, data.password) == (
            known.smtp_user.encode(),
            known.smtp_password.encode(),
        )
        return AuthResult(success=fits, handled=fits)

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = self._refusal(server, f"MAIL {address}")
        if refusal:
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = self._refusal(server, f"RCPT {address}")
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        message = BytesParser(policy=policy.default).parsebytes(envelope.original_content or b"")
        assert isinstance(message, EmailMessage)  # noqa: S101 - what this policy makes
        fault = self.world.faults.next_for("smtp", f"DATA {message['subject'] or ''}", chance=False)
        if fault is None or fault.kind in ("cut_after", "slow"):
            self._store(envelope, message)
        return self._outcome(server, fault) or "250 OK: queued"

    def _store(self, envelope: Envelope, message: EmailMessage) -> None:
        text, html = message.get_body(("plain",)), message.get_body(("html",))
        self.world.record.by_system["smtp"] += 1
        self.world.deliver(
            via="smtp",
            sender=str(message["from"] or envelope.mail_from),
            recipients=list(envelope.rcpt_tos),
            subject=str(message["subject"] or ""),
            text=str(text.get_content()) if text else "",
            html=str(html.get_content()) if html else "",
            message_id=str(message["message-id"] or ""),
            headers={key: str(value) for key, value in message.items()},
        )

    def _refusal(self, server: SMTP, what: str) -> str | None:
        return self._outcome(server, self.world.faults.next_for("smtp", what, chance=False))

    def _outcome(self, server: SMTP, fault: Fault | None) -> str | None:
        if fault is None or fault.kind == "slow":
            return None
        if fault.kind == "status":
            return f"{fault.status} {fault.body or TEXTS.get(fault.status, 'Refused by the sandbox')}"
        if isinstance(server.transport, asyncio.WriteTransport):
            server.transport.abort()
        return "421 4.3.0 Closing"
