"""What a link service, or one of its keys, can make the connector believe about alarms, and what it cannot."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connector.core.case import Action, Case, Outcome, Person, State
from connector.core.notice import NotifySubject, whom_to_tell
from connector.core.ports import (
    AlarmSource,
    ChangedTicket,
    LinkEvent,
    LinkEventKind,
    LinkNews,
    MailKind,
    Watched,
)
from connector.core.secret import Secret
from connector.courier import WAIT_FOR_AN_ALARM
from connector.errors import PermanentError, TemporaryError
from connector.graph.facts import manager_in
from connector.intake import LINKS, Polls
from connector.migrations import upgrade
from connector.secretlink.client import BuiltinLinks
from connector.secretlink.seal import lookup_of
from connector.secretlink.service.store.vault import Vault
from connector.secretlink.telling import Teller, number
from connector.store.cases import SqlCaseStore, open_store
from tests.contracts.links import read_on
from tests.fakes.directory import FakeAccount
from tests.fakes.links import FakeLinks
from tests.fakes.psa import FakeTicket
from tests.fakes.world import REQUESTER, SUBJECT, World
from tests.secretlink.conftest import api_key, clock, database, pepper
from tests.secretlink.running import running
from tests.secretlink.support import FakeClock, open_vault, options_for
from tests.secretlink.test_client import client, token_of, wish
from tests.secretlink.test_client_wishes import alarm_wish, report_opened
from tests.secretlink.test_vault import SOMEBODY
from tests.test_cli import config, connector

__all__ = ["api_key", "clock", "config", "database", "pepper"]

CASE = "case-00112233445566ff"
OTHER = "otto@contoso.example.com"


@pytest.fixture
def vault(database: str, clock: FakeClock, pepper: bytes) -> Iterator[Vault]:
    opened = open_vault(database, clock, pepper)
    yield opened
    opened.close()


@pytest.fixture
def links(database: str, clock: FakeClock, pepper: bytes, api_key: str) -> Iterator[BuiltinLinks]:
    with running(options_for(database, pepper, api_key), clock=clock) as url:
        yield client(url, api_key, clock)


# ---------------------------------------------------------------- forged reports


def test_a_link_whose_reference_names_a_case_raises_no_alarm_about_that_case(links: BuiltinLinks, vault: Vault) -> None:
    """Whoever may make links may write what they like into their reference, and press on the link's own page."""
    link = links.create(wish(ref=CASE), Secret(secrets.token_urlsafe()))
    report_opened(vault, link)
    (report,) = [event for event in read_on(links)[0] if event.kind is LinkEventKind.REPORTED]
    assert report.link_id == link.id


def test_a_link_that_is_called_like_a_case_tells_nothing_about_that_case(links: BuiltinLinks, vault: Vault) -> None:
    link = links.create(wish(id=CASE), Secret(secrets.token_urlsafe()))
    report_opened(vault, link)
    links.revoke(CASE)
    assert read_on(links)[0] == []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlCaseStore]:
    address = f"sqlite:///{tmp_path / 'connector.db'}"
    upgrade(address, "connector")
    opened = open_store(address)
    yield opened
    opened.close()


@pytest.fixture
def case(store: SqlCaseStore, links: BuiltinLinks, clock: FakeClock) -> Case:
    """One whose link is out, and nothing of which is due."""
    store.note_tickets("halo", [ChangedTicket("4242", "4242")], now=clock.now)
    case = store.claim_due(now=clock.now, lease=timedelta(minutes=5))
    assert case is not None
    link = links.create(wish(), Secret(secrets.token_urlsafe()))
    case = store.save(replace(case, state=State.LINK_OUT, link_id=link.id, due_at=None), now=clock.now)
    Polls(store=store, links=links, clock=clock, every=timedelta(seconds=15)).poll_links()
    store.save(claimed(store, clock), now=clock.now)
    assert store.claim_due(now=clock.now, lease=timedelta(minutes=5)) is None
    return case


def claimed(store: SqlCaseStore, clock: FakeClock) -> Case:
    case = store.claim_due(now=clock.now, lease=timedelta(minutes=5))
    assert case is not None
    return case


