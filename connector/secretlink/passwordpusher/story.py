"""What the rows of a push's audit mean, in our words; and the note by which a push is known for ours. No calls."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from connector.core.ports import LinkEvent, LinkEventKind, Watched
from connector.secretlink.agent import LONGEST_USER_AGENT, name_agent
from connector.secretlink.passwordpusher.pushes import UNNAMED, Row
from connector.secretlink.place import Places
from connector.secretlink.telling import number

CLOCKS_MAY_DIFFER: Final = timedelta(minutes=2)
"""An end of a push so shortly before its time is taken for the end of its time."""

_NOTE: Final = re.compile(r"(lnk_[0-9a-f]{24}) until (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)(?: .*)?")
_USES_A_VIEW: Final = "view"
_ENDS: Final = "expire"
# Whoever is signed in as the owner, or as an administrator, sees the password without using up a view.
_SEEN_BY_STAFF: Final = {
    "owner_view": "the account's owner",
    "admin_view": "an administrator",
    UNNAMED: "the account's owner or an administrator",
}
_KINDS: Final = {
    _USES_A_VIEW: LinkEventKind.REVEALED,
    "owner_view": LinkEventKind.REVEALED,
    "admin_view": LinkEventKind.REVEALED,
    "failed_view": LinkEventKind.REFUSED,
    UNNAMED: LinkEventKind.REFUSED,
    _ENDS: LinkEventKind.REVOKED,
}
_LONGEST_REF: Final = 80


@dataclass(frozen=True)
class Note:
    """What the note of a push of ours says: no secret, and enough to end it in time without remembering it."""

    link_id: str
    end: datetime


def write_note(link_id: str, end: datetime, ref: str) -> str:
    """The note of a push: `lnk_… until 2026-11-22T13:00:00Z for halo/4242`."""
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in ref).split())[:_LONGEST_REF]
    return f"{link_id} until {end.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} for {words}".strip()


def read_note(text: str) -> Note | None:
    """Whose push it is; `None` for one that is not ours."""
    found = _NOTE.fullmatch(text.strip())
    if found is None:
        return None
    try:
        return Note(found[1], datetime.strptime(found[2], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC))
    except ValueError:
        return None


@dataclass(frozen=True)
class Story:
    """What is to be told of one link.

    Attributes:
        over: Nothing will follow.
    """

    events: tuple[LinkEvent, ...]
    over: bool


def tell(
    link: Watched, rows: Sequence[Row], places: Places, *, dead: bool, now: datetime, ran_out: bool = False
) -> Story:
    """The events of a link, each with the number that it has at every reading.

    A look by somebody signed in there uses up no view: it is told as a reveal without a number, `view=0`.

    Args:
        rows: The whole audit, oldest first, read after the push was known to be dead if it is.
        dead: The push is known to be dead, whatever ended it.
        ran_out: It was alive when its time was over. Where that is not known, as after a restart, the row of its end
            says by the service's clock whether somebody ended it before: then a person looks at it, who need not have.
    """
    events: list[LinkEvent] = []
    seq = views = 0
    ended = revoked = False
    for row in rows:
        kind = _KINDS.get(row.kind)
        if row.kind == UNNAMED and not ended and views < link.views:
            # Views are refused only once the push is dead. Source: `log_view` of `LogEvents`, read 2026-11-22.
            # One that died of its days, while no connector ran, left no row: then too much is told, not too little.
            kind = LinkEventKind.REVEALED
        ended = ended or row.kind == _ENDS
        # The end of its time is told below, with or without a row: time leaves none, and our own deletion one.
        in_time = ran_out or row.at >= link.expires_at - CLOCKS_MAY_DIFFER
        if kind is None or (kind is LinkEventKind.REVOKED and (in_time or revoked)):
            continue
        revoked = revoked or kind is LinkEventKind.REVOKED
        seq = number(row.at, link.id, after=seq)
        views += row.kind == _USES_A_VIEW
        place = places.find(_address(row.ip) or None)
        events.append(
            LinkEvent(
                seq=seq,
                link_id=link.id,
                kind=kind,
                at=row.at,
                view=views if row.kind == _USES_A_VIEW else 0,
                views_left=max(0, link.views - views),
                ip=_address(row.ip),
                place=place.words if place else "",
                agent=_agent(row, seen=kind is LinkEventKind.REVEALED),
            )
        )
    used_up = views >= link.views
    expired = dead and now >= link.expires_at and not revoked and not used_up
    if expired:
        seq = number(link.expires_at, link.id, after=seq)
        events.append(
            LinkEvent(
                seq=seq,
                link_id=link.id,
                kind=LinkEventKind.EXPIRED,
                at=link.expires_at,
                views_left=max(0, link.views - views),
            )
        )
    return Story(tuple(events), over=dead and (expired or revoked or used_up))


def _address(text: str) -> str:
    """An IP address as it is written everywhere; empty for anything else, which would stand in notes and mails."""
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


def _agent(row: Row, *, seen: bool) -> str:
    readable = "".join(letter for letter in row.user_agent[:LONGEST_USER_AGENT] if letter.isprintable())
    agent = name_agent(readable) or ""
    staff = _SEEN_BY_STAFF.get(row.kind) if seen else None
    if staff is None:
        return agent
    return f"{agent}, signed in at Password Pusher as {staff}".removeprefix(", ")
