"""The crash rule: a process may die, and any outside call may fail or lie, between any two lines.

`Wire` sits between the reconciler and everything outside. It counts every moment just before and just after the
effect of every call (database included), can make any of them the last thing that a process does, or a failure, and
looks at each write to an account, at the very moment it happens, whether there is a yes for it.

A killed process is dead for good: whatever its `finally` lines still try raises `Killed` again, as after a SIGKILL.
The next process starts on the same database when the lease of the dead one has run out.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Literal

import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connector.core.case import Action, Case, Outcome, Person, State
from connector.core.notice import NotifySubject
from connector.core.ports import (
    ChangedTicket,
    Letter,
    LinkEventKind,
    MailKind,
    Note,
    Stance,
    StatusTarget,
)
from connector.core.records import BY_A_DEAD_TRY
from connector.core.subject import read_subject
from connector.errors import DatabaseError, TemporaryError
from connector.mail.render import WITH_ALARM
from connector.reconciler import LEASE, Result
from tests.fakes.directory import FakeAccount
from tests.fakes.links import LinkGone
from tests.fakes.psa import CLOSED, FakeTicket
from tests.fakes.world import APPROVER, REQUESTER, SUBJECT, PlainLetters, World

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
APPROVAL_VALID = timedelta(hours=24)
OVER = frozenset({State.CLOSED, State.CANCELLED, State.NEEDS_PERSON})
OTHER_ADDRESS, MANAGER = "private@home.example", "lee@contoso.example.com"
RELEASED = LEASE + timedelta(seconds=1)

Blow = Literal["kill", "fail"]


class Killed(BaseException):
    """SIGKILL: no handler of ours may catch it."""


class Wire:
    """Every call of every fake goes past here, before and after its effect.

    Attributes:
        points: Moments passed so far.
        blow_at: The moment at which `blow` comes; 0 for never.
        next_blows: What comes after it, and how many moments later.
        dead: The process was killed; nothing that it still tries has an effect.
        story: Every moment, for the message of a failed test.
        down: Systems that answer nobody.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.points = 0
        self.blow_at = 0
        self.blow: Blow = "kill"
        self.next_blows: list[tuple[Blow, int]] = []
        self.dead = False
        self.asleep = True
        self.down: set[str] = set()
        self.story: list[str] = []
        world.psa.on_call = lambda call, moment: self.passed("psa", call, moment)
        world.directory.on_call = lambda call, moment: self.passed("directory", call, moment)
        world.links.on_call = lambda call, moment: self.passed("links", call, moment)
        world.mailer.on_call = lambda call, moment: self.passed("mailer", call, moment)
        world.store.on_call = lambda call, moment: self.passed("store", call, moment)

    def passed(self, system: str, call: str, moment: str) -> None:
        if self.asleep:
            return
        if self.dead:
            raise Killed
        self.points += 1
        self.story.append(f"{self.points} {moment} {system}.{call}")
        with self.looking_away():
            check_now(self.world)
            if moment == "before" and system == "directory" and call in ("set_password", "remove_method"):
                check_the_write(self.world, "password" if call == "set_password" else "mfa")
        if self.points == self.blow_at:
            self.strike(system)
        if moment == "before" and system in self.down:
            self.fail(system)

    def strike(self, system: str) -> None:
        blow = self.blow
        if self.next_blows:
            self.blow, soon = self.next_blows.pop(0)
            self.blow_at = self.points + soon
        if blow == "kill":
            self.dead = True
            raise Killed
        self.fail(system)

    def fail(self, system: str) -> None:
        if system == "store":
            raise DatabaseError("the database did not answer")
        raise TemporaryError(f"{system} did not answer")

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """Calls of the test itself are not moments of the story."""
        before, self.asleep = self.asleep, True
        try:
            yield
        finally:
            self.asleep = before

    def run(self) -> None:
        """One run of the process; when it is killed, a new one is there, and the old one's leases have run out."""
        self.asleep = False
        try:
            self.world.run()
        except Killed:
            self.world.restart()
            self.dead = False
            self.world.clock.advance(seconds=RELEASED.total_seconds())
        finally:
            self.asleep = True


# ---------------------------------------------------------------- what must be true at every moment


def check_the_write(world: World, half: str) -> None:
    """Every write has a yes; or somebody said "this was not me" about a case that had written to this account."""
    case = world.store.get(world.at_work_on)
    assert case is not None
    if case.state is State.ALARMED:
        check_there_is_an_alarm(world, case, half)
    else:
        check_there_is_a_yes(world, case, half)