@dataclass
class Stranger:
    """Somebody else at the same link service, with a key that may do all that the connector's may."""

    links: BuiltinLinks
    vault: Vault
    clock: FakeClock

    def presses(self, *, about: str, link_id: str = "") -> None:
        """Arms an alarm and presses it."""
        url = self.links.arm(alarm_wish(self.clock, link_id, about=about))
        assert self.vault.raise_alarm(lookup_of(token_of(url)), visitor=SOMEBODY)


@pytest.fixture
def stranger(links: BuiltinLinks, vault: Vault, clock: FakeClock) -> Stranger:
    return Stranger(links, vault, clock)


def heard(store: SqlCaseStore, links: BuiltinLinks, clock: FakeClock, case: Case) -> list[LinkEventKind]:
    """What the connector takes in about a case, beside that its link was made."""
    Polls(store=store, links=links, clock=clock, every=timedelta(seconds=15)).poll_links(early=True)
    return [event.kind for event in store.link_events(case.id, after=0)][1:]


def test_an_alarm_that_the_connector_armed_is_heard(
    store: SqlCaseStore, links: BuiltinLinks, clock: FakeClock, case: Case, stranger: Stranger
) -> None:
    stranger.presses(about=store.alarm_reference(case.id), link_id=case.link_id)
    assert heard(store, links, clock, case) == [LinkEventKind.REPORTED, LinkEventKind.REVOKED]
    assert claimed(store, clock).id == case.id


@pytest.mark.parametrize(
    "about",
    [
        "{case.id}",
        "{case.link_id}",
        "halo/4242",
        "alarm-00000000000000000000000000000000",
        "alarm-%",
        "x{reference}",
        "{reference}0",
    ],
)
def test_a_strangers_alarm_about_a_case_is_not_heard(
    store: SqlCaseStore, links: BuiltinLinks, clock: FakeClock, case: Case, stranger: Stranger, about: str
) -> None:
    """Whatever they have read of it: its id in a log, its link in the service's list, its ticket in a mail."""
    reference = store.alarm_reference(case.id)
    stranger.presses(about=about.format(case=case, reference=reference))
    assert heard(store, links, clock, case) == []
    assert store.claim_due(now=clock.now, lease=timedelta(minutes=5)) is None


@pytest.mark.parametrize("about", ["{case.id}", "{case.link_id}", "whatever", "alarm-00000000000000000000000000000000"])
def test_a_strangers_alarm_that_ends_a_link_of_ours_is_the_end_of_that_link_and_no_alarm(
    store: SqlCaseStore, links: BuiltinLinks, clock: FakeClock, case: Case, stranger: Stranger, about: str
) -> None:
    """To end it is what their key may do. To have an account locked is not."""
    stranger.presses(about=about.format(case=case), link_id=case.link_id)
    assert heard(store, links, clock, case) == [LinkEventKind.REVOKED]


def test_a_link_that_is_called_like_an_alarm_of_a_case_tells_nothing_about_that_case(
    store: SqlCaseStore, links: BuiltinLinks, clock: FakeClock, case: Case, stranger: Stranger, vault: Vault
) -> None:
    """Who reads events learns the word when the alarm was pressed, and may make a link of that name."""
    reference = store.alarm_reference(case.id)
    link = links.create(wish(id=reference), Secret(secrets.token_urlsafe()))
    vault.report_link(lookup_of(token_of(link.url)), visitor=SOMEBODY)
    assert heard(store, links, clock, case) == []


def test_the_account_is_left_alone_where_an_alarm_only_names_its_case() -> None:
    world = World()
    ticket = world.carried_out()
    case, before, moves = world.case_of(ticket), list(world.writes), list(world.moves)
    report = LinkEvent(
        seq=1000, link_id=case.id, kind=LinkEventKind.REPORTED, at=world.clock(), reason=AlarmSource.NOTICE.value
    )
    world.links.history.append(report)
    world.run()
    assert (world.writes, world.moves) == (before, moves)
    assert (world.state_of(ticket), world.case_of(ticket).outcome) == (State.LINK_OUT, None)


