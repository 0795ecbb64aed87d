"""A rehearsal says of past tickets what the connector, had it been there, would have done: the two are compared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.core.brake import Limit
from connector.core.case import Action, Case, Outcome, Person, State
from connector.core.pair import PairRule
from connector.core.rehearsal import Fate, Rehearsed
from connector.errors import PermanentError
from connector.rehearsal import Rehearsal
from tests.fakes.directory import FakeAccount
from tests.fakes.psa import APPROVER, REQUESTER, FakeTicket
from tests.fakes.world import START, SUBJECT, PlainLetters, World, wide_limits

BO = Person(name="Bo", email="bo@contoso.example.com", ids=frozenset({"fake.user:9"}))
RITA_BY_ALIAS = Person(name="R.", email="rita.alias@contoso.example.com", ids=frozenset({"fake.user:77"}))
LEA = Person(name="Lea", email=SUBJECT, ids=frozenset({"fake.user:3"}))
ANNA_BY_ALIAS = Person(name="A. A.", email="manager@contoso.example.com", ids=frozenset({"fake.user:12"}))
PEOPLE = (APPROVER, ANNA_BY_ALIAS, BO, RITA_BY_ALIAS, REQUESTER, LEA)
SUBJECTS = (SUBJECT, SUBJECT, "emil@contoso.example.com", "boss@contoso.example.com", "nobody@contoso.example.com")


@dataclass(frozen=True)
class Story:
    """One ticket: what is asked, and who says what how long after it was raised."""

    after: int
    action: Action
    subject: str
    requester: Person
    answers: tuple[tuple[Person, bool], ...]
    waits: int
    changed_after: int | None


stories = st.builds(
    Story,
    after=st.integers(0, 30),
    action=st.sampled_from(Action),
    subject=st.sampled_from(SUBJECTS),
    requester=st.sampled_from((REQUESTER, REQUESTER, BO, LEA)),
    answers=st.lists(
        st.tuples(st.sampled_from(PEOPLE), st.sampled_from((True, True, True, False))),
        max_size=2,
        unique_by=lambda answer: answer[0],
    ).map(tuple),
    waits=st.sampled_from((2, 7, 90, 60 * 24 * 8)),
    changed_after=st.sampled_from((None, None, None, 5, 100)),
)


def make_world(pair_rule: PairRule, minimum: int, per_subject: int, per_requester: int) -> World:
    hour = timedelta(hours=5)
    world = World(
        writer=PlainLetters(),
        pair_rule=pair_rule,
        limits=wide_limits(per_subject=Limit(per_subject, hour), per_requester=Limit(per_requester, hour)),
    )
    world.set_rules(approvers_minimum=minimum)
    contoso = [
        FakeAccount(upn="emil@contoso.example.com"),
        FakeAccount(upn="boss@contoso.example.com", admin_roles=("Global Administrator",)),
        FakeAccount(upn="anna@contoso.example.com", also=("manager@contoso.example.com",)),
        FakeAccount(upn="rita@contoso.example.com", also=("rita.alias@contoso.example.com",)),
    ]
    world.directory.accounts.extend(contoso)
    return world


def live_through(world: World, told: list[Story], *, watched: bool = True) -> list[FakeTicket]:
    """Everything happens at its minute, and the connector looks right after it, where there is one."""
    tickets: dict[int, FakeTicket] = {}
    events: list[tuple[datetime, int, int, str]] = []
    raised = START
    for number, story in enumerate(told):
        raised += timedelta(minutes=story.after, seconds=7)
        events.append((raised, number, -2, "raise"))
        decided = raised
        for order, _ in enumerate(story.answers):
            decided += timedelta(minutes=story.waits)
            events.append((decided, number, order, "answer"))
        if story.changed_after is not None:
            events.append((raised + timedelta(minutes=story.changed_after), number, -1, "change"))
    for at, number, order, what in sorted(events):
        if not watched:
            world.clock.now = max(at, world.clock())
        elif at > world.clock():
            world.run_for(every=timedelta(hours=24), seconds=(at - world.clock()).total_seconds())
        story = told[number]
        if what == "raise":
            asked = tuple(dict.fromkeys(person for person, _ in story.answers)) or (APPROVER,)
            tickets[number] = world.ticket(
                action=story.action,
                subject_text=story.subject,
                requester=story.requester,
                approvers=asked,
            )
        elif tickets[number].status == "Closed":
            continue
        elif what == "change" and tickets[number].decisions:
            continue  # when a ticket was changed after what was done with it, nobody can tell
        elif what == "change":
            world.psa.change_subject(tickets[number].id, story.subject)
        else:
            person, yes = story.answers[order]
            (world.psa.approve if yes else world.psa.reject)(tickets[number].id, person)
        if watched:
            world.run()
    return [tickets[number] for number in range(len(told))]


def what_became(case: Case) -> str:
    if case.outcome is Outcome.REJECTED:
        return "rejected"
    if case.state is State.NEEDS_PERSON:
        return "hand-off"
    if case.outcome in (Outcome.OPENED, Outcome.MFA_RESET, Outcome.EXPIRED) or case.state is State.LINK_OUT:
        return "reset"
    return "nothing"


VERDICTS = {
    Fate.RESET: {"reset"},
    Fate.HAND_OFF: {"hand-off"},
    Fate.BRAKE: {"hand-off"},
    Fate.REJECTED: {"rejected"},
    Fate.NO_APPROVAL: {"nothing"},
    Fate.TIMED_OUT: {"nothing"},
    Fate.VOID: {"nothing", "hand-off"},  # a void yes that nothing follows is too old after a day
}


def replay(world: World) -> list[Rehearsed]:
    rehearsal = Rehearsal(
        directory=world.directory, policy_for=world.policy_for, limits=world.limits, sleep=lambda _: None
    )
    return rehearsal.replay([world.psa], START - timedelta(minutes=1))


def test_an_agent_who_closed_a_past_ticket_did_not_take_it_from_a_connector() -> None:
    world = World()
    done, open_one = world.ticket(), world.ticket(subject_text="emil@contoso.example.com")
    world.directory.accounts.append(FakeAccount(upn="emil@contoso.example.com"))
    for ticket in (done, open_one):
        ticket.taken_by = "Hanna"
        world.approve(ticket)
    world.psa.close(done.id)
    assert [(one.fate, one.code) for one in replay(world)] == [(Fate.RESET, ""), (Fate.HAND_OFF, "taken_by_agent")]


def test_a_requester_whom_the_directory_refuses_ends_no_rehearsal() -> None:
    world = World()
    for _ in range(2):
        world.approve(world.ticket())
    asked: list[str] = []

    def on_call(call: str, moment: str) -> None:
        asked.append(call)
        if len(asked) == 3:  # the second look-up of the first ticket: its requester's
            raise PermanentError("The directory does not like this address. Correct it.")

    world.directory.on_call = on_call
    assert [(one.fate, one.code) for one in replay(world)] == [(Fate.HAND_OFF, "failed"), (Fate.RESET, "")]


def test_an_approver_by_the_requesters_alias_is_found_out_in_a_rehearsal_too() -> None:
    world = make_world(PairRule.ALLOW, 1, 9, 9)
    ticket = world.ticket(approvers=(RITA_BY_ALIAS,))
    world.approve(ticket, RITA_BY_ALIAS)
    assert [one.code for one in replay(world)] == ["approver_is_requester"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    told=st.lists(stories, min_size=1, max_size=4),
    pair_rule=st.sampled_from(PairRule),
    minimum=st.sampled_from((1, 1, 2)),
    per_subject=st.sampled_from((1, 2, 3, 100)),
    per_requester=st.sampled_from((1, 100)),
    closed=st.booleans(),
)
def test_a_rehearsal_says_what_is_done_live(
    told: list[Story], pair_rule: PairRule, minimum: int, per_subject: int, per_requester: int, closed: bool
) -> None:
    """The same stories with a connector, and without one: then the tickets are replayed."""
    world = make_world(pair_rule, minimum, per_subject, per_requester)
    tickets = live_through(world, told)
    assert not world.bugs
    became = {ticket.id: what_became(world.case_of(ticket)) for ticket in tickets}
    past = make_world(pair_rule, minimum, per_subject, per_requester)
    for ticket in live_through(past, told, watched=False):
        if closed:
            past.psa.close(ticket.id)
    for one_world in (world, past):
        writes = len(one_world.writes)
        verdicts = {one.number: one for one in replay(one_world)}
        assert became.keys() == verdicts.keys()
        different = {number: one for number, one in verdicts.items() if became[number] not in VERDICTS[one.fate]}
        assert not different, became
        assert len(one_world.writes) == writes
