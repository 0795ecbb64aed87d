"""What we write into tickets. One function per note: what, who, when, what comes next, readable at a glance.

Plain text; the adapters turn it into what their PSA wants. Texts from tickets (reasons, comments, names) are cut to a
line: a note must not be pushed off the screen by its own quotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from connector.core.case import Approval, Case, Person, State
from connector.core.guard import Refusal
from connector.core.ports import AlarmSource, LinkEvent

LONGEST_QUOTE = 300


@dataclass(frozen=True)
class Pen:
    """How instants and spans are written for one customer."""

    zone: tzinfo

    def time(self, moment: datetime) -> str:
        local = moment.astimezone(self.zone)
        return f"{local:%d %b %Y, %H:%M} {local.tzname()}"


def quote(text: str) -> str:
    """Foreign text on one line, cut where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_QUOTE else line[: LONGEST_QUOTE - 1] + "…"


def name(person: Person | None) -> str:
    """`Rita Requester (rita@contoso.com)`."""
    if person is None:
        return "unknown"
    return f"{quote(person.name)} ({person.email})" if person.email else quote(person.name)


def span(length: timedelta) -> str:
    """`60 minutes`, `4 hours`, `7 days`."""
    minutes = round(length.total_seconds() / 60)
    for unit, size in (("day", 1440), ("hour", 60)):
        if minutes % size == 0 and minutes >= 2 * size:
            return f"{minutes // size} {unit}s"
    return f"{minutes} minute{'' if minutes == 1 else 's'}" if minutes else f"{length.total_seconds():g} seconds"


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


@dataclass(frozen=True)
class Hints:
    """What may make a password reset needless.

    Attributes:
        lockout: The reason reads like a lock-out by wrong attempts.
        helps_itself: The account's owner is set up to reset the password alone.
    """

    lockout: bool = False
    helps_itself: bool = False


NO_HINTS = Hints()


def recognised(
    case: Case,
    *,
    lifetime: timedelta,
    views: int,
    approvers: Sequence[Person],
    related: Sequence[str] = (),
    hints: Hints = NO_HINTS,
) -> str:
    action = case.action
    waits_for = f" Asked: {', '.join(name(person) for person in approvers)}." if approvers else ""
    link = f" After it, a link to the new password is mailed ({span(lifetime)}, {views} views)."
    return _lines(
        f"Recognised: {action.words if action else 'reset'} for {case.subject_name} ({case.subject}).",
        f"Requester: {name(case.requester)}.",
        f"Reason: {quote(case.reason)}" if case.reason else "",
        same_account(related),
        "The reason reads like a lock-out: after wrong attempts it ends by itself within minutes. A reset helps, too."
        if hints.lockout
        else "",
        "The account's owner can reset the password alone, at https://passwordreset.microsoftonline.com; the requester "
        "was told."
        if hints.helps_itself
        else "",
        f"Next: waits for the approval of this ticket.{waits_for}"
        + (link if action and action.resets_password else ""),
    )


def same_account(related: Sequence[str]) -> str:
    """What else is asked for, or was done, for the same account; empty when nothing is."""
    if not related:
        return ""
    return (
        f"Mind: the same account is also the subject of {'; '.join(related)}. "
        "Password and MFA together hand it over as a whole."
    )


def changed(what: Sequence[str]) -> str:
    return _lines(
        f"The request was changed ({', '.join(what)}). Everything read so far is void, an earlier approval included.",
        "Next: the request is read anew; the approval has to be given (again) after this change.",
    )


def approval_void(refusal: Refusal) -> str:
    return _lines(f"The approval does not count: {refusal.reason}", f"To do: {refusal.todo}")


def approved(approvals: Sequence[Approval], pen: Pen) -> str:
    """Who said yes, a line each, for the notes on what was done then; empty when nobody did."""
    return "\n".join(f"Approved by {decision(approval, pen)}" for approval in approvals)


def decision(approval: Approval, pen: Pen) -> str:
    """Who, when, in which step, in which words, and how we know."""
    source = ", ".join(
        part for part in (approval.evidence, f"digest {approval.digest[:12]}" if approval.digest else "") if part
    )
    return (
        f"{name(approval.approver)} on {pen.time(approval.decided_at)}"
        + (f", step {quote(approval.step)}" if approval.step else "")
        + (f", passed on by {name(approval.delegated_by)}" if approval.delegated_by else "")
        + (", by an administrator's override" if approval.overridden else "")
        + (f": “{quote(approval.comment)}”" if approval.comment else "")
        + (f" ({source})." if source else ".")
    )


