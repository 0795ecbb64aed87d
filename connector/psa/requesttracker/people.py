"""Who is asked for an approval, and what they wrote: what needs calls of its own."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from connector.core.case import Person
from connector.core.ports import Clock
from connector.psa.requesttracker.rest import Rest, TicketRow, Transaction, in_path, read_person, understood

GROUPS_ARE_KEPT_FOR = timedelta(minutes=10)
MOST_KEPT = 500
LONGEST_WORDS = 2000


class People:
    """Members of groups, kept for ten minutes, and approvers' words, kept for good: RT never changes them."""

    def __init__(self, rest: Rest, clock: Clock) -> None:
        self._rest = rest
        self._clock = clock
        self._lock = threading.Lock()
        self._groups: dict[str, tuple[datetime, tuple[Person, ...] | None]] = {}
        self._words: dict[tuple[str, ...], str] = {}

    def asked_by(self, approval: TicketRow) -> tuple[Person, ...] | None:
        """Who is to decide an approval: its owner and its AdminCc; `None` when one of its groups cannot be read."""
        people = dict.fromkeys(approval.asked)
        for group in approval.asked_groups:
            members = self._members(group)
            if members is None:
                return None
            people.update(dict.fromkeys(members))
        return tuple(people)

    def words_on(self, approval: str, lines: Sequence[Transaction]) -> str:
        """The texts of these transactions of an approval; empty when there are none."""
        if not lines:
            return ""
        wanted = {str(line.id) for line in lines}
        kept_as = (approval, *sorted(wanted))
        with self._lock:
            if kept_as in self._words:
                return self._words[kept_as]
        plain: dict[str, str] = {}
        marked_up: dict[str, str] = {}
        query = [("fields", "TransactionId,ContentType,Content")]
        for row in self._rest.rows(f"/ticket/{in_path(approval)}/attachments", query):
            transaction, kind, text = understood(_attachment, row, "what an approver wrote")
            if transaction in wanted and text and kind in ("text/plain", "text/html"):
                (plain if kind == "text/plain" else marked_up).setdefault(transaction, text)
            if wanted <= plain.keys():
                break
        texts = {one: _without_markup(text) for one, text in marked_up.items()} | plain
        words = "\n".join(texts[one] for one in sorted(texts, key=int))[:LONGEST_WORDS]
        with self._lock:
            if len(self._words) >= MOST_KEPT:
                self._words.clear()
            self._words[kept_as] = words
        return words

    def _members(self, group: str) -> tuple[Person, ...] | None:
        now = self._clock()
        with self._lock:
            kept = self._groups.get(group)
        if kept and timedelta(0) <= now - kept[0] < GROUPS_ARE_KEPT_FOR:
            return kept[1]
        members: tuple[Person, ...] | None = None
        answer = self._rest.get(f"/group/{in_path(group)}", expect=(200, 403, 404))
        if answer.status == 200:
            members = tuple(self._user(name) for name in understood(_user_names, answer.json(), "a group"))
        with self._lock:
            self._groups[group] = (now, members)
        return members

    def _user(self, name: str) -> Person:
        answer = self._rest.get(f"/user/{in_path(name)}", expect=(200, 403, 404))
        known = answer.json() if answer.status == 200 else {}
        person: Person = understood(lambda body: read_person({**body, "id": name}), known, "a user")
        return person


def _without_markup(text: str) -> str:
    """RT's editor writes HTML. Only for reading: whoever shows it escapes it again."""
    return " ".join(html.unescape(re.sub(r"<[^<>]*>", " ", text)).split())


def _user_names(group: dict[str, Any]) -> list[str]:
    return [str(member["id"]) for member in group["Members"] if member["type"] == "user"]


def _attachment(row: dict[str, Any]) -> tuple[str, str, str]:
    return str(row["TransactionId"]), str(row["ContentType"] or ""), str(row["Content"] or "").strip()
