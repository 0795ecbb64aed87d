"""How the audit trail words a change.

No source has a real audit-trail body of a status change, so everything here is UNVERIFIED: one plausible wording is
the default, and the control port chooses others, so that a reader's tolerance can be tried. Only an ownership change is
known by its type: `Resource` / `Owner`. The six properties, all strings, are the vendor's (OpenAPI 2026.4, read
2026-11-22).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sandbox.connectwise_records import AuditEntry

SOURCES = {"member": "PSA", "contact": "Customer Portal", "workflow": "Workflow Rule", "email": "Email Connector"}

_TYPES = {
    "Status": ("Ticket", "Status"),
    "Board": ("Ticket", "Board"),
    "Type": ("Ticket", "Type"),
    "Company": ("Ticket", "Company"),
    "Contact": ("Ticket", "Contact"),
    "Summary": ("Ticket", "Summary"),
    "Priority": ("Ticket", "Priority"),
    "Owner": ("Resource", "Owner"),
    "Created": ("Ticket", "Create"),
    "Merged": ("Ticket", "Merge"),
    "Note": ("Notes", "Note"),
}


def _quoted(entry: AuditEntry) -> str:
    return f'{entry.what} has been changed from "{entry.old}" to "{entry.new}".'


def _arrow(entry: AuditEntry) -> str:
    return f"{entry.what}: {entry.old} -> {entry.new}"


def _prose(entry: AuditEntry) -> str:
    return f"The {entry.what.lower()} of this ticket was updated to {entry.new} (previously {entry.old})"


def _new_only(entry: AuditEntry) -> str:
    return f'{entry.what} set to "{entry.new}"'


def _unreadable(_entry: AuditEntry) -> str:
    return "The record was updated."


WORDINGS: dict[str, Callable[[AuditEntry], str] | None] = {
    "quoted": _quoted,
    "arrow": _arrow,
    "prose": _prose,
    "new_only": _new_only,
    "unreadable": _unreadable,
    "missing": None,
}
"""By name; with `missing`, changes of a value leave no entry at all."""

ACTORS = ("identifier", "name", "unknown", "missing")
"""Who stands in `enteredBy`: the identifier, the person's name, `zAdmin` for everybody, or nothing."""

ORDERS = ("newest_first", "oldest_first")


def shown_trail(
    entries: list[AuditEntry], *, wording: str, actor: str, order: str, late: timedelta, now: datetime
) -> list[dict[str, str]]:
    """The trail as the API answers it; entries younger than `late` are not there yet."""
    rows = [
        row
        for entry in entries
        if entry.at + late <= now and (row := _row(entry, wording=wording, actor=actor)) is not None
    ]
    return rows[::-1] if order == "newest_first" else rows


def _row(entry: AuditEntry, *, wording: str, actor: str) -> dict[str, str] | None:
    say = WORDINGS[wording]
    if entry.what in ("Created", "Merged", "Note"):
        text = entry.new
    elif say is None:
        return None
    else:
        text = say(entry)
    kind, sub_kind = _TYPES.get(entry.what, ("Ticket", "Custom Field"))
    row = {
        "text": text,
        "enteredDate": f"{entry.at:%Y-%m-%dT%H:%M:%SZ}",
        "enteredBy": entry.actor.identifier,
        "auditType": kind,
        "auditSubType": sub_kind,
        "auditSource": SOURCES[entry.actor.kind],
    }
    if actor == "name":
        row["enteredBy"] = entry.actor.name
    elif actor == "unknown":
        row["enteredBy"] = "zAdmin"
    elif actor == "missing":
        del row["enteredBy"]
    return row
