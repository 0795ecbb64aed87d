"""The `LinkService` of OneTimeSecret. The words, and what was read where, are in this package's docstring."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import structlog
from pydantic import Field, field_validator

from connector.adapter import Surroundings
from connector.config import LinksSection, SecretValue, Section, Url, validate
from connector.core.ports import (
    AlarmWish,
    Capabilities,
    Clock,
    Finding,
    Level,
    Link,
    LinkEvent,
    LinkEventKind,
    LinkMode,
    LinkNews,
    LinkWish,
    Watched,
)
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConnectorError, PermanentError
from connector.secretlink.fitness import refuse_unfit, warnings
from connector.secretlink.foreign import events_of_all, is_due, without_history
from connector.secretlink.onetimesecret.api import Receipt, SecretApi, Stage
from connector.secretlink.telling import Teller, number

log = structlog.get_logger(__name__)

SHORTEST: Final = timedelta(seconds=60)
"""What it makes of anything shorter; so a shorter one is refused before it is made."""

CAPABILITIES: Final = Capabilities(
    shortest=SHORTEST,
    most_views=1,
    tells_ip=False,
    tells_agent=False,
    tells_place=False,
    scanner_proof=False,
    alarms=False,
    modes=frozenset({LinkMode.PATH}),
    human_check=False,
    announces=False,
    needs_watched=True,
)

FEW: Final = 3
"""So many open links are asked about one by one; more of them by the account's list."""

LOOK_AGAIN_AFTER: Final = timedelta(minutes=5)
"""How long after a fruitless search for a receipt, or when it was gone, it is looked for again."""

CLOCKS_MAY_DIFFER: Final = timedelta(seconds=2)


class OneTimeSecretSection(Section):
    """`links` in `connector.yaml`, for `kind: onetimesecret`.

    Attributes:
        url: What people open, and where the API is: `https://eu.onetimesecret.com`, or an own host.
        username: The account's address or id.
        token: Its API token.
    """

    url: Url
    username: str = Field(min_length=1, pattern=r"^[^:\s]+$")
    token: SecretValue

    @field_validator("token")
    @classmethod
    def _token_is_there(cls, token: Secret) -> Secret:
        if not token.reveal().strip():
            raise ValueError("it is empty, and secrets without an account are nobody's: no list, no end but their own")
        return token


@dataclass(frozen=True)
class _Known:
    """What this process knows of a link. `gone_at`: when its receipt was not there; `over`: nothing will follow."""

    receipt_id: Secret
    since: datetime
    gone_at: datetime | None = None
    events: tuple[LinkEvent, ...] = ()
    over: bool = False


