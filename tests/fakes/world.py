"""A whole service in memory: a PSA, a directory, a link service, a mail server, a database, a clock, one process.

Everything outside is a fake; the reconciler, the polls and the mail templates are the real ones. `World.run` does what
the daemon does between two ticks. `World.restart` is a new process on the same database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

from connector.core.brake import Limit, Limits
from connector.core.case import Approval, Case, Person, State
from connector.core.notice import NotifySubject
from connector.core.pair import PairRule
from connector.core.ports import (
    AlarmSource,
    AlarmWish,
    AuditLine,
    Email,
    Letter,
    LetterWriter,
    MailKind,
    Note,
    Psa,
    StatusTarget,
)
from connector.core.secret import Secret
from connector.core.steps import Policy
from connector.errors import AuthenticationError, DatabaseError, PermanentError, TemporaryError
from connector.intake import Polls
from connector.mail.render import Brand, Renderer
from connector.passwords import new_password
from connector.reconciler import LEASE, Pass, Reconciler
from tests.fakes.directory import FakeAccount, FakeDirectory, Write
from tests.fakes.links import FakeLinks
from tests.fakes.mailer import FakeMailer
from tests.fakes.psa import APPROVER, REQUESTER, FakePsa, FakeTicket
from tests.fakes.store import MemoryCaseStore

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SUBJECT = "lea@contoso.example.com"
SENDER = "support@msp.example.com"
TENANT = "contoso"
MOST_PASSES = 40
"""More in one run is a loop without a pause."""

WIDE = Limit(1000, timedelta(hours=24))


class FakeClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


class PlainLetters:
    """A `LetterWriter` without templates, for tests by the thousand."""

    def write(self, letter: Letter, *, link: Secret | None = None) -> Email:
        text = link.reveal() if link else " ".join(letter.facts.values())
        return Email(f"<{letter.id}>", letter.to, letter.kind.value, text, "")


class KnownLetters:
    """Passes letters on to a writer and remembers which mail came from which letter, and with which link."""

    def __init__(self, writer: LetterWriter) -> None:
        self._writer = writer
        self.letters: dict[str, Letter] = {}
        self.links: dict[str, Secret] = {}

    def write(self, letter: Letter, *, link: Secret | None = None) -> Email:
        email = self._writer.write(letter, link=link)
        self.letters[email.message_id] = letter
        if link is not None:
            self.links[email.message_id] = link
        return email


def real_letters() -> Renderer:
    brand = Brand("MSP Service Desk", "+44 20 7946 0000")
    return Renderer(brand, zone=lambda _: UTC, sender_domain="msp.example.com")


def wide_limits(**narrow: Limit) -> Limits:
    limits = {"per_subject": WIDE, "per_requester": WIDE, "per_approver": WIDE, "per_tenant": WIDE, "overall": WIDE}
    return Limits(**{**limits, **narrow})


@dataclass
class World:
    """Everything, at its start: one account, no ticket.

    Attributes:
        tenants: Client ids of each PSA with the tenant of each.
        more_psas: Names of PSAs beside the first one, `halo`.
        approvers: Who may approve, folded; `None`: whoever the PSA says.
        bugs: What the reconciler reported as defects.
        passes: Every pass of every process, oldest first.
        poll_failures: What the polls raised, as text.
        passwords: Every candidate that was made.
        at_work_on: The id of the case of the present pass.
        changed_at: When somebody last changed what a ticket asks for; kept by the tests that do so.
        mail_numbers: Tell the mails of the tests' own alarms apart.
    """

    writer: LetterWriter = field(default_factory=real_letters)
    limits: Limits = field(default_factory=wide_limits)
    lifetime: timedelta = timedelta(minutes=60)
    views: int = 2
    approvers: frozenset[str] | None = None
    pair_rule: PairRule = PairRule.SECOND_APPROVER
    everything_is_dry: bool = False
    notify_subject: NotifySubject = NotifySubject.ALTERNATE_MAIL
    tenants: dict[str, str] = field(default_factory=lambda: {"12": TENANT})
    more_psas: tuple[str, ...] = ()
    clock: FakeClock = field(default_factory=FakeClock)
    bugs: list[BaseException] = field(default_factory=list)
    passes: list[Pass] = field(default_factory=list)
    poll_failures: list[str] = field(default_factory=list)
    passwords: list[Secret] = field(default_factory=list)
    at_work_on: str = ""
    changed_at: dict[str, datetime] = field(default_factory=dict)
    mail_numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.psa = FakePsa(clock=self.clock)
        self.psas = {psa.name: psa for psa in (self.psa, *(FakePsa(name, clock=self.clock) for name in self.more_psas))}
        self.directory = FakeDirectory([FakeAccount(upn=SUBJECT, methods=["phone (mobile)", "fido2"])])
        self.links = FakeLinks(clock=self.clock)
        self.mailer = FakeMailer()
        self.store = MemoryCaseStore()
        self.letters = KnownLetters(self.writer)
        self.restart()

    def restart(self) -> None:
        """A new process: nothing of the old one's memory is left."""
        self.polls = Polls(store=self.store, links=self.links, clock=self.clock, every=timedelta(seconds=15))
        self.reconciler = Reconciler(
            store=self.store,
            psas=self.psas,
            directory=self.directory,
            links=self.links,
            letters=self.letters,
            mailer=self.mailer,
            limits=self.limits,
            policy_for=self.policy_for,
            link_events=self.polls.read_links_now,
            new_password=self.new_password,
            clock=self.clock,
            report_bug=lambda bug, _: self.bugs.append(bug),
        )

    def policy_for(self, psa: Psa, client_id: str) -> Policy:
        return Policy(
            tenant=self.tenants.get(client_id, ""),
            approvers=self.approvers,
            timing=psa.rules.timing,
            lifetime=self.lifetime,
            views=self.views,
            senders=frozenset({SENDER}),
            minimum=psa.rules.approvers_minimum,
            pair_rule=self.pair_rule,
            notify_subject=self.notify_subject,
            public_notes=psa.rules.public_notes,
            dry_run=psa.rules.dry_run,
            everything_is_dry=self.everything_is_dry,
        )

    def new_password(self) -> Secret:
        self.passwords.append(new_password())
        return self.passwords[-1]

    # -- what the daemon does

    def run(self) -> list[Pass]:
        """Poll everything, then work until nothing is due. Returns the passes made."""
        self.links.expire(self.clock())
        for psa in self.psas.values():
            self._poll(partial(self.polls.poll_psa, psa, early=True))
        self._poll(lambda: self.polls.poll_links(early=True))
        made: list[Pass] = []
        while len(made) <= MOST_PASSES:
            try:
                case = self.store.claim_due(now=self.clock(), lease=LEASE)
            except DatabaseError:
                return made
            if case is None:
                return made
            self.at_work_on = case.id
            made.append(self.reconciler.work_on(case))
            self.passes.append(made[-1])
        raise AssertionError(f"more than {MOST_PASSES} passes in a row: a loop without a pause")

    def run_for(self, *, every: timedelta = timedelta(minutes=1), **span: float) -> None:
        """Let time go by, and run again and again meanwhile."""
        end = self.clock() + timedelta(**span)
        self.run()
        while self.clock() < end:
            self.clock.now = min(end, self.clock() + every)
            self.run()

    def _poll(self, poll: Callable[[], object]) -> None:
        try:
            poll()
        except (TemporaryError, AuthenticationError, PermanentError) as failure:
            self.poll_failures.append(str(failure))

    def set_rules(self, **rules: object) -> None:
        """Change what the PSA's mapping says; see `Rules`."""
        self.psa.rules = replace(self.psa.rules, **rules)  # type: ignore[arg-type]

    # -- what people do

    def ticket(self, **fields: object) -> FakeTicket:
        """A new ticket, as `FakePsa.add_ticket`."""
        return self.psa.add_ticket(**fields)

    def approve(self, ticket: FakeTicket, approver: Person = APPROVER, **more: object) -> Approval:
        """The approver says yes, a minute after whatever came before."""
        self.clock.advance(minutes=1)
        return self.psa.approve(ticket.id, approver, **more)  # type: ignore[arg-type]

    def carried_out(self, **fields: object) -> FakeTicket:
        """A request that was approved and carried out."""
        ticket = self.ticket(**fields)
        self.run()
        self.approve(ticket)
        self.run()
        return ticket

    def alarm_for(
        self, ticket: FakeTicket, source: AlarmSource = AlarmSource.ACCESSED, *, ends_link: bool = True
    ) -> Secret:
        """The address of an alarm about this ticket's case, as such a mail would carry it. Each time another.

        Args:
            ends_link: `False`: it was armed before the newest link was made, and does not end that one.
        """
        case = self.case_of(ticket)
        return self.links.arm(
            AlarmWish(
                mail=f"{case.id}/{next(self.mail_numbers)}", about=self.store.alarm_reference(case.id),
                link_id=case.link_id if ends_link else "", source=source, display_name=case.subject_name,
                ticket=case.number, since=self.clock(), lifetime=timedelta(days=7),
            )
        )  # fmt: skip

    def press(
        self, ticket: FakeTicket, source: AlarmSource = AlarmSource.ACCESSED, *, ends_link: bool = True
    ) -> Secret:
        """Somebody says "this was not me". The alarm's address, to press it once more."""
        alarm = self.alarm_for(ticket, source, ends_link=ends_link)
        assert self.links.press(alarm)
        return alarm

    def open_newest_link(self) -> Secret:
        """The requester follows the link of the newest mail.

        Raises:
            LinkGone: It shows nothing.
        """
        return self.links.open(self.newest_link())

    # -- what is true now

    def case_of(self, ticket: FakeTicket) -> Case:
        (case,) = self.store.find(ticket.id)
        return case

    def state_of(self, ticket: FakeTicket) -> State:
        return self.case_of(ticket).state

    def notes_of(self, ticket: FakeTicket) -> list[str]:
        return [note.text for note in self.psa.tickets[ticket.id].notes]

    def note_with(self, ticket: FakeTicket, words: str) -> str:
        """The one note with these words."""
        (found,) = [text for text in self.notes_of(ticket) if words in text]
        return found

    def marked_notes_of(self, ticket: FakeTicket) -> list[Note]:
        return list(self.psa.tickets[ticket.id].notes)

    @property
    def mails(self) -> list[MailKind]:
        """The kinds of the mails that were accepted, oldest first."""
        return [self.letters.letters[email.message_id].kind for email in self.mailer.sent]

    def mails_to(self, person: Person) -> list[MailKind]:
        return [self.letters.letters[email.message_id].kind for email in self.mailer.to(person.email or "")]

    def letters_of(self, kind: MailKind) -> list[Letter]:
        sent = [self.letters.letters[email.message_id] for email in self.mailer.sent]
        return [letter for letter in sent if letter.kind is kind]

    def mailed_links(self) -> list[Secret]:
        """The addresses of links that were mailed, oldest first, repeats left out."""
        return self._mailed(MailKind.PASSWORD_READY)

    def mailed_alarms(self) -> list[Secret]:
        """The addresses behind "this was not me" that were mailed, oldest first."""
        return self._mailed(MailKind.LINK_ACCESSED, MailKind.SUBJECT_NOTICE)

    def _mailed(self, *kinds: MailKind) -> list[Secret]:
        found = [
            self.letters.links[email.message_id]
            for email in self.mailer.sent
            if email.message_id in self.letters.links and self.letters.letters[email.message_id].kind in kinds
        ]
        return list(dict.fromkeys(found))

    def newest_link(self) -> Secret:
        return self.mailed_links()[-1]

    @property
    def writes(self) -> list[Write]:
        return self.directory.writes

    @property
    def moves(self) -> list[StatusTarget]:
        return [target for _, target in self.psa.moves]

    def password_in_force(self, upn: str = SUBJECT) -> Secret | None:
        return self.directory.passwords.get(self.directory.account(upn).id)

    def audit_of(self, ticket: FakeTicket) -> list[AuditLine]:
        return list(self.store.audit_of(self.case_of(ticket).id))

    def events_of(self, ticket: FakeTicket) -> list[str]:
        """What the audit says, in order."""
        return [line.entry.event for line in self.audit_of(ticket)]


__all__ = ["APPROVER", "REQUESTER", "START", "SUBJECT", "TENANT", "FakeClock", "PlainLetters", "World", "wide_limits"]
