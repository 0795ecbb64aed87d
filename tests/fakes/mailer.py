"""A `Mailer` in memory. It passes `tests.contracts.mailer.MailerContract`, like the real one.

Trouble is ordered, not patched in: `raise_before` and `raise_after` make one coming call fail without or with its
effect; `on_call` sees every call twice (before and after its effect) and may raise whatever it likes.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Literal

from connector.core.ports import Email, Finding, Level
from connector.errors import AuthenticationError, ConnectorError, PermanentError, TemporaryError

Call = Literal["ready", "send", "check"]
Moment = Literal["before", "after"]


class FakeMailer:
    """Keeps what it is given. Safe to share between threads.

    Attributes:
        sent: Every accepted mail, oldest first; a repeat stands here twice.
        calls: Every call in order, refused ones too.
        down: The server is away.
        sign_in_refused: The server does not know our password (any more).
        refused: Recipients that the server refuses for good.
        busy: Recipients that it asks us to try later.
        on_call: Called before and after the effect of each call; what it raises is what the caller sees.
    """

    def __init__(self) -> None:
        self.sent: list[Email] = []
        self.calls: list[Call] = []
        self.down = False
        self.sign_in_refused = False
        self.refused: set[str] = set()
        self.busy: set[str] = set()
        self.on_call: Callable[[Call, Moment], None] | None = None
        self._ordered: dict[tuple[Call, Moment], deque[Exception]] = defaultdict(deque)
        self._lock = threading.Lock()

    # -- orders

    def raise_before(self, call: Call, *errors: Exception) -> None:
        """The next calls of this name fail one after the other, without an effect."""
        self._ordered[call, "before"].extend(errors)

    def raise_after(self, call: Call, *errors: Exception) -> None:
        """The next calls of this name have their effect and fail all the same."""
        self._ordered[call, "after"].extend(errors)

    def to(self, address: str) -> list[Email]:
        """What this person got, oldest first."""
        return [email for email in self.sent if email.to == address]

    # -- the port

    def ready(self) -> None:
        self._at("ready", "before")
        trouble = self._trouble()
        if trouble is not None:
            raise trouble
        self._at("ready", "after")

    def send(self, email: Email) -> None:
        self._at("send", "before")
        for text in (email.to, email.subject, email.message_id):
            if any(ord(sign) < 32 for sign in text):
                raise PermanentError("A mail cannot be sent as it is: a header holds a line break. Correct the ticket.")
        trouble = self._trouble()
        if trouble is not None:
            raise trouble
        if email.to in self.refused:
            raise PermanentError(f"The mail server refused the recipient {email.to} (550). Check the address.")
        if email.to in self.busy:
            raise TemporaryError(f"The mail server asks us to come back later for {email.to} (450). It is tried again.")
        with self._lock:
            self.sent.append(email)
        self._at("send", "after")

    def check(self) -> Iterable[Finding]:
        self._at("check", "before")
        trouble = self._trouble()
        if trouble is not None:
            yield Finding(Level.ERROR, "mail", str(trouble), "Start the mail server.")
        else:
            yield Finding(Level.OK, "mail", "The mail server answers.")

    # -- inside

    def _trouble(self) -> ConnectorError | None:
        if self.down:
            return TemporaryError("The mail server cannot be reached. It is tried again by itself.")
        if self.sign_in_refused:
            return AuthenticationError("The mail server refused our sign-in (535). Check mail.password.", scope="mail")
        return None

    def _at(self, call: Call, moment: Moment) -> None:
        if moment == "before":
            self.calls.append(call)
        if self.on_call:
            self.on_call(call, moment)
        if self._ordered[call, moment]:
            raise self._ordered[call, moment].popleft()