def test_what_proves_an_alarm_is_ours_stands_in_no_log_note_mail_or_audit() -> None:
    world = World()
    with capture_logs() as logs:
        ticket = world.carried_out()
        world.open_newest_link()
        world.links.raise_before("arm", PermanentError("The link service refused it (422)."))
        world.run()
        world.press(ticket, AlarmSource.NOTICE)
        world.run()
    reference = world.store.alarm_reference(world.case_of(ticket).id)
    assert reference in {wish.about for wish in world.links.armed()}
    shown = [logs, world.notes_of(ticket), world.audit_of(ticket), world.case_of(ticket), world.mailer.sent]
    shown += [mail.text + mail.html for mail in world.mailer.sent]
    shown += [sent.row for sent in world.store.messages]
    assert reference not in repr(shown)


# ---------------------------------------------------------------- numbers


def test_our_own_service_after_another_kind_tells_under_numbers_that_come_after_all_of_that_ones(
    links: BuiltinLinks,
    clock: FakeClock,
) -> None:
    """A case takes in no number twice and none below its last: reveals and alarms would else never be heard."""
    at = clock.now
    told = LinkEvent(
        seq=number(at, "lnk_0011223344556677"), link_id="lnk_0011223344556677", kind=LinkEventKind.REVEALED, at=at
    )
    cursor = Teller().tell("", [told]).cursor
    clock.advance(seconds=1)
    links.create(wish(), Secret(secrets.token_urlsafe()))
    anew = links.begin_anew(cursor)
    events, after = read_on(links, anew)
    assert [event.kind for event in events] == [LinkEventKind.CREATED]
    assert events[0].seq > told.seq
    links.create(wish(), Secret(secrets.token_urlsafe()))
    (next_one,), _ = read_on(links, after)
    assert next_one.seq == events[0].seq + 1


class Endless(FakeLinks):
    """Says that there is more, and has none."""

    def news(self, cursor: str, watched: tuple[Watched, ...] = ()) -> LinkNews:  # type: ignore[override]
        return replace(super().news(cursor, watched), more=True)


def test_a_service_that_always_promises_more_does_not_keep_the_poll_for_ever() -> None:
    world = World()
    world.links = Endless(clock=world.clock)
    asked: list[str] = []

    def patience(call: str, moment: str) -> None:
        asked.append(call)
        if len(asked) > 100:
            raise TemporaryError("Asked a hundred times for nothing.")

    world.links.on_call = patience
    polls = Polls(store=world.store, links=world.links, clock=world.clock, every=timedelta(seconds=15))
    assert polls.poll_links()
    assert len(asked) < 10


# ---------------------------------------------------------------- mails that must not get lost


def a_case_whose_ticket_does_not_say_any_more_what_to_reset(world: World) -> FakeTicket:
    ticket = world.carried_out()
    world.links.revoke(world.case_of(ticket).link_id)
    world.run()
    world.psa.tickets[ticket.id].action = None
    world.psa.ask_retry(ticket.id)
    world.run()
    assert (world.state_of(ticket), world.case_of(ticket).action) == (State.NEEDS_PERSON, None)
    return ticket


def test_the_requester_hears_of_an_alarm_though_the_ticket_does_not_say_any_more_what_was_reset() -> None:
    world = World()
    ticket = a_case_whose_ticket_does_not_say_any_more_what_to_reset(world)
    world.press(ticket, AlarmSource.NOTICE)
    world.run()
    assert MailKind.NOT_ME in world.mails_to(REQUESTER)
    assert not [text for text in world.notes_of(ticket) if "could not be delivered" in text]


def test_a_reveal_is_told_with_its_button_though_the_ticket_does_not_say_any_more_what_was_reset() -> None:
    world = World()
    ticket = world.carried_out()
    url = world.newest_link()
    world.open_newest_link()
    world.links.history.pop()
    reveal = LinkEvent(seq=1000, link_id=world.case_of(ticket).link_id, kind=LinkEventKind.REVEALED, at=world.clock(),
                       view=1, views_left=1)  # fmt: skip
    world.links.revoke(world.case_of(ticket).link_id)
    world.run()
    world.psa.tickets[ticket.id].action = None
    world.psa.ask_retry(ticket.id)
    world.run()
    assert (world.state_of(ticket), world.case_of(ticket).action) == (State.NEEDS_PERSON, None)
    world.links.history.append(reveal)
    world.run()
    assert url
    assert MailKind.LINK_ACCESSED in world.mails_to(REQUESTER)
    assert len(world.mailed_alarms()) == 1


