"""However many links have ended: nothing that a request or a timer asks of the database reads through all of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from connector.secretlink.seal import check_of
from connector.secretlink.service.store.retention import Slice
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import FakeClock, make_alarm, make_link, new_nonce, open_page
from tests.secretlink.test_vault import SOMEBODY

FINE = ("ORDER BY event.seq", "ORDER BY link.id", "ORDER BY link.expires_at")
"""Walking along an order that is there already is no search, as long as there is a limit."""
SMALL = "event.link_id = ?"
"""What one link has may be sorted."""
MARKS = "FROM mark"
"""One an hour, looked through once an hour."""


def is_quick(statement: str, plan: list[str]) -> bool:
    walks = any(line.startswith("SCAN") for line in plan)
    sorts = any("TEMP B-TREE" in line for line in plan)
    in_order = " LIMIT " in statement and any(order in statement for order in FINE)
    return (not walks or in_order or MARKS in statement) and (not sorts or SMALL in statement)


@pytest.fixture
def plans(vault: Vault) -> Iterator[dict[str, list[str]]]:
    """How SQLite goes about every statement of the test."""
    found: dict[str, list[str]] = {}

    @event.listens_for(vault.engine, "before_cursor_execute")
    def explain(
        _connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
    ) -> None:
        if statement.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            values = parameters[0] if executemany else parameters
            explained = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            found[statement] = [row[3] for row in explained]

    yield found
    event.remove(vault.engine, "before_cursor_execute", explain)


def test_every_statement_finds_what_it_wants_by_an_index(
    vault: Vault, clock: FakeClock, plans: dict[str, list[str]]
) -> None:
    link = make_link(now=clock.now)
    vault.create(link.to_new_link(check=check_of(link.key, "4242")))
    open_page(vault, link.lookup, SOMEBODY)
    for answer in ("1", "4242", "4242"):
        vault.claim(link.lookup, token=link.key, check=check_of(link.key, answer), nonce=new_nonce(), visitor=SOMEBODY)
    vault.views_of(link.terms.link_id)
    vault.revoke(link.terms.link_id)
    vault.list_links(state="active", after="", limit=10)
    vault.list_links(state="expired", after="", limit=10)
    vault.list_links(state=None, after="", limit=10)
    alarm, _ = make_alarm(clock.now, link_id=link.terms.link_id)
    vault.arm(alarm)
    vault.look_alarm(alarm.lookup)
    vault.raise_alarm(alarm.lookup, visitor=SOMEBODY)
    vault.report_link(link.lookup, visitor=SOMEBODY)
    vault.create(make_link(now=clock.now).to_new_link())
    clock.advance(days=40)
    assert vault.next_expiry() is not None
    assert vault.expire_due() == 1
    vault.events(after=1, limit=10)
    vault.check_chain(None)
    assert vault.old_up_to([timedelta(days=30)]) == [0]
    old = vault.newest_event()
    assert not vault.blank(up_to=old)
    assert vault.purge(up_to=old, over_up_to=old) == Slice(more=False, wrote_event=True)
    assert len(plans) > 25
    searched = {statement: plan for statement, plan in plans.items() if not is_quick(statement, plan)}
    for statement, plan in searched.items():
        print(statement, plan)
    assert searched == {}


def test_what_runs_out_next_is_looked_for_among_living_links_alone(vault: Vault, plans: dict[str, list[str]]) -> None:
    vault.next_expiry()
    assert list(plans.values()) == [["SCAN link USING INDEX ix_link_active_expires_at"]]