def check_there_is_an_alarm(world: World, case: Case, half: str) -> None:
    assert half == "password"
    assert case.written_at is not None
    reported = [event for event in world.links.history if event.kind is LinkEventKind.REPORTED]
    assert world.store.alarm_reference(case.id) in [event.link_id for event in reported]
    account = world.directory.account(case.subject_id)
    assert account.enabled
    assert not account.admin_roles
    assert world.store.paused() == ""
    assert "securing" in [line.entry.event for line in world.store.audit_of(case.id)], "the intention is on record"


def check_there_is_a_yes(world: World, case: Case, half: str) -> None:
    """Right now, for the account that is about to be written: a ticket that asks for it, and a valid approval."""
    assert case.state is State.APPROVED
    ticket = world.psa.tickets[case.ticket_id]
    reading = ticket.reading(world.psa.name)
    account = world.directory.account(case.subject_id)
    assert not ticket.deleted
    assert ticket.mapped
    assert ticket.status != CLOSED
    assert reading.approval.stance is Stance.APPROVED
    assert read_subject(ticket.subject_text).address in account.addresses
    assert ticket.action is not None
    assert ticket.action.resets_password if half == "password" else ticket.action.resets_mfa
    assert world.tenants[ticket.client_id] == account.tenant
    assert ticket.requester is not None
    assert not ticket.requester.is_same(account.reading().person)
    assert account.enabled
    assert not account.admin_roles
    newest_change = world.changed_at.get(ticket.id) or ticket.created_at
    newest_of_each = {decision.approver: decision for decision in reading.approval.decisions}
    for decision in newest_of_each.values():
        assert not decision.approver.is_same(ticket.requester)
        assert not decision.approver.is_same(account.reading().person)
        assert decision.decided_at >= newest_change
        assert world.clock() - decision.decided_at < APPROVAL_VALID
    assert world.store.paused() == ""
    about_to = "setting_password" if half == "password" else "removing_methods"
    assert about_to in [line.entry.event for line in world.store.audit_of(case.id)], "the intention is on record"
    assert any(reset.case_id == case.id for reset in world.store.resets_since(case.created_at)), "the brake has counted"


def check_now(world: World) -> None:
    """Never two living links of one case; and a living link that was mailed opens to the password in force.

    After an alarm it may show one that is useless already: the account is secured first, and then the link is ended.
    """
    alive = world.links.alive()
    mailed = set(world.mailed_links())
    for case in world.store.cases():
        own = [link_id for link_id in alive if world.store._links.get(link_id) == case.id]
        assert len(own) <= 1, "two living links"
        for link_id in own:
            if world.links.url_of(link_id) in mailed and case.state is not State.ALARMED:
                assert world.links.behind(link_id) == world.directory.passwords[case.subject_id]
    known = [link_id for link_id in world.links.made() if link_id in world.store._links]
    assert known == world.links.made(), "a link that no case remembers could never be revoked"


def check_nothing_shows(world: World) -> None:
    """No password, and no address of a link or an alarm beyond the mail that carries it."""
    tokens = [world.links.url_of(link_id).reveal().rpartition("/")[2] for link_id in world.links.made()]
    alarms = [alarm.reveal().rpartition("/")[2] for alarm in world.links._alarms]
    secrets_ = [password.reveal() for password in world.passwords] + tokens + alarms
    stored = repr([world.store.cases(), [sent.row for sent in world.store.messages], world.store._audit])
    written = repr([ticket.notes for ticket in world.psa.tickets.values()])
    mailed = repr([
        (email.subject, email.text, email.html)
        for email in world.mailer.sent
        if world.letters.letters[email.message_id].kind not in {MailKind.PASSWORD_READY, *WITH_ALARM}
    ])  # fmt: skip
    for secret in secrets_:
        assert secret not in stored
        assert secret not in written
        assert secret not in mailed
    for email in world.mailer.sent:
        assert not any(password.reveal() in email.text + email.html for password in world.passwords)
        carries_link = world.letters.letters[email.message_id].kind is MailKind.PASSWORD_READY
        assert not any(token in email.text + email.html for token in (alarms if carries_link else tokens))