def test_a_mail_that_waited_for_something_else_still_waits_for_its_alarm() -> None:
    """An hour behind a PSA that was away says nothing about the link service, which was asked only now."""
    world = World()
    ticket = world.carried_out()
    world.psa.raise_before("add_note", *[TemporaryError("It is away.")] * 15)
    world.open_newest_link()
    world.run_for(minutes=WAIT_FOR_AN_ALARM / timedelta(minutes=1) + 30)
    assert MailKind.LINK_ACCESSED not in world.mails
    world.links.raise_before("arm", TemporaryError("It is away for a moment."))
    world.run_for(hours=2)
    assert world.state_of(ticket) is State.CLOSED
    assert world.mails.count(MailKind.LINK_ACCESSED) == 1
    assert len(world.mailed_alarms()) == 1


# ---------------------------------------------------------------- whom the notice goes to


def test_the_notice_does_not_go_to_a_manager_who_approved_under_another_of_their_addresses() -> None:
    manager = manager_in(
        {
            "id": "0a1b2c3d-0000-4000-8000-00000000000a", "displayName": "Anna", "mail": "anna@contoso.example.com",
            "userPrincipalName": "anna@contoso.example.com", "accountEnabled": True,
            "proxyAddresses": ["SMTP:anna@contoso.example.com", "smtp:a.approver@contoso.example.com"],
        }
    )  # fmt: skip
    assert manager is not None
    world = World()
    case = world.case_of(world.carried_out())
    (approval,) = case.approvals
    other_address = Person("Anna", "a.approver@contoso.example.com")
    case = replace(case, approvals=(replace(approval, approver=other_address),))
    account = world.directory.account(SUBJECT).reading()
    told = whom_to_tell(NotifySubject.MANAGER, account, case, senders=(), manager=manager)
    assert told.people == ()
    assert "approved it" in told.nobody


# ---------------------------------------------------------------- the alarm names whom it is about


def test_the_alarm_is_about_the_account_that_was_reset_and_not_about_the_one_that_the_ticket_names_by_now() -> None:
    world = World()
    ticket = world.carried_out(action=Action.PASSWORD)
    world.links.revoke(world.case_of(ticket).link_id)
    world.run()
    world.psa.change_subject(ticket.id, "otto@contoso.example.com")
    world.psa.ask_retry(ticket.id)
    world.run()
    world.press(ticket, AlarmSource.NOTICE)
    world.run()
    assert world.case_of(ticket).outcome is Outcome.NOT_ME
    note = world.note_with(ticket, "ALARM:")
    assert SUBJECT in note
    assert "otto" not in note.lower()


def changed_after_the_delivery(world: World) -> FakeTicket:
    """A ticket that names another account by now, and a reveal of the link that was made for the first one."""
    world.directory.accounts.append(FakeAccount(upn=OTHER, display_name="Otto Other"))
    ticket = world.carried_out(action=Action.PASSWORD)
    reveal = LinkEvent(
        seq=1000, link_id=world.case_of(ticket).link_id, kind=LinkEventKind.REVEALED, at=world.clock(), view=1,
        views_left=1,
    )  # fmt: skip
    world.links.revoke(world.case_of(ticket).link_id)
    world.run()
    world.psa.change_subject(ticket.id, OTHER)
    world.psa.ask_retry(ticket.id)
    world.run()
    assert world.case_of(ticket).subject == OTHER
    world.links.history.append(reveal)
    return ticket


def test_a_late_reveal_is_told_about_the_account_that_the_link_was_made_for() -> None:
    world = World()
    ticket = changed_after_the_delivery(world)
    world.psa.close(ticket.id)
    world.run()
    (letter,) = world.letters_of(MailKind.LINK_ACCESSED)
    assert (letter.facts["subject_name"], letter.facts["subject_upn"]) == (SUBJECT, SUBJECT)
    assert "otto" not in str(letter.facts).lower()
    assert [wish.display_name for wish in world.links.armed()] == [SUBJECT]
    assert SUBJECT in world.note_with(ticket, "was shown (view 1)")


def test_a_reveal_of_each_of_two_links_is_told_about_the_account_of_that_link() -> None:
    world = World()
    ticket = changed_after_the_delivery(world)
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    world.links.open(world.newest_link())
    world.links.history[-1] = replace(world.links.history[-1], seq=1001)
    world.run()
    letters = world.letters_of(MailKind.LINK_ACCESSED)
    names = {letter.facts["subject_upn"]: letter.facts["subject_name"] for letter in letters}
    assert names == {SUBJECT: SUBJECT, OTHER: "Otto Other"}


