"""Whether the row of a link still says what the link was made with.

Who can write the database but has no pepper could otherwise put another lookup, name or telephone number on somebody's
link: their own token would then speak for it, and people would be sent to the wrong desk. So each row carries, from the
moment the link is made::

    sealed_digest = SHA-256(sealed)
    content_mac   = HMAC-SHA256(content key of the pepper, ["link 3", every column that never changes])

The digest stands for the sealed bytes, which are gone with the last view: so the same mac tells a repeated create from
another one, is checked with each reveal, and with every look at the row for as long as it is kept.

What changes in the life of a link is not in it: `state`, `views`, `check_failures` and the instants (`…_ms`). They are
the database's word. Where a person's say hangs on them, as with "that was not me", the chain of events is asked.

Links made before there was a digest were authenticated together with their sealed bytes and with what is typed for
them, which can be checked only when they are revealed, and is. Until then nothing else of their rows is believed,
because who writes the database could pass any row off as one of those: see `unproven`. They live for at most 31 days
after the update; `is_as_made` and `NewLink.canonical` can do without the older forms then.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Row

from connector.secretlink.seal import Pepper, Terms
from connector.secretlink.service.store.links import LinkRecord, NewLink
from connector.secretlink.service.store.peppers import Peppers

_BYTES: Final = ("lookup_mac", "sealed_digest", "check_mac")
_WORDS: Final = (
    "id", "max_views", "expires_at", "ref", "mode", "display_name", "ticket", "time_zone", "brand", "locale",
)  # fmt: skip
# Kept: making one takes longer than what it writes, and each row that is read is written so.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


def columns_of(new: NewLink, pepper: Pepper) -> dict[str, Any]:
    """What of a link's row never changes, and its mac."""
    columns = {
        "id": new.terms.link_id,
        "max_views": new.terms.max_views,
        "expires_at": new.terms.expires_at,
        "lookup_mac": pepper.lookup_mac(new.lookup),
        "pepper_id": pepper.key_id,
        "sealed_digest": _digest(new.sealed),
        "ref": new.ref,
        "mode": new.mode,
        "display_name": new.display_name,
        "ticket": new.ticket,
        "time_zone": new.time_zone,
        "brand": new.brand,
        "locale": new.locale,
        "check_mac": pepper.check_mac(new.check) if new.check else None,
    }
    return columns | {"content_mac": _mac(pepper, columns)}


def is_genuine(row: Row[Any], peppers: Peppers) -> bool | None:
    """Whether a row of `tables.link` is what was made.

    `None`: it cannot be told, for it says that it was made before there was a digest, or under a pepper that is not
    known any more.
    """
    pepper = peppers.find(row.pepper_id)
    if row.sealed_digest is None or pepper is None:
        return None
    try:
        return hmac.compare_digest(row.content_mac, _mac(pepper, row._mapping))
    except (AttributeError, TypeError):  # SQLite keeps any type in any column: nothing of ours
        return False


def is_made_with(row: Row[Any], new: NewLink, peppers: Peppers) -> bool:
    """Whether this row was made by the same create, and is still as it was made."""
    pepper = peppers.find(row.pepper_id)
    if pepper is None:
        return False
    if row.sealed_digest is None:
        return hmac.compare_digest(row.content_mac, _mac_of_before(pepper, new))
    made = columns_of(new, pepper)["content_mac"]
    return is_genuine(row, peppers) is True and hmac.compare_digest(row.content_mac, made)


def is_as_made(row: Row[Any], peppers: Peppers, *, lookup: bytes, sealed: bytes, check: bytes | None) -> bool:
    """Whether a row is what was made, whenever that was, and holds what it held then.

    Args:
        sealed: What its blob holds.
        check: The right one, where the row asks for one.
    """
    if row.sealed_digest is not None:
        return is_genuine(row, peppers) is True and hmac.compare_digest(row.sealed_digest, _digest(sealed))
    pepper = peppers.find(row.pepper_id)
    if pepper is None:
        return False
    made = NewLink(
        terms=Terms(row.id, row.max_views, row.expires_at),
        lookup=lookup,
        sealed=sealed,
        ref=row.ref,
        mode=row.mode,
        display_name=row.display_name,
        ticket=row.ticket,
        time_zone=row.time_zone,
        brand=row.brand,
        locale=row.locale,
        check=None if row.check_mac is None else check,
    )
    forms = (2, 1) if (made.locale, made.check) == ("en", None) else (2,)
    return any(hmac.compare_digest(row.content_mac, _mac_of_before(pepper, made, form=form)) for form in forms)


def unproven(record: LinkRecord) -> LinkRecord:
    """A link whose row is not proven to be what was made: without anything that could mislead people.

    Its page names nobody, shows the service's own desk, English and UTC. It can be revealed, which checks it to the
    full; it cannot be reported from its page, and but for its reveals and its end nobody is told of it.
    """
    return replace(
        record, proven=False, ref="", display_name="", ticket="", time_zone="UTC", brand=None, locale="en"
    )  # fmt: skip


def _digest(sealed: bytes) -> bytes:
    return hashlib.sha256(sealed).digest()


def _mac(pepper: Pepper, columns: Any) -> bytes:
    in_hex = [None if columns[name] is None else columns[name].hex() for name in _BYTES]
    content = _ENCODER.encode(["link 3", *in_hex, *(columns[name] for name in _WORDS)])
    return hmac.digest(pepper.content_key, content.encode(), "sha256")


def _mac_of_before(pepper: Pepper, new: NewLink, *, form: int = 2) -> bytes:
    return hmac.digest(pepper.content_key, new.canonical(form=form), "sha256")
