"""Mail servers for tests, on ports that the system chooses: a true one (aiosmtpd), and one that follows a script."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any, BinaryIO

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class MailServer:
    """What the true server does, and what it has seen.

    Attributes:
        refusals: The answer to MAIL, RCPT or DATA by `VERB address`, or by the verb alone.
        tls: Offered by STARTTLS; `None` offers none.
        smtputf8: Whether the extension is offered.
        signed_in: User names that signed in, in order.
        encrypted: For each accepted mail, whether it came over TLS.
    """

    authority: trustme.CA
    tls: ssl.SSLContext | None
    user: str = "connector"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    smtputf8: bool = True
    needs_sign_in: bool = False
    refusals: dict[str, str] = field(default_factory=dict)
    accepted: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    signed_in: list[str] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def protocol(self) -> SMTP:
        self.connections += 1
        return SMTP(
            self,
            hostname="mail.example.com",
            tls_context=self.tls,
            authenticator=self._authenticate,
            auth_require_tls=True,
            auth_required=self.needs_sign_in,
            enable_SMTPUTF8=self.smtputf8,
            decode_data=False,
        )

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        fits = isinstance(data, LoginPassword) and (data.login, data.password) == (
            self.user.encode(),
            self.password.encode(),
        )
        if fits:
            self.signed_in.append(data.login.decode())
        return AuthResult(success=fits, handled=False)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if refusal := self._refusal("MAIL", address):
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if refusal := self._refusal("RCPT", address):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        if refusal := self._refusal("DATA", ""):
            # As some filters do: they say in their answer what they did not like.
            return f"{refusal}: {content.decode('ascii', 'replace').splitlines()[-2]}"
        self.accepted.append(BytesParser(_class=EmailMessage, policy=policy.default).parsebytes(content))
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def _refusal(self, verb: str, address: str) -> str:
        return self.refusals.get(f"{verb} {address}") or self.refusals.get(verb, "")


@contextlib.contextmanager
def running(server: MailServer, *, implicit_tls: bool = False) -> Iterator[MailServer]:
    """The server in a thread of its own; `port` is set."""
    loop = asyncio.new_event_loop()
    bound = socket.create_server(("127.0.0.1", 0))
    server.port = bound.getsockname()[1]
    listening = loop.run_until_complete(
        loop.create_server(server.protocol, sock=bound, ssl=server.tls if implicit_tls else None)
    )
    thread = threading.Thread(target=loop.run_forever, name="mail-server", daemon=True)
    thread.start()

    async def close() -> None:
        listening.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await listening.wait_closed()

    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result(timeout=20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=20)
        loop.close()


Answer = str | None
"""What the scripted server says to a line; `None` cuts the connection, an empty one keeps silent."""


@contextlib.contextmanager
def scripted(answer: Callable[[str], Answer], *, greeting: Answer = "220 mail.example.com") -> Iterator[int]:
    """A server without TLS that takes one connection after the other. Gives its port.

    `answer` is called with each line; the lines of a mail come as one call with `.`.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.1)
    done = threading.Event()

    def next_line(lines: BinaryIO) -> str:
        """Without its end; empty at the end of the connection. A blank line of a mail comes as a blank."""
        line = lines.readline().decode("ascii", "replace")
        return line.rstrip("\r\n") or (" " if line else "")

    def talk(connection: socket.socket) -> None:
        connection.settimeout(20)
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            said = greeting
            in_data = False
            while said is not None:
                if said:
                    connection.sendall(f"{said}\r\n".encode())
                line = next_line(lines)
                while in_data and line not in (".", ""):
                    line = next_line(lines)
                if not line:
                    return
                said = answer(line)
                in_data = bool(said and said.startswith("354"))

    def serve() -> None:
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                talk(listening.accept()[0])

    thread = threading.Thread(target=serve, name="scripted-mail-server", daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        done.set()
        thread.join(timeout=30)
        listening.close()
