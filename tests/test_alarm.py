""" "This was not me": what follows when somebody presses it, and what must not follow."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connector.core.case import Action, Outcome, State
from connector.core.ports import AlarmSource, DryRun, LinkEvent, LinkEventKind, StatusTarget
from connector.errors import AuthenticationError, PermanentError, TemporaryError
from tests.fakes.directory import FakeAccount, FakeDirectory
from tests.fakes.links import LinkGone
from tests.fakes.psa import RETRY, FakePsa
from tests.fakes.world import SUBJECT, World


def down(system: FakePsa | FakeDirectory) -> None:
    """From now on nobody answers there."""

    def refuse(call: str, moment: str) -> None:
        if moment == "before":
            raise TemporaryError("It is away. It is asked again by itself.")

    system.on_call = refuse


def up(system: FakePsa | FakeDirectory) -> None:
    system.on_call = None


@pytest.mark.parametrize("opened", [False, True])
def test_the_link_dies_the_password_is_useless_sessions_end_and_the_agent_is_alarmed(opened: bool) -> None:
    world = World()
    ticket = world.carried_out()
    url = world.newest_link()
    handed_over = world.links.behind(world.case_of(ticket).link_id)
    if opened:
        world.open_newest_link()
        world.run()
        assert world.state_of(ticket) is State.CLOSED
    revocations = [write for write in world.writes if write.what == "sessions"]

    world.press(ticket)
    world.run()

    with pytest.raises(LinkGone):
        world.links.open(url)
    assert world.password_in_force() not in (None, handed_over)
    assert world.passwords[-1] == world.password_in_force()
    assert world.password_in_force() not in {world.links.behind(link_id) for link_id in world.links.made()}
    assert len([write for write in world.writes if write.what == "sessions"]) == len(revocations) + 1
    assert world.moves[-1] is StatusTarget.ALARM
    assert (world.state_of(ticket), world.case_of(ticket).outcome) == (State.CLOSED, Outcome.NOT_ME)
    assert "203.0.113.77" in world.note_with(ticket, "ALARM: somebody says that this was not them")
    assert world.note_with(ticket, "Secured:")
    assert world.events_of(ticket)[-3:] == ["reported", "securing", "secured"]


def test_pressing_again_and_by_another_mail_writes_no_second_time() -> None:
    world = World()
    ticket = world.carried_out()
    first, second = world.alarm_for(ticket), world.alarm_for(ticket, AlarmSource.NOTICE)
    assert world.links.press(first)
    world.run()
    before, moves = list(world.writes), list(world.moves)

    assert world.links.press(first)
    assert world.links.press(second)
    world.run()

    assert world.writes == before
    assert world.moves == moves
    assert "through the notice to the account's owner" in world.note_with(ticket, "Said again that this was not them")
    assert world.state_of(ticket) is State.CLOSED


def test_an_mfa_reset_without_any_link_can_be_reported() -> None:
    world = World()
    ticket = world.carried_out(action=Action.MFA)
    assert world.state_of(ticket) is State.CLOSED
    assert world.password_in_force() is None
    world.press(ticket, AlarmSource.NOTICE)
    world.run()
    assert world.password_in_force() is not None
    assert world.case_of(ticket).outcome is Outcome.NOT_ME


def test_the_account_is_secured_though_the_psa_is_away_and_the_ticket_hears_of_it_later() -> None:
    world = World()
    ticket = world.carried_out()
    before = world.password_in_force()
    down(world.psa)
    world.press(ticket)
    world.run()
    assert world.password_in_force() != before
    assert StatusTarget.ALARM not in world.moves

    up(world.psa)
    world.run_for(minutes=15)
    assert world.moves[-1] is StatusTarget.ALARM
    assert world.note_with(ticket, "ALARM:")
    assert world.note_with(ticket, "Secured:")


def test_the_agent_is_alarmed_though_microsoft_is_away_and_told_not_to_wait() -> None:
    world = World()
    ticket = world.carried_out()
    before = world.password_in_force()
    down(world.directory)
    world.press(ticket)
    world.run()
    assert world.moves[-1] is StatusTarget.ALARM
    assert world.note_with(ticket, "ALARM:")
    assert world.state_of(ticket) is State.ALARMED

    world.run_for(minutes=10)
    assert "do not wait" in world.note_with(ticket, "Not secured yet")
    up(world.directory)
    world.run_for(hours=1)
    assert world.password_in_force() != before
    assert world.note_with(ticket, "Secured:")
    assert world.state_of(ticket) is State.CLOSED


def test_a_pause_holds_the_write_but_neither_the_end_of_the_link_nor_the_alarm() -> None:
    world = World()
    ticket = world.carried_out()
    url, before = world.newest_link(), list(world.writes)
    world.store.pause("somebody looks into it", now=world.clock())
    world.press(ticket)
    world.run()
    assert world.writes == before
    with pytest.raises(LinkGone):
        world.links.open(url)
    assert world.moves[-1] is StatusTarget.ALARM
    assert world.state_of(ticket) is State.ALARMED

    world.store.resume(now=world.clock())
    world.run_for(minutes=2)
    assert world.note_with(ticket, "Secured:")


@pytest.mark.parametrize(
    "become",
    [
        {"admin_roles": ("Global Administrator",)},
        {"protected_by": "break-glass"},
        {"guest": True},
        {"privileged_groups": ("Helpdesk",)},
        {"unknown": ("its groups could not be read",)},
    ],
)
def test_an_account_that_must_not_be_touched_is_left_and_a_person_is_told(become: dict[str, object]) -> None:
    world = World()
    ticket = world.carried_out()
    for name, value in become.items():
        setattr(world.directory.account(SUBJECT), name, value)
    before, password = list(world.writes), world.password_in_force()
    world.press(ticket)
    world.run()
    assert world.writes == before
    assert world.password_in_force() == password
    assert "by hand" in world.note_with(ticket, "NOT secured")
    assert world.moves[-1] is StatusTarget.ALARM
    assert world.state_of(ticket) is State.CLOSED


def test_where_the_password_is_kept_elsewhere_the_sessions_end_and_the_note_says_so() -> None:
    world = World()
    ticket = world.carried_out()
    world.directory.account(SUBJECT).synchronised = True
    password, before = world.password_in_force(), len(world.writes)
    world.press(ticket)
    world.run()
    assert world.password_in_force() == password
    assert [write.what for write in world.writes[before:]] == ["sessions"]
    assert "change it where the account comes from" in world.note_with(ticket, "Everybody was signed out")


def test_a_case_that_changed_nothing_secures_nothing() -> None:
    world = World()
    ticket = world.ticket(subject_text=SUBJECT)
    world.run()
    world.press(ticket)
    world.run()
    assert world.writes == []
    assert world.note_with(ticket, "This case never changed anything")
    world.approve(ticket)
    world.run()
    assert world.writes == []
    assert world.state_of(ticket) is State.CLOSED


def test_a_refused_password_still_ends_the_sessions_and_calls_a_person() -> None:
    world = World()
    ticket = world.carried_out()
    before = len(world.writes)
    world.directory.raise_before("set_password", PermanentError("Microsoft refuses this target. Look at it in Entra."))
    world.press(ticket)
    world.run()
    assert [write.what for write in world.writes[before:]] == ["sessions"]
    assert "its password still opens it" in world.note_with(ticket, "NOT secured")


def test_an_alarm_for_nobody_we_know_is_left_aside() -> None:
    world = World()
    ticket = world.carried_out()
    case, before = world.case_of(ticket), list(world.writes)
    stranger = LinkEvent(
        seq=10_000, link_id="case-0000000000000000", kind=LinkEventKind.REPORTED, at=world.clock(), reason="notice"
    )
    world.links.history.append(stranger)
    world.run()
    assert world.writes == before
    assert (world.state_of(ticket), world.case_of(ticket).outcome) == (case.state, case.outcome)


def test_a_psa_that_refuses_our_credentials_does_not_hold_the_alarm_up() -> None:
    world = World()
    ticket = world.carried_out()
    password = world.password_in_force()
    world.open_newest_link()
    world.psa.raise_before("add_note", AuthenticationError("refused", scope="psa.halo"))
    world.run()
    world.press(ticket)
    world.run()
    assert world.password_in_force() != password


def test_a_reveal_that_is_heard_with_the_alarm_is_told_too() -> None:
    world = World()
    ticket = world.carried_out()
    world.open_newest_link()
    world.press(ticket)
    world.run()
    assert world.note_with(ticket, "The password was shown (view 1)")
    assert world.note_with(ticket, "ALARM:")


def test_a_retry_status_does_not_wake_a_case_after_an_alarm() -> None:
    world = World()
    ticket = world.carried_out()
    world.press(ticket)
    world.run()
    before = list(world.writes)
    world.psa.set_status(ticket.id, RETRY)
    world.run_for(hours=2)
    assert world.writes == before


def test_five_hours_of_failures_end_with_a_person() -> None:
    world = World()
    ticket = world.carried_out()
    world.directory.raise_before("read", *[TemporaryError("Graph is away. It is tried again.")] * 60)
    world.press(ticket)
    world.run_for(hours=12)
    assert world.state_of(ticket) is State.CLOSED
    assert "It failed" in world.note_with(ticket, "NOT secured")


def test_in_a_dry_run_an_alarm_changes_nothing_and_is_answered_when_it_ends() -> None:
    world = World()
    ticket = world.carried_out()
    before, moves = list(world.writes), list(world.moves)
    world.set_rules(dry_run=DryRun.NOTES)
    world.press(ticket)
    world.run_for(minutes=30)
    assert (world.writes, world.moves) == (before, moves)
    world.set_rules(dry_run=DryRun.OFF)
    world.run_for(minutes=10)
    assert world.note_with(ticket, "Secured:")


def test_an_account_that_the_case_never_wrote_to_is_left_though_the_ticket_names_it_now() -> None:
    world = World()
    other = FakeAccount(upn="otto@contoso.example.com")
    world.directory.accounts.append(other)
    ticket = world.carried_out()
    handed_over = world.password_in_force()
    world.links.revoke(world.case_of(ticket).link_id)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    world.psa.change_subject(ticket.id, other.upn)
    world.psa.ask_retry(ticket.id)
    world.run()
    assert world.case_of(ticket).subject == other.upn
    world.press(ticket)
    world.run()
    assert world.password_in_force(other.upn) is None
    assert world.password_in_force() != handed_over
    assert SUBJECT in world.note_with(ticket, "Secured:")


def test_other_tickets_about_the_account_are_named() -> None:
    world = World()
    ticket = world.carried_out()
    beside = world.ticket(subject_text=SUBJECT, action=Action.MFA)
    world.run()
    world.press(ticket)
    world.run()
    assert f"halo:{beside.id}" in world.note_with(ticket, "Secured:")


def test_the_account_is_secured_though_the_link_service_is_away_by_then() -> None:
    world = World()
    ticket = world.carried_out()
    handed_over = world.password_in_force()
    world.press(ticket)
    world.polls.poll_links(early=True)
    world.links.down = True
    world.run()
    assert world.password_in_force() != handed_over


# ---------------------------------------------------------------- when others are away, and pressed again


def test_a_system_that_asks_for_an_hour_is_told_at_once() -> None:
    world = World()
    ticket = world.carried_out()
    asked = [TemporaryError("Graph is away.", retry_after=timedelta(hours=1))] * 3
    world.directory.raise_before("read", *asked)
    world.press(ticket)
    world.run()
    assert "do not wait" in world.note_with(ticket, "Not secured yet")


def test_pressing_again_hurries_nothing_and_hides_no_failure() -> None:
    world = World()
    ticket = world.carried_out()
    alarms = [world.alarm_for(ticket) for _ in range(40)]
    down(world.directory)
    for alarm in alarms:
        assert world.links.press(alarm)
        world.run_for(seconds=5, every=timedelta(seconds=1))
    assert "do not wait" in world.note_with(ticket, "Not secured yet")
    # 200 s of growing waits: 2, 5, 15, 30, 60 and 120 s, each up to a fifth longer.
    assert 5 <= world.case_of(ticket).attempts <= 6
    up(world.directory)
    world.run_for(hours=1)
    assert world.note_with(ticket, "Secured:")


def test_a_psa_that_is_tried_out_does_not_hold_the_alarm_of_one_that_is_gone() -> None:
    world = World(more_psas=("cw",))
    ticket = world.carried_out()
    before, pressed = world.password_in_force(), world.alarm_for(ticket)
    world.psas["cw"].rules = replace(world.psas["cw"].rules, dry_run=DryRun.NOTES)
    del world.psas["halo"]
    world.restart()
    assert world.links.press(pressed)
    world.run()
    assert world.password_in_force() != before


def test_in_a_dry_run_of_the_whole_program_even_that_alarm_waits() -> None:
    world = World(more_psas=("cw",))
    ticket = world.carried_out()
    writes, pressed = list(world.writes), world.alarm_for(ticket)
    world.psas["cw"].rules = replace(world.psas["cw"].rules, dry_run=DryRun.NOTES)
    del world.psas["halo"]
    world.everything_is_dry = True
    world.restart()
    assert world.links.press(pressed)
    world.run_for(minutes=30)
    assert world.writes == writes


def test_the_end_of_a_pause_secures_the_account_though_the_psa_is_gone_meanwhile() -> None:
    world = World(more_psas=("cw",))
    ticket = world.carried_out()
    before = world.password_in_force()
    world.store.pause("somebody looks into it", now=world.clock())
    world.press(ticket)
    world.run_for(minutes=1)
    assert world.note_with(ticket, "ALARM:")
    del world.psas["halo"]
    world.restart()
    world.run_for(minutes=2)
    world.store.resume(now=world.clock())
    world.run_for(minutes=1)
    assert world.password_in_force() != before


def test_a_later_ticket_whose_password_the_alarm_voids_is_named() -> None:
    world = World()
    first = world.carried_out()
    alarm = world.alarm_for(first)
    world.open_newest_link()
    world.run()
    world.clock.advance(days=5)
    later = world.carried_out()
    world.open_newest_link()
    world.run()
    assert world.state_of(later) is State.CLOSED
    assert world.links.press(alarm)
    world.run()
    assert f"halo:{later.id}" in world.note_with(first, "Secured:")


def test_an_earlier_ticket_whose_password_was_replaced_since_is_not_named() -> None:
    world = World()
    earlier = world.carried_out()
    world.open_newest_link()
    world.run()
    world.clock.advance(days=5)
    ticket = world.carried_out()
    world.press(ticket)
    world.run()
    assert f"halo:{earlier.id}" not in world.note_with(ticket, "Secured:")


def test_sessions_that_cannot_be_ended_do_not_hide_that_the_password_was_replaced() -> None:
    world = World()
    ticket = world.carried_out()
    before = world.password_in_force()
    world.directory.raise_before("revoke_sessions", PermanentError("Microsoft refuses it."))
    world.press(ticket)
    world.run()
    assert world.password_in_force() != before
    told = world.note_with(ticket, "NOT secured")
    assert "it has a password now that nobody has, but the sessions could not be ended" in told
    facts = world.audit_of(ticket)[-1].entry.facts
    assert facts["calls"] != "none"
    assert facts["sessions_call"] == "none"


def test_an_account_that_cannot_be_read_is_told_by_its_name() -> None:
    world = World()
    ticket = world.carried_out()
    world.directory.raise_before("read", PermanentError("Microsoft refuses it."))
    world.press(ticket)
    world.run()
    told = world.note_with(ticket, "NOT secured")
    assert SUBJECT in told
    assert world.case_of(ticket).subject_id not in told
