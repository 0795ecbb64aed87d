"""What the inside needs from the outside: one Protocol per kind of system, and the values that cross the border.

Every adapter translates its vendor's words into these at its edge and raises only what `connector.errors` defines.
Each Protocol has one contract suite under `tests/contracts`; the fakes pass it too.

One module for each kind of system; the names are all to be had from here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from connector.core.ports.directory import Account, Directory, MethodLeft, MethodsReport, Receipt, SessionsReport
from connector.core.ports.findings import Finding, Level
from connector.core.ports.links import (
    ALARM_REFERENCE,
    AlarmSource,
    AlarmWish,
    Capabilities,
    HumanCheck,
    Link,
    LinkEvent,
    LinkEventKind,
    LinkMode,
    LinkNews,
    LinkService,
    LinkWish,
    Watched,
)
from connector.core.ports.mail import Email, Letter, LetterWriter, Mailer, MailKind
from connector.core.ports.psa import (
    ApprovalReading,
    ChangedTicket,
    Changes,
    DryRun,
    Note,
    Psa,
    Push,
    Rules,
    Stance,
    StatusTarget,
    Ticket,
    Timing,
)
from connector.core.ports.store import AuditEntry, AuditLine, CaseStore, Message, MessageKind, OutboxRow, Reset

Clock = Callable[[], datetime]
"""Gives the present as an aware UTC datetime."""

__all__ = [
    "ALARM_REFERENCE",
    "Account",
    "AlarmSource",
    "AlarmWish",
    "ApprovalReading",
    "AuditEntry",
    "AuditLine",
    "Capabilities",
    "CaseStore",
    "ChangedTicket",
    "Changes",
    "Clock",
    "Directory",
    "DryRun",
    "Email",
    "Finding",
    "HumanCheck",
    "Letter",
    "LetterWriter",
    "Level",
    "Link",
    "LinkEvent",
    "LinkEventKind",
    "LinkMode",
    "LinkNews",
    "LinkService",
    "LinkWish",
    "MailKind",
    "Mailer",
    "Message",
    "MessageKind",
    "MethodLeft",
    "MethodsReport",
    "Note",
    "OutboxRow",
    "Psa",
    "Push",
    "Receipt",
    "Reset",
    "Rules",
    "SessionsReport",
    "Stance",
    "StatusTarget",
    "Ticket",
    "Timing",
    "Watched",
]