class OneTimeSecret:
    """Makes and follows secrets. Safe to use from several threads.

    Neither an address nor a receipt is kept anywhere but in memory, and there only as long as the link is watched.
    """

    def __init__(self, *, api: SecretApi, url: str, clock: Clock) -> None:
        """Nothing is sent yet.

        Args:
            url: What people open, without a slash at its end.
        """
        self._api = api
        self._url = url
        self._clock = clock
        self._teller = Teller()
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._lost: dict[str, datetime] = {}

    @classmethod
    def from_config(cls, name: str, section: Mapping[str, object], surroundings: Surroundings) -> Self:
        """Build it from `links` of the configuration.

        Raises:
            ConfigError: With every problem of the section.
        """
        settings = validate(OneTimeSecretSection, LinksSection.adapters_part(section), surroundings.place, where=name)
        api = SecretApi(
            http=surroundings.http_for(system="OneTimeSecret", scope="links"),
            url=settings.url,
            username=settings.username,
            token=settings.token,
        )
        return cls(api=api, url=settings.url, clock=surroundings.clock)

    @property
    def capabilities(self) -> Capabilities:
        """What is true of every version."""
        return CAPABILITIES

    def create(self, wish: LinkWish, password: Secret) -> Link:
        """Conceal the password. See `core.ports.LinkService`.

        Ids are compared within this process only: OneTimeSecret knows nothing of them. After a `TemporaryError` a
        secret may exist whose address nobody has; it ends by itself.

        Raises:
            PermanentError: It would live for another time than wished; it was burned at once.
        """
        refuse_unfit(wish, CAPABILITIES, "OneTimeSecret")
        with self._lock:
            if wish.id in self._known:
                raise PermanentError(f"There is a link {wish.id} already. Retry the case: it gets a new id.")
        lifetime = timedelta(seconds=math.ceil(wish.lifetime.total_seconds()))
        asked_at = self._clock()
        made = self._api.conceal(password, lifetime)
        if made.lifetime != lifetime:
            self._api.forget()
            self._api.burn(made.receipt_id)
            raise PermanentError(
                f"OneTimeSecret made a secret that would not live for {int(lifetime.total_seconds())} s as ordered, so "
                "it was burned at once. Set links.lifetime to what the account and that service allow."
            )
        with self._lock:
            self._known[wish.id] = _Known(made.receipt_id, asked_at)
        end = math.ceil((asked_at + lifetime).timestamp())
        return Link(
            id=wish.id,
            url=Secret(f"{self._url}/secret/{made.secret_id.reveal()}"),
            expires_at=datetime.fromtimestamp(end, UTC),
            views=1,
            handle=handle_of(made.receipt_id),
        )

    def revoke(self, link_id: str, *, handle: str = "") -> bool:
        """Burn the secret. See `core.ports.LinkService`.

        Without a handle, and by a process that did not make it, it cannot be found: such a one was never mailed. Twice
        its lifetime later it is forgotten.
        """
        with self._lock:
            known = self._known.get(link_id)
        receipt_id = known.receipt_id if known else self._search({handle}).get(handle) if handle else None
        if receipt_id is None:
            return False
        self._api.burn(receipt_id)
        return True

    def news(self, cursor: str, watched: Sequence[Watched] = ()) -> LinkNews:
        """What happened to the watched links: one call for each that is open, or one for all where they are many."""
        with without_history():
            self._find({link.id: link for link in watched})
            listed = self._listed([link.id for link in watched])
            events = events_of_all(watched, lambda link: self._events_of(link, listed))
        news = self._teller.tell(cursor, events)
        self._forget_all_but({link.id for link in watched})
        return news

    def await_news(self, cursor: str, timeout: timedelta) -> bool:  # noqa: ARG002
        """See `core.ports.LinkService`; it cannot wait."""
        return False

    def arm(self, wish: AlarmWish) -> Secret:  # noqa: ARG002
        """See `core.ports.LinkService`; it has no pages for that."""
        raise PermanentError("OneTimeSecret has no pages for 'this was not me'. Use links.kind: builtin for them.")

    def check(self) -> Iterable[Finding]:
        """Whether it is there, which version its API has, and whether it takes our account."""
        self._api.forget()
        try:
            version = self._api.version()
        except AuthenticationError as failure:
            yield Finding(
                Level.ERROR, "links.token", str(failure),
                "make an API token in the account's settings there and put it into links.token",
            )  # fmt: skip
            return
        except ConnectorError as failure:
            yield Finding(Level.ERROR, "links", str(failure), "check links.url; start it, where it is your own")
            return
        yield Finding(Level.OK, "links", f"OneTimeSecret at {self._url} (API v{version}) answers and takes the account")
        yield from warnings("onetimesecret", CAPABILITIES)

    # -- inside

    def _find(self, watched: Mapping[str, Watched]) -> None:
        """After a start: find the receipts again, by what the cases remember of them.

        One that is not there is looked for again after a while. Nothing is concluded from its absence: its case is
        handed to a person when nobody has told its end.
        """
        now = self._clock()
        with self._lock:
            self._lost = {link_id: searched for link_id, searched in self._lost.items() if link_id in watched}
            missing = {
                link.handle: link_id
                for link_id, link in watched.items()
                if link_id not in self._known and is_due(self._lost.get(link_id), now, LOOK_AGAIN_AFTER)
            }
        if not missing:
            return
        found = self._search(set(missing) - {""})
        with self._lock:
            for handle, link_id in missing.items():
                if handle in found:
                    self._known.setdefault(link_id, _Known(found[handle], now))
                else:
                    self._lost[link_id] = now
                    log.warning("link_not_found", link=link_id)

    def _search(self, handles: set[str]) -> dict[str, Secret]:
        """The receipts of the account that have one of these digests."""
        if not handles:
            return {}
        ids = [receipt.id for receipt in self._api.recent()]
        return {handle: one for one in ids if (handle := handle_of(one)) in handles}

    def _listed(self, watched: Sequence[str]) -> Mapping[Secret, Receipt]:
        """The account's receipts, where asking for each would be more calls; else none."""
        with self._lock:
            still_open = sum(link_id in self._known and not self._known[link_id].over for link_id in watched)
        return {receipt.id: receipt for receipt in self._api.recent()} if still_open > FEW else {}

    def _events_of(self, link: Watched, listed: Mapping[Secret, Receipt]) -> tuple[LinkEvent, ...]:
        with self._lock:
            known = self._known.get(link.id)
        if known is None or known.over:
            return known.events if known else ()
        now = self._clock()
        if not is_due(known.gone_at, now, LOOK_AGAIN_AFTER):
            return known.events
        receipt = listed.get(known.receipt_id)
        if receipt is None or (receipt.stage not in (Stage.REVEALED, Stage.BURNED) and now >= link.expires_at):
            # In a list, the end of a secret's time is not seen to. Source: `list_receipts.rb`, read 2026-11-22.
            receipt = self._api.receipt(known.receipt_id)
        if receipt is None:
            # Its time is over as well: nobody knows any more whether it was seen, so nothing is said.
            log.warning("link_not_shown", link=link.id)
            with self._lock:
                self._known[link.id] = replace(known, gone_at=now)
            return known.events
        if receipt.stage is Stage.ALIVE and now >= link.expires_at + CLOCKS_MAY_DIFFER:
            # Its time is over by our clock, and it should not be alive: make sure, and see what it was.
            self._api.burn(known.receipt_id)
            receipt = self._api.receipt(known.receipt_id) or replace(receipt, stage=Stage.EXPIRED)
            if receipt.stage is Stage.BURNED:  # by us, whatever time its own clock shows
                receipt = replace(receipt, stage=Stage.EXPIRED)
        event = _told(link, receipt, now)
        if event is None:
            return known.events
        with self._lock:
            self._known[link.id] = replace(known, events=(event,), over=True)
        return (event,)

    def _forget_all_but(self, watched: set[str]) -> None:
        """Receipts of links that nobody watches any more; those that were just made are not watched yet."""
        now = self._clock()
        with self._lock:
            for link_id in [link_id for link_id in self._known if link_id not in watched]:
                if self._known[link_id].over or abs(now - self._known[link_id].since) > timedelta(minutes=15):
                    del self._known[link_id]


