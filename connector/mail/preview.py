"""Every mail with sample data, to look at before the first customer does: `connector mails preview DIR`."""

from __future__ import annotations

import html
from collections.abc import Callable
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Final

from connector.core.ports import Letter, MailKind
from connector.core.secret import Secret
from connector.mail.render import WITH_ALARM, Brand, Renderer

SAMPLE_BRAND: Final = Brand(name="IT Service Desk", phone="+44 20 7946 0123", url="https://portal.example.com")

# Opens nothing: there is no such host.
_SAMPLE_LINK: Final = "https://links.example.com/s/sample-address-that-opens-nothing"
_SAMPLE_ALARM: Final = "https://links.example.com/n/sample-address-that-stops-nothing"

_ACCOUNT: Final = {"subject_name": "Alex", "subject_upn": "alex@contoso.com"}
_LINK_FACTS: Final = {"lifetime_minutes": "60", "views": "2"}
_READY: Final = {"expires_at": "2026-11-22T14:05:00+00:00", **_LINK_FACTS}
_DONE: Final = {
    "done_at": "2026-11-22T13:05:00+00:00",
    "requested_by": "megan@contoso.com\tMegan",
    "approved_by": "nestor.wilke@contoso.com\tNestor",
}
_DONE_BY_TWO: Final = {**_DONE, "approved_by": f"{_DONE['approved_by']}\npatti@contoso.com\tPatti"}
_MEGAN: Final = ("Megan", "megan@contoso.com")
_OWNER: Final = ("Alex", "alex@home.example")
_TO: Final = {
    "approval_reminder": ("Nestor", "nestor.wilke@contoso.com"),
    "subject_notice": _OWNER,
    "subject_notice_mfa": _OWNER,
    "subject_notice_both": _OWNER,
    "subject_notice_manager": ("Lee", "lee@contoso.com"),
    "subject_notice_manager_mfa": ("Lee", "lee@contoso.com"),
    "subject_notice_without_alarm": _OWNER,
}
_WITHOUT_ALARM: Final = frozenset({"sample-link_accessed_without_alarm", "sample-subject_notice_without_alarm"})
_REASON: Final = "Alex is back from leave and cannot remember the password. The customer meeting is at three."

_SAMPLES: Final[tuple[tuple[str, MailKind, dict[str, str]], ...]] = (
    ("request_confirmation", MailKind.REQUEST_CONFIRMATION, {"action": "password", **_LINK_FACTS}),
    ("request_confirmation_mfa", MailKind.REQUEST_CONFIRMATION, {"action": "mfa", **_LINK_FACTS}),
    (
        "request_confirmation_hints",
        MailKind.REQUEST_CONFIRMATION,
        {"action": "password", **_LINK_FACTS, "lockout": "yes", "helps_itself": "yes"},
    ),
    (
        "approval_pending",
        MailKind.APPROVAL_PENDING,
        {
            "action": "password",
            "waiting_since": "2026-11-22T09:12:00+00:00",
            "reminder_number": "1",
            "closes_at": "2026-11-29T09:12:00+00:00",
        },
    ),
    (
        "approval_reminder",
        MailKind.APPROVAL_REMINDER,
        {
            "action": "password",
            "requester_name": "Megan",
            "reason": _REASON,
            "waiting_since": "2026-11-22T09:12:00+00:00",
            "closes_at": "2026-11-29T09:12:00+00:00",
            "related": "ticket halo:4239 (MFA reset, done at 08:40 UTC)",
        },
    ),
    (
        "request_approved",
        MailKind.REQUEST_APPROVED,
        {"action": "password", "approver_name": "Nestor", "lifetime_minutes": "60"},
    ),
    (
        "request_approved_mfa",
        MailKind.REQUEST_APPROVED,
        {"action": "mfa", "approver_name": "Nestor", "lifetime_minutes": "60"},
    ),
    (
        "request_declined",
        MailKind.REQUEST_DECLINED,
        {
            "action": "password",
            "approver_name": "Nestor",
            "approver_comment": "Alex left the team last week; please ask HR first.",
        },
    ),
    ("password_ready", MailKind.PASSWORD_READY, {"action": "password", **_READY}),
    ("password_ready_both", MailKind.PASSWORD_READY, {"action": "both", **_READY}),
    (
        "link_accessed",
        MailKind.LINK_ACCESSED,
        {
            "action": "password",
            "opened_at": "2026-11-22T13:11:00+00:00",
            "ip": "203.0.113.24",
            "place": "United Kingdom (approx.)",
            "agent": "Chrome on Windows",
            "view": "1",
            "views_left": "1",
        },
    ),
    (
        "link_accessed_last",
        MailKind.LINK_ACCESSED,
        {
            "action": "password",
            "opened_at": "2026-11-22T13:16:00+00:00",
            "ip": "2001:db8::24",
            "place": "",
            "agent": "",
            "view": "2",
            "views_left": "0",
        },
    ),
    (
        "link_accessed_without_alarm",
        MailKind.LINK_ACCESSED,
        {
            "action": "password",
            "opened_at": "2026-11-22T13:11:00+00:00",
            "ip": "203.0.113.24",
            "place": "United Kingdom (approx.)",
            "agent": "Chrome on Windows",
            "view": "1",
            "views_left": "1",
        },
    ),
    ("subject_notice", MailKind.SUBJECT_NOTICE, {"action": "password", **_DONE}),
    ("subject_notice_mfa", MailKind.SUBJECT_NOTICE, {"action": "mfa", **_DONE}),
    ("subject_notice_both", MailKind.SUBJECT_NOTICE, {"action": "both", **_DONE_BY_TWO}),
    ("subject_notice_manager", MailKind.SUBJECT_NOTICE, {"action": "password", **_DONE, "to_manager": "yes"}),
    ("subject_notice_manager_mfa", MailKind.SUBJECT_NOTICE, {"action": "mfa", **_DONE, "to_manager": "yes"}),
    ("subject_notice_without_alarm", MailKind.SUBJECT_NOTICE, {"action": "password", **_DONE}),
    ("not_me", MailKind.NOT_ME, {"action": "password", "reported_at": "2026-11-22T13:14:00+00:00"}),
    ("not_me_mfa", MailKind.NOT_ME, {"action": "mfa", "reported_at": "2026-11-22T13:14:00+00:00"}),
    ("link_expired", MailKind.LINK_EXPIRED, {"action": "password", "expired_at": "2026-11-22T14:05:00+00:00"}),
    (
        "mfa_reset_done",
        MailKind.MFA_RESET_DONE,
        {"action": "mfa", "removed": "phone (mobile)\nMicrosoft Authenticator", "left": ""},
    ),
    (
        "mfa_reset_done_left",
        MailKind.MFA_RESET_DONE,
        {"action": "mfa", "removed": "phone (mobile)", "left": "Windows Hello: the directory refused its removal"},
    ),
    (
        "mfa_reset_done_kept",
        MailKind.MFA_RESET_DONE,
        {"action": "mfa", "removed": "phone (mobile)", "left": "", "kept": "fido2\nWindows Hello for Business"},
    ),
    (
        "handed_to_person",
        MailKind.HANDED_TO_PERSON,
        {
            "action": "password",
            "reason": "The account is synchronised from an on-premises directory; its password is reset there.",
        },
    ),
    ("timed_out", MailKind.TIMED_OUT, {"action": "password", "waited_days": "7"}),
)


