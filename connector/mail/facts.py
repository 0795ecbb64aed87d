"""What each kind of mail has to be told, and how it is read: the table `FACTS`.

A letter brings strings; here they become what templates show. Three rules hold for all of them:

* A fact that the table requires and the letter lacks is a bug and refused, so that no mail ever has a hole in it.
  Facts that the table does not name are ignored.
* Text that people wrote (names, reasons, comments) is cut to length, put on one line, freed of control and
  direction characters, and made so that no mail program turns a piece of it into a link. Escaping is the template's.
* Instants are ISO 8601 with a zone and are shown in the customer's zone, with its name.

Common to all kinds: `subject_name` and `subject_upn` (either may be empty), `action` (`password`, `mfa`, `both`).
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import Enum
from types import MappingProxyType
from typing import Final

from connector.core.address import checked_address
from connector.core.case import Action
from connector.core.ports import Letter, MailKind
from connector.errors import PermanentError

Shown = str | int | Action | tuple[str, ...]
"""What a template gets for a fact."""

LONGEST_NAME: Final = 80
LONGEST_TEXT: Final = 500
MOST_LINES: Final = 20

_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


class Form(Enum):
    """How a fact is read."""

    NAME = "a short text on one line"
    TEXT = "people's own words"
    ADDRESS = "a mail address"
    IP = "an IP address"
    ACTION = "what is reset"
    INSTANT = "a point in time"
    COUNT = "a whole number"
    LINES = "several short texts, one a line"
    PEOPLE = "people, one a line: address, tab, name"
    FLAG = "yes or nothing"


@dataclass(frozen=True)
class Fact:
    """One row of the table.

    Attributes:
        required: The letter must name it.
        may_be_empty: The template copes with an empty value. Always so for facts that are not required.
    """

    form: Form
    required: bool = True
    may_be_empty: bool = False


_COUNT: Final = Fact(Form.COUNT)
_INSTANT: Final = Fact(Form.INSTANT)
_LINES: Final = Fact(Form.LINES, may_be_empty=True)
_MAYBE_NAME: Final = Fact(Form.NAME, may_be_empty=True)
_MAYBE_TEXT: Final = Fact(Form.TEXT, may_be_empty=True)
_EXTRA_COUNT: Final = Fact(Form.COUNT, required=False, may_be_empty=True)
_EXTRA_FLAG: Final = Fact(Form.FLAG, required=False, may_be_empty=True)
_EXTRA_LINES: Final = Fact(Form.LINES, required=False, may_be_empty=True)
_EXTRA_INSTANT: Final = Fact(Form.INSTANT, required=False, may_be_empty=True)
_MAYBE_PEOPLE: Final = Fact(Form.PEOPLE, may_be_empty=True)
_MAYBE_ACTION: Final = Fact(Form.ACTION, may_be_empty=True)
"""Where the ticket may not say it, or not any more: it was changed after the link of an earlier round was made."""

COMMON: Final[Mapping[str, Fact]] = MappingProxyType(
    {
        "subject_name": _MAYBE_NAME,
        "subject_upn": Fact(Form.ADDRESS, may_be_empty=True),
        "action": Fact(Form.ACTION),
    }
)

FACTS: Final[Mapping[MailKind, Mapping[str, Fact]]] = MappingProxyType(
    {
        # The link's lifetime and views are shown when a password is to be reset, and ignored otherwise.
        # lockout: the reason reads like one; helps_itself: the owner can reset alone. `yes` or empty.
        MailKind.REQUEST_CONFIRMATION: {
            "lifetime_minutes": _COUNT,
            "views": _COUNT,
            "lockout": _EXTRA_FLAG,
            "helps_itself": _EXTRA_FLAG,
        },
        # reminder_number counts from 1; closes_at: when the request is given up, if nobody answers.
        MailKind.APPROVAL_PENDING: {
            "waiting_since": _INSTANT,
            "reminder_number": _COUNT,
            "closes_at": _EXTRA_INSTANT,
        },
        # To the approver. The reason is the requester's. related: other open requests for the same account.
        MailKind.APPROVAL_REMINDER: {
            "requester_name": _MAYBE_NAME,
            "reason": _MAYBE_TEXT,
            "waiting_since": _EXTRA_INSTANT,
            "closes_at": _EXTRA_INSTANT,
            "related": _EXTRA_LINES,
        },
        MailKind.REQUEST_APPROVED: {"approver_name": _MAYBE_NAME, "lifetime_minutes": _EXTRA_COUNT},
        MailKind.REQUEST_DECLINED: {"approver_name": _MAYBE_NAME, "approver_comment": _MAYBE_TEXT},
        # With the link, which is no fact: it comes beside the letter, as a Secret.
        # kept: authentication methods left in place on purpose, where those were reset too.
        MailKind.PASSWORD_READY: {
            "expires_at": _INSTANT,
            "lifetime_minutes": _COUNT,
            "views": _COUNT,
            "kept": _EXTRA_LINES,
        },
        # With the address of an alarm beside the letter, where the link service has alarms.
        # view: which view was used up, counted from 1; 0: none.
        MailKind.LINK_ACCESSED: {
            "opened_at": _INSTANT,
            "ip": Fact(Form.IP, may_be_empty=True),
            "place": _MAYBE_NAME,
            "agent": _MAYBE_NAME,
            "view": _COUNT,
            "views_left": _COUNT,
            "action": _MAYBE_ACTION,
        },
        MailKind.LINK_EXPIRED: {"expired_at": _INSTANT},
        # Kinds of methods, one a line; left: `kind: reason`; kept: left in place on purpose.
        MailKind.MFA_RESET_DONE: {"removed": _LINES, "left": _LINES, "kept": _EXTRA_LINES},
        # Like LINK_ACCESSED, with an alarm's address beside it. to_manager: it goes to the owner's manager.
        MailKind.SUBJECT_NOTICE: {
            "done_at": _INSTANT,
            "requested_by": _MAYBE_PEOPLE,
            "approved_by": _MAYBE_PEOPLE,
            "to_manager": _EXTRA_FLAG,
        },
        MailKind.NOT_ME: {"reported_at": _INSTANT, "action": _MAYBE_ACTION},
        # The ticket may not have said what is to be reset; that may be the very reason.
        MailKind.HANDED_TO_PERSON: {"reason": _MAYBE_TEXT, "action": _MAYBE_ACTION},
        MailKind.TIMED_OUT: {"waited_days": _COUNT},
    }
)


def required_facts(kind: MailKind) -> frozenset[str]:
    """The names that a letter of this kind has to bring, the common ones included."""
    return frozenset(name for name, fact in {**COMMON, **FACTS[kind]}.items() if fact.required)


def read_facts(letter: Letter, zone: tzinfo) -> Mapping[str, Shown]:
    """Every fact of the letter's kind, ready to be shown; those left out are empty.

    Raises:
        PermanentError: A fact is missing, empty where it must not be, or not of its form. Names the fact, never
            its value.
    """
    table = {**COMMON, **FACTS[letter.kind]}
    missing = sorted(required_facts(letter.kind) - letter.facts.keys())
    if missing:
        raise _defect(letter, f"lacks {', '.join(missing)}")
    shown: dict[str, Shown] = {}
    for name, fact in table.items():
        text = letter.facts.get(name, "").strip()
        if not text:
            if not fact.may_be_empty:
                raise _defect(letter, f"has an empty {name}")
            shown[name] = () if fact.form in (Form.LINES, Form.PEOPLE) else ""
            continue
        try:
            shown[name] = _read(text, fact.form, zone)
        except ValueError:
            raise _defect(letter, f"has a {name} that is not {fact.form.value}") from None
    return MappingProxyType(shown)


def _defect(letter: Letter, what: str) -> PermanentError:
    return PermanentError(
        f"The mail {letter.kind.value} for ticket {one_line(letter.ticket, 40)} {what}. "
        "This is a defect of the connector: report it, and tell the requester by hand."
    )


def _read(text: str, form: Form, zone: tzinfo) -> Shown:
    match form:
        case Form.NAME:
            return harmless(text, LONGEST_NAME)
        case Form.TEXT:
            return harmless(text, LONGEST_TEXT)
        case Form.ADDRESS:
            return _address(text)
        case Form.IP:
            return _ip(text)
        case Form.ACTION:
            return Action(text)
        case Form.INSTANT:
            return instant(datetime.fromisoformat(text), zone)
        case Form.COUNT:
            if not (text.isascii() and text.isdigit()):
                raise ValueError
            return int(text)
        case Form.FLAG:
            if text != "yes":
                raise ValueError
            return text
        case Form.LINES:
            return tuple(harmless(line, LONGEST_NAME * 2) for line in text.splitlines() if line.strip())[:MOST_LINES]
        case Form.PEOPLE:
            return tuple(_person(line) for line in text.splitlines() if line.strip())[:MOST_LINES]


def _address(text: str) -> str:
    """An address as it is; whatever else a ticket's subject field may hold, as people's words."""
    try:
        return checked_address(text)
    except ValueError:
        return harmless(text, LONGEST_NAME)


def _person(line: str) -> str:
    """`Rita (rita@contoso.com)`; one of the two where the other is missing, or the name is the address."""
    address, _, name = (part.strip() for part in line.partition("\t"))
    if name in ("", address):
        return _address(address)
    return f"{harmless(name, LONGEST_NAME)} ({_address(address)})" if address else harmless(name, LONGEST_NAME)


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return harmless(text, LONGEST_NAME)


# -- text


def one_line(text: str, limit: int) -> str:
    """On one line, without control and direction characters, cut to `limit` characters with an ellipsis.

    Direction characters (U+202E and its like) can make a name read as something else; lone surrogates, which JSON
    may bring, cannot be encoded at all.
    """
    kept = "".join(
        " " if unicodedata.category(sign) in {"Cc", "Zl", "Zp"} else sign
        for sign in text[: limit * 20]
        if unicodedata.category(sign) != "Cs" and unicodedata.bidirectional(sign) not in _DIRECTIONS
    )
    words = " ".join(kept.replace("\u200e", "").replace("\u200f", "").replace("\u061c", "").split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


_DIRECTIONS: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_REMOVED: Final = "[link removed]"
# With a scheme, with www, or a host name with a path behind it: somebody wants us to go there.
_LINK: Final = re.compile(
    r"""[a-z][a-z0-9+.-]*:\s?/\S*|www\.\S+|(?:mailto|tel|sms|javascript|data|file):\S+|[\w-]+(?:\.[\w-]+)+[/?\#]\S*""",
    re.IGNORECASE | re.VERBOSE,
)
# A dot between words: `contoso.com`. A blank behind it keeps mail programs from making a link of it.
_DOT_INSIDE: Final = re.compile(r"(?<=\w)[.\u3002\uff0e\uff61\u2024](?=[^\W\d_]{2,})")


def harmless(text: str, limit: int) -> str:
    """People's words on one line, in which no mail program finds anything to click.

    Addresses of pages become `[link removed]`; a bare `contoso.com` becomes `contoso. com`, which also mends a
    forgotten blank behind a full stop.
    """
    line = _LINK.sub(_REMOVED, one_line(text, limit * 2))
    return one_line(_DOT_INSIDE.sub(". ", line), limit)


def instant(at: datetime, zone: tzinfo) -> str:
    """`Sunday 22 November 2026, 14:05 CET`. English whatever the machine's locale is.

    Raises:
        ValueError: The instant has no zone.
    """
    if at.tzinfo is None:
        raise ValueError("an instant without a zone")
    there = at.astimezone(zone)
    name = there.tzname() or ""
    if not name or name[0] in "+-":  # zones without letters of their own, such as America/Sao_Paulo
        offset = there.strftime("%z")
        name = f"UTC{offset[:3]}" + (f":{offset[3:5]}" if offset[3:5] != "00" else "")
    return (
        f"{_WEEKDAYS[there.weekday()]} {there.day} {_MONTHS[there.month - 1]} {there.year}, "
        f"{there.hour:02}:{there.minute:02} {name}"
    )
