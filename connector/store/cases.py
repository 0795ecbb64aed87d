"""`SqlCaseStore`: what we remember, in SQLite or PostgreSQL. The promises are those of `core.ports.CaseStore`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, or_, select, update
from sqlalchemy import case as when

from connector.core.case import Action, Case, State
from connector.core.pair import Earlier, is_overtaken
from connector.core.ports import (
    AuditEntry,
    AuditLine,
    ChangedTicket,
    LinkEvent,
    Message,
    OutboxRow,
    Reset,
    Watched,
)
from connector.errors import LostClaim, Overtaken
from connector.store import audit as audit_chain
from connector.store import intake, outbox, tables
from connector.store.audit import AuditReport, Head
from connector.store.codec import case_details, case_from
from connector.store.due import FINISHED, next_look
from connector.store.engine import WAIT, Database

_AT_ONCE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A poke by hand says no time; it counts as waiting for the longest, so it is served first."""


def open_store(url: str, *, wait: timedelta = WAIT) -> SqlCaseStore:
    """The store at a database address; its schema is made by `connector.migrations.upgrade`.

    Args:
        url: `sqlite:////path/file.db` or `postgresql://user@host/name`.
        wait: How long a locked database is waited for.

    Raises:
        ConfigError: The address is wrong, or the PostgreSQL driver is missing. The database itself is not asked yet.
    """
    return SqlCaseStore(Database(url, wait=wait))


