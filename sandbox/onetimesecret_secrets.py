"""What OneTimeSecret knows: secrets and their receipts. In memory; the HTTP side is in `onetimesecret`.

Sources, read 2026-11-22: github.com/onetimesecret/onetimesecret at 0.26 (`apps/api/v2/logic/secrets`, `apps/api/v1`,
`lib/onetime/models/receipt`). Composed from the field lists there; nobody has held it against a running server, so the
exact answers are UNVERIFIED.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SHORTEST_TTL, LONGEST_TTL = 60, 7 * 24 * 3600
DEFAULT_TTL = 7 * 24 * 3600


def new_identifier() -> str:
    """An opaque id of the length that theirs have; whoever has a secret's id opens it."""
    return "".join(secrets.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(62))


@dataclass
class Receipt:
    """A secret with its receipt. `ended` is when it was revealed or burned; its end by time is noted nowhere.

    `state` is `new`, `revealed`, `burned` or `expired`.
    """

    identifier: str
    secret_identifier: str = field(repr=False)
    content: str | None = field(repr=False)
    owned: bool
    created: datetime
    ttl: int
    passphrase: str | None = field(repr=False, default=None)
    state: str = "new"
    ended: datetime | None = None

    @property
    def secret_ends(self) -> datetime:
        return self.created + timedelta(seconds=self.ttl)

    @property
    def receipt_ends(self) -> datetime:
        """A receipt lives twice as long as its secret."""
        return self.created + timedelta(seconds=2 * self.ttl)


@dataclass
class OneTimeSecrets:
    """One OneTimeSecret.

    Attributes:
        version: The highest API version that it has, 2 or 1.
        text_numbers: Numbers of v2 come as strings, as its route file says; else as numbers.
        shortest_ttl, longest_ttl: What a wish is clamped to, without a word.
    """

    now: Callable[[], datetime]
    version: int = 2
    text_numbers: bool = False
    shortest_ttl: int = SHORTEST_TTL
    longest_ttl: int = LONGEST_TTL
    receipts: dict[str, Receipt] = field(default_factory=dict)

    def conceal(self, content: str, ttl: object, *, passphrase: str | None, owned: bool) -> Receipt:
        wanted = DEFAULT_TTL if ttl in (None, "") else int(float(str(ttl)))
        receipt = Receipt(
            identifier=new_identifier(),
            secret_identifier=new_identifier(),
            content=content,
            owned=owned,
            created=self.now(),
            ttl=min(max(wanted, self.shortest_ttl), self.longest_ttl),
            passphrase=passphrase,
        )
        self.receipts[receipt.identifier] = receipt
        return receipt

    def receipt(self, identifier: str) -> Receipt | None:
        """A receipt as it is now; `None` for one that is unknown or over."""
        found = self.receipts.get(identifier)
        if found is None or self.now() >= found.receipt_ends:
            return None
        self._see_to_time(found)
        return found

    def secret(self, identifier: str) -> Receipt | None:
        """What belongs to a secret that can still be shown."""
        found = next((one for one in self.receipts.values() if one.secret_identifier == identifier), None)
        if found is None:
            return None
        self._see_to_time(found)
        return found if found.state == "new" else None

    def reveal(self, receipt: Receipt) -> str:
        content = receipt.content or ""
        receipt.content, receipt.state, receipt.ended = None, "revealed", self.now()
        return content

    def burn(self, receipt: Receipt) -> bool:
        """`False` when there was nothing to burn any more."""
        if receipt.state != "new":
            return False
        receipt.content, receipt.state, receipt.ended = None, "burned", self.now()
        return True

    def recent(self) -> list[Receipt]:
        """The account's own of the last 30 days, whose receipts still live."""
        since = self.now() - timedelta(days=30)
        found = [self.receipt(identifier) for identifier in self.receipts]
        mine = [one for one in found if one is not None and one.owned and one.created >= since]
        return sorted(mine, key=lambda one: one.created, reverse=True)

    def _see_to_time(self, receipt: Receipt) -> None:
        if receipt.state == "new" and self.now() >= receipt.secret_ends:
            receipt.content, receipt.state = None, "expired"
