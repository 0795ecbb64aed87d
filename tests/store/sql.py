"""What both real stores promise beyond the contract of every store. Subclass it and give `url` and `store`."""

from __future__ import annotations

import json
import multiprocessing
import secrets
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, event, func, select, text, update

from connector.core.case import Case, State
from connector.errors import DatabaseError, LostClaim
from connector.store import SqlCaseStore, open_store, tables
from connector.store.audit import chain as chained
from connector.store.audit import line_hash
from tests.contracts.case_store import (
    LEASE,
    NOW,
    SECOND,
    CaseStoreContract,
    entry,
    filled,
    hold,
    note,
    open_case,
    reset_of,
    revealed,
    settle,
    ticket,
)

PROCESSES = 4
SHORT = timedelta(milliseconds=100)


def claim_everything(url: str) -> list[str]:
    """What one worker process does: claim and save until nothing is due."""
    store = open_store(url)
    mine = []
    while (case := store.claim_due(now=NOW, lease=LEASE)) is not None:
        mine.append(case.id)
        store.save(replace(case, due_at=None), now=NOW, audit=[entry("done", case.id)])
    store.close()
    return mine


@contextmanager
def counted(store: SqlCaseStore) -> Iterator[list[str]]:
    """The statements that are sent while the block runs, BEGIN and COMMIT not counted."""
    said: list[str] = []

    def note_it(*arguments: object) -> None:
        if not str(arguments[2]).startswith("BEGIN"):
            said.append(str(arguments[2]))

    event.listen(store.database.engine, "before_cursor_execute", note_it)
    try:
        yield said
    finally:
        event.remove(store.database.engine, "before_cursor_execute", note_it)


