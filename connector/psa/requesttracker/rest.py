"""Request Tracker's REST 2 interface as values: rows of tickets and transactions, searches, pages.

The facts in this module were tried against Request Tracker 5.0.3 (Debian 12), and read in its source, on 2026-11-22.
Other versions of RT 5 should behave alike; that is UNVERIFIED, so answers of another shape are errors, never guesses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote, urlencode

from connector.core.case import Person
from connector.core.case import fold as fold_address
from connector.core.secret import Secret
from connector.errors import TemporaryError
from connector.http import Answer, Http

SYSTEM = "Request Tracker"
APPROVALS = "___Approvals"
"""The queue in which RT keeps approvals. Only RT itself should be able to create tickets there."""
RT_ITSELF = "RT_System"
NOBODY = "Nobody"
PER_PAGE = 100  # RT cuts anything above this to 100 without a word
MOST_PAGES = 100
EMPTY_PAGES_IN_A_ROW = 3

TICKET_FIELDS = (
    ("fields", "Subject,Type,Status,Queue,Created,LastUpdated,Creator,Requestor,CustomFields,Owner,AdminCc"),
    ("fields[Queue]", "Name"),
    ("fields[Creator]", "Name,RealName,EmailAddress"),
    ("fields[Requestor]", "Name,RealName,EmailAddress"),
    ("fields[Owner]", "Name,RealName,EmailAddress"),
    ("fields[AdminCc]", "Name,RealName,EmailAddress"),
)
TRANSACTION_FIELDS = (
    ("fields", "ObjectId,Type,Field,OldValue,NewValue,Data,Creator,Created"),
    ("fields[Creator]", "Name,RealName,EmailAddress"),
)


@dataclass(frozen=True)
class Field:
    """A custom field of a ticket. One with a single value has at most one entry in `values`."""

    id: str
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TicketRow:
    """A ticket as RT lists it. Approvals are tickets of the type `approval`.

    Attributes:
        owner: `None` where RT says `Nobody`; `owner_name` is RT's name of either.
        asked: Owner and AdminCc that are users. For an approval: who is to decide.
        asked_groups: Ids of the groups under AdminCc.
    """

    id: str
    type: str
    status: str
    subject: str
    queue_id: str
    queue: str
    created: datetime
    updated: datetime | None
    creator: Person
    by_rt: bool
    requestors: tuple[Person, ...]
    fields: tuple[Field, ...]
    owner: Person | None
    owner_name: str
    asked: tuple[Person, ...]
    asked_groups: tuple[str, ...]

    def field(self, name: str) -> Field | None:
        """The custom field of this name, else of this id; `None` when the ticket shows none (or two) such."""
        for matches in (
            [field for field in self.fields if fold(field.name) == fold(name)],
            [field for field in self.fields if field.id == name],
        ):
            if matches:
                return matches[0] if len(matches) == 1 else None
        return None


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """One line of a ticket's history. Ids grow over all tickets, so they order what happened within one second."""

    id: int
    ticket: str
    type: str
    field: str
    old: str
    new: str
    data: str
    created: datetime
    creator: Person
    by_rt: bool