def check_owners_are_told(world: World) -> None:
    """Of every reset that was done, once a round, and of nothing else; never who asked or approved.

    A mail whose acceptance we did not hear of comes again, with the same Message-ID.
    """
    for case in world.store.cases():
        letters = [kept.row.message.body for kept in world.store.messages if kept.row.case_id == case.id]
        notices = [one for one in letters if isinstance(one, Letter) and one.kind is MailKind.SUBJECT_NOTICE]
        events = Counter(line.entry.event for line in world.store.audit_of(case.id))
        assert len(notices) == events["link_sent"] + events["mfa_reset"]
        assert len({notice.id for notice in notices}) == len(notices)
        assert {notice.to for notice in notices} <= {OTHER_ADDRESS, MANAGER}
        assert all("could not be told" not in text for text in world.notes_of(world.psa.tickets[case.ticket_id]))


def check_nothing_is_lost(world: World) -> None:
    """Every message that was ever stored was delivered: each note stands in its ticket once, each mail was sent."""
    sent = {email.message_id for email in world.mailer.sent}
    letter_ids = {world.letters.letters[message_id].id for message_id in sent}
    for kept in world.store.messages:
        ticket = world.psa.tickets[world.store._kept[kept.row.case_id].case.ticket_id]
        assert kept.done_at is not None, kept.row.message.key
        if ticket.deleted:
            continue
        assert kept.failed == "", kept.row.message.key
        match kept.row.message.body:
            case Note(marker=marker):
                assert [note.marker for note in ticket.notes].count(marker) == 1, kept.row.message.key
            case Letter(id=letter_id):
                assert letter_id in letter_ids, kept.row.message.key
            case _:
                pass
    assert world.store.verify_audit().whole
    check_owners_are_told(world)


# ---------------------------------------------------------------- every single moment, once


