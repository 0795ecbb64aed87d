"""What the API answers, and what webhooks carry: records of the vault in the words of the API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from connector.secretlink.service.store.chain import Event, EventKind
from connector.secretlink.service.store.links import AlarmRecord, EventPage, LinkRecord

State = Literal["active", "consumed", "expired", "revoked"]
_Seconds = Annotated[int, Field(description="Seconds since 1970-01-01 UTC.")]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def content(self) -> Mapping[str, object]:
        """What is sent."""
        return self.model_dump(mode="json")


_Instant = Annotated[str, Field(description="UTC to the millisecond: `2026-11-22T10:02:07.113Z`.")]


class LinkAnswer(_Answer):
    """A link as it is now: states and counts, never content."""

    id: str
    state: State
    views: Annotated[int, Field(description="How many have been used.")]
    max_views: int
    expires_at: _Seconds
    created_at: _Instant
    first_view_at: _Instant | None
    last_view_at: _Instant | None
    ended_at: _Instant | None
    ref: str
    mode: Literal["path", "fragment"]
    checked: Annotated[bool, Field(description="Whether something has to be typed before the password is shown.")]

    @classmethod
    def of(cls, record: LinkRecord) -> LinkAnswer:
        """A record of the vault in the words of the API."""
        return cls.model_validate(
            {
                "id": record.terms.link_id,
                "state": record.state,
                "views": record.views,
                "max_views": record.terms.max_views,
                "expires_at": record.terms.expires_at,
                "created_at": instant(record.created_ms),
                "first_view_at": _instant_or_none(record.first_view_ms),
                "last_view_at": _instant_or_none(record.last_view_ms),
                "ended_at": _instant_or_none(record.ended_ms),
                "ref": record.ref,
                "mode": record.mode,
                "checked": record.checked,
            }
        )


class LinkListAnswer(_Answer):
    """Links in the order of their ids."""

    links: list[LinkAnswer]
    next: Annotated[str, Field(description="Give it back as `after` for the next part; unchanged when there is none.")]
    more: bool


class AlarmAnswer(_Answer):
    """An alarm as it is now."""

    id: str
    state: Literal["armed", "raised", "expired"]
    expires_at: _Seconds

    @classmethod
    def of(cls, record: AlarmRecord) -> AlarmAnswer:
        """A record of the vault in the words of the API."""
        return cls.model_validate({"id": record.id, "state": record.state, "expires_at": record.expires_at})


class LocationAnswer(_Answer):
    """Roughly where an address is. Never finer than its source."""

    country: Annotated[str, Field(description="ISO 3166-1, two letters.")]
    city: str | None
    source: str
    words: Annotated[str, Field(description="For people: `United Kingdom (approx.)`.")]


class EventAnswer(_Answer):
    """One thing that happened. Kinds may be added: skip what you do not know."""

    seq: Annotated[int, Field(description="Its place in the history, from 1, without gaps.")]
    link_id: str | None
    ref: Annotated[str | None, Field(description="What the caller wrote on the link, or what an alarm is about.")]
    kind: Annotated[str, Field(examples=[kind.value for kind in EventKind])]
    at: _Instant
    view: Annotated[int | None, Field(description="For `revealed`: which one, from 1; for an end: how many were used.")]
    views_left: int | None
    reason: Annotated[str | None, Field(description="Why something was refused or revoked; how it was reported.")]
    ip: str | None
    location: LocationAnswer | None
    user_agent: str | None
    agent: Annotated[str | None, Field(description="Browser and system for people: `Edge 156 on Windows`.")]
    suspect: Annotated[str | None, Field(description="Why the visitor looks like a machine, or `none`: only a label.")]

    @classmethod
    def of(cls, event: Event) -> EventAnswer:
        """An event of the vault in the words of the API; the nonce of a reveal stays where it is."""
        place = event.place
        return cls.model_construct(
            seq=event.seq,
            link_id=event.link_id,
            ref=event.ref,
            kind=event.kind,
            at=instant(event.at_ms),
            view=event.view,
            views_left=event.views_left,
            reason=event.reason,
            ip=event.ip,
            location=LocationAnswer(country=place.country, city=place.city, source=place.source, words=place.words)
            if place
            else None,
            user_agent=event.user_agent,
            agent=event.agent,
            suspect=event.suspect,
        )


_Mac = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class HeadAnswer(_Answer):
    """The newest event of the whole history, and its place in the chain."""

    seq: int
    mac: _Mac


class EventListAnswer(_Answer):
    """Events after a cursor, oldest first, with what proves that the history before it is the one read before."""

    events: list[EventAnswer]
    head: HeadAnswer
    anchor: Annotated[_Mac | None, Field(description="Of the event at the cursor; `null` where it was purged.")]
    next: Annotated[int, Field(description="The next cursor: give it back as `after`.")]
    next_mac: Annotated[
        _Mac | None, Field(description="Keep it beside `next`: it has to come back as `anchor` when you read on.")
    ]
    more: Annotated[bool, Field(description="There are events beyond these: ask again at once.")]

    @classmethod
    def of(cls, page: EventPage, *, after: int) -> EventListAnswer:
        """A page of the vault in the words of the API."""
        return cls.model_construct(
            events=[EventAnswer.of(event) for event in page.events],
            head=HeadAnswer(seq=page.head.seq, mac=page.head.mac.hex()),
            anchor=_hex_or_none(page.anchor),
            next=page.events[-1].seq if page.events else after,
            next_mac=_hex_or_none(page.next_mac),
            more=page.more,
        )


class ErrorAnswer(_Answer):
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
