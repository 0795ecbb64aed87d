"""Where the time between an approval and its *Password ready* goes, from the sandbox's own record alone.

Every moment is of the sandbox's one clock: the vote, the webhook's dispatch and answer, each call's arrival and answer,
the mail. What lies between two of them is the connector's own, or that of the link service.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bench.figures import Figure, median, percentile
from bench.psa_crowd import Request
from sandbox.stage import Stage

LIST = "/api/tickets"
NOTE = "/api/actions"


@dataclass(frozen=True)
class Call:
    """A call that the sandbox answered.

    Attributes:
        subject: What it is about: a ticket's number or an account's id, as text; empty for none.
    """

    system: str
    method: str
    template: str
    subject: str
    arrived: datetime
    answered: datetime

    @property
    def is_poll(self) -> bool:
        return self.system == "halo" and self.method == "GET" and self.template == LIST


def calls_of(stage: Stage, system: str) -> list[Call]:
    """Every call to a system in the record, in order of arrival."""
    exchanges: list[dict[str, Any]] = stage.control("GET", f"/exchanges?system={system}")
    return sorted((_call(one) for one in exchanges), key=lambda one: one.arrived)


def _call(exchange: Mapping[str, Any]) -> Call:
    answered = datetime.fromisoformat(exchange["at"])
    parts = exchange["path"].strip("/").split("/")
    subject = parts[2] if len(parts) > 2 else ""
    body = exchange["request_body"]
    if exchange["template"] in (NOTE, LIST) and isinstance(body, list) and body:
        subject = str(body[0].get("ticket_id") or body[0].get("id") or "")
    return Call(
        exchange["system"],
        exchange["method"],
        exchange["template"],
        subject,
        answered - timedelta(milliseconds=exchange["milliseconds"]),
        answered,
    )


def fullest(calls: Iterable[Call], window: timedelta) -> list[Call]:
    """Those of the stretch of this length in which the most calls arrived; its end is left out."""
    ordered = sorted(calls, key=lambda call: call.arrived)
    best: list[Call] = []
    first = 0
    for last, call in enumerate(ordered):
        while ordered[first].arrived <= call.arrived - window:
            first += 1
        if last - first + 1 > len(best):
            best = ordered[first : last + 1]
    return best


STAGES = (
    "approval to webhook sent",
    "webhook sent to taken",
    "to the first read asked: nudge, claim, a free worker",
    "first read",
    "to the second read answered: saving, link made",
    "to the password set: look-ups, brake, saving",
    "to the mail with the link: sessions, letter, SMTP",
)


def moments(
    stage: Stage, requests: Sequence[Request], approved: Mapping[int, datetime], ready: Mapping[int, datetime]
) -> list[list[datetime]]:
    """Of each request that came through in one pass: the vote and the end of each of `STAGES`.

    Without webhooks the second and the third are the vote's own moment.
    """
    deliveries: dict[int, dict[str, Any]] = {}
    for one in stage.control("GET", "/halo/deliveries"):
        deliveries.setdefault(one["ticket_id"], one)
    ids = {account["upn"]: account["id"] for account in stage.control("GET", "/accounts")}
    by_subject: dict[str, list[Call]] = defaultdict(list)
    for call in calls_of(stage, "halo") + calls_of(stage, "graph"):
        by_subject[call.subject].append(call)
    found = []
    for request in requests:
        if request.id not in approved or request.id not in ready:
            continue
        vote, mail = approved[request.id], ready[request.id]
        own = [one for one in by_subject[str(request.id)] if vote <= one.answered <= mail]
        reads = [one for one in own if one.method == "GET"]
        writes = [one for one in by_subject[ids[request.subject]] if one.method == "PATCH" and one.answered <= mail]
        if len(reads) != 2 or not writes:
            continue  # looked at more than once: a failure, or a push that came while it was worked on
        sent = taken = vote
        if request.id in deliveries:
            delivery = deliveries[request.id]
            sent = datetime.fromisoformat(delivery["at"])
            taken = sent + timedelta(milliseconds=delivery["milliseconds"])
        found.append([vote, sent, taken, reads[0].arrived, reads[0].answered, reads[1].answered,
                      writes[-1].answered, mail])  # fmt: skip
    return found


def figures(name: str, found: Sequence[Sequence[datetime]], of: int) -> Sequence[Figure]:
    """One line for each stage: median, and in its note p95."""
    if not found:
        return []
    lines = []
    for place, stage in enumerate(STAGES):
        times = [(row[place + 1] - row[place]).total_seconds() * 1000 for row in found]
        if not any(times):
            continue  # no webhooks
        note = f"p95 {percentile(times, 0.95):.0f} ms; {len(found)} of {of} in one pass"
        lines.append(Figure(f"{name}: {stage}", round(median(times), 1), "ms", None, note))
    return lines


def words(calls: Iterable[Call]) -> str:
    """How many of which kind."""
    counts = Counter(f"{call.method} {call.template}" for call in calls)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