def rejected(approval: Approval | None, pen: Pen) -> str:
    if approval is None:
        return "Rejected in the PSA. Nothing was changed. The ticket is closed."
    return _lines(
        f"Rejected by {decision(approval, pen)}",
        "Nothing was changed. The ticket is closed.",
    )


def reminded(count: int, of: int, approvers: Sequence[Person], *, by_psa: bool = False) -> str:
    asked = ", ".join(name(person) for person in approvers) or "the approvers (the PSA names none)"
    if by_psa:
        return f"Still waiting for the approval of {asked}, whom the PSA reminds itself. The requester was told."
    return f"Still waiting for the approval: reminder {count} of {of} to {asked}. The requester was told."


def timed_out(waited: timedelta) -> str:
    return f"Nobody approved within {span(waited)}. Nothing was changed. The ticket is closed as timed out."


def told_owner(addresses: Sequence[str]) -> str:
    return f"The account's owner is told by mail, with a way to say that it was not them: {', '.join(addresses)}."


def told_manager(manager: str, address: str) -> str:
    return (
        "The manager of the account's owner is told by mail, with a way to say that it was not wanted: "
        f"{quote(manager)} ({address})."
    )


def not_told(why: str) -> str:
    return f"The subject could not be told: {why}. To do: tell the account's owner in person."


def password_set(case: Case, *, expires_at: datetime, views: int, pen: Pen, shown: bool = False, told: str = "") -> str:
    return _lines(
        f"Password of {case.subject_name} ({case.subject}) was reset; it must be changed at the next sign-in. "
        f"Sessions were revoked.{_shown(shown)}",
        approved(case.approvals, pen),
        f"A one-time link was mailed to {name(case.requester)}: valid until {pen.time(expires_at)}, {views} views. "
        "Nobody at the service desk has seen the password.",
        told,
        "Next: the ticket closes when the link is opened or ends.",
    )


def methods_removed(case: Case, *, last: bool, pen: Pen, shown: bool = False, told: str = "") -> str:
    removed = ", ".join(case.mfa_removed) or ("none" if case.mfa_kept else "none were registered")
    return _lines(
        f"MFA of {case.subject_name} ({case.subject}) was reset. Methods removed: {removed}. Sessions were revoked."
        f"{_shown(shown)}",
        f"Left in place on purpose (mfa.keep): {', '.join(case.mfa_kept)}." if case.mfa_kept else "",
        approved(case.approvals, pen),
        "The account signs in with what was kept, or is asked to register again."
        if case.mfa_kept
        else "The account is asked to register again at its next sign-in.",
        told,
        "The ticket is closed." if last else "Next: the password.",
    )


def not_confirmed(missing: Sequence[str]) -> str:
    return _lines(
        f"Microsoft accepted the reset, but its directory still does not show {' and '.join(missing)}.",
        "To do: look at the account in Entra. If the new password does not work, reset it by hand or have a new "
        "request raised.",
    )


def _shown(shown: bool) -> str:
    return " Microsoft's directory shows it." if shown else ""


def opened(event: LinkEvent, pen: Pen, *, account: str = "") -> str:
    """A link showed its password. `account`: whose, where the ticket names somebody else by now."""
    where = " ".join(part for part in (event.ip, f"– {event.place}" if event.place else "") if part)
    view = f"view {event.view}" if event.view else "no view used up"
    return _lines(
        f"The password {f'of {account} ' if account else ''}was shown ({view}) on {pen.time(event.at)}"
        + (f" from {where}" if where else "")
        + (f", {event.agent}" if event.agent else "")
        + f". Views left: {event.views_left}.",
        "Was it not the requester? Reset the account again by hand and tell the security contact.",
    )


def alarm(event: LinkEvent, case: Case, pen: Pen) -> str:
    """Somebody said "this was not me"."""
    return _lines(
        f"ALARM: somebody says that this was not them, {_report(event, pen)}",
        "The link is ended. Next: the account's password is made useless and everybody is signed out; another note "
        "says when that is done.",
        f"To do: call the owner of {case.subject_name or case.subject} and {name(case.requester)} on numbers that you "
        "know already: one of their mailboxes may be in other hands."
        + (f" Look at the account's sign-ins since {pen.time(case.written_at)}." if case.written_at else ""),
        "A new password needs a new request.",
    )


def alarm_again(event: LinkEvent, pen: Pen) -> str:
    return f"Said again that this was not them, {_report(event, pen)} Nothing more was done: see the first alarm."


