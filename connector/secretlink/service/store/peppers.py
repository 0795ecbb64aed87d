"""The peppers of a link service: the one in use, and older ones while what was made under them still counts.

To change the pepper: put the new one first and the old one behind it, restart; take the old one out when its links
have run out and its events are purged. Where several processes share a database, let all of them know the new one as an
older one first, so that none meets a link that it cannot read.
"""

from __future__ import annotations

from typing import Final

from connector.secretlink.seal import Pepper


class Peppers:
    """Makes with the current pepper, reads with every one that is known."""

    def __init__(self, current: Pepper, *older: Pepper) -> None:
        """Take them; one given twice counts once.

        Args:
            older: Any order.
        """
        self.current: Final = current
        self._known: Final = {pepper.key_id: pepper for pepper in (current, *older)}

    def __repr__(self) -> str:
        return f"Peppers({', '.join(map(repr, self.known))})"

    @property
    def known(self) -> tuple[Pepper, ...]:
        """The current one first."""
        return tuple(self._known.values())

    def find(self, key_id: str | None) -> Pepper | None:
        """The pepper of this id; `None` when it is not known (any more)."""
        return self._known.get(key_id) if key_id is not None else None

    def lookup_macs(self, lookup: bytes) -> tuple[bytes, ...]:
        """What a link of this lookup may be stored under."""
        return tuple(pepper.lookup_mac(lookup) for pepper in self.known)

    def alarm_macs(self, lookup: bytes) -> tuple[bytes, ...]:
        """What an alarm of this lookup may be stored under."""
        return tuple(pepper.alarm_mac(lookup) for pepper in self.known)

    @property
    def challenge_keys(self) -> tuple[bytes, ...]:
        """For `challenge.Challenges`: pages opened before a change of the pepper go on working."""
        return tuple(pepper.challenge_key for pepper in self.known)