def sample_letters() -> dict[str, Letter]:
    """One letter per kind and further ones for the kinds that come in two shapes, by a name fit for a file."""
    return {
        name: Letter(
            id=f"sample-{name}",
            kind=kind,
            to=_TO.get(name, _MEGAN)[1],
            to_name=_TO.get(name, _MEGAN)[0],
            ticket="4242",
            tenant="contoso",
            facts={**_ACCOUNT, **facts},
        )
        for name, kind, facts in _SAMPLES
    }


def sample_link(letter: Letter) -> Secret | None:
    """The link to give to `Renderer.write` with this letter: one that does nothing, for the kinds that show one."""
    if letter.kind is MailKind.PASSWORD_READY:
        return Secret(_SAMPLE_LINK)
    return Secret(_SAMPLE_ALARM) if letter.kind in WITH_ALARM and letter.id not in _WITHOUT_ALARM else None


def preview(
    directory: Path,
    brand: Brand,
    *,
    zone: Callable[[str], tzinfo] = lambda _: UTC,
    sender_domain: str = "example.com",
) -> tuple[Path, ...]:
    """Write each sample as `<name>.html` and `<name>.txt`, and an `index.html` that shows them side by side.

    Makes the directory where it is missing, overwrites files of these names and touches no others.

    Returns:
        What was written, the index first.
    """
    directory.mkdir(parents=True, exist_ok=True)
    renderer = Renderer(brand, zone=zone, sender_domain=sender_domain)
    written: list[Path] = []
    entries: list[str] = []
    for name, letter in sample_letters().items():
        email = renderer.write(letter, link=sample_link(letter))
        for suffix, content in (("html", email.html), ("txt", f"Subject: {email.subject}\n\n{email.text}")):
            path = directory / f"{name}.{suffix}"
            path.write_text(content, encoding="utf-8", newline="\n")
            written.append(path)
        entries.append(_ENTRY.format(name=name, subject=html.escape(email.subject)))
    index = directory / "index.html"
    index.write_text(_INDEX.format(entries="".join(entries)), encoding="utf-8", newline="\n")
    return (index, *written)


_INDEX: Final = """<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>All mails, with sample data</title>
<style>
body {{ font-family: 'Segoe UI', Helvetica, Arial, sans-serif; margin: 24px; color: #1f2933; }}
section {{ margin: 0 0 48px; }}
h2 {{ font-size: 18px; }}
iframe {{ border: 1px solid #bcc5ce; height: 760px; vertical-align: top; margin: 0 12px 12px 0; background: #fff; }}
</style>
</head>
<body>
<h1>All mails, with sample data</h1>
{entries}</body>
</html>
"""

_ENTRY: Final = """<section>
<h2>{subject}</h2>
<p><a href="{name}.html">HTML</a> · <a href="{name}.txt">text</a></p>
<iframe src="{name}.html" width="700" title="{name}, wide"></iframe>
<iframe src="{name}.html" width="375" title="{name}, phone"></iframe>
<iframe src="{name}.txt" width="620" title="{name}, text"></iframe>
</section>
"""
