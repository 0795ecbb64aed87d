"""How far the webhook has come: one row, so that a restart neither forgets nor repeats more than the last delivery."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, case, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from connector.secretlink.service.store import tables
from connector.secretlink.service.store.database import writing

LEASE_MS: Final = 120_000
"""How long a process that has gone silent keeps the others waiting. Longer than one delivery takes."""
_CLOCKS_DIFFER_BY_MS: Final = 300_000
_THE_ROW: Final = 1


class WebhookCursor:
    """The row, in the hands of one process at a time, so that deliveries stay in order."""

    def __init__(self, engine: Engine, *, holder: str) -> None:
        """Nothing is read yet.

        Args:
            holder: Names this process among those on the same database; 1 to 32 letters.
        """
        self._engine = engine
        self._holder = holder
        self._row = tables.webhook

    def take(self, *, now_ms: int, head: int, done: int | None) -> int | None:
        """Take the cursor, or go on holding it.

        Args:
            head: Where a cursor begins that never was: what happened before the first start is nobody's news.
            done: The number of the last event that this process is done with, if it held the cursor before.

        Returns:
            The number of the last event that is done with; `None` while another process holds the cursor.
        """
        row = self._row.c
        ours = row.holder == self._holder
        # Nobody holds it longer from now on: whoever wrote that had a clock that was ahead, perhaps by years.
        longest = now_ms + LEASE_MS + _CLOCKS_DIFFER_BY_MS
        try:
            with writing(self._engine) as connection:
                if connection.execute(select(row.id)).first() is None:
                    connection.execute(insert(self._row).values(id=_THE_ROW, seq=head))
                return connection.execute(
                    update(self._row)
                    .where(or_(ours, row.holder.is_(None), row.held_until_ms <= now_ms, longest < row.held_until_ms))
                    .values(
                        seq=row.seq if done is None else case((ours, done), else_=row.seq),
                        holder=self._holder,
                        held_until_ms=now_ms + LEASE_MS,
                    )
                    .returning(row.seq)
                ).scalar_one_or_none()
        except IntegrityError:  # another process made the row this moment, and holds it
            return None

    def save(self, seq: int, *, now_ms: int) -> bool:
        """Everything up to this event is done with. `False`: another process has taken over, nothing was saved."""
        with writing(self._engine) as connection:
            saved = connection.execute(
                update(self._row)
                .where(self._row.c.holder == self._holder)
                .values(seq=seq, held_until_ms=now_ms + LEASE_MS)
            )
            return saved.rowcount == 1

    def give_back(self) -> None:
        """Let another process go on at once."""
        with writing(self._engine) as connection:
            connection.execute(
                update(self._row).where(self._row.c.holder == self._holder).values(holder=None, held_until_ms=None)
            )