class Rest:
    """Calls to one RT server. Statuses that mean something to the caller are handed through.

    The token goes into the `Authorization` header, never into an address. RT answers browsers (`Mozilla`) and
    requests with cookies with a redirect to its login page instead of 401; `Http` sends neither and follows nothing.
    """

    def __init__(self, http: Http, url: str, token: Secret, *, background: bool = False) -> None:
        self._http = http
        self._token = token
        self._background = background
        self.url = url

    def in_background(self) -> Rest:
        """The same server for calls that nobody waits for. See `Http.call`."""
        return Rest(self._http, self.url, self._token, background=True)

    def get(self, path: str, *, expect: Sequence[int] = (200,), query: Sequence[tuple[str, str]] = ()) -> Answer:
        address = self._address(path, query)
        return self._http.call("GET", address, expect=expect, headers=self._headers, background=self._background)

    def send(
        self, method: str, path: str, body: Mapping[str, str], *, expect: Collection[int], unchanged: str | None
    ) -> Answer:
        """A write. Never repeated here: RT knows no idempotency key.

        Args:
            unchanged: The ETag under which the ticket was read. RT's ETag is the newest transaction that we may see;
                where it has moved on, the answer is 412 and nothing was written. RT checks before it writes and not
                while, so this catches a merge or another agent's click, and is no lock.

        Raises:
            TemporaryError: Also for 412.
        """
        headers = self._headers | ({"If-Match": unchanged} if unchanged else {})
        answer = self._http.call(
            method,
            self._address(path, ()),
            expect={*expect, 412},
            headers=headers,
            json=dict(body),
            repeatable=False,
            background=self._background,
        )
        if answer.status == 412:
            raise TemporaryError(f"{answer.where}: the ticket changed while we looked at it. It is tried again.")
        return answer

    def tickets(
        self, query: str, *, more: str = "", oldest: Literal["LastUpdated", "Created"] = "LastUpdated"
    ) -> Iterator[dict[str, Any]]:
        """Every ticket that a TicketSQL query finds, as RT gives the rows, oldest (change) first.

        Args:
            more: Additional fields, such as `,_hyperlinks`.
        """
        (_, fields), *expansions = TICKET_FIELDS
        order = [("orderby", oldest), ("orderby", "id"), ("order", "ASC"), ("order", "ASC")]
        yield from self.rows("/tickets", [("query", query), ("fields", fields + more), *expansions, *order])

    def transactions(self, query: str) -> Iterator[Transaction]:
        """Every transaction that a TransactionSQL query finds and we may see, newest first."""
        order = [("orderby", "id"), ("order", "DESC")]
        for row in self.rows("/transactions", [("query", query), *TRANSACTION_FIELDS, *order]):
            yield read_transaction(row)

    def rows(self, path: str, query: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
        """The rows of a list, page by page, as long as the caller wants them.

        Rows that we may not see are dropped by RT after paging, so a short or empty page is not the end where RT
        does not tell the total; there, three empty pages in a row are.

        Raises:
            TemporaryError: RT refused the query; or it counts rows and shows none, which is how it answers a request
                that it did not understand (an unknown sort field, for example). An empty answer would look like
                "nothing to do" for ever.
        """
        empty = 0
        for page in range(1, MOST_PAGES + 1):
            answer = self.get(path, query=[*query, ("per_page", str(PER_PAGE)), ("page", str(page))], expect=(200, 400))
            if answer.status == 400:
                raise TemporaryError(
                    f"{SYSTEM} refused the search {path}. Check the names of queues and custom fields in the mapping, "
                    "then run: connector check"
                )
            items, total, pages = understood(_page, answer.json(), path)
            if page == 1 and total and not items:
                raise TemporaryError(
                    f"{SYSTEM} counts {total} rows in {path} but shows none. It did not understand the request; "
                    "this version of RT may not be supported."
                )
            yield from items
            empty = 0 if items else empty + 1
            if (page >= pages) if total is not None else (empty >= EMPTY_PAGES_IN_A_ROW):
                return
        raise TemporaryError(f"{SYSTEM} has more than {MOST_PAGES} pages in {path}. It is tried again.")

    def _address(self, path: str, query: Sequence[tuple[str, str]]) -> str:
        return f"{self.url}/REST/2.0{path}" + (f"?{urlencode(query)}" if query else "")

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self._token.reveal()}"}


# ---------------------------------------------------------------- TicketSQL and TransactionSQL


def quoted(text: str) -> str:
    """A text as a value in TicketSQL. An unescaped quote would let a ticket's text widen the search to everything."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def any_of(field: str, values: Sequence[str]) -> str:
    """`(Queue = 'A' OR Queue = 'B')`; `field` is ours, the values may be anybody's."""
    return "(" + " OR ".join(f"{field} = {quoted(value)}" for value in values) + ")"


def in_path(text: str) -> str:
    """A name as one part of an address."""
    return quote(text, safe="")


# ---------------------------------------------------------------- reading rows


def fold(text: str) -> str:
    """A name in the form in which names are compared."""
    return " ".join(text.split()).casefold()


def understood(read: Callable[[dict[str, Any]], Any], row: dict[str, Any], what: str) -> Any:
    """`read(row)`, with anything unexpected in the row as a `TemporaryError`."""
    try:
        return read(row)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise not_understood(what) from None