def handle_of(receipt_id: Secret) -> str:
    """By what a case remembers a receipt. The receipt's 62 random letters cannot be found from it."""
    return hashlib.sha256(f"onetimesecret receipt {receipt_id.reveal()}".encode()).hexdigest()[:32]


def _told(link: Watched, receipt: Receipt, now: datetime) -> LinkEvent | None:
    """The one event that ends a link; `None` while it is open, or nobody knows."""
    late = now >= link.expires_at
    match receipt.stage:
        case Stage.REVEALED:  # told whether or not the service says when
            kind, at = LinkEventKind.REVEALED, receipt.ended_at or now
        case Stage.BURNED if receipt.ended_at is not None and receipt.ended_at < link.expires_at:
            kind, at = LinkEventKind.REVOKED, receipt.ended_at
        case Stage.BURNED | Stage.EXPIRED if late:
            kind, at = LinkEventKind.EXPIRED, link.expires_at
        case Stage.BURNED:
            kind, at = LinkEventKind.REVOKED, receipt.ended_at or now
        case _:
            return None
    return LinkEvent(
        seq=number(at, link.id),
        link_id=link.id,
        kind=kind,
        at=at,
        view=1 if kind is LinkEventKind.REVEALED else 0,
        views_left=0 if kind is LinkEventKind.REVEALED else link.views,
    )