def test_a_reveal_that_is_heard_with_an_alarm_is_told_about_the_account_of_its_link() -> None:
    world = World()
    ticket = changed_after_the_delivery(world)
    world.approve(ticket)
    world.run()
    world.press(ticket, AlarmSource.NOTICE)
    world.links.history[-1] = replace(world.links.history[-1], seq=1001)
    world.run()
    assert world.case_of(ticket).outcome is Outcome.NOT_ME
    assert SUBJECT in world.note_with(ticket, "was shown (view 1)")
    assert [letter.facts["subject_upn"] for letter in world.letters_of(MailKind.LINK_ACCESSED)] == [SUBJECT]


def test_a_reveal_for_an_account_that_the_ticket_calls_by_another_of_its_addresses_keeps_its_name() -> None:
    world = World()
    account = world.directory.account(SUBJECT)
    account.also, account.display_name = ("lea.alias@contoso.example.com",), "Lea Example"
    ticket = world.carried_out(action=Action.PASSWORD, subject_text="lea.alias@contoso.example.com")
    world.open_newest_link()
    world.run()
    (letter,) = world.letters_of(MailKind.LINK_ACCESSED)
    assert letter.facts["subject_name"] == "Lea Example"
    assert world.note_with(ticket, "The password was shown (view 1)")


# ---------------------------------------------------------------- told twice


def test_a_history_that_is_read_again_after_another_kind_of_service_tells_nothing_twice(
    links: BuiltinLinks,
    vault: Vault,
    clock: FakeClock,
    tmp_path: Path,
) -> None:
    """Tried for a week, Password Pusher leaves a cursor behind from which ours is read from its beginning again."""
    address = f"sqlite:///{tmp_path / 'connector.db'}"
    upgrade(address, "connector")
    store = open_store(address)
    store.note_tickets("halo", [ChangedTicket("4242", "4242")], now=clock.now)
    case = store.claim_due(now=clock.now, lease=timedelta(minutes=5))
    assert case is not None
    link = links.create(wish(), Secret(secrets.token_urlsafe()))
    store.save(replace(case, link_id=link.id), now=clock.now)
    report_opened(vault, link)
    polls = Polls(store=store, links=links, clock=clock, every=timedelta(seconds=15))
    polls.poll_links()
    told = store.link_events(case.id, after=0)
    assert LinkEventKind.REPORTED in [event.kind for event in told]

    store.finish_poll(LINKS, cursor=f"{number(clock.now, 'lnk_other')}.{secrets.token_hex(4)}", next_at=clock.now)
    polls.poll_links()
    assert store.link_events(case.id, after=0) == told
    vault.record_burst(visitor=SOMEBODY)
    links.revoke(links.create(wish(), Secret(secrets.token_urlsafe())).id)
    polls.poll_links(early=True)
    assert store.link_events(case.id, after=0) == told
    store.close()


# ---------------------------------------------------------------- at the command line


@pytest.mark.parametrize("command", ["cancel", "retry"])
def test_a_command_that_is_refused_does_not_make_the_connector_forget_an_alarm(config: Path, command: str) -> None:
    """It held the case for a moment, and what had called for a pass meanwhile must call for it still."""
    assert connector(config, "migrate").returncode == 0
    store = open_store(json.loads(config.read_text())["database"])
    now = datetime.now(UTC)
    store.note_tickets("halo", [ChangedTicket("4242", "4242")], now=now)
    case = store.claim_due(now=now, lease=timedelta(minutes=5))
    assert case is not None
    store.save(replace(case, state=State.CLOSED, due_at=None), now=now)
    assert store.claim_due(now=now, lease=timedelta(minutes=5)) is None
    reference = store.alarm_reference(case.id)
    report = LinkEvent(seq=7, link_id=reference, kind=LinkEventKind.REPORTED, at=now, reason="notice")
    store.record_link_events([report], now=now)

    refused = connector(config, command, "4242")
    assert refused.returncode == 1
    assert "closed" in refused.stderr
    again = store.claim_due(now=datetime.now(UTC), lease=timedelta(minutes=5))
    assert again is not None
    assert again.id == case.id
    store.close()