class SqlCaseStore:
    """A `CaseStore` in a database. Safe to use from several threads; on PostgreSQL also from several processes."""

    def __init__(self, database: Database) -> None:
        self.database: Final = database

    def close(self) -> None:
        """Close every connection. Nothing is lost; a later call opens new ones."""
        self.database.close()

    # -- polling

    def claim_poll(self, name: str, *, now: datetime, lease: timedelta, early: timedelta = timedelta(0)) -> str | None:
        with self.database.writing() as connection:
            return intake.claim_poll(self.database, connection, name, now=now, lease=lease, early=early)

    def finish_poll(self, name: str, *, cursor: str, next_at: datetime) -> None:
        with self.database.writing() as connection:
            intake.finish_poll(connection, name, cursor=cursor, next_at=next_at)

    def poll_cursor(self, name: str) -> str:
        with self.database.reading() as connection:
            return intake.poll_cursor(connection, name)

    def note_tickets(self, psa: str, tickets: Sequence[ChangedTicket], *, now: datetime) -> int:
        if not tickets:
            return 0
        with self.database.writing() as connection:
            return intake.note_tickets(self.database, connection, psa, tickets, now=now)

    def record_link_events(self, events: Sequence[LinkEvent], *, now: datetime) -> None:
        if not events:
            return
        with self.database.writing() as connection:
            intake.record_link_events(connection, events, now=now)

    # -- working on a case

    def claim_due(self, *, now: datetime, lease: timedelta) -> Case | None:
        c = tables.cases.c
        with self.database.writing() as connection:
            longest = (
                select(tables.cases)
                .where(c.next_at <= now, _free(now))
                .order_by(c.next_at, c.created_at, c.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            return _claim(connection, longest, until=now + lease)

    def claim(self, case_id: str, *, now: datetime, lease: timedelta) -> Case | None:
        with self.database.writing() as connection:
            this = select(tables.cases).where(tables.cases.c.id == case_id, _free(now)).with_for_update()
            return _claim(connection, this, until=now + lease)

    def save(
        self,
        case: Case,
        *,
        now: datetime,
        messages: Sequence[Message] = (),
        audit: Sequence[AuditEntry] = (),
        reset: Reset | None = None,
        beside: Collection[Earlier] | None = None,
        lease: timedelta | None = None,
    ) -> Case:
        c = tables.cases.c
        with self.database.writing() as connection:
            fresh, oldest_tries = outbox.sort(connection, case.id, messages)
            next_at = next_look(
                case, now=now, keeps_claim=lease is not None, new_messages=bool(fresh), oldest_tries=oldest_tries
            )
            changed = connection.execute(
                update(tables.cases)
                .where(c.id == case.id, c.version == case.version)
                .values(
                    number=case.number,
                    state=case.state.value,
                    due_at=case.due_at,
                    version=case.version + 1,
                    details=case_details(case),
                    subject_id=case.subject_id,
                    next_at=when((c.poked, c.next_at), else_=next_at),
                    lease_until=None if lease is None else now + lease,
                )
            ).rowcount
            if changed != 1:
                raise LostClaim(
                    f"Case {case.id} of ticket {case.number} was not saved: somebody else has claimed or saved it "
                    "since. Nothing is to be done; whoever holds it goes on."
                )
            if fresh:
                outbox.add(connection, case.id, fresh, now=now)
            if case.link_id:
                link = self.database.insert_or_ignore(tables.case_link)
                connection.execute(link.values(link_id=case.link_id, case_id=case.id))
                intake.watch_link(connection, case)
            if reset is not None:
                _remember_reset(connection, reset)
            audit_chain.append(connection, audit)  # late: from here on, other processes' saves wait for ours
            if reset is not None and beside is not None:
                if not audit:
                    audit_chain.read_head(connection, lock=True)  # what is looked at now must not change under us
                _refuse_if_overtaken(connection, reset, beside)
        return replace(case, version=case.version + 1)

    def poke(self, case_id: str) -> None:
        with self.database.writing() as connection:
            intake.poke(connection, tables.cases.c.id == case_id, now=_AT_ONCE)

    # -- outbox

    def outbox(self, case_id: str) -> Sequence[OutboxRow]:
        with self.database.reading() as connection:
            return outbox.waiting(connection, case_id)

    def message_tried(self, row: OutboxRow) -> None:
        with self.database.writing() as connection:
            outbox.tried(connection, row)

    def message_done(self, row: OutboxRow, *, now: datetime, failed: str = "") -> None:
        with self.database.writing() as connection:
            outbox.done(connection, row, now=now, failed=failed)

    # -- links

    def watched_links(self, *, now: datetime) -> Sequence[Watched]:
        with self.database.reading() as connection:
            return intake.watched_links(connection, now=now)

    def link_events(self, case_id: str, *, after: int) -> Sequence[LinkEvent]:
        with self.database.reading() as connection:
            return intake.link_events(connection, case_id, after=after)

    def alarm_reference(self, case_id: str) -> str:
        with self.database.writing() as connection:
            return intake.alarm_reference(connection, case_id)

    def untold(self, events: Sequence[LinkEvent]) -> Sequence[LinkEvent]:
        if not events:
            return []
        with self.database.reading() as connection:
            return intake.untold(connection, events)

    # -- reading

    def get(self, case_id: str) -> Case | None:
        found = self._cases(tables.cases.c.id == case_id)
        return found[0] if found else None

    def find(self, number: str, *, psa: str | None = None) -> Sequence[Case]:
        c = tables.cases.c
        which = or_(c.number == number, c.ticket_id == number)
        return self._cases(which if psa is None else which & (c.psa == psa))

    def cases(self, *, open_only: bool = False) -> Sequence[Case]:
        return self._cases(tables.cases.c.state.not_in(FINISHED)) if open_only else self._cases()

    def counts(self) -> Mapping[State, int]:
        """How many cases are in each state; states without cases count 0."""
        c = tables.cases.c
        with self.database.reading() as connection:
            found = {row[0]: row[1] for row in connection.execute(select(c.state, func.count()).group_by(c.state))}
        return {state: found.get(state.value, 0) for state in State}

    def case_of_link(self, link_id: str) -> Case | None:
        """The case that a link was made for, also one that was replaced by another link since."""
        links = tables.case_link.c
        found = self._cases(tables.cases.c.id.in_(select(links.case_id).where(links.link_id == link_id)))
        return found[0] if found else None

    def cases_about(self, tenant: str, subject_id: str) -> Sequence[Case]:
        c = tables.cases.c
        about = self._cases(c.subject_id == subject_id, c.state.not_in(FINISHED)) if subject_id else []
        return [case for case in about if case.tenant == tenant]

    def resets_since(self, since: datetime, *, subject: str | None = None) -> Sequence[Reset]:
        r = tables.reset.c
        which = r.at >= since if subject is None else (r.at >= since) & (r.subject == subject)
        with self.database.reading() as connection:
            rows = connection.execute(select(tables.reset).where(which).order_by(r.at, r.case_id, r.action)).all()
        return [
            Reset(
                at=row.at,
                case_id=row.case_id,
                tenant=row.tenant,
                action=Action(row.action),
                subject=row.subject,
                requester=row.requester,
                approvers=frozenset(row.approver.splitlines()),
            )
            for row in rows
        ]

    def _cases(self, *which: ColumnElement[bool]) -> list[Case]:
        c = tables.cases.c
        with self.database.reading() as connection:
            rows = connection.execute(
                select(tables.cases).where(*which).order_by(c.created_at.desc(), c.id.desc())
            ).mappings()
            return [case_from(dict(row)) for row in rows]

    # -- audit

    def audit_of(self, case_id: str) -> Sequence[AuditLine]:
        with self.database.reading() as connection:
            return list(audit_chain.read_lines(connection, case_id=case_id))

    def audit_lines(self, *, after: int = 0, since: datetime | None = None) -> Iterator[AuditLine]:
        """Every line with a number above `after` and not older than `since`, in order, as of one moment.

        Close the iterator (or read it to its end) to free the connection.
        """
        with self.database.reading(snapshot=True) as connection:
            yield from audit_chain.read_lines(connection, after=after, since=since)

    def verify_audit(self, *, known: Head | None = None) -> AuditReport:
        """Whether the audit is as it was written, as of one moment.

        Args:
            known: A head noted earlier and kept where whoever can write the database cannot.
        """
        with self.database.reading(snapshot=True) as connection:
            head = audit_chain.read_head(connection)
            return audit_chain.verify(audit_chain.read_lines(connection), head=head, known=known)

    def head(self) -> Head:
        """The end of the audit's chain, worth keeping elsewhere."""
        with self.database.reading() as connection:
            return audit_chain.read_head(connection)

    def write_audit(self, entry: AuditEntry) -> None:
        """Add a line that belongs to no change of a case: what a person did by hand."""
        with self.database.writing() as connection:
            audit_chain.append(connection, [entry])

    # -- the big switch

    def paused(self) -> str:
        with self.database.reading() as connection:
            return connection.execute(select(tables.pause.c.reason)).scalar() or ""

    def pause(self, reason: str, *, now: datetime) -> None:
        """A repeat with the same reason changes nothing; another reason takes the place of the first."""
        text = reason.strip() or "no reason given"
        with self.database.writing() as connection:
            before = connection.execute(select(tables.pause.c.reason).with_for_update()).scalar()
            if before == text:
                return
            if before is None:
                first = self.database.insert_or_ignore(tables.pause).values(id=1, reason=text, since=now)
                if connection.execute(first).rowcount == 0:
                    return  # somebody else paused at the same moment
            else:
                connection.execute(update(tables.pause).values(reason=text))
            entry = AuditEntry(at=now, case_id="", event="paused", facts={"reason": text})
            audit_chain.append(connection, [entry])

    def resume(self, *, now: datetime) -> None:
        """Changes nothing when nothing is paused."""
        with self.database.writing() as connection:
            if connection.execute(delete(tables.pause)).rowcount:
                audit_chain.append(connection, [AuditEntry(at=now, case_id="", event="resumed")])

    # -- after a crash

    def release_leases(self) -> int:
        """Free every claim of cases and polls. Returns how many there were.

        Only for the start of a process that is alone (`exclusive`): what a killed one held need not wait for the
        end of its lease.
        """
        with self.database.writing() as connection:
            return sum(
                connection.execute(
                    update(table).where(table.c.lease_until.is_not(None)).values(lease_until=None)
                ).rowcount
                for table in (tables.cases, tables.poll)
            )


def _free(now: datetime) -> ColumnElement[bool]:
    lease_until = tables.cases.c.lease_until
    return or_(lease_until.is_(None), lease_until <= now)


def _claim(connection: Connection, query: Select[*tuple[Any, ...]], *, until: datetime) -> Case | None:
    # Two statements instead of one with RETURNING: the SQLite of RHEL 9 (3.34) does not know that yet.
    # `next_at` stays: should the worker die, the case is due again as soon as its lease has ended.
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    c = tables.cases.c
    connection.execute(
        update(tables.cases).where(c.id == row["id"]).values(version=c.version + 1, lease_until=until, poked=False)
    )
    return case_from({**row, "version": row["version"] + 1})


def _remember_reset(connection: Connection, reset: Reset) -> None:
    r = tables.reset.c
    values = {
        "at": reset.at,
        "tenant": reset.tenant,
        "requester": reset.requester,
        "approver": "\n".join(sorted(reset.approvers)),
    }
    key = {"case_id": reset.case_id, "action": reset.action.value, "subject": reset.subject}
    same = (r.case_id == reset.case_id) & (r.action == reset.action.value) & (r.subject == reset.subject)
    if connection.execute(update(tables.reset).where(same).values(values)).rowcount == 0:
        connection.execute(insert(tables.reset).values({**key, **values}))


def _refuse_if_overtaken(connection: Connection, reset: Reset, beside: Collection[Earlier]) -> None:
    r = tables.reset.c
    same = (r.subject == reset.subject) & (r.case_id != reset.case_id)
    rows = connection.execute(select(r.case_id, r.action, r.at).where(same)).all()
    if any(is_overtaken(row.case_id, Action(row.action), row.at, beside, now=reset.at) for row in rows):
        raise Overtaken(
            f"Another case wrote to the account of case {reset.case_id} a moment ago, so nothing was written for this "
            "one. It is judged again by itself."
        )