def _report(event: LinkEvent, pen: Pen) -> str:
    through = {
        AlarmSource.ACCESSED.value: "through the mail about an opened link",
        AlarmSource.NOTICE.value: "through the notice to the account's owner",
        "page": "on the page of the used link",
    }.get(event.reason, "")
    where = " ".join(part for part in (event.ip, f"– {event.place}" if event.place else "") if part)
    parts = (f"on {pen.time(event.at)}", through, f"from {where}" if where else "", event.agent)
    return ", ".join(part for part in parts if part) + "."


def secured(*, replaced: Sequence[str], signed_out: Sequence[str], beside: Sequence[str]) -> str:
    return _lines(
        f"Secured: {' and '.join(replaced)} has a password now that nobody has, and everybody was signed out."
        if replaced
        else "",
        f"Everybody was signed out of {' and '.join(signed_out)}. The password stays as it is: it is not kept in the "
        "cloud. To do, now: change it where the account comes from."
        if signed_out
        else "",
        f"The same account is also the subject of {', '.join(beside)}: a password from there is void too."
        if beside
        else "",
        "Next: find out with the owner and the requester what happened; then a new request gives a new password.",
    )


def not_secured(case: Case, why: str) -> str:
    return _lines(
        f"NOT secured ({case.subject_name or case.subject}). {why}",
        "To do, now: look at the account by hand; set a new password and revoke its sessions in Entra if it is in use.",
    )


def not_secured_yet(why: str) -> str:
    return _lines(
        f"Not secured yet, tried again by itself: {why}",
        "To do: do not wait for it. Set a new password and revoke the account's sessions in Entra by hand, but give "
        "that password to nobody before the next note: a try that works replaces it.",
    )


def not_secured_while_paused(why: str) -> str:
    return _lines(
        f"Not secured yet: {why}",
        "To do: run connector resume if that may be. Else set a new password and revoke the account's sessions in "
        "Entra by hand, but give that password to nobody before the next note: it is replaced at the end of the pause.",
    )


def expired(moment: datetime, pen: Pen) -> str:
    return f"The link expired unopened at {pen.time(moment)}; nobody saw the password. The ticket is closed."


def handed_off(refusal: Refusal, case: Case) -> str:
    return _lines(
        f"A person must take over: {refusal.reason}",
        f"To do: {refusal.todo}",
        f"Approved by {', '.join(name(approval.approver) for approval in case.approvals)}." if case.approvals else "",
        f"Methods removed so far: {', '.join(case.mfa_removed)}." if case.mfa_removed else "",
        "Nothing was changed on the account." if case.written_at is None else _unknown_password(case),
        "The account's owner is not told of this by mail: do so when it is finished." if _is_half_done(case) else "",
    )


def _is_half_done(case: Case) -> bool:
    """Whether the account was changed, and not so far that its owner hears of it by itself."""
    return case.state is State.APPROVED and case.written_at is not None


def _unknown_password(case: Case) -> str:
    """A delivery was begun and not finished: the password of the last try, if it was set, is gone with its link."""
    if case.state is not State.APPROVED or not case.link_id:
        return ""
    return "Its password may be one that nobody was given: set one by hand if its owner cannot sign in."


def ended(why: str, *, written: bool) -> str:
    done = (
        "The account was changed before that: its password may be one that nobody was given. Reset it by hand if its "
        "owner cannot sign in."
        if written
        else "Nothing was changed on the account."
    )
    return f"{why} The reset request ends here. {done}"


def retried(round_number: int) -> str:
    return f"Tried again (round {round_number}): the request is read anew."


def delayed(since: datetime, now: datetime, why: str) -> str:
    return f"This step was delayed by {span(now - since)}: {why} It works again."


def undelivered(what: str, why: str) -> str:
    return f"{what} could not be delivered and is not tried again: {why}"


def held(reason: str) -> str:
    return _lines(
        f"Held by the brake: {reason}. Nothing is written to any account until a person has looked.",
        "To do: check whether these requests are genuine, then run: connector resume",
    )


def rehearsed(case: Case, would: str) -> str:
    return _lines(
        f"Dry run: {case.action.words if case.action else 'reset'} for {case.subject_name} ({case.subject}) would have "
        f"been done now: {would}.",
        f"Approved by {', '.join(name(approval.approver) for approval in case.approvals)}." if case.approvals else "",
        "Nothing was changed.",
    )


def dry(text: str) -> str:
    """A note of a dry run: what would have been written."""
    return _lines("Dry run: nothing was changed, nobody was written to. Without it this note would say:", text)