class SqlStoreContract(CaseStoreContract):
    @pytest.fixture
    def url(self) -> str:
        """The address of an up-to-date, empty database."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, url: str) -> Iterator[SqlCaseStore]:
        store = open_store(url)
        yield store
        store.close()

    @pytest.fixture
    def lock(self, url: str) -> Callable[[], AbstractContextManager[None]]:
        """Locks everything away from the store while its block runs."""
        raise NotImplementedError

    # -- several processes

    def test_processes_claim_each_due_case_exactly_once(self, url: str, store: SqlCaseStore) -> None:
        store.note_tickets("halo", [ticket(number) for number in range(200)], now=NOW)
        with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
            shares = pool.map(claim_everything, [url] * PROCESSES, chunksize=1)
        claimed = [case_id for share in shares for case_id in share]
        assert sorted(claimed) == sorted(case.id for case in store.cases())
        assert store.verify_audit().whole
        assert store.head().seq == 200

    # -- bad days

    def test_a_locked_database_is_a_temporary_error_and_nothing_is_lost(
        self, url: str, store: SqlCaseStore, lock: Callable[[], AbstractContextManager[None]]
    ) -> None:
        case = hold(store, open_case(store).id)
        hurried = open_store(url, wait=SHORT)
        with lock():
            with pytest.raises(DatabaseError) as caught:
                hurried.save(replace(case, state=State.WAITING), now=NOW, messages=[note("a")], audit=[entry()])
            with pytest.raises(DatabaseError):
                hurried.claim_due(now=NOW + LEASE, lease=LEASE)
            with pytest.raises(DatabaseError):
                hurried.note_tickets("halo", [ticket(2)], now=NOW)
        assert "tried again" in str(caught.value)
        assert hurried.get(case.id) == case
        hurried.save(replace(case, state=State.WAITING), now=NOW, messages=[note("a")], audit=[entry()])
        assert [row.message for row in store.outbox(case.id)] == [note("a")]
        assert store.verify_audit().whole
        hurried.close()

    def test_errors_show_no_values(
        self, url: str, store: SqlCaseStore, lock: Callable[[], AbstractContextManager[None]]
    ) -> None:
        canary = secrets.token_hex(16)
        case = replace(hold(store, open_case(store).id), reason=canary, number=canary)
        hurried = open_store(url, wait=SHORT)
        with lock(), pytest.raises(DatabaseError) as caught:
            hurried.save(case, now=NOW, messages=[note(canary)])
        hurried.close()
        with pytest.raises(LostClaim) as lost:
            store.save(replace(case, version=7, reason=canary, number="T-1"), now=NOW)
        for error in (caught.value, lost.value):
            assert canary not in "".join(traceback.format_exception(error))

    def test_an_error_in_the_middle_of_a_save_leaves_nothing_behind(self, store: SqlCaseStore) -> None:
        case = hold(store, open_case(store).id)
        self.change(store, lambda connection: connection.execute(tables.audit_head.delete()))
        with pytest.raises(DatabaseError, match="restore it from a backup"):
            store.save(
                replace(case, state=State.WAITING, link_id="link-1"),
                now=NOW,
                messages=[note("a")],
                audit=[entry()],
                reset=reset_of(case),
            )
        assert store.get(case.id) == case
        assert store.outbox(case.id) == []
        assert store.resets_since(NOW) == []
        for table in (tables.case_link, tables.audit):
            with store.database.reading() as connection:
                assert connection.execute(select(func.count()).select_from(table)).scalar() == 0

    # -- what it costs

    def test_a_claim_and_a_save_cost_few_statements(self, store: SqlCaseStore) -> None:
        open_case(store)
        with counted(store) as claim:
            case = store.claim_due(now=NOW, lease=LEASE)
        assert case is not None
        with counted(store) as bare:
            case = store.save(case, now=NOW, lease=LEASE)
        with counted(store) as full:
            store.save(
                replace(case, link_id="link-1"), now=NOW, messages=[note("a"), note("b")], audit=[entry(), entry()]
            )
        assert (len(claim), len(bare), len(full)) == (2, 2, 7)

    def test_a_poll_of_a_hundred_tickets_costs_few_statements(self, store: SqlCaseStore) -> None:
        store.note_tickets("halo", [ticket(number) for number in range(500)], now=NOW)
        with counted(store) as known:
            store.note_tickets("halo", [ticket(number) for number in range(400, 500)], now=NOW)
        with counted(store) as new:
            store.note_tickets("halo", [ticket(number) for number in range(500, 600)], now=NOW)
        assert max(len(known), len(new)) <= 4

    # -- rows of other versions

    def test_a_case_of_a_newer_version_can_be_read(self, store: SqlCaseStore) -> None:
        case = store.save(filled(hold(store, open_case(store).id)), now=NOW)

        def add_key(connection: Connection) -> None:
            details = json.loads(connection.execute(select(tables.cases.c.details)).scalar_one())
            details["from_the_future"] = {"a": 1}
            details["requester"]["nickname"] = "Ri"
            connection.execute(update(tables.cases).values(details=json.dumps(details)))

        self.change(store, add_key)
        assert store.get(case.id) == case

    # -- the audit, tampered with

    @pytest.fixture
    def chain(self, store: SqlCaseStore) -> Case:
        """A case with five audit lines."""
        case = hold(store, open_case(store).id)
        for number in range(5):
            case = store.save(case, now=NOW, audit=[entry(f"event {number}", case.id)], lease=LEASE)
        return case

    @pytest.mark.parametrize(
        "column", ["event = 'other'", "facts = '{}'", "case_id = 'case-0'", "hash = 'ff'", "at = '2020-01-01 00:00:00'"]
    )
    def test_a_changed_line_is_found(self, store: SqlCaseStore, chain: Case, column: str) -> None:
        self.tamper(store, f"UPDATE audit SET {column} WHERE seq = 3")  # noqa: S608 - our own words
        report = store.verify_audit()
        assert report.broken_at == 3
        assert report.sound.seq == 2

    def test_a_changed_line_with_its_hash_made_anew_is_found_at_the_next(
        self, store: SqlCaseStore, chain: Case
    ) -> None:
        before, line = list(store.audit_lines())[1:3]
        forged = replace(line.entry, event="nothing happened")
        self.change(
            store,
            lambda connection: connection.execute(
                update(tables.audit)
                .where(tables.audit.c.seq == 3)
                .values(event=forged.event, hash=line_hash(before.hash, 3, forged))
            ),
        )
        assert store.verify_audit().broken_at == 4

    def test_a_removed_line_is_found(self, store: SqlCaseStore, chain: Case) -> None:
        self.tamper(store, "DELETE FROM audit WHERE seq = 3")
        assert store.verify_audit().broken_at == 3

    def test_a_removed_line_whose_gap_was_closed_is_found(self, store: SqlCaseStore, chain: Case) -> None:
        self.tamper(
            store,
            "DELETE FROM audit WHERE seq = 3",
            "UPDATE audit SET seq = 3 WHERE seq = 4",
            "UPDATE audit SET seq = 4 WHERE seq = 5",
        )
        assert store.verify_audit().broken_at == 3

    def test_a_missing_beginning_is_found(self, store: SqlCaseStore, chain: Case) -> None:
        self.tamper(store, "DELETE FROM audit WHERE seq = 1")
        assert store.verify_audit().broken_at == 1

    def test_swapped_lines_are_found(self, store: SqlCaseStore, chain: Case) -> None:
        self.tamper(
            store,
            "UPDATE audit SET seq = 9 WHERE seq = 3",
            "UPDATE audit SET seq = 3 WHERE seq = 4",
            "UPDATE audit SET seq = 4 WHERE seq = 9",
        )
        assert store.verify_audit().broken_at == 3

    def test_a_missing_end_is_found(self, store: SqlCaseStore, chain: Case) -> None:
        self.tamper(store, "DELETE FROM audit WHERE seq >= 4")
        report = store.verify_audit()
        assert report.broken_at == 4
        assert "4 to 5" in report.problem

    def test_a_missing_end_with_a_forged_head_is_found_by_whoever_kept_the_head(
        self, store: SqlCaseStore, chain: Case
    ) -> None:
        kept = store.head()
        self.tamper(
            store,
            "DELETE FROM audit WHERE seq >= 4",
            "UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)",
        )
        assert store.verify_audit().whole, "the database alone cannot tell"
        assert store.verify_audit(known=kept).broken_at == 4

    def test_a_line_slipped_in_at_the_end_is_found(self, store: SqlCaseStore, chain: Case) -> None:
        (line,) = chained(store.head(), [entry("slipped in")])
        self.change(
            store,
            lambda connection: connection.execute(
                tables.audit.insert().values(
                    seq=6,
                    at=line.entry.at,
                    case_id=line.entry.case_id,
                    event=line.entry.event,
                    facts=json.dumps(dict(line.entry.facts)),
                    hash=line.hash,
                )
            ),
        )
        assert store.verify_audit().broken_at == 6

    def tamper(self, store: SqlCaseStore, *statements: str) -> None:
        def run(connection: Connection) -> None:
            for statement in statements:
                assert connection.execute(text(statement)).rowcount

        self.change(store, run)

    def change(self, store: SqlCaseStore, work: Callable[[Connection], object]) -> None:
        with store.database.writing() as connection:
            work(connection)

    # -- links

    def test_two_polls_may_record_the_same_events(self, store: SqlCaseStore) -> None:
        case = hold(store, settle(store).id)
        store.save(replace(case, link_id="link-1"), now=NOW)
        store.record_link_events([revealed(1), revealed(2)], now=NOW)
        store.record_link_events([revealed(2), revealed(3)], now=NOW + SECOND)
        assert [event.seq for event in store.link_events(case.id, after=0)] == [1, 2, 3]
