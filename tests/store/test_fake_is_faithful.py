"""The fake store and the real one, side by side through the same random story: they must answer the same.

The reconciler's crash test believes what the fake says, so this is what makes it worth something.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from connector.core.case import Case, State
from connector.core.ports import AuditEntry, LinkEventKind
from connector.errors import LostClaim
from connector.migrations import upgrade
from connector.store import SqlCaseStore, open_store
from tests.contracts.case_store import LEASE, MINUTE, NOW, Store, note, revealed, ticket
from tests.fakes.store import MemoryCaseStore

tickets = st.integers(1, 3)
links = st.sampled_from(["", "link-1", "link-2", "link-3"])
waits = st.sampled_from([None, timedelta(0), MINUTE, timedelta(minutes=10)])


def named(case: Case | None) -> Case | None:
    """Both stores make their own ids up; the ticket tells which case is meant."""
    return None if case is None else replace(case, id=case.ticket_id)


class SideBySide(RuleBasedStateMachine):
    """One story, two stores."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="store-"))
        shutil.copy(self.template, self.directory / "connector.db")
        self.real: SqlCaseStore = open_store(f"sqlite:///{self.directory / 'connector.db'}")
        self.stores: tuple[Store, Store] = (MemoryCaseStore(), self.real)
        self.now = NOW
        self.held: list[tuple[Case, Case]] = []
        """Claims that workers believe they have; some are long lost."""

    def teardown(self) -> None:
        self.real.close()
        shutil.rmtree(self.directory)

    def pair(self, number: int) -> tuple[str, str] | None:
        found = [store.find(f"T-{number}") for store in self.stores]
        return (found[0][0].id, found[1][0].id) if all(found) else None

    def hold(self, claims: list[Case | None]) -> None:
        fake, real = claims
        assert named(fake) == named(real)
        if fake is not None and real is not None:
            self.held.append((fake, real))

    @rule(minutes=st.sampled_from([1, 4, 5, 60]))
    def time_passes(self, minutes: int) -> None:
        # A second each, so that no two cases have been due for equally long: then either may come first.
        self.now += timedelta(minutes=minutes, seconds=1)

    @rule(number=tickets)
    def a_ticket_changes(self, number: int) -> None:
        self.now += timedelta(seconds=1)
        opened = [store.note_tickets("halo", [ticket(number)], now=self.now) for store in self.stores]
        assert opened[0] == opened[1]

    @rule()
    def a_worker_claims_what_is_due(self) -> None:
        self.hold([store.claim_due(now=self.now, lease=LEASE) for store in self.stores])

    @rule(number=tickets)
    def a_person_claims(self, number: int) -> None:
        if ids := self.pair(number):
            self.hold([s.claim(i, now=self.now, lease=LEASE) for s, i in zip(self.stores, ids, strict=True)])

    @rule(
        data=st.data(),
        state=st.sampled_from([State.WAITING, State.LINK_OUT, State.NEEDS_PERSON, State.CLOSED, State.CANCELLED]),
        wait=waits,
        link_id=links,
        keys=st.lists(st.sampled_from("abc"), max_size=3),
        lease=st.sampled_from([None, LEASE]),
    )
    def a_worker_saves(
        self, data: st.DataObject, state: State, wait: timedelta | None, link_id: str, keys: list[str], lease: Any
    ) -> None:
        if not self.held:
            return
        place = data.draw(st.integers(0, len(self.held) - 1))
        self.now += timedelta(seconds=1)
        saved: list[Case | None] = []
        for store, case in zip(self.stores, self.held.pop(place), strict=True):
            # A link belongs to one case.
            link = link_id and f"{case.ticket_id}-{link_id}"
            changed = replace(
                case,
                state=state,
                due_at=None if wait is None else self.now + wait,
                link_id=link,
                link_handle=f"handle {len(keys)}",
                link_expires_at=self.now + timedelta(minutes=len(keys)),
                views_allowed=len(keys),
            )
            try:
                saved.append(
                    store.save(
                        changed,
                        now=self.now,
                        messages=[note(key) for key in keys],
                        audit=[AuditEntry(at=self.now, case_id=case.ticket_id, event="saved")],
                        lease=lease,
                    )
                )
            except LostClaim:
                saved.append(None)
        if lease is None:
            assert named(saved[0]) == named(saved[1])
        else:
            self.hold(saved)

    @rule(number=tickets)
    def somebody_pokes(self, number: int) -> None:
        if ids := self.pair(number):
            for store, case_id in zip(self.stores, ids, strict=True):
                store.poke(case_id)

    @rule(number=tickets, done=st.booleans())
    def a_message_is_tried(self, number: int, done: bool) -> None:
        if ids := self.pair(number):
            for store, case_id in zip(self.stores, ids, strict=True):
                for row in store.outbox(case_id)[:1]:
                    store.message_tried(row)
                    if done:
                        store.message_done(row, now=self.now)

    @rule(
        number=tickets,
        link_id=links,
        seq=st.integers(1, 5),
        kind=st.sampled_from([LinkEventKind.REVEALED, LinkEventKind.REFUSED, LinkEventKind.EXPIRED]),
        left=st.integers(0, 1),
    )
    def something_happens_to_a_link(self, number: int, link_id: str, seq: int, kind: LinkEventKind, left: int) -> None:
        self.now += timedelta(seconds=1)
        event = replace(revealed(seq, f"{number}-{link_id}"), kind=kind, views_left=left)
        for store in self.stores:
            store.record_link_events([event], now=self.now)

    @rule()
    def the_process_starts_anew(self) -> None:
        freed = [store.release_leases() for store in self.stores]
        assert freed[0] == freed[1]

    @invariant()
    def both_tell_the_same(self) -> None:
        fake, real = ([named(case) for case in store.cases()] for store in self.stores)
        assert fake == real
        assert self.stores[0].head() == self.stores[1].head()
        watched = [list(store.watched_links(now=self.now)) for store in self.stores]
        assert watched[0] == watched[1]
        for number in (1, 2, 3):
            if ids := self.pair(number):
                waiting, events = zip(
                    *(
                        ([(r.message, r.attempts) for r in store.outbox(i)], store.link_events(i, after=0))
                        for store, i in zip(self.stores, ids, strict=True)
                    ),
                    strict=True,
                )
                assert waiting[0] == waiting[1]
                assert events[0] == events[1]


def test_the_fake_answers_what_sqlite_answers(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'template.db'}", "connector")
    story = type("Story", (SideBySide,), {"template": tmp_path / "template.db"})
    run_state_machine_as_test(
        story,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # making a failing story shorter takes minutes
        ),
    )
