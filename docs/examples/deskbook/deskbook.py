"""Deskbook as a `Psa`: the example of docs/adding-a-psa.md, for a ticket system that does not exist.

One list call per poll; reading a ticket takes one more. Deskbook's own vote is the approval: it counts when everybody
who was asked has said yes with their own hands. Its interface is described by its imitation, `fake_deskbook.py`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal, Self
from urllib.parse import urlencode

from deskbook_rows import (
    DeskbookMapping,
    DeskbookRequest,
    read_approval,
    read_moment,
    read_person,
    time_text,
    understanding,
    value_of,
    watched_by,
)

from connector.adapter import Surroundings
from connector.config import Budget, BudgetSection, SecretValue, Section, Url, validate
from connector.core import ports
from connector.core.ports import ChangedTicket, Changes, Finding, Level, Note, Push, StatusTarget, Ticket
from connector.core.secret import Secret
from connector.errors import (
    AuthenticationError,
    ConfigError,
    ConnectorError,
    PermanentError,
    PushRefused,
    TemporaryError,
    TicketGone,
)
from connector.http import Answer, Http
from connector.psa.mapping import Named, read_mapping, resolve, resolve_all

PUBLISHED_LIMIT = Budget(calls=600, per=timedelta(minutes=1))
OVERLAP = timedelta(minutes=2)  # dates are whole seconds, and a change may be saved a little late
MOST_PAGES = 200
KEY = re.compile(r"[0-9]{1,12}", re.ASCII)
RIGHTS = {"read", "note", "move"}


class DeskbookSection(Section):
    """`psa.<name>` with `kind: deskbook`. Without `push_key` a push only means "poll"."""

    kind: Literal["deskbook"]
    url: Url
    key: SecretValue
    mapping: str
    push_key: SecretValue | None = None
    budget: BudgetSection = BudgetSection()


class Deskbook:
    """One Deskbook. Safe to use from several threads: it keeps nothing but names that were looked up."""

    def __init__(
        self, name: str, url: str, key: Secret, mapping: DeskbookMapping, http: Http, push_key: Secret | None
    ) -> None:
        self._name, self._url, self._key, self._push_key = name, url, key, push_key
        self._mapping, self._http = mapping, http

    @classmethod
    def from_config(cls, name: str, section: Mapping[str, object], surroundings: Surroundings) -> Self:
        settings = validate(DeskbookSection, section, surroundings.place, where=f"psa.{name}")
        key = f"psa.{name}.mapping"
        mapping = read_mapping(DeskbookMapping, settings.mapping, surroundings.place, key=key)
        budget = settings.budget.share_of(PUBLISHED_LIMIT, where=f"psa.{name}")
        http = surroundings.http_for(system="Deskbook", scope=f"psa.{name}", budget=budget)
        return cls(name, settings.url, settings.key, mapping, http, settings.push_key)

    @property
    def name(self) -> str:
        return self._name

    @property
    def rules(self) -> ports.Rules:
        return self._mapping.rules

    # ------------------------------------------------------------ set-up

    def check(self) -> Iterator[Finding]:
        about = f"psa.{self._name}"
        try:
            with understanding("its answer about us"):
                me = self._call("GET", "/me").json()
                rights = {str(right) for right in me["rights"]}
            for right in sorted(RIGHTS - rights):
                yield Finding(Level.ERROR, about, f"The key may not {right}.", "Give it that right in Deskbook.")
            for right in sorted(rights - RIGHTS):
                yield Finding(Level.WARNING, about, f"The key may {right}, and need not.", "Take that right away.")
            there = f"{len(self._kinds)} kinds and {len(self._statuses)} statuses"
            yield Finding(Level.OK, about, f"{there}{' and the priority' if self._urgent else ''} are there.")
        except ConfigError as failure:
            yield from (Finding(Level.ERROR, about, one, "Correct the mapping.") for one in failure.problems)
        except ConnectorError as failure:
            # Away, or refused: this may mend itself, and must not keep the other PSAs from starting.
            for_now = isinstance(failure, TemporaryError | AuthenticationError)
            yield Finding(Level.ERROR, about, str(failure), "Mend this, then check again.", temporary=for_now)

    @cached_property
    def _kinds(self) -> Mapping[str, DeskbookRequest]:
        """The mapped requests by the id of their kind; every name in them exists."""
        found: dict[str, DeskbookRequest] = {}
        existing = self._named("/kinds")
        for number, request in enumerate(self._mapping.requests):
            place = f"psa.{self._name} mapping, requests[{number}]"
            kind = resolve(request.kind, existing, what="kind", where=f"{place}.kind").id
            fields = self._named(f"/kinds/{kind}/fields")
            for source in (request.subject, request.reason, request.action):
                if source and source.field:
                    resolve(source.field, fields, what="field", where=place)
            found[kind] = request
        return found

    @cached_property
    def _statuses(self) -> Mapping[str, str]:
        """The id of each mapped status, by our word for it."""
        wanted = {word: name for word, name in self._mapping.statuses.model_dump().items() if name}
        where = f"psa.{self._name} mapping, statuses."
        found, problems = resolve_all(wanted, self._named("/statuses"), what="status", where=where)
        if problems:
            raise ConfigError(problems)
        return {word: status.id for word, status in found.items()}

    @cached_property
    def _urgent(self) -> str | None:
        """The id of the priority for alarms; `None` where the mapping names none."""
        wanted, where = self._mapping.alarm.priority, f"psa.{self._name} mapping, alarm.priority"
        return resolve(wanted, self._named("/priorities"), what="priority", where=where).id if wanted else None

    def _named(self, path: str) -> list[Named]:
        with understanding(path):
            return [Named(str(one["id"]), str(one["name"])) for one in self._call("GET", path).json()]

    # ------------------------------------------------------------ what is new

    def changed(self, cursor: str | None) -> Changes:
        """The cursor holds Deskbook's own time of the last poll, and the revision of each ticket told lately."""
        since, told = _read_cursor(cursor)
        query = {"changed_since": time_text(since - OVERLAP), "order": "changed"} if since else {"open": "yes"}
        rows, asked_at = self._list(query)
        new = [ticket for ticket, revision in rows.items() if told.get(ticket) != revision]
        return Changes(tuple(ChangedTicket(one, one) for one in new), json.dumps({"since": asked_at, "told": rows}))

    def raised_since(self, since: datetime) -> Sequence[ChangedTicket]:
        rows, _ = self._list({"created_since": time_text(since), "order": "created"})
        return [ChangedTicket(ticket, ticket) for ticket in rows]

    def _list(self, query: Mapping[str, str]) -> tuple[dict[str, int], str]:
        """Each ticket once, with its revision; and when we asked. `next` goes on behind the last row of a page."""
        rows: dict[str, int] = {}
        asked_at = after = ""
        for _ in range(MOST_PAGES):
            page = {**query, "kind": ",".join(self._kinds), **({"after": after} if after else {})}
            with understanding("a list of tickets"):
                body = self._call("GET", f"/tickets?{urlencode(page)}", background=True).json()
                rows |= {str(row["id"]): int(row["revision"]) for row in body["tickets"]}
                asked_at, after = asked_at or str(body["now"]), str(body["next"] or "")
            if not after:
                return rows, asked_at
        raise TemporaryError(f"Deskbook has more than {MOST_PAGES} pages of tickets. It is tried again.")

    def heard(self, push: Push) -> Sequence[str]:
        if self._push_key is None:
            return ()
        proof = hmac.new(self._push_key.reveal().encode(), push.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(push.headers.get("x-deskbook-proof", "").encode(), proof.encode()):
            raise PushRefused(f"A push for {self._name} came without its proof. Compare psa.{self._name}.push_key.")
        with understanding("a push"):
            ticket = str(json.loads(push.body)["ticket"])
            return (ticket,) if KEY.fullmatch(ticket) else ()

    # ------------------------------------------------------------ one ticket

    def read(self, ticket_id: str) -> Ticket:
        row = self._call("GET", _path(ticket_id)).json()
        with understanding(f"ticket {ticket_id}"):
            request = self._kinds.get(str(row["kind"]))
            fields = {str(name).casefold(): str(text or "") for name, text in row["fields"].items()}
            status, by, ours = row["status"], row["logged_by"], self._statuses
            watched = watched_by(request) if request else set()
            changes = [read_moment(one["at"]) for one in row["history"] if one["field"].casefold() in watched]
            return Ticket(
                psa=self._name,
                id=str(row["id"]),
                number=str(row["id"]),
                title=str(row["title"]),
                mapped=request is not None,
                client_id=str(row["customer"]["id"]),
                client_name=str(row["customer"]["name"]),
                requester=read_person(row["raised_by"]),
                subject_text=value_of(fields, request.subject) if request else "",
                action=request.action.action_for(value_of(fields, request.action)) if request else None,
                reason=value_of(fields, request.reason) if request else "",
                status=str(status["name"]),
                closed=status["ended"] is not False or str(status["id"]) == ours.get("closed"),
                retry_requested=str(status["id"]) == ours.get("retry"),
                handed_off=str(status["id"]) == ours.get("hand_off"),
                approval=read_approval(row["vote"]) if request else ports.ApprovalReading(ports.Stance.NONE),
                created_at=read_moment(row["created"]),
                updated_at=read_moment(row["changed"]),
                request_changed_at=max(changes, default=None),
                also_not_approvers=(read_person(by),) if by else (),
                url=f"{self._url}/tickets/{row['id']}",
            )

    # ------------------------------------------------------------ writing

    def add_note(self, ticket_id: str, note: Note) -> None:
        minutes = round(note.time_spent.total_seconds() / 60)
        body = {"text": note.text, "public": note.public, "ref": note.marker, "minutes": minutes}
        self._call("POST", f"{_path(ticket_id)}/notes", json=body)

    def has_note(self, ticket_id: str, marker: str) -> bool:
        """Deskbook keeps a note's `ref` apart from its text, and gives it to its own writer alone."""
        with understanding("notes"):
            return any(one["ref"] == marker for one in self._call("GET", f"{_path(ticket_id)}/notes").json())

    def move(self, ticket_id: str, target: StatusTarget) -> bool:
        """An alarm goes out of an ended status too, with its priority; without a status of its own as a hand-off."""
        alarm = target is StatusTarget.ALARM
        status = self._statuses.get(target.value) or (self._statuses.get("hand_off") if alarm else None)
        if status is None:
            return False
        wanted = {"status": status, **({"priority": self._urgent} if alarm and self._urgent else {})}
        if not self._stands(ticket_id, wanted):
            try:
                self._call("PATCH", _path(ticket_id), json=wanted)
            except PermanentError as failure:
                if not alarm or isinstance(failure, TicketGone):
                    raise
                raise PermanentError(f"{failure} {self._by_hand(ticket_id)}") from None
            if not self._stands(ticket_id, wanted):
                raise PermanentError(
                    f"Deskbook took the status for {target} of ticket {ticket_id} and did not set it. "
                    f"Look at its rules for that status.{f' {self._by_hand(ticket_id)}' if alarm else ''}"
                )
        return True

    def _stands(self, ticket_id: str, wanted: Mapping[str, str]) -> bool:
        row = self._call("GET", _path(ticket_id)).json()
        with understanding(f"ticket {ticket_id}"):
            return all(str(row[part]["id"]) == id_ for part, id_ in wanted.items())

    def _by_hand(self, ticket_id: str) -> str:
        """What an agent must do; nobody else can."""
        status, priority = self._mapping.statuses, self._mapping.alarm.priority
        return (
            f"Somebody said that a reset was not theirs: open ticket {ticket_id} again in Deskbook now, set it to "
            f"{status.alarm or status.hand_off!r}{f', priority {priority!r}' if priority else ''}."
        )

    def _call(self, method: str, path: str, *, json: object = None, background: bool = False) -> Answer:
        headers = {"Authorization": f"Bearer {self._key.reveal()}"}
        address, expect = f"{self._url}/api{path}", (200, 201, 404, 410)
        answer = self._http.call(method, address, expect=expect, headers=headers, json=json, background=background)
        if answer.status in (404, 410):
            if not path.startswith("/tickets/"):
                raise PermanentError(f"Deskbook has no {answer.where}. Check psa.{self._name}.url.")
            raise TicketGone(f"Deskbook has no {answer.where} any more: deleted, merged or out of our sight.")
        return answer


def _read_cursor(text: str | None) -> tuple[datetime | None, dict[str, Any]]:
    """Nothing for a cursor of another version, too: then every open ticket is asked for once."""
    try:
        cursor = json.loads(text or "")
        return read_moment(cursor["since"]), dict(cursor["told"])
    except (KeyError, TypeError, ValueError):
        return None, {}


def _path(ticket_id: str) -> str:
    if not KEY.fullmatch(ticket_id):
        raise TicketGone(f"{ticket_id!r} is no number of a Deskbook ticket. Look for the ticket there.")
    return f"/tickets/{ticket_id}"
