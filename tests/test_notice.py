"""The account's owner is told what was done; and "this was not me" goes out with the mails that have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from connector.cli.wording import in_words
from connector.config import ConnectorSettings, Place, validate
from connector.core.case import Action, Outcome, Person, State
from connector.core.notice import NotifySubject
from connector.core.ports import AlarmSource, Capabilities, DryRun, Letter, LinkEventKind, MailKind, StatusTarget
from connector.core.secret import Secret
from connector.core.steps import Policy
from connector.courier import ALARMS, WAIT_FOR_AN_ALARM
from connector.errors import AuthenticationError, ConfigError, ConnectorError, PermanentError, TemporaryError
from connector.wiring import policies
from tests.fakes.directory import FakeAccount
from tests.fakes.links import LinkGone
from tests.fakes.psa import APPROVER, REQUESTER, FakePsa, FakeTicket
from tests.fakes.world import SUBJECT, World

HOME = "lea.private@home.example"
LEE = "lee@contoso.example.com"
NOTICE, ACCESSED = MailKind.SUBJECT_NOTICE, MailKind.LINK_ACCESSED
MANAGER_NOT_READ: list[ConnectorError] = [
    TemporaryError("Microsoft Graph answered 503. It is tried again by itself."),
    AuthenticationError("Microsoft Graph refused the manager.", scope="tenant.contoso"),
    PermanentError("Microsoft Graph refused the manager (400)."),
]


def world_with(*others: str, manager: str = "", how: NotifySubject = NotifySubject.ALTERNATE_MAIL) -> World:
    """One in which the owner of the account has these other addresses, and this manager."""
    world = World(notify_subject=how)
    account = world.directory.account(SUBJECT)
    account.alternate_mails, account.manager = others, manager
    world.directory.accounts.append(FakeAccount(upn=LEE))
    world.psa.statuses[StatusTarget.ALARM] = "Alarm"
    return world


def reset(world: World, action: Action = Action.PASSWORD, **fields: object) -> FakeTicket:
    ticket = world.ticket(action=action, **fields)
    world.run()
    world.approve(ticket)
    world.run()
    return ticket


def told(world: World) -> list[str]:
    return [letter.to for letter in world.letters_of(NOTICE)]


# ---------------------------------------------------------------- when, and by which way


@pytest.mark.parametrize("action", list(Action))
def test_the_owner_is_told_once_when_everything_is_done(action: Action) -> None:
    world = world_with(HOME)
    ticket = reset(world, action)
    (letter,) = world.letters_of(NOTICE)
    assert (letter.to, letter.facts["action"]) == (HOME, action.value)
    assert letter.facts["requested_by"] == f"{REQUESTER.email}\t{REQUESTER.name}"
    assert letter.facts["approved_by"] == f"{APPROVER.email}\t{APPROVER.name}"
    assert letter.facts["done_at"] == world.clock().isoformat()
    assert world.mails[-1] is NOTICE, "whoever asked hears first"
    done = "MFA of" if action is Action.MFA else "Password of"
    assert "The account's owner is told by mail" in world.note_with(ticket, done)
    assert sum("is told by mail" in text for text in world.notes_of(ticket)) == 1


def test_the_mail_itself_says_it_all() -> None:
    world = world_with(HOME)
    reset(world)
    (mail,) = world.mailer.to(HOME)
    text = " ".join(mail.text.split())
    assert f"The password of Lea ({SUBJECT}) was reset" in text
    assert f"Asked for by: Rita ({REQUESTER.email}) Approved by: Anna ({APPROVER.email})" in text
    assert "Monday 23 November 2026, 09:01 UTC" in text
    assert "This was not me:" in text
    assert world.newest_link().reveal() not in mail.text + mail.html


def test_the_manager_is_asked_for_only_where_needed_and_after_the_link_was_mailed() -> None:
    world = world_with(HOME)
    reset(world)
    assert ("manager_of", "contoso") not in world.directory.calls

    world = world_with(HOME, manager=LEE, how=NotifySubject.MANAGER)
    sent_before: list[MailKind] = []
    world.directory.on_call = lambda call, moment: (
        sent_before.extend(world.mails) if (call, moment) == ("manager_of", "before") else None
    )
    ticket = reset(world)
    assert sent_before[-1] is MailKind.PASSWORD_READY
    assert [call for call, _ in world.directory.calls].count("manager_of") == 1
    assert told(world) == [LEE]
    assert world.letters_of(NOTICE)[0].facts["to_manager"] == "yes"
    assert "Lee (l…e@contoso.example.com)" in world.note_with(ticket, "Password of")


@pytest.mark.parametrize("failure", MANAGER_NOT_READ, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("others", [(), (HOME,)])
def test_a_manager_that_cannot_be_read_neither_undoes_nor_repeats_the_reset(
    failure: ConnectorError, action: Action, others: tuple[str, ...]
) -> None:
    world = world_with(*others, manager=LEE, how=NotifySubject.MANAGER)
    world.directory.raise_before("manager_of", failure)
    ticket = reset(world, action)
    world.run_for(minutes=30)
    assert world.state_of(ticket) is (State.CLOSED if action is Action.MFA else State.LINK_OUT)
    assert [write.what for write in world.writes].count("password") == int(action.resets_password)
    assert world.mails.count(MailKind.PASSWORD_READY) == int(action.resets_password)
    assert told(world) == list(others)
    if not others:
        note = world.note_with(ticket, "The subject could not be told")
        assert "could not be looked up: Microsoft Graph" in note
        assert "tell the account's owner in person" in note


def test_nobody_to_tell_is_said_in_the_note_and_the_audit() -> None:
    world = world_with()
    ticket = reset(world)
    assert told(world) == []
    assert "it names no manager" in world.note_with(ticket, "The subject could not be told")
    (line,) = [line for line in world.audit_of(ticket) if line.entry.event == "link_sent"]
    assert "it names no manager" in line.entry.facts["not_told"]


@pytest.mark.parametrize(("action", "event"), [(Action.PASSWORD, "link_sent"), (Action.MFA, "mfa_reset")])
@pytest.mark.parametrize(
    ("others", "manager", "said"),
    [
        ((HOME,), "", "; the owner is told by alternate_mail: l…e@home.example"),
        ((), LEE, "; the owner is told by manager: l…e@contoso.example.com"),
        ((), "", "; the owner could not be told: the directory holds no other address of the owner, and it names no"),
    ],
)
def test_the_time_line_says_how_the_owner_is_told_or_why_not(
    action: Action, event: str, others: tuple[str, ...], manager: str, said: str
) -> None:
    world = world_with(*others, manager=manager)
    (line,) = [line for line in world.audit_of(reset(world, action)) if line.entry.event == event]
    assert said in in_words(line.entry)
    world = world_with(*others, manager=manager, how=NotifySubject.OFF)
    (line,) = [line for line in world.audit_of(reset(world, action)) if line.entry.event == event]
    assert "owner" not in in_words(line.entry)


def test_switched_off_nobody_is_told_and_nothing_is_said_of_it() -> None:
    world = world_with(HOME, manager=LEE, how=NotifySubject.OFF)
    ticket = reset(world)
    assert told(world) == []
    assert ("manager_of", "contoso") not in world.directory.calls
    assert not any("told" in text for text in world.notes_of(ticket) if text.startswith("Password of"))


@pytest.mark.parametrize("mode", [DryRun.NOTES, DryRun.SILENT])
def test_in_a_dry_run_nobody_is_told_and_no_manager_is_asked_for(mode: DryRun) -> None:
    world = world_with(HOME, manager=LEE, how=NotifySubject.MANAGER)
    world.set_rules(dry_run=mode)
    ticket = reset(world)
    assert world.case_of(ticket).outcome is Outcome.DRY_RUN
    assert world.mailer.sent == []
    assert ("manager_of", "contoso") not in world.directory.calls
    assert "arm" not in [call for call, _ in world.links.calls]


@pytest.mark.parametrize("how", [NotifySubject.ALTERNATE_MAIL, NotifySubject.MANAGER])
@pytest.mark.parametrize("knowing", [REQUESTER, APPROVER], ids=["the requester", "the approver"])
def test_who_asked_or_approved_is_not_told_in_the_owners_place(knowing: Person, how: NotifySubject) -> None:
    world = world_with(manager=str(knowing.email), how=how)
    world.directory.accounts.append(FakeAccount(upn=str(knowing.email)))
    ticket = reset(world)
    assert told(world) == []
    assert "has asked for it, approved it" in world.note_with(ticket, "The subject could not be told")
    world.directory.account(SUBJECT).alternate_mails = (HOME,)
    reset(world)
    assert told(world) == [HOME]


def test_an_account_that_is_not_reset_has_nobody_told() -> None:
    for changes in ({"guest": True}, {"admin_roles": ("Global Administrator",)}):
        world = world_with(HOME, manager=LEE)
        for name, value in changes.items():
            setattr(world.directory.account(SUBJECT), name, value)
        ticket = reset(world)
        assert world.state_of(ticket) is State.NEEDS_PERSON
        assert told(world) == []


def test_methods_that_are_left_for_a_person_are_not_told_as_done() -> None:
    world = world_with(HOME)
    world.directory.account(SUBJECT).stubborn["fido2"] = "the directory refused"
    ticket = reset(world, Action.MFA)
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert told(world) == []


def test_a_second_reset_of_the_same_case_is_told_again() -> None:
    world = world_with(HOME)
    ticket = reset(world)
    world.links.revoke(world.case_of(ticket).link_id)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    world.psa.ask_retry(ticket.id)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert told(world) == [HOME, HOME]
    assert len({letter.id for letter in world.letters_of(NOTICE)}) == 2


# ---------------------------------------------------------------- what others learn of it


def test_a_private_address_stands_in_its_mail_and_the_outbox_alone() -> None:
    world = world_with(HOME)
    world.mailer.refused.add(HOME)
    with capture_logs() as logs:
        ticket = reset(world)
        world.run()
    assert "l…e@home.example" in world.note_with(ticket, "Password of")
    undelivered = world.note_with(ticket, "could not be delivered and is not tried again")
    assert "l…e@home.example" in undelivered
    assert "tell the account's owner in person" in undelivered
    elsewhere = [world.notes_of(ticket), world.audit_of(ticket), world.store.cases(), logs]
    elsewhere += [[mail.text for mail in world.mailer.sent], [kept.failed for kept in world.store.messages]]
    assert HOME not in repr(elsewhere)
    assert world.state_of(ticket) is State.LINK_OUT


@pytest.mark.parametrize("others", [(), (HOME,)])
def test_a_requester_who_reads_the_notes_does_not_learn_how_the_owner_is_warned(others: tuple[str, ...]) -> None:
    world = world_with(*others)
    world.set_rules(public_notes=frozenset({"link_sent", "methods"}))
    ticket = reset(world)
    public = [note.text for note in world.marked_notes_of(ticket) if note.public]
    private = [note.text for note in world.marked_notes_of(ticket) if not note.public]
    assert any(text.startswith("Password of") for text in public)
    assert not any("told" in text for text in public)
    assert sum("told" in text and text.startswith("The ") for text in private) == 1


# ---------------------------------------------------------------- "this was not me"


def test_each_of_the_two_mails_has_an_alarm_of_its_own() -> None:
    world = world_with(HOME)
    ticket = reset(world)
    world.open_newest_link()
    world.run()
    case = world.case_of(ticket)
    by_notice, by_accessed = world.mailed_alarms()
    assert by_notice != by_accessed
    wishes = [world.links.wish_behind(alarm) for alarm in (by_notice, by_accessed)]
    assert [wish.source for wish in wishes] == [AlarmSource.NOTICE, AlarmSource.ACCESSED]
    for wish in wishes:
        assert (wish.about, wish.link_id, wish.ticket, wish.display_name) == (
            world.store.alarm_reference(case.id),
            case.link_id,
            case.number,
            "Lea",
        )
        assert wish.lifetime == timedelta(days=7)


@pytest.mark.parametrize("action", list(Action))
def test_the_owners_no_ends_the_link_and_secures_the_account(action: Action) -> None:
    world = world_with(HOME)
    ticket = reset(world, action)
    handed_over = world.password_in_force()
    (alarm,) = world.mailed_alarms()
    assert world.links.press(alarm)
    world.run()
    assert world.case_of(ticket).outcome is Outcome.NOT_ME
    assert world.password_in_force() not in (None, handed_over)
    assert world.links.alive() == []
    assert world.moves[-1] is StatusTarget.ALARM
    assert "through the notice to the account's owner" in world.note_with(ticket, "ALARM:")
    (letter,) = world.letters_of(MailKind.NOT_ME)
    assert letter.to == REQUESTER.email
    if action.resets_password:
        with pytest.raises(LinkGone):
            world.open_newest_link()


def test_the_address_of_an_alarm_stands_in_its_mail_and_nowhere_else() -> None:
    world = world_with(HOME)
    with capture_logs() as logs:
        ticket = reset(world)
        world.open_newest_link()
        world.run()
    for alarm in world.mailed_alarms():
        address = alarm.reveal()
        assert sum(address in mail.text and address in mail.html for mail in world.mailer.sent) == 1
        token = address.rpartition("/")[2]
        stored = [world.store.cases(), [kept.row for kept in world.store.messages], world.audit_of(ticket)]
        assert token not in repr([stored, world.notes_of(ticket), logs, world.mailer.sent])


def test_a_service_without_alarms_has_mails_without_them() -> None:
    world = world_with(HOME)
    world.links.capabilities = Capabilities(announces=False, alarms=False)
    reset(world)
    world.open_newest_link()
    world.run()
    assert {NOTICE, ACCESSED} <= set(world.mails)
    assert world.mailed_alarms() == []
    assert not [call for call, _ in world.links.calls if call == "arm"]
    for mail in world.mailer.sent[-2:]:
        assert "at once: +44 20 7946 0000" in " ".join(mail.text.split())


def refuse_to_arm(world: World, failure: ConnectorError) -> Callable[[str, str], None]:
    def on_call(call: str, moment: str) -> None:
        if (call, moment) == ("arm", "before"):
            raise failure

    return on_call


AWAY = TemporaryError("The link service cannot be reached. It is tried again by itself.")
LOCKED_OUT = AuthenticationError("The link service does not accept our key.", scope="links")


@pytest.mark.parametrize("failure", [AWAY, LOCKED_OUT], ids=["away", "locked out"])
@pytest.mark.parametrize("kind", [NOTICE, ACCESSED])
def test_a_mail_waits_for_its_alarm_and_goes_out_once(failure: ConnectorError, kind: MailKind) -> None:
    world = world_with(HOME)
    if kind is NOTICE:
        world.links.on_call = refuse_to_arm(world, failure)
    ticket = reset(world)
    if kind is ACCESSED:
        world.open_newest_link()
        world.links.on_call = refuse_to_arm(world, failure)
    world.run_for(minutes=20)
    assert kind not in world.mails
    world.links.on_call = None
    world.run_for(minutes=20)
    assert world.mails.count(kind) == 1
    (mail,) = [mail for mail in world.mailer.sent if world.letters.letters[mail.message_id].kind is kind]
    assert mail.message_id in world.letters.links
    assert world.state_of(ticket) in (State.LINK_OUT, State.CLOSED)


@pytest.mark.parametrize("failure", [AWAY, LOCKED_OUT], ids=["away", "locked out"])
def test_a_mail_does_not_wait_for_its_alarm_forever(failure: ConnectorError) -> None:
    world = world_with(HOME)
    world.links.on_call = refuse_to_arm(world, failure)
    reset(world)
    world.run_for(hours=(WAIT_FOR_AN_ALARM + timedelta(minutes=20)).total_seconds() / 3600)
    assert world.mails.count(NOTICE) == 1
    assert world.mailed_alarms() == []
    assert world.bugs == []


def test_an_alarm_that_is_refused_for_good_does_not_keep_the_mail() -> None:
    world = world_with(HOME)
    world.links.on_call = refuse_to_arm(world, PermanentError("The link service refused the alarm (422)."))
    ticket = reset(world)
    assert told(world) == [HOME]
    assert world.mailed_alarms() == []
    assert "could not be delivered" not in " ".join(world.notes_of(ticket))


def test_a_mail_server_that_is_away_is_not_offered_alarm_after_alarm() -> None:
    world = world_with(HOME)
    ticket = reset(world)
    world.open_newest_link()
    world.mailer.down = True
    world.run_for(hours=3)
    case = world.case_of(ticket)
    armed = world.links.calls.count(("arm", world.store.alarm_reference(case.id)))
    assert armed == 2, "one for the notice, one for the first try"
    world.mailer.down = False
    world.run_for(minutes=20)
    assert world.mails.count(ACCESSED) == 1
    assert len(world.mailed_alarms()) == 2


def armed_for(world: World, kind: MailKind) -> int:
    return [wish.source for wish in world.links.armed()].count(ALARMS[kind])


def alarms_in(world: World, kind: MailKind) -> set[Secret]:
    """The addresses of alarms in the mails of this kind that were accepted."""
    mails = [mail for mail in world.mailer.sent if world.letters.letters[mail.message_id].kind is kind]
    return {world.letters.links[mail.message_id] for mail in mails}


@pytest.mark.parametrize(("kind", "hours", "tries"), [(NOTICE, 3.5, 15), (ACCESSED, 23, 90)])
def test_a_mail_that_is_put_off_for_hours_has_one_alarm(kind: MailKind, hours: float, tries: int) -> None:
    """The server is there and takes no mail for this recipient: greylisting that never ends, or a full mailbox."""
    world = world_with(HOME)
    if kind is NOTICE:
        world.mailer.busy.add(HOME)
    ticket = reset(world)
    if kind is ACCESSED:
        world.open_newest_link()
        world.mailer.busy.add(REQUESTER.email or "")
    world.run_for(hours=hours, every=timedelta(minutes=5))
    assert world.store.outbox(world.case_of(ticket).id)[0].attempts >= tries
    assert armed_for(world, kind) == 1
    world.mailer.busy.clear()
    world.run_for(hours=1)
    assert world.mails.count(kind) == 1
    assert world.links.press(next(iter(alarms_in(world, kind))))
    world.run()
    assert world.case_of(ticket).outcome is Outcome.NOT_ME


def test_a_notice_that_is_put_off_holds_up_nothing_and_in_the_end_the_ticket_says_so() -> None:
    world = world_with(HOME)
    world.mailer.busy.add(HOME)
    ticket = reset(world)
    world.open_newest_link()
    world.run()
    assert world.mails.count(ACCESSED) == 1, "nobody else waits"
    assert world.state_of(ticket) is State.CLOSED
    world.run_for(hours=3.5, every=timedelta(minutes=5))
    assert not any("could not be delivered" in note for note in world.notes_of(ticket)), "it is still tried"
    world.run_for(hours=1, every=timedelta(minutes=5))
    told = world.note_with(ticket, "The notice that the account was reset could not be delivered")
    assert "tell the account's owner in person" in told
    assert HOME not in told
    tries = [call for call in world.mailer.calls if call == "send"]
    world.mailer.busy.clear()
    world.run_for(hours=24, every=timedelta(minutes=5))
    assert world.mails.count(NOTICE) == 0, "given up is given up"
    assert [call for call in world.mailer.calls if call == "send"] == tries
    assert world.store.outbox(world.case_of(ticket).id) == []


def test_who_says_it_was_not_them_is_answered_though_the_notice_is_put_off() -> None:
    world = world_with(HOME)
    world.mailer.busy.add(HOME)
    ticket = reset(world)
    before = world.password_in_force()
    world.press(ticket)
    world.run()
    assert world.mails.count(MailKind.NOT_ME) == 1
    assert world.password_in_force() != before


def test_a_requester_who_cannot_be_written_to_holds_up_neither_ticket_nor_owner() -> None:
    world = world_with(HOME)
    ticket = reset(world)
    world.mailer.busy.add(REQUESTER.email or "")
    world.open_newest_link()
    world.run()
    assert world.state_of(ticket) is State.CLOSED
    world.run_for(hours=26, every=timedelta(minutes=5))
    assert "put off" in world.note_with(ticket, "A mail could not be delivered")
    assert world.mails.count(ACCESSED) == 0


def test_mails_to_one_address_stay_in_order_however_often_the_first_is_put_off() -> None:
    undisturbed = World()
    undisturbed.carried_out()
    wanted = undisturbed.mails_to(REQUESTER)
    assert len(wanted) >= 3

    world = World()
    world.mailer.busy.add(REQUESTER.email or "")
    ticket = world.ticket()
    world.run_for(minutes=10)
    world.approve(ticket)
    world.run_for(minutes=10)
    assert world.mails_to(REQUESTER) == []
    world.mailer.busy.clear()
    world.run_for(minutes=30)
    assert world.mails_to(REQUESTER) == wanted


def test_a_mail_server_that_is_away_puts_no_mail_off_by_itself_and_gives_none_up() -> None:
    world = world_with(HOME)
    ticket = reset(world)
    world.open_newest_link()
    world.mailer.down = True
    world.run_for(hours=30, every=timedelta(minutes=5))
    assert not any("could not be delivered" in note for note in world.notes_of(ticket))
    world.mailer.down = False
    world.run_for(hours=1)
    assert world.mails.count(ACCESSED) == 1


def test_a_mail_that_is_late_by_most_of_an_alarms_life_goes_out_with_one_that_can_still_be_pressed() -> None:
    world = world_with(HOME)
    reset(world)
    world.open_newest_link()
    world.mailer.down = True
    world.run_for(days=6.5, every=timedelta(minutes=30))
    world.mailer.down = False
    world.run_for(hours=1)
    (alarm,) = alarms_in(world, ACCESSED)
    assert armed_for(world, ACCESSED) == 2
    world.run_for(days=3, every=timedelta(hours=6))
    assert world.links.is_armed(alarm)


def test_a_lost_answer_of_the_mail_server_brings_the_same_mail_again_with_an_alarm_that_works() -> None:
    world = world_with(HOME)
    ticket = reset(world)
    world.open_newest_link()
    world.mailer.raise_after("send", TemporaryError("The connection was cut. It is tried again by itself."))
    world.run_for(minutes=5)
    twice = [mail for mail in world.mailer.sent if world.letters.letters[mail.message_id].kind is ACCESSED]
    assert len(twice) == 2
    assert len({mail.message_id for mail in twice}) == 1, "a mail program shows it once"
    for mail in twice:
        (address,) = {line for line in mail.text.splitlines() if "/n/" in line}
        assert address not in {other.text for other in twice if other is not mail}
    assert world.links.press(world.mailed_alarms()[-1])
    world.run()
    assert world.case_of(ticket).outcome is Outcome.NOT_ME
    assert [event.kind for event in world.links.history].count(LinkEventKind.REPORTED) == 1


def test_the_notice_is_one_letter_in_the_outbox_whatever_happens_to_it() -> None:
    world = world_with(HOME, "second@home.example")
    reset(world)
    letters = [kept.row.message.body for kept in world.store.messages
               if isinstance(kept.row.message.body, Letter) and kept.row.message.body.kind is NOTICE]  # fmt: skip
    assert [letter.to for letter in letters] == [HOME, "second@home.example"]
    assert all(not replace(letter, to="").facts.get("link") for letter in letters)


# ---------------------------------------------------------------- the configuration

SETTINGS: dict[str, Any] = {
    "environment": "demo",
    "database": "sqlite:///connector.db",
    "psa": {"halo": {"kind": "halopsa"}},
    "graph": {"client_id": "c", "client_secret": {"env": "GRAPH"}},
    "links": {"url": "https://links.example.com"},
    "mail": {},
}


def policy_of(client: str, *, everybody: object = None, contoso: object = None) -> Policy:
    tenants: dict[str, dict[str, Any]] = {
        "contoso": {"tenant_id": "contoso.example.com", "clients": {"halo": ["12"]}},
        "fabrikam": {"tenant_id": "fabrikam.example.com", "clients": {"halo": ["13"]}},
    }
    if contoso is not None:
        tenants["contoso"]["notify_subject"] = contoso
    more = {} if everybody is None else {"notify_subject": everybody}
    place = Place(folder=Path(), production=False, environ={"GRAPH": "x"})
    settings = validate(ConnectorSettings, {**SETTINGS, "tenants": tenants, **more}, place, where="connector.yaml")
    psa = FakePsa("halo")
    psa.rules = replace(psa.rules, public_notes=frozenset({"link_sent"}))
    return policies(settings, senders=frozenset())(psa, client)


def test_the_owner_is_told_at_another_address_unless_somebody_says_otherwise() -> None:
    for client in ("12", "13", "unknown"):
        assert policy_of(client).notify_subject is NotifySubject.ALTERNATE_MAIL
        assert policy_of(client, everybody="manager").notify_subject is NotifySubject.MANAGER


@pytest.mark.parametrize("off", ["off", False])
def test_a_customer_is_told_in_its_own_way(off: object) -> None:
    """YAML 1.1 reads a bare `off` as no."""
    assert policy_of("12", everybody="manager", contoso=off).notify_subject is NotifySubject.OFF
    assert policy_of("13", everybody="manager", contoso=off).notify_subject is NotifySubject.MANAGER
    assert policy_of("12", everybody=off, contoso="alternate_mail").notify_subject is NotifySubject.ALTERNATE_MAIL
    assert policy_of("13", everybody=off, contoso="alternate_mail").notify_subject is NotifySubject.OFF


@pytest.mark.parametrize("value", [True, "mail", "Manager", "", 1])
def test_a_way_that_is_not_known_is_refused_at_its_place(value: object) -> None:
    with pytest.raises(ConfigError, match=r"connector\.yaml: notify_subject"):
        policy_of("12", everybody=value)
    with pytest.raises(ConfigError, match=r"connector\.yaml: tenants\.contoso\.notify_subject"):
        policy_of("12", contoso=value)


def test_which_notes_the_requester_reads_is_known_where_it_is_decided_what_they_say() -> None:
    assert policy_of("12").public_notes == {"link_sent"}