def not_understood(what: str) -> TemporaryError:
    return TemporaryError(
        f"{SYSTEM} sent {what} in a form that is not known here. It is tried again; if it lasts, this version of RT "
        "may not be supported."
    )


def read_ticket(row: dict[str, Any]) -> TicketRow:
    """
    Raises:
        TemporaryError: The row is not what RT 5 sends.
    """
    ticket: TicketRow = understood(_ticket, row, "a ticket")
    return ticket


def read_transaction(row: dict[str, Any]) -> Transaction:
    """
    Raises:
        TemporaryError: The row is not what RT 5 sends.
    """
    transaction: Transaction = understood(_transaction, row, "a line of a ticket's history")
    return transaction


def read_person(reference: Mapping[str, Any]) -> Person:
    """A user as RT refers to one. RT's user names are unique and may be addresses themselves.

    Whoever has the right ModifySelf can edit their own address, and RT lets two users have the same one when a blank or
    a tab stands around it (tried). So an address with blanks around it is nobody's.
    """
    name = str(reference["id"])
    said = str(reference.get("EmailAddress") or "")
    email = (said if said == said.strip() else "") if said else (name if "@" in name else "")
    ids = {f"rt.user:{name}"} | ({f"mail:{fold_address(name)}"} if "@" in name else set())
    return Person(name=str(reference.get("RealName") or "") or name, email=email or None, ids=frozenset(ids))


def user_name(person: Person) -> str:
    """RT's own name of somebody whom `read_person` has read."""
    return next((one.removeprefix("rt.user:") for one in sorted(person.ids) if one.startswith("rt.user:")), "")


def read_time(text: str) -> datetime | None:
    """RT's instants: UTC with a Z, whole seconds, whatever the user's zone; 1970 means "never"."""
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return moment if moment.year > 1970 else None


def _page(body: dict[str, Any]) -> tuple[list[dict[str, Any]], int | None, int]:
    """Rows, total and number of pages. Without rights to see all, RT gives no total; `pages` is 0.0 for none."""
    items = body["items"]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise TypeError("rows are objects")
    total = body["total"]
    return items, None if total is None else int(total), int(body["pages"] or 0)


def _ticket(row: dict[str, Any]) -> TicketRow:
    watchers = row["AdminCc"] or []
    owner = row["Owner"]
    created = read_time(row["Created"])
    if created is None:
        raise ValueError("a ticket without a date of creation")
    return TicketRow(
        id=str(row["id"]),
        type=str(row["Type"]),
        status=str(row["Status"]),
        subject=str(row["Subject"]),
        queue_id=str(row["Queue"]["id"]),
        queue=str(row["Queue"]["Name"]),
        created=created,
        updated=read_time(row["LastUpdated"]),
        creator=read_person(row["Creator"]),
        by_rt=row["Creator"]["id"] == RT_ITSELF,
        requestors=tuple(read_person(one) for one in row["Requestor"] or [] if one["type"] == "user"),
        fields=tuple(
            Field(str(one["id"]), str(one["name"]), tuple(str(value) for value in one["values"]))
            for one in row["CustomFields"] or []
        ),
        owner=None if owner["id"] == NOBODY else read_person(owner),
        owner_name=str(owner["id"]),
        asked=tuple(read_person(one) for one in (owner, *watchers) if one["type"] == "user" and one["id"] != NOBODY),
        asked_groups=tuple(str(one["id"]) for one in watchers if one["type"] == "group"),
    )


def _transaction(row: dict[str, Any]) -> Transaction:
    created = read_time(row["Created"])
    if created is None:
        raise ValueError("a transaction without a date")
    return Transaction(
        id=int(row["id"]),
        ticket=str(row["ObjectId"]),
        type=str(row["Type"]),
        field=str(row["Field"] or ""),
        old=str(row["OldValue"] or ""),
        new=str(row["NewValue"] or ""),
        # RT folds long subjects as mail headers are folded, and ends them with a newline.
        data=re.sub(r"\s+", " ", str(row["Data"] or "")).strip(),
        created=created,
        creator=read_person(row["Creator"]),
        by_rt=row["Creator"]["id"] == RT_ITSELF,
    )
