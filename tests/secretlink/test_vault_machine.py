"""Whatever people, timers and operators do, in whatever order: the vault agrees with a model of four lines a link."""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select

from connector.secretlink.seal import Pepper, check_of
from connector.secretlink.service.store import tables
from connector.secretlink.service.store.claims import MOST_WRONG_ANSWERS
from connector.secretlink.service.store.links import NewAlarm, Refused, Revealed
from connector.secretlink.service.store.peppers import Peppers
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import (
    FakeClock,
    Made,
    make_alarm,
    make_database,
    make_link,
    new_nonce,
    open_page,
    written_before,
)
from tests.secretlink.test_vault import SOMEBODY

FORGET = timedelta(days=60)


@dataclass
class Known:
    """What a link must be like."""

    made: Made
    checked: bool
    state: str = "active"
    views: int = 0
    failures: int = 0
    purged: bool = False


class VaultMachine(RuleBasedStateMachine):
    links = Bundle("links")
    alarms = Bundle("alarms")

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.database = make_database(Path(self.folder.name))
        self.clock = FakeClock()
        self.peppers = [secrets.token_bytes(32)]
        self.known: list[Known] = []
        self.open_vault()

    def open_vault(self) -> None:
        self.vault = Vault(self.database, Peppers(*map(Pepper, self.peppers)), clock=self.clock)

    def teardown(self) -> None:
        if hasattr(self, "vault"):
            self.vault.close()
            self.folder.cleanup()

    def pass_time(self) -> None:
        """What the clock alone does to the model."""
        for link in self.known:
            if link.state == "active" and link.made.terms.expires_at <= self.clock.now.timestamp():
                link.state = "expired"

    @rule(
        target=links,
        views=st.integers(1, 3),
        checked=st.booleans(),
        mode=st.sampled_from(["path", "fragment"]),
        minutes=st.sampled_from([1, 60]),
    )
    def create(self, views: int, checked: bool, mode: str, minutes: int) -> Known:
        made = make_link(views=views, now=self.clock.now, lifetime=timedelta(minutes=minutes))
        check = check_of(made.key, "4242") if checked else None
        assert self.vault.create(made.to_new_link(mode=mode, check=check))[1]
        link = Known(made, checked)
        self.known.append(link)
        return link

    @rule(link=links, answer=st.sampled_from(["4242", "wrong", None]))
    def claim(self, link: Known, answer: str | None) -> None:
        if link.purged:
            return
        made = link.made
        check = check_of(made.key, answer) if answer else None
        got = self.vault.claim(made.lookup, token=made.key, check=check, nonce=new_nonce(), visitor=SOMEBODY)
        if link.state != "active":
            assert isinstance(got, Refused)
            assert got.reason == link.state
        elif link.checked and answer != "4242":
            assert isinstance(got, Refused)
            link.failures += answer is not None
            link.state = "revoked" if link.failures >= MOST_WRONG_ANSWERS else "active"
        else:
            assert isinstance(got, Revealed)
            assert got.password == made.password
            link.views += 1
            link.state = "consumed" if link.views == made.terms.max_views else "active"

    @rule(link=links)
    def visit(self, link: Known) -> None:
        open_page(self.vault, link.made.lookup, SOMEBODY)

    @rule(link=links)
    def revoke(self, link: Known) -> None:
        self.vault.revoke(link.made.terms.link_id)
        link.state = "revoked" if link.state == "active" else link.state

    @rule(link=links)
    def report(self, link: Known) -> None:
        self.vault.report_link(link.made.lookup, visitor=SOMEBODY)
        link.state = "revoked" if link.state == "active" and link.views else link.state

    @rule(target=alarms, link=links)
    def arm(self, link: Known) -> tuple[NewAlarm, Known]:
        alarm, _ = make_alarm(self.clock.now, link_id=link.made.terms.link_id)
        assert self.vault.arm(alarm)[1]
        return alarm, link

    @rule(armed=alarms)
    def raise_alarm(self, armed: tuple[NewAlarm, Known]) -> None:
        alarm, link = armed
        before = self.vault.look_alarm(alarm.lookup)
        self.vault.raise_alarm(alarm.lookup, visitor=SOMEBODY)
        if before is not None and before.state == "armed" and link.state == "active":
            link.state = "revoked"

    @rule(seconds=st.sampled_from([1, 59, 3600, 40 * 86400]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)
        self.pass_time()

    @rule()
    def keep_house(self) -> None:
        while self.vault.expire_due():
            pass
        while self.vault.blank(up_to=written_before(self.vault, self.clock, timedelta(days=30))):
            pass
        while self.vault.purge(up_to=written_before(self.vault, self.clock, FORGET)).more:
            pass
        for link in self.known:
            link.purged = self.vault.look(link.made.lookup) is None
            assert not link.purged or link.state != "active"

    @rule()
    def restart(self) -> None:
        self.vault.close()
        self.open_vault()

    @rule()
    def change_the_pepper(self) -> None:
        self.vault.close()
        self.peppers.insert(0, secrets.token_bytes(32))
        self.open_vault()

    @invariant()
    def the_links_are_as_the_model_says(self) -> None:
        if not hasattr(self, "vault"):
            return
        for link in self.known:
            record = None if link.purged else self.vault.find(link.made.terms.link_id)
            if record is not None:
                assert (record.state, record.views) == (link.state, link.views)
                # Of one that has ended, each event goes in its own time.
                if record.state == "active" or record.created_ms > (self.clock.now - FORGET).timestamp() * 1000:
                    assert len(self.vault.views_of(record.terms.link_id)) == link.views

    @invariant()
    def the_chain_holds_and_nothing_is_kept_of_what_has_ended(self) -> None:
        if not hasattr(self, "vault"):
            return
        report = self.vault.verify_chain()
        assert (report.broken_at, report.unchecked) == (None, 0)
        with self.vault.engine.connect() as connection:
            kept = connection.execute(
                select(tables.link.c.id).where(tables.link.c.state != "active", tables.link.c.blob.is_not(None))
            ).all()
        assert kept == []


TestVaultMachine = VaultMachine.TestCase
TestVaultMachine.settings = settings(
    max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
