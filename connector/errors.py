"""The four ways in which an outside call can fail, and what each means to the caller.

Adapters translate every failure of a vendor's system into one of these at their edge; the reconciler and the
runner decide by class alone. A message has three parts: what failed, with which thing, what to do. It never
holds a secret or a response body.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

_PROMISE: Final = re.compile(r" It is tried again(?: by itself)?(?:\.|; (\w))")


class ConnectorError(Exception):
    """Base of everything that this package raises on purpose.

    Attributes:
        done: What a call of many parts had finished before it failed, in words, so that the ticket can tell.
    """

    done: tuple[str, ...] = ()


class TemporaryError(ConnectorError):
    """The other side is away, slow or asks us to wait; the same step may work later.

    Whether the effect happened is not known: steps are written so that repeating them is harmless.

    Attributes:
        retry_after: The least wait that the other side asked for, or `None` where it named none.
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentError(ConnectorError):
    """This case cannot go on by itself; a person must look."""


class TicketGone(PermanentError):
    """The ticket was deleted, merged into another one, or moved out of our sight."""


class NoSuchAccount(PermanentError):
    """No account of the tenant has the address that the ticket names."""


class AmbiguousAccount(PermanentError):
    """The address does not stand for one account beyond doubt; guessing is not an option.

    Attributes:
        ids: Object ids of the accounts that answer to it.
    """

    def __init__(self, message: str, *, ids: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.ids = tuple(ids)


class PushRefused(PermanentError):
    """What came in by push does not prove that the PSA sent it; it was not looked at."""


class PasswordRejected(PermanentError):
    """The directory did not like the candidate (banned word, complexity); another candidate may pass."""


class AuthenticationError(ConnectorError):
    """A system refuses us: wrong or expired credentials, or a missing permission.

    Attributes:
        scope: What to pause, for example `psa.halo` or `tenant.contoso`.
    """

    def __init__(self, message: str, *, scope: str) -> None:
        super().__init__(message)
        self.scope = scope


class ConfigError(ConnectorError):
    """The configuration is wrong; nothing was started.

    Attributes:
        problems: Every problem found, one sentence each, so that one round of mending is enough.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class LostClaim(ConnectorError):
    """Another worker has taken the case since; what this worker was about to write was not written."""


class Overtaken(TemporaryError):
    """Another case wrote to the same account since this write was judged; it has to be judged anew."""


class DatabaseError(TemporaryError):
    """Our own database is locked, full or gone; nothing was written."""


def without_promise(failure: Exception) -> str:
    """What failed and what to do, without the promise of another try: for whoever makes none, as a command."""
    return _PROMISE.sub(lambda found: f" {found[1].upper()}" if found[1] else "", str(failure))
