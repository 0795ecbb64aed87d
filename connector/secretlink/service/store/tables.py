"""The link service's tables. The schema is made by `connector/migrations/links`; a test keeps the two equal.

Instants are whole milliseconds since 1970-01-01 UTC (`…_ms`), except `expires_at`: whole seconds, because exactly that
number is bound into the encryption.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# What an index is about. PostgreSQL's are so too (a test compares), but to name that here would load its whole dialect
# for a service on SQLite, 2 MB for as long as it runs.
_ACTIVE: Final = text("state = 'active'")
_ENDED: Final = text("state <> 'active'")
_PURGED: Final = text("kind = 'purged'")
_PERSONAL: Final = text("ip IS NOT NULL OR user_agent IS NOT NULL")

link: Final = Table(
    "link",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("lookup_mac", LargeBinary(32), nullable=False, unique=True),
    Column("pepper_id", String(16), nullable=False),
    Column("content_mac", LargeBinary(32), nullable=False),  # over all that never changes: see `genuine`
    Column("mode", String(16), nullable=False),
    Column("blob", LargeBinary, nullable=True),  # NULL as soon as the link has ended
    Column("state", String(16), nullable=False),
    Column("views", Integer, nullable=False),
    Column("max_views", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("first_view_ms", BigInteger, nullable=True),
    Column("last_view_ms", BigInteger, nullable=True),
    Column("ended_ms", BigInteger, nullable=True),
    Column("ref", String(200), nullable=False),
    Column("display_name", String(200), nullable=False),
    Column("ticket", String(64), nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("brand", Text, nullable=True),  # JSON, or NULL for the service's own
    Column("locale", String(16), nullable=False, server_default="en"),
    Column("check_mac", LargeBinary(32), nullable=True),  # NULL: nothing has to be typed
    Column("check_failures", Integer, nullable=False, server_default="0"),
    Column("sealed_digest", LargeBinary(32), nullable=True),  # NULL: made before there was one
    CheckConstraint("views >= 0 AND views <= max_views", name="views_within_limit"),
    CheckConstraint("max_views BETWEEN 1 AND 20 AND expires_at > 0", name="terms_are_possible"),
    CheckConstraint("state IN ('active', 'consumed', 'expired', 'revoked')", name="known_state"),
    CheckConstraint("state = 'active' OR blob IS NULL", name="ended_links_hold_nothing"),
    CheckConstraint("(state = 'active') = (ended_ms IS NULL)", name="ended_links_say_when"),
    # However many links have ended: what runs out next is found among the living alone.
    Index("ix_link_active_expires_at", "expires_at", sqlite_where=_ACTIVE),
    # Two of them, because SQLite would prefer one over all states to the index above, and sort.
    Index("ix_link_active_id", "id", sqlite_where=_ACTIVE),
    Index("ix_link_ended_state_id", "state", "id", sqlite_where=_ENDED),
)

event: Final = Table(
    "event",
    metadata,
    # Given out by the chain, one by one without gaps; the database must not count by itself.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("link_id", String(64), ForeignKey("link.id"), nullable=True),
    Column("ref", String(200), nullable=True),
    Column("kind", String(32), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("view", Integer, nullable=True),
    Column("views_left", Integer, nullable=True),
    Column("reason", String(200), nullable=True),
    Column("nonce", String(64), nullable=True),
    Column("ip", String(64), nullable=True),
    Column("country", String(2), nullable=True),
    Column("city", String(120), nullable=True),
    Column("place_source", String(64), nullable=True),
    Column("user_agent", String(300), nullable=True),
    Column("agent", String(80), nullable=True),
    Column("suspect", String(32), nullable=True),
    Column("mac", LargeBinary(32), nullable=False),
    Column("form", Integer, nullable=False, server_default="1"),  # what the mac is made over: see `chain`
    Column("pepper_id", String(16), nullable=True),
    Column("salt", LargeBinary(16), nullable=True),
    Column("blanked_mac", LargeBinary(32), nullable=True),
    # One nonce counts one view, whatever two racing requests believe. NULLs do not clash, on either engine.
    UniqueConstraint("link_id", "nonce"),
    Index("ix_event_personal", "seq", sqlite_where=_PERSONAL),
    Index("ix_event_purged", "seq", sqlite_where=_PURGED),
)

alarm: Final = Table(
    "alarm",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("lookup_mac", LargeBinary(32), nullable=False, unique=True),
    Column("pepper_id", String(16), nullable=False),
    Column("content_mac", LargeBinary(32), nullable=False),
    Column("about", String(200), nullable=False),
    Column("link_id", String(64), nullable=True),  # no foreign key: the link may be purged before
    Column("source", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("made_seq", BigInteger, nullable=False, server_default="0"),  # the newest event's when it was made
    Column("expires_at", BigInteger, nullable=False),
    Column("raised_ms", BigInteger, nullable=True),
    Column("display_name", String(200), nullable=False),
    Column("ticket", String(64), nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("locale", String(16), nullable=False),
    Column("brand", Text, nullable=True),
    CheckConstraint("source IN ('accessed', 'notice')", name="known_source"),
    Index("ix_alarm_expires_at", "expires_at"),
    Index("ix_alarm_made_seq", "made_seq"),
)

mark: Final = Table(
    "mark",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # counts: their order is not that of their instants
    Column("seq", BigInteger, nullable=False),  # of the newest event
    Column("at_ms", BigInteger, nullable=False),
)

webhook: Final = Table(
    "webhook",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),  # of the last event that is done with
    Column("holder", String(32), nullable=True),  # the process that delivers; NULL: nobody just now
    Column("held_until_ms", BigInteger, nullable=True),
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint("(holder IS NULL) = (held_until_ms IS NULL)", name="held_until_some_time"),
)
