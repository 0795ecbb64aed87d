"""What the API answers, and what webhooks carry: records of the vault in the words of the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, cast

from connector.secretlink.place import Place
from connector.secretlink.service.api.shapes import Rule, Shape
from connector.secretlink.service.store.chain import Event, EventKind
from connector.secretlink.service.store.links import AlarmRecord, EventPage, LinkRecord

_State = Literal["active", "consumed", "expired", "revoked"]
_Mode = Literal["path", "fragment"]
_Precision = Literal["city", "country", "registry-country"]
_AlarmState = Literal["armed", "raised", "expired"]
_Seconds = Annotated[int, Rule(description="Seconds since 1970-01-01 UTC.")]
_Instant = Annotated[str, Rule(description="UTC to the millisecond: `2026-11-22T10:02:07.113Z`.")]


@dataclass(frozen=True)
class LinkAnswer(Shape):
    """A link as it is now: states and counts, never content."""

    id: str
    state: _State
    views: Annotated[int, Rule(description="How many have been used.")]
    max_views: int
    expires_at: _Seconds
    created_at: _Instant
    first_view_at: _Instant | None
    last_view_at: _Instant | None
    ended_at: _Instant | None
    ref: str
    mode: _Mode
    checked: Annotated[bool, Rule(description="Whether something has to be typed before the password is shown.")]

    @classmethod
    def of(cls, record: LinkRecord) -> LinkAnswer:
        """A record of the vault in the words of the API."""
        return cls(
            id=record.terms.link_id,
            state=cast("_State", record.state),
            views=record.views,
            max_views=record.terms.max_views,
            expires_at=record.terms.expires_at,
            created_at=instant(record.created_ms),
            first_view_at=_instant_or_none(record.first_view_ms),
            last_view_at=_instant_or_none(record.last_view_ms),
            ended_at=_instant_or_none(record.ended_ms),
            ref=record.ref,
            mode=cast("_Mode", record.mode),
            checked=record.checked,
        )


@dataclass(frozen=True)
class LinkListAnswer(Shape):
    """Links in the order of their ids."""

    links: list[LinkAnswer]
    next: Annotated[str, Rule(description="Give it back as `after` for the next part; unchanged when there is none.")]
    more: bool


@dataclass(frozen=True)
class AlarmAnswer(Shape):
    """An alarm as it is now."""

    id: str
    state: _AlarmState
    expires_at: _Seconds

    @classmethod
    def of(cls, record: AlarmRecord) -> AlarmAnswer:
        """A record of the vault in the words of the API."""
        return cls(record.id, cast("_AlarmState", record.state), record.expires_at)


@dataclass(frozen=True)
class LocationAnswer(Shape):
    """Roughly where an address is. Never finer than its source."""

    country: Annotated[str, Rule(description="ISO 3166-1, two letters.")]
    city: str | None
    source: str
    precision: Annotated[
        _Precision,
        Rule(description="What is known: `registry-country` is the one in whose name the address block is held."),
    ]
    words: Annotated[str, Rule(description="For people: `United Kingdom (approx.)`.")]

    @classmethod
    def of(cls, place: Place) -> LocationAnswer:
        """A place in the words of the API."""
        return cls(place.country, place.city, place.source, cast("_Precision", place.precision), place.words)


@dataclass(frozen=True)
class EventAnswer(Shape):
    """One thing that happened. Kinds may be added: skip what you do not know."""

    seq: Annotated[int, Rule(description="Its place in the history, from 1, without gaps.")]
    link_id: str | None
    ref: Annotated[str | None, Rule(description="What the caller wrote on the link, or what an alarm is about.")]
    kind: Annotated[str, Rule(examples=tuple(EventKind))]
    at: _Instant
    view: Annotated[int | None, Rule(description="For `revealed`: which one, from 1; for an end: how many were used.")]
    views_left: int | None
    reason: Annotated[str | None, Rule(description="Why something was refused or revoked; how it was reported.")]
    ip: str | None
    location: LocationAnswer | None
    user_agent: str | None
    agent: Annotated[str | None, Rule(description="Browser and system for people: `Edge 156 on Windows`.")]
    suspect: Annotated[str | None, Rule(description="Why the visitor looks like a machine, or `none`: only a label.")]

    @classmethod
    def of(cls, event: Event) -> EventAnswer:
        """An event of the vault in the words of the API; the nonce of a reveal stays where it is."""
        return cls(
            seq=event.seq,
            link_id=event.link_id,
            ref=event.ref,
            kind=event.kind,
            at=instant(event.at_ms),
            view=event.view,
            views_left=event.views_left,
            reason=event.reason,
            ip=event.ip,
            location=LocationAnswer.of(event.place) if event.place else None,
            user_agent=event.user_agent,
            agent=event.agent,
            suspect=event.suspect,
        )


_Mac = Annotated[str, Rule(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class HeadAnswer(Shape):
    """The newest event of the whole history, and its place in the chain."""

    seq: int
    mac: _Mac


@dataclass(frozen=True)
class EventListAnswer(Shape):
    """Events after a cursor, oldest first, with what proves that the history before it is the one read before."""

    events: list[EventAnswer]
    head: HeadAnswer
    anchor: Annotated[_Mac | None, Rule(description="Of the event at the cursor; `null` where it was purged.")]
    next: Annotated[int, Rule(description="The next cursor: give it back as `after`.")]
    next_mac: Annotated[
        _Mac | None, Rule(description="Keep it beside `next`: it has to come back as `anchor` when you read on.")
    ]
    more: Annotated[bool, Rule(description="There are events beyond these: ask again at once.")]

    @classmethod
    def of(cls, page: EventPage, *, after: int) -> EventListAnswer:
        """A page of the vault in the words of the API."""
        return cls(
            events=[EventAnswer.of(event) for event in page.events],
            head=HeadAnswer(seq=page.head.seq, mac=page.head.mac.hex()),
            anchor=_hex_or_none(page.anchor),
            next=page.events[-1].seq if page.events else after,
            next_mac=_hex_or_none(page.next_mac),
            more=page.more,
        )


@dataclass(frozen=True)
class ErrorAnswer(Shape):
    """Why not: a code to decide by and a sentence for people."""

    error: str
    message: str


def instant(milliseconds: int) -> str:
    """A moment as the API writes it."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant_or_none(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else instant(milliseconds)


def _hex_or_none(content: bytes | None) -> str | None:
    return None if content is None else content.hex()