@pytest.fixture(autouse=True)
def _no_logs() -> Iterator[None]:
    """Thousands of passes say nothing that anybody reads."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


def with_others(world: World, how: NotifySubject) -> None:
    """The owner of the account can be told by either way."""
    world.notify_subject = how
    account = world.directory.account(SUBJECT)
    account.alternate_mails, account.manager = (OTHER_ADDRESS,), MANAGER
    world.directory.accounts.append(FakeAccount(upn=MANAGER))


def play(action: Action, *blows: tuple[Blow, int]) -> Wire:
    """A request from ticket to closed, with blows: each with its moment, counted from the one before."""
    world = World(writer=PlainLetters())
    with_others(world, NotifySubject.ALTERNATE_MAIL if action is Action.PASSWORD else NotifySubject.MANAGER)
    wire = Wire(world)
    if blows:
        (wire.blow, wire.blow_at), *wire.next_blows = blows
    ticket = world.ticket(action=action)
    wire.run()
    world.approve(ticket)
    opened = False
    for _ in range(40):
        wire.run()
        case = world.store.find(ticket.id)
        if case and case[0].state is State.LINK_OUT and not opened:
            assert len(world.links.alive()) == 1
            assert world.open_newest_link() == world.password_in_force()
            opened = True
        if case and case[0].state in OVER and not world.store.outbox(case[0].id):
            break
        world.clock.advance(minutes=1)
    check_the_end(world, ticket, action, most_links=1 + len(blows))
    return wire


def check_the_end(world: World, ticket: FakeTicket, action: Action, *, most_links: int) -> None:
    assert world.bugs == []
    case = world.case_of(ticket)
    assert case.state is State.CLOSED, case.explanation
    assert case.outcome is (Outcome.OPENED if action.resets_password else Outcome.MFA_RESET)
    check_nothing_is_lost(world)
    check_nothing_shows(world)
    account = world.directory.account(case.subject_id)
    assert account.methods == ([] if action.resets_mfa else ["phone (mobile)", "fido2"])
    assert account.must_change is action.resets_password
    assert account.sessions_revoked
    mails = Counter(kind for kind, _ in {(world.letters.letters[m.message_id].kind, m.message_id)
                                         for m in world.mailer.sent})  # fmt: skip
    expected = {MailKind.REQUEST_CONFIRMATION: 1, MailKind.REQUEST_APPROVED: 1, MailKind.SUBJECT_NOTICE: 1}
    if action.resets_password:
        expected |= {MailKind.PASSWORD_READY: len(world.mailed_links()), MailKind.LINK_ACCESSED: 1}
    else:
        expected |= {MailKind.MFA_RESET_DONE: 1}
    assert mails == expected
    assert len(world.mailed_links()) <= most_links
    texts = world.notes_of(ticket)
    for words, count in (
        ("Recognised:", 1),
        ("Approved by", int(action.resets_mfa) + int(action.resets_password)),
        ("MFA of", int(action.resets_mfa)),
        ("Password of", int(action.resets_password)),
        ("The password was shown", int(action.resets_password)),
    ):
        assert sum(words in text for text in texts) == count, words
    if action.resets_mfa:
        told = world.note_with(ticket, "MFA of")
        assert ("phone (mobile)" in told and "fido2" in told) or BY_A_DEAD_TRY in told
    assert ticket.status == CLOSED
    events = world.events_of(ticket)
    assert events[:2] == ["recognised", "approved"]
    if action.resets_password:
        assert events.index("approved") < events.index("setting_password") < events.index("link_sent")


@pytest.mark.parametrize("blow", ["kill", "fail"])
@pytest.mark.parametrize("action", list(Action))
def test_a_blow_at_any_single_moment_changes_nothing_about_the_end(action: Action, blow: Blow) -> None:
    story = play(action).story
    assert len(story) > 100
    for moment, what in enumerate(story, start=1):
        try:
            assert play(action, (blow, moment)).points >= moment
        except AssertionError as failure:
            failure.add_note(f"{blow} at {what}")
            raise


def play_an_alarm(*blows: tuple[Blow, int], opened: bool, ends_link: bool = True) -> Wire:
    """A request that was carried out, then "this was not me", with blows counted from the press."""
    world = World(writer=PlainLetters())
    with_others(world, NotifySubject.ALTERNATE_MAIL)
    wire = Wire(world)
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    if opened:
        world.open_newest_link()
        world.run()
    handed_over = world.password_in_force()
    world.press(ticket, ends_link=ends_link)
    if blows:
        (wire.blow, wire.blow_at), *wire.next_blows = blows
    for _ in range(40):
        wire.run()
        (case,) = world.store.find(ticket.id)
        if case.outcome is Outcome.NOT_ME and case.state is State.CLOSED and not world.store.outbox(case.id):
            break
        world.clock.advance(minutes=1)
    assert world.bugs == []
    assert (case.state, case.outcome) == (State.CLOSED, Outcome.NOT_ME)
    assert world.password_in_force() not in (None, handed_over)
    assert world.links.alive() == []
    assert sum(note.startswith("ALARM:") for note in world.notes_of(ticket)) == 1
    assert sum(note.startswith("Secured:") for note in world.notes_of(ticket)) == 1
    assert ticket.status == world.psa.statuses[StatusTarget.ALARM]
    check_nothing_is_lost(world)
    check_nothing_shows(world)
    return wire


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("blow", ["kill", "fail"])
def test_a_blow_at_any_moment_of_an_alarm_leaves_no_account_unsecured(blow: Blow, opened: bool) -> None:
    story = play_an_alarm(opened=opened).story
    assert len(story) > 30
    for moment, what in enumerate(story, start=1):
        try:
            assert play_an_alarm((blow, moment), opened=opened).points >= moment
        except AssertionError as failure:
            failure.add_note(f"{blow} at {what}")
            raise


def test_a_kill_at_any_moment_of_an_alarm_leaves_no_link_alive_that_the_alarm_had_not_ended() -> None:
    story = play_an_alarm(opened=False, ends_link=False).story
    assert [what.partition(" ")[2] for what in story].count("after links.revoke") == 1
    for moment, what in enumerate(story, start=1):
        try:
            play_an_alarm(("kill", moment), opened=False, ends_link=False)
        except AssertionError as failure:
            failure.add_note(f"kill at {what}")
            raise


A_BLOW = st.tuples(st.sampled_from(["kill", "fail"]), st.integers(min_value=1, max_value=220))


@settings(max_examples=10_000 if THOROUGH else 300, deadline=None, database=None, print_blob=True)
@given(action=st.sampled_from(Action), blows=st.lists(A_BLOW, min_size=2, max_size=4))
def test_several_blows_change_nothing_about_the_end_either(action: Action, blows: list[tuple[Blow, int]]) -> None:
    play(action, *blows)


# ---------------------------------------------------------------- many tickets, many blows, people in between

SYSTEMS = ("psa", "directory", "links", "mailer", "store")
MOST_TICKETS = 3

a_ticket = st.sampled_from([0, 0, 0, 1, 1, 2])
an_action = st.sampled_from([Action.PASSWORD, Action.BOTH, Action.MFA])
afterwards = st.one_of(
    st.just(("run", 0)),
    st.just(("run", 0)),
    st.just(("nothing", 0)),
    st.tuples(st.sampled_from(["kill", "kill", "fail"]), st.integers(min_value=1, max_value=110)),
)
"""What the service does after something happened: nothing yet, a run, or a run into a blow at a moment to come."""

Then = tuple[str, int]


class ServiceDesk(RuleBasedStateMachine):
    """Up to three tickets, each about an account of its own; everything may happen to them in any order."""

    @initialize(action=an_action, another=an_action, history=st.booleans())
    def open_the_desk(self, action: Action, another: Action, history: bool) -> None:
        self.history = history
        self.world = World(writer=PlainLetters())
        with_others(self.world, NotifySubject.MANAGER if history else NotifySubject.ALTERNATE_MAIL)
        self.wire = Wire(self.world)
        self.tickets: list[FakeTicket] = []
        self.people = 0
        self.raise_ticket(action, self.somebody())
        self.raise_ticket(another, self.somebody())
        self.wire.run()

    def raise_ticket(self, action: Action, text: str) -> None:
        """Each a second later and noted at once: so no two cases are equally due, and a failure can be played again."""
        self.world.clock.advance(seconds=1)
        ticket = self.world.ticket(action=action, subject_text=text)
        self.tickets.append(ticket)
        row = ChangedTicket(ticket.id, ticket.id)
        self.world.store.note_tickets(self.world.psa.name, [row], now=self.world.clock())

    def somebody(self) -> str:
        """The address of an account that no ticket has named yet."""
        self.people += 1
        upn = f"user{self.people}@contoso.example.com"
        self.world.directory.accounts.append(FakeAccount(
            upn=upn, methods=["phone (mobile)", "fido2"], alternate_mails=(OTHER_ADDRESS,), manager=MANAGER,
        ))  # fmt: skip
        return upn

    def ticket(self, index: int) -> FakeTicket | None:
        return self.tickets[index] if index < len(self.tickets) else None

    def is_seen(self, ticket: FakeTicket) -> bool:
        return any(case.request_since is not None for case in self.world.store.find(ticket.id))

    def go_on(self, then: Then) -> None:
        what, soon = then
        if what in ("kill", "fail"):
            self.wire.blow, self.wire.blow_at = ("kill" if what == "kill" else "fail"), self.wire.points + soon
            self.wire.run()
            self.wire.blow_at = 0
        if what != "nothing":
            self.wire.run()

    # -- people

    @precondition(lambda self: len(self.tickets) < MOST_TICKETS)
    @rule(action=an_action, odd=st.sampled_from(["", "", "two", "none", "nobody"]), then=afterwards)
    def a_ticket_is_raised(self, action: Action, odd: str, then: Then) -> None:
        text = {
            "": self.somebody(),
            "two": f"{self.somebody()}, {self.somebody()}",
            "none": "my colleague",
            "nobody": "nobody@contoso.example.com",
        }[odd]
        self.raise_ticket(action, text)
        self.go_on(then)

    @rule(index=a_ticket, then=afterwards)
    def the_approver_approves(self, index: int, then: Then) -> None:
        if ticket := self.ticket(index):
            self.world.approve(ticket)
            self.go_on(then)

    @rule(index=a_ticket, who=st.sampled_from(["yes", "no", "requester", "subject"]), then=afterwards)
    def somebody_decides(self, index: int, who: str, then: Then) -> None:
        ticket = self.ticket(index)
        if ticket and who == "no":
            self.world.clock.advance(seconds=1)
            self.world.psa.reject(ticket.id, comment="no")
        elif ticket:
            subject = Person(name="S", email=read_subject(ticket.subject_text).address or None)
            self.world.approve(ticket, {"yes": APPROVER, "requester": REQUESTER, "subject": subject}[who])
        self.go_on(then)

    @rule(index=a_ticket, action=st.one_of(st.none(), an_action), then=afterwards)
    def the_request_is_changed(self, index: int, action: Action | None, then: Then) -> None:
        ticket = self.ticket(index)
        # Where the PSA keeps no history, nobody can tell of a change before our first look (see `request_since`), nor
        # of one that was taken back before the next look.
        if ticket is None or not (self.history or (self.is_seen(ticket) and action is None)):
            return
        self.world.clock.advance(seconds=1)
        self.world.changed_at[ticket.id] = self.world.clock()
        if action is not None:
            self.world.psa.change_action(ticket.id, action)
        elif self.history:
            self.world.psa.change_subject(ticket.id, self.somebody())
        else:
            ticket.subject_text = self.somebody()
            self.world.psa.touch(ticket.id)
        self.go_on(then)

    @rule(
        index=a_ticket, what=st.sampled_from(["close", "delete", "retype", "ask_retry", "ask_retry"]), then=afterwards
    )
    def an_agent_does_something(self, index: int, what: str, then: Then) -> None:
        if ticket := self.ticket(index):
            getattr(self.world.psa, what)(ticket.id)
            self.go_on(then)

    @rule(index=a_ticket, what=st.sampled_from(["disable", "promote", "restore", "restore"]))
    def the_account_changes(self, index: int, what: str) -> None:
        ticket = self.ticket(index)
        address = read_subject(ticket.subject_text).address if ticket else ""
        for account in self.world.directory.accounts:
            if account.upn == address:
                account.enabled = what != "disable"
                account.admin_roles = ("User Administrator",) if what == "promote" else ()

    @rule(back=st.sampled_from([0, 0, 0, 1, 2]), then=afterwards)
    def the_requester_opens_a_link(self, back: int, then: Then) -> None:
        links = self.world.mailed_links()
        if back < len(links):
            with suppress(LinkGone):
                self.world.links.open(links[-1 - back])
            self.go_on(then)

    @rule(index=a_ticket, again=st.booleans(), then=afterwards)
    def somebody_says_that_it_was_not_them(self, index: int, again: bool, then: Then) -> None:
        ticket = self.ticket(index)
        if ticket and self.world.store.find(ticket.id) and "links" not in self.wire.down:
            alarm = self.world.press(ticket)
            if again:
                assert self.world.links.press(alarm)
            self.go_on(then)

    @rule(paused=st.sampled_from([True, False, False, False]))
    def the_admin_uses_the_switch(self, paused: bool) -> None:
        if paused:
            self.world.store.pause("looking at something", now=self.world.clock())
        else:
            self.world.store.resume(now=self.world.clock())

    # -- the service

    @rule(then=afterwards)
    def it_runs(self, then: Then) -> None:
        self.go_on(then)

    @rule(system=st.sampled_from(SYSTEMS), down=st.sampled_from([True, False, False]))
    def a_system_goes_down_or_comes_back(self, system: str, down: bool) -> None:
        (self.wire.down.add if down else self.wire.down.discard)(system)

    @rule(
        span=st.sampled_from([timedelta(minutes=6), timedelta(minutes=6), timedelta(minutes=70), timedelta(days=1)]),
        then=afterwards,
    )
    def time_goes_by(self, span: timedelta, then: Then) -> None:
        self.world.clock.advance(seconds=span.total_seconds())
        self.go_on(then)

    # -- what must be true

    @invariant()
    def it_is_true_now(self) -> None:
        if hasattr(self, "world"):
            check_now(self.world)
            check_nothing_shows(self.world)

    def teardown(self) -> None:
        """All is well again: whatever is open comes to an end by itself."""
        if not hasattr(self, "world"):
            return
        self.wire.down.clear()
        self.world.store.resume(now=self.world.clock())
        for _ in range(24):
            self.wire.run()
            self.world.clock.advance(minutes=20)
        for _ in range(30):
            self.wire.run()
            self.world.clock.advance(hours=12)
        cases = self.world.store.cases()
        assert len(cases) == len(self.tickets)
        for case in cases:
            assert case.state in OVER, f"{case.state}: {case.explanation}"
            assert case.explanation
            assert (case.outcome is None) is (case.state is State.NEEDS_PERSON), case.explanation
            if case.outcome in (Outcome.OPENED, Outcome.EXPIRED):
                assert self.world.links.behind(case.link_id) == self.world.directory.passwords[case.subject_id]
        check_nothing_is_lost(self.world)
        check_nothing_shows(self.world)
        assert self.world.bugs == []
        assert all(done.result is not Result.BUG for done in self.world.passes)


TestServiceDesk = ServiceDesk.TestCase
TestServiceDesk.settings = settings(
    max_examples=2000 if THOROUGH else 100,
    # Making a failure small takes minutes; `HYPOTHESIS_PROFILE=thorough pytest --timeout 1800 …` does so.
    phases=list(Phase) if THOROUGH else [Phase.explicit, Phase.reuse, Phase.generate],
    stateful_step_count=40,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
