""" "This was not me" under attack: what must not hold it up, use it up, lose it or turn it against somebody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from connector.core.case import Action, Outcome, State
from connector.core.ports import AlarmSource, DryRun, LinkEventKind, MailKind, StatusTarget
from connector.errors import (
    AuthenticationError,
    ConfigError,
    ConnectorError,
    DatabaseError,
    PermanentError,
    TemporaryError,
)
from connector.telemetry.metrics import ALARMS
from tests.fakes.directory import FakeAccount
from tests.fakes.links import LinkGone
from tests.fakes.psa import FakeTicket
from tests.fakes.world import SUBJECT, World

AWAY = "It is away. It is asked again by itself."
OTHER = "otto@contoso.example.com"


def away(*, retry_after: timedelta | None = None) -> TemporaryError:
    return TemporaryError(AWAY, retry_after=retry_after)


def both_accounts(world: World) -> FakeTicket:
    """A case that wrote to one account in its first round and to another in its second."""
    world.directory.accounts.append(FakeAccount(upn=OTHER))
    ticket = world.carried_out()
    world.links.revoke(world.case_of(ticket).link_id)
    world.run()
    world.psa.change_subject(ticket.id, OTHER)
    world.psa.ask_retry(ticket.id)
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert world.password_in_force(OTHER) is not None
    return ticket


# ---------------------------------------------------------------- held up by somebody who has nothing to do with it


def test_a_psa_that_asks_for_an_hour_does_not_put_off_the_next_try_at_the_account() -> None:
    world = World()
    ticket = world.carried_out()
    handed_over = world.password_in_force()
    hour = [away(retry_after=timedelta(hours=1))] * 40
    world.psa.raise_before("add_note", *hour)
    world.directory.raise_before("read", away())
    world.press(ticket, AlarmSource.NOTICE)
    world.run_for(minutes=5, every=timedelta(seconds=5))
    assert world.password_in_force() != handed_over


def test_a_psa_that_refuses_others_does_not_put_off_the_next_try_at_the_account() -> None:
    """Each of them is refused anew when its minute is over, and so prolongs what holds every case of that PSA."""
    world = World()
    others = []
    for name in ("nora", "nils", "nina"):
        world.directory.accounts.append(FakeAccount(upn=f"{name}@contoso.example.com"))
        others.append(world.carried_out(subject_text=f"{name}@contoso.example.com"))
    ticket = world.carried_out()
    handed_over = world.password_in_force()
    assert handed_over is not None
    world.psa.raise_before("add_note", *[AuthenticationError("refused", scope="psa.halo")] * 500)
    for other in others:
        world.press(other)
        world.run()
        world.clock.advance(seconds=20)
    world.directory.raise_before("read", away())
    world.press(ticket, AlarmSource.NOTICE)
    world.run_for(minutes=10, every=timedelta(seconds=5))
    assert world.password_in_force() != handed_over


def test_looking_at_the_page_while_the_psa_is_away_uses_up_no_try_at_the_account() -> None:
    """Each event calls for a pass; none of these passes asks Microsoft, so none of them is a failed try."""
    world = World()
    ticket = world.carried_out()
    url = world.newest_link()
    world.psa.raise_before("add_note", *[away()] * 500)
    world.directory.raise_before("read", away(), away(retry_after=timedelta(minutes=30)))
    world.press(ticket, AlarmSource.NOTICE)
    world.run_for(seconds=5, every=timedelta(seconds=1))
    for _ in range(60):
        with pytest.raises(LinkGone):
            world.links.open(url)
        world.clock.advance(seconds=1)
        world.run()
    assert world.state_of(ticket) is State.ALARMED
    handed_over = world.password_in_force()
    world.run_for(hours=1)
    assert world.password_in_force() != handed_over


def test_a_psa_that_is_away_through_a_long_pause_is_no_reason_to_give_the_account_up() -> None:
    world = World()
    ticket = world.carried_out()
    handed_over = world.password_in_force()
    world.store.pause("somebody looks into it", now=world.clock())
    world.psa.raise_before("add_note", *[away()] * 10_000)
    world.press(ticket, AlarmSource.NOTICE)
    world.run_for(hours=8)
    assert world.state_of(ticket) is State.ALARMED
    world.store.resume(now=world.clock())
    world.run_for(minutes=30)
    assert world.password_in_force() != handed_over


def test_the_ticket_hears_of_the_alarm_though_an_earlier_mail_cannot_go_out() -> None:
    world = World()
    ticket = world.carried_out()
    world.open_newest_link()
    world.mailer.raise_before("send", *[away()] * 500)
    world.run()
    world.press(ticket, AlarmSource.NOTICE)
    world.run_for(minutes=2)
    assert world.moves[-1] is StatusTarget.ALARM
    assert world.note_with(ticket, "ALARM:")
    assert world.note_with(ticket, "Secured:")


def test_the_ticket_hears_of_the_alarm_though_an_earlier_mail_waits_for_the_link_service() -> None:
    world = World()
    ticket = world.carried_out()
    world.open_newest_link()
    world.press(ticket, AlarmSource.NOTICE)
    world.polls.poll_links(early=True)
    world.links.down = True
    world.run_for(minutes=2)
    assert world.moves[-1] is StatusTarget.ALARM
    assert world.note_with(ticket, "Secured:")


def test_the_requester_hears_of_the_alarm_though_the_psa_is_away() -> None:
    world = World()
    ticket = world.carried_out()
    world.psa.raise_before("add_note", *[away()] * 500)
    world.press(ticket, AlarmSource.NOTICE)
    world.run_for(minutes=2)
    assert MailKind.NOT_ME in world.mails


def test_the_requester_hears_of_the_alarm_though_an_earlier_mail_waits_for_the_link_service() -> None:
    world = World()
    ticket = world.carried_out()
    world.open_newest_link()
    world.press(ticket, AlarmSource.NOTICE)
    world.polls.poll_links(early=True)
    world.links.down = True
    world.run_for(minutes=2)
    assert world.mails[-2:] == [MailKind.LINK_ACCESSED, MailKind.NOT_ME]


def test_who_helps_by_hand_is_told_that_a_later_try_replaces_their_password() -> None:
    world = World()
    ticket = world.carried_out()
    world.directory.raise_before("read", *[away()] * 6)
    world.press(ticket, AlarmSource.NOTICE)
    world.run_for(minutes=3)
    assert "replaces it" in world.note_with(ticket, "Not secured yet")


def test_mails_and_notes_about_an_alarm_are_neither_lost_nor_doubled_by_going_their_own_ways() -> None:
    world = World()
    ticket = world.carried_out()
    world.open_newest_link()
    world.mailer.raise_before("send", *[away()] * 3)
    world.psa.raise_before("move", *[away()] * 2)
    world.press(ticket, AlarmSource.NOTICE)
    world.run_for(hours=1)
    assert [world.mails.count(kind) for kind in (MailKind.LINK_ACCESSED, MailKind.NOT_ME)] == [1, 1]
    texts = world.notes_of(ticket)
    assert [sum(words in text for text in texts) for words in ("ALARM:", "Secured:", "was shown")] == [1, 1, 1]
    assert world.moves.count(StatusTarget.ALARM) == 1
    assert not list(world.store.outbox(world.case_of(ticket).id))


def slow_link_service(world: World) -> list[str]:
    """From now on it takes half a minute to fail, three times over. Returns what is asked of it."""
    asked: list[str] = []

    def hang(call: str, moment: str) -> None:
        if moment == "before" and call != "news":
            asked.append(call)
            world.clock.advance(seconds=90)
            raise away()

    world.links.on_call = hang
    return asked


def test_the_account_does_not_wait_for_a_link_service_that_hangs() -> None:
    """Whichever link the alarm had ended: here none, so that the newest one has to be ended too."""
    world = World()
    ticket = world.carried_out()
    handed_over = world.password_in_force()
    secured_at: list[datetime] = []

    def note(call: str, moment: str) -> None:
        if (call, moment) == ("revoke_sessions", "after"):
            secured_at.append(world.clock())

    world.directory.on_call = note
    world.press(ticket, AlarmSource.NOTICE, ends_link=False)
    pressed_at = world.clock()
    asked = slow_link_service(world)
    world.run()
    assert world.password_in_force() != handed_over
    assert secured_at == [pressed_at]
    assert asked == ["revoke"]
    assert world.note_with(ticket, "Secured:")


def test_the_ticket_does_not_wait_for_a_link_service_that_hangs_where_it_has_told_the_end_of_the_link() -> None:
    world = World()
    ticket = world.carried_out()
    world.press(ticket, AlarmSource.NOTICE)
    pressed_at = world.clock()
    asked = slow_link_service(world)
    world.run()
    assert asked == []
    assert world.clock() == pressed_at
    assert world.note_with(ticket, "Secured:")


def test_a_link_that_the_alarm_has_not_ended_is_ended_after_the_account_was_secured() -> None:
    world = World()
    ticket = world.carried_out()
    order: list[str] = []

    def note(call: str, moment: str) -> None:
        if moment == "after" and call in ("set_password", "revoke_sessions", "revoke"):
            order.append(call)

    world.press(ticket, AlarmSource.NOTICE, ends_link=False)
    world.directory.on_call = world.links.on_call = note
    assert len(world.links.alive()) == 1
    world.run()
    assert order == ["set_password", "revoke_sessions", "revoke"]
    assert world.links.alive() == []


@pytest.mark.parametrize("why", ["microsoft is away", "the account is protected", "it is paused"])
def test_a_link_that_the_alarm_has_not_ended_is_ended_though_the_account_cannot_be_secured(why: str) -> None:
    world = World()
    ticket = world.carried_out()
    before = list(world.writes)
    if why == "microsoft is away":
        world.directory.raise_before("read", away())
    elif why == "it is paused":
        world.store.pause("somebody looks into it", now=world.clock())
    else:
        world.directory.account(SUBJECT).protected_by = "break-glass"
    world.press(ticket, AlarmSource.NOTICE, ends_link=False)
    world.run()
    assert world.writes == before
    assert world.links.alive() == []


# ---------------------------------------------------------------- one account that holds up another


@pytest.mark.parametrize(
    "failure",
    [
        PermanentError("Microsoft does not know such an object. Look at it."),
        ConfigError("tenants has no contoso any more. Put it back."),
        away(),
        AuthenticationError("refused", scope="tenant.contoso"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_an_account_that_cannot_be_read_does_not_keep_the_other_one_from_being_secured(
    failure: ConnectorError,
) -> None:
    world = World()
    ticket = both_accounts(world)
    handed_over = world.password_in_force(OTHER)
    world.directory.raise_before("read", failure)
    world.press(ticket, AlarmSource.NOTICE)
    world.run()
    assert world.password_in_force(OTHER) != handed_over
    world.run_for(minutes=10)
    assert not world.bugs
    if isinstance(failure, PermanentError | ConfigError):
        assert "Look at it" in world.note_with(ticket, "NOT secured") or "Put it back" in world.note_with(
            ticket, "NOT secured"
        )
        assert OTHER in world.note_with(ticket, "Secured:")


def test_without_the_right_to_set_passwords_everybody_is_signed_out_all_the_same() -> None:
    world = World()
    ticket = world.carried_out()
    before = len(world.writes)
    world.directory.raise_before(
        "set_password", *[AuthenticationError("No right to set passwords.", scope="tenant.contoso")] * 100
    )
    world.press(ticket, AlarmSource.NOTICE)
    world.run()
    assert "sessions" in [write.what for write in world.writes[before:]]


# ---------------------------------------------------------------- lost


def test_an_alarm_is_answered_though_the_psa_of_its_ticket_was_taken_out_of_the_configuration() -> None:
    world = World(more_psas=("connectwise",))
    ticket = world.carried_out()
    handed_over = world.password_in_force()
    del world.psas["halo"]
    world.restart()
    with capture_logs() as logs:
        world.press(ticket, AlarmSource.NOTICE)
        world.run()
    assert world.password_in_force() != handed_over
    assert [line for line in logs if line["event"] == "alarm"]


def test_an_alarm_is_answered_though_the_clock_was_set_back_between_ticket_and_reset() -> None:
    world = World()
    world.psa.statuses[StatusTarget.ALARM] = "Alarm"
    ticket = world.ticket(subject_text=SUBJECT)
    world.clock.advance(minutes=4)
    world.run()
    world.clock.advance(minutes=-4)
    world.approve(ticket)
    world.store.poke(world.case_of(ticket).id)
    world.run()
    case = world.case_of(ticket)
    assert case.written_at is not None
    assert case.written_at < case.created_at
    assert world.state_of(ticket) is State.LINK_OUT
    handed_over = world.password_in_force()
    world.clock.advance(minutes=10)
    world.press(ticket, AlarmSource.NOTICE)
    world.run()
    assert world.password_in_force() != handed_over


def test_an_alarm_that_is_heard_while_the_end_of_a_link_is_asked_for_is_counted_and_told_like_any_other() -> None:
    world = World()
    ticket = world.carried_out()
    world.links.asleep = True
    end = world.case_of(ticket).link_expires_at
    assert end is not None
    world.clock.now = end + timedelta(minutes=1)
    world.press(ticket, AlarmSource.NOTICE)
    before = ALARMS._value.get()
    case = world.store.claim(world.case_of(ticket).id, now=world.clock(), lease=timedelta(minutes=5))
    assert case is not None
    with capture_logs() as logs:
        world.reconciler.work_on(case)  # before the next poll: the pass itself reads the events
    assert world.case_of(ticket).outcome is Outcome.NOT_ME
    assert ALARMS._value.get() == before + 1
    assert [line["log_level"] for line in logs if line["event"] == "alarm"] == ["error"]


def test_pressed_in_the_middle_of_a_delivery_nothing_of_it_survives() -> None:
    world = World()
    world.psa.statuses[StatusTarget.ALARM] = "Alarm"
    ticket = world.ticket(subject_text=SUBJECT, action=Action.BOTH)
    world.run()
    world.approve(ticket)
    pressed: list[bool] = []

    def now(call: str, moment: str) -> None:
        if (call, moment) == ("set_password", "before") and not pressed:
            pressed.append(True)
            world.press(ticket, AlarmSource.NOTICE)
            world.polls.poll_links(early=True)

    world.directory.on_call = now
    world.run()
    assert pressed
    assert world.links.alive() == []
    assert world.password_in_force() not in {world.links.behind(link_id) for link_id in world.links.made()}
    assert (world.state_of(ticket), world.case_of(ticket).outcome) == (State.CLOSED, Outcome.NOT_ME)
    assert world.note_with(ticket, "Secured:")


@pytest.mark.parametrize("which", [1, 2, 3], ids=["reported", "securing", "secured"])
def test_a_database_that_fails_once_does_not_hold_an_alarm_for_the_rest_of_the_lease(which: int) -> None:
    world = World()
    ticket = world.carried_out()
    handed_over = world.password_in_force()
    world.press(ticket, AlarmSource.NOTICE)
    saves: list[str] = []

    def hiccup(call: str, moment: str) -> None:
        if (call, moment) == ("save", "before"):
            saves.append(call)
            if len(saves) == which:
                raise DatabaseError("The database is locked. It is tried again.")

    world.store.on_call = hiccup
    world.run_for(minutes=1, every=timedelta(seconds=5))
    assert len(saves) > which
    assert world.password_in_force() != handed_over
    assert (world.state_of(ticket), world.case_of(ticket).outcome) == (State.CLOSED, Outcome.NOT_ME)
    assert world.moves[-1] is StatusTarget.ALARM


def closed(world: World) -> FakeTicket:
    """A case that is over: the link was opened, and everything was told."""
    ticket = world.carried_out()
    world.open_newest_link()
    world.run()
    assert world.state_of(ticket) is State.CLOSED
    assert not list(world.store.outbox(world.case_of(ticket).id))
    return ticket


def test_an_alarm_about_a_closed_case_is_not_forgotten_in_a_dry_run() -> None:
    world = World()
    ticket = closed(world)
    before = list(world.writes)
    world.set_rules(dry_run=DryRun.NOTES)
    world.press(ticket, AlarmSource.NOTICE)
    world.run_for(minutes=30)
    assert world.writes == before
    world.set_rules(dry_run=DryRun.OFF)
    world.run_for(minutes=10)
    assert world.note_with(ticket, "Secured:")


def test_a_second_reveal_is_told_though_the_psa_refused_us_when_it_was_heard() -> None:
    world = World()
    ticket = closed(world)
    world.directory.accounts.append(FakeAccount(upn=OTHER))
    refusal = AuthenticationError("refused", scope="psa.halo")
    world.psa.raise_before("read", refusal)
    world.ticket(subject_text=OTHER)
    world.run()
    world.open_newest_link()
    world.run_for(minutes=10)
    assert world.mails.count(MailKind.LINK_ACCESSED) == 2
    assert world.note_with(ticket, "(view 2)")


def test_an_alarm_about_a_closed_case_survives_a_bug_on_the_way() -> None:
    world = World()
    ticket = closed(world)
    handed_over = world.password_in_force()
    world.press(ticket, AlarmSource.NOTICE)
    failed: list[str] = []

    def stumble(call: str, moment: str) -> None:
        if (call, moment) == ("audit_of", "before") and len(failed) < 5:
            failed.append(call)
            raise ValueError("a bug")

    world.store.on_call = stumble
    world.run_for(hours=2)
    assert len(failed) == 5
    assert world.password_in_force() != handed_over


# ---------------------------------------------------------------- pause and dry run


def test_the_agent_is_told_that_a_pause_keeps_the_account_from_being_secured() -> None:
    world = World()
    ticket = world.carried_out()
    world.store.pause("somebody looks into it", now=world.clock())
    world.press(ticket, AlarmSource.NOTICE)
    world.run_for(minutes=5)
    note = world.note_with(ticket, "Not secured yet")
    assert "somebody looks into it" in note
    assert "connector resume" in note


def test_a_case_that_wrote_in_earnest_writes_nothing_more_in_a_dry_run_whatever_it_was_begun_in() -> None:
    """Begun in a dry run, carried out after it, and killed right after the mail: it has recorded no state since."""
    world = World()
    world.psa.statuses[StatusTarget.ALARM] = "Alarm"
    world.set_rules(dry_run=DryRun.NOTES)
    ticket = world.ticket(subject_text=SUBJECT)
    world.run()
    world.approve(ticket)
    world.directory.raise_before("ready", away())
    world.run()
    assert world.state_of(ticket) is State.APPROVED
    world.set_rules(dry_run=DryRun.OFF)

    def killed(call: str, moment: str) -> None:
        if (call, moment) == ("save", "before") and world.mailed_links():
            raise SystemExit

    world.store.on_call = killed
    with pytest.raises(SystemExit):
        world.run_for(minutes=5)
    world.store.on_call = None
    world.store.release_leases()
    world.restart()
    world.set_rules(dry_run=DryRun.NOTES)
    before = list(world.writes)
    world.press(ticket, AlarmSource.NOTICE)
    world.run_for(minutes=30)
    assert world.writes == before
    world.set_rules(dry_run=DryRun.OFF)
    world.run_for(minutes=10)
    assert world.note_with(ticket, "Secured:")


# ---------------------------------------------------------------- in every state


@pytest.mark.parametrize("state", [state for state in State if state is not State.ALARMED])
def test_in_whatever_state_a_case_is_the_account_that_it_wrote_to_is_secured(state: State) -> None:
    world = World()
    ticket = world.carried_out()
    handed_over = world.password_in_force()
    case = world.store.claim(world.case_of(ticket).id, now=world.clock(), lease=timedelta(minutes=1))
    assert case is not None
    world.store.save(replace(case, state=state), now=world.clock())
    world.press(ticket, AlarmSource.NOTICE)
    world.run()
    assert world.password_in_force() != handed_over
    assert (world.state_of(ticket), world.case_of(ticket).outcome) == (State.CLOSED, Outcome.NOT_ME)
    assert world.moves[-1] is StatusTarget.ALARM


def test_an_end_of_the_link_that_is_heard_in_a_page_before_the_alarm_takes_nothing_from_it() -> None:
    world = World()
    ticket = world.carried_out()
    handed_over = world.password_in_force()
    world.press(ticket, AlarmSource.NOTICE)
    world.links.history.sort(key=lambda event: event.kind is LinkEventKind.REPORTED)
    world.links.history[:] = [replace(event, seq=number) for number, event in enumerate(world.links.history, start=1)]
    later = world.links.history.pop()
    assert later.kind is LinkEventKind.REPORTED
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    world.links.history.append(later)
    world.run()
    assert world.password_in_force() != handed_over
    assert world.case_of(ticket).outcome is Outcome.NOT_ME
