"""`connector links`: the links that are out, seen and ended by hand."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, delete

from connector.core.case import Case, State
from connector.core.ports import ChangedTicket, HumanCheck, LinkEventKind, LinkMode, LinkWish
from connector.core.secret import Secret
from connector.http import Http
from connector.intake import LINKS, Polls
from connector.migrations import upgrade
from connector.secretlink.client import BuiltinLinks
from connector.secretlink.service.store import tables
from connector.store import SqlCaseStore, open_store
from sandbox.stage import free_port
from tests import forked
from tests.secretlink.running import running
from tests.secretlink.support import make_database, options_for

ROOT = Path(__file__).parent.parent
MINUTE = timedelta(minutes=1)


def now() -> datetime:
    return datetime.now(UTC)


class Desk:
    """A configuration, its database, and a link service that really listens."""

    def __init__(self, folder: Path, address: str, api_key: str) -> None:
        self.folder = folder
        (folder / "secret").write_text(api_key)
        (folder / "halopsa.yaml").write_text((ROOT / "mappings" / "halopsa.yaml").read_text(encoding="utf-8"))
        nobody = f"http://127.0.0.1:{free_port()}"
        self.database = f"sqlite:///{(folder / 'connector.db').as_posix()}"
        self.settings: dict[str, Any] = {
            "environment": "demo",
            "database": self.database,
            "psa": {"halo": {"kind": "halopsa", "url": nobody, "client_id": "c", "client_secret": {"file": "secret"},
                             "mapping": "halopsa.yaml"}},
            "graph": {"client_id": "c", "client_secret": {"file": "secret"}, "url": nobody,
                      "authority": nobody.replace("http:", "https:")},
            "tenants": {"contoso": {"tenant_id": "8a000000-0000-0000-0000-000000000000", "clients": {"halo": ["12"]}}},
            "links": {"url": address, "api_key": {"file": "secret"}},
            "mail": {"host": "127.0.0.1", "port": free_port(), "from": "IT <it@example.com>"},
        }  # fmt: skip
        (folder / "connector.yaml").write_text(json.dumps(self.settings))
        upgrade(self.database, "connector")
        http = Http(system="The link service", scope="links", sleep=lambda _: None)
        self.links = BuiltinLinks(http=http, url=address, api_url=address, api_key=Secret(api_key), clock=now)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        config = str(self.folder / "connector.yaml")
        return forked.run("connector", "--config", config, *words, env={"COLUMNS": "200", "PATH": ""})

    def make(self, number: str, **changes: Any) -> str:
        wish = LinkWish(
            id=f"lnk_{secrets.token_hex(12)}", ref=f"halo/{number}", display_name="Lea", ticket=number, views=2,
            lifetime=timedelta(minutes=60),
        )  # fmt: skip
        return self.links.create(replace(wish, **changes), Secret(secrets.token_urlsafe())).id

    def make_with_case(self, number: str, **changes: Any) -> tuple[str, Case]:
        """A link and its case, which waits for it to be opened."""
        link_id = self.make(number, **changes)
        store = self.store()
        store.note_tickets("halo", [ChangedTicket(number, number)], now=now())
        case = store.claim_due(now=now(), lease=MINUTE)
        assert case is not None
        due = now() + timedelta(hours=1)
        case = store.save(replace(case, link_id=link_id, state=State.LINK_OUT, due_at=due), now=now())
        store.close()
        return link_id, case

    def store(self) -> SqlCaseStore:
        return open_store(self.database)

    def events_of(self, case: Case) -> list[tuple[str, dict[str, str]]]:
        store = self.store()
        lines = [(line.entry.event, dict(line.entry.facts)) for line in store.audit_of(case.id)]
        store.close()
        return lines


@pytest.fixture
def links_database(tmp_path: Path) -> str:
    return make_database(tmp_path)


@pytest.fixture
def desk(tmp_path: Path, links_database: str) -> Iterator[Desk]:
    key = secrets.token_urlsafe(32)
    with running(options_for(links_database, secrets.token_bytes(48), key), clock=now) as address:
        yield Desk(tmp_path, address, key)


def listed(desk: Desk, *words: str) -> dict[str, dict[str, Any]]:
    done = desk.run("links", "list", "--json", *words)
    assert done.returncode == 0, done.stderr
    return {link["id"]: link for link in json.loads(done.stdout)["links"]}


def test_open_links_are_listed_with_their_tickets_and_what_is_left(desk: Desk) -> None:
    known, case = desk.make_with_case("4242")
    stranger = desk.make("4300", lifetime=timedelta(minutes=10))
    over = desk.make("4301")
    desk.links.revoke(over)
    found = listed(desk)
    assert list(found) == [stranger, known], "the one that ends first comes first; ended ones are left out"
    assert found[known] == {
        "id": known, "ticket": "halo:4242", "case": case.id, "ref": "halo/4242", "state": "active", "views": 0,
        "max_views": 2, "expires_at": found[known]["expires_at"], "minutes_left": found[known]["minutes_left"],
    }  # fmt: skip
    assert found[stranger]["ticket"] is None
    assert found[known]["minutes_left"] in (58, 59, 60)
    assert found[stranger]["minutes_left"] in (8, 9, 10)
    assert {state["state"] for state in listed(desk, "--state", "all").values()} == {"active", "revoked"}
    assert list(listed(desk, "--state", "revoked")) == [over]
    table = desk.run("links", "list").stdout
    for words in (known, "halo:4242", "0 of 2", stranger, "halo/4300"):
        assert words in table


@pytest.mark.parametrize("mode", list(LinkMode))
def test_neither_the_list_nor_anything_else_shows_an_address(desk: Desk, mode: LinkMode) -> None:
    wish = LinkWish(
        id=f"lnk_{secrets.token_hex(12)}", ref="halo/4242", display_name="Lea", ticket="4242", views=2,
        lifetime=timedelta(minutes=60), mode=mode,
    )  # fmt: skip
    url = desk.links.create(wish, Secret(secrets.token_urlsafe())).url.reveal()
    token = url[-32:]
    shown = [desk.run("links", *words) for words in (("list",), ("list", "--json"), ("revoke", wish.id))]
    assert all(done.returncode == 0 for done in shown)
    assert not any(token in done.stdout + done.stderr or "/s/" in done.stdout for done in shown)


def test_a_list_of_more_links_than_one_answer_holds_is_whole(desk: Desk) -> None:
    made = {desk.make(str(number)) for number in range(130)}
    assert set(listed(desk)) == made


def test_where_the_ticket_number_has_to_be_typed_only_our_own_database_knows_it(desk: Desk) -> None:
    link_id, _ = desk.make_with_case("4242", human_check=HumanCheck.TICKET_NUMBER)
    [link] = listed(desk).values()
    assert (link["id"], link["ticket"], link["ref"]) == (link_id, "halo:4242", "")


def test_no_links_is_said_in_words_and_an_unknown_state_is_refused(desk: Desk) -> None:
    assert "No active links" in desk.run("links", "list").stdout
    done = desk.run("links", "list", "--state", "open")
    assert done.returncode == 2
    assert "active, consumed, expired, revoked, all" in done.stderr


@pytest.mark.parametrize("by", ["id", "ticket"])
def test_a_link_is_ended_by_hand_and_the_audit_says_so(desk: Desk, by: str) -> None:
    link_id, case = desk.make_with_case("4242")
    other, _ = desk.make_with_case("4243")
    for _ in range(2):  # a repeat is harmless
        done = desk.run("links", "revoke", link_id if by == "id" else "halo:4242")
        assert done.returncode == 0, done.stderr
    assert "connector show halo:4242" in done.stdout
    assert set(listed(desk)) == {other}
    facts = {"link_id": link_id, "by": "an administrator"}
    assert desk.events_of(case) == [("link_revoked_by_hand", facts)] * 2
    assert "revoked by an administrator" in desk.run("show", "4242").stdout


def test_a_link_that_nobody_made_is_not_said_to_be_ended(desk: Desk) -> None:
    link_id, case = desk.make_with_case("4242")
    for wrong in ("lnk_000000000000", "4999"):
        done = desk.run("links", "revoke", wrong)
        assert done.returncode == 1
        assert wrong in done.stderr
    assert set(listed(desk)) == {link_id}
    assert desk.events_of(case) == []


def test_a_link_is_ended_by_its_id_though_our_own_database_is_away(desk: Desk) -> None:
    link_id, other = desk.make("4242"), desk.make("4243")
    kept = (desk.folder / "connector.db").read_bytes()
    (desk.folder / "connector.db").write_bytes(b"")
    done = desk.run("links", "revoke", link_id)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{link_id} shows nothing any more, but no audit says so: The database is empty" in done.stderr
    (desk.folder / "connector.db").write_bytes(kept)
    assert set(listed(desk)) == {other}


def test_a_link_that_the_service_does_not_know_is_not_said_to_be_ended(desk: Desk) -> None:
    """It was made while another service was configured, say."""
    link_id, case = desk.make_with_case("4242", id=f"lnk_{secrets.token_hex(12)}")
    store = desk.store()
    store.note_tickets("halo", [ChangedTicket("4243", "4243")], now=now())
    elsewhere = store.claim_due(now=now(), lease=MINUTE)
    assert elsewhere is not None
    elsewhere = store.save(replace(elsewhere, link_id=f"lnk_{secrets.token_hex(12)}", due_at=now()), now=now())
    store.close()
    done = desk.run("links", "revoke", "4243")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"knows no link {elsewhere.link_id}, so nothing was ended" in done.stderr
    assert "kind builtin" in done.stderr
    assert (desk.events_of(elsewhere), desk.events_of(case)) == ([], [])
    assert set(listed(desk)) == {link_id}


@pytest.mark.parametrize("ticket", ["4242", "4243"])
def test_a_case_that_is_cancelled_says_whether_its_link_was_ended(desk: Desk, ticket: str) -> None:
    link_id, _ = desk.make_with_case("4242")
    store = desk.store()
    store.note_tickets("halo", [ChangedTicket("4243", "4243")], now=now())
    elsewhere = store.claim_due(now=now(), lease=MINUTE)
    assert elsewhere is not None
    store.save(replace(elsewhere, link_id="lnk_elsewhere1234", state=State.LINK_OUT, due_at=now()), now=now())
    store.close()
    done = desk.run("cancel", ticket)
    assert done.returncode == 0, done.stderr
    if ticket == "4242":
        assert done.stdout.strip() == "halo:4242 is cancelled. Its link is revoked."
        assert listed(desk) == {}
    else:
        assert done.stdout.strip() == "halo:4243 is cancelled. The link service knows no link lnk_elsewhere1234 of it."
        assert set(listed(desk)) == {link_id}


def test_what_a_command_cannot_do_it_does_not_promise_for_later(desk: Desk) -> None:
    _, case = desk.make_with_case("4242")
    desk.settings["links"]["url"] = f"http://127.0.0.1:{free_port()}"
    (desk.folder / "connector.yaml").write_text(json.dumps(desk.settings))
    done = desk.run("links", "revoke", "4242")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "tried again" not in done.stderr
    assert desk.events_of(case) == []


def test_a_service_without_a_history_has_none_to_be_accepted(desk: Desk) -> None:
    desk.settings["links"] = {
        "kind": "passwordpusher", "url": f"http://127.0.0.1:{free_port()}", "token": {"file": "secret"}
    }  # fmt: skip
    (desk.folder / "connector.yaml").write_text(json.dumps(desk.settings))
    done = desk.run("links", "accept-history")
    assert (done.returncode, done.stdout) == (1, "")
    assert "links.kind passwordpusher: this link service keeps no history" in done.stderr


def test_a_ticket_without_a_link_has_nothing_to_be_revoked(desk: Desk) -> None:
    store = desk.store()
    store.note_tickets("halo", [ChangedTicket("4242", "4242")], now=now())
    store.close()
    done = desk.run("links", "revoke", "4242")
    assert (done.returncode, done.stdout) == (1, "")
    assert "No link was made" in done.stderr


def put_back(links_database: str, *, link_id: str) -> None:
    """The link service's database as it stood when there was nothing but this link."""
    engine = create_engine(links_database)
    with engine.begin() as connection:
        connection.execute(delete(tables.event).where(tables.event.c.seq > 1))
        connection.execute(delete(tables.link).where(tables.link.c.id != link_id))
    engine.dispose()


def polled(desk: Desk, store: SqlCaseStore) -> str:
    """Have what the link service tells recorded, as the daemon does; the cursor after it."""
    Polls(store=store, links=desk.links, clock=now, every=MINUTE).poll_links(early=True)
    return store.poll_cursor(LINKS)


def test_a_history_is_accepted_by_hand_and_nothing_is_told_twice(desk: Desk, links_database: str) -> None:
    link_id, case = desk.make_with_case("4242")
    desk.make("4300")
    store = desk.store()
    cursor = polled(desk, store)
    assert "nothing to accept" in desk.run("links", "accept-history").stdout
    assert store.poll_cursor(LINKS) == cursor
    told = store.link_events(case.id, after=0)
    put_back(links_database, link_id=link_id)
    desk.make("4301")
    said = [finding for finding in json.loads(desk.run("check", "--json").stdout)["findings"]
            if finding["about"] == "links" and finding["level"] == "error"]  # fmt: skip
    assert ["rewritten" in finding["text"] for finding in said] == [True]

    done = desk.run("links", "accept-history")
    assert done.returncode == 0, done.stderr
    assert "history was rewritten" in done.stdout
    assert "with 1 event that had not been told before" in done.stdout, "of the link that was made since"
    assert store.link_events(case.id, after=0) == told
    [line] = [line for line in store.audit_lines() if line.entry.event == "link_history_accepted"]
    assert "rewritten" in line.entry.facts["reason"]
    assert store.verify_audit().whole

    desk.links.revoke(link_id)
    assert polled(desk, store) != cursor, "it goes on from there"
    [*_, end] = store.link_events(case.id, after=0)
    assert (end.kind, end.link_id) == (LinkEventKind.REVOKED, link_id)
    store.close()


def test_what_a_restored_service_counts_again_is_heard_all_the_same(desk: Desk, links_database: str) -> None:
    """Its numbers were used before, and the connector takes in each number of a case once."""
    link_id, case = desk.make_with_case("4242")
    store = desk.store()
    for _ in range(3):
        desk.make("4300")
    polled(desk, store)
    claimed = store.claim(case.id, now=now(), lease=MINUTE)
    assert claimed is not None
    store.save(replace(claimed, link_seq=4), now=now())  # its story was told up to there

    put_back(links_database, link_id=link_id)
    desk.links.revoke(link_id)
    assert desk.run("links", "accept-history").returncode == 0
    [end] = store.link_events(case.id, after=4)
    assert (end.kind, end.link_id) == (LinkEventKind.REVOKED, link_id)
    store.close()


def test_a_history_is_not_accepted_while_the_service_is_away(desk: Desk, links_database: str) -> None:
    link_id = desk.make("4242")
    desk.make("4300")
    store = desk.store()
    cursor = polled(desk, store)
    put_back(links_database, link_id=link_id)
    desk.make("4301")
    desk.settings["links"]["url"] = f"http://127.0.0.1:{free_port()}"
    (desk.folder / "connector.yaml").write_text(json.dumps(desk.settings))
    done = desk.run("links", "accept-history")
    assert (done.returncode, done.stdout) == (1, "")
    assert store.poll_cursor(LINKS) == cursor
    assert not [line for line in store.audit_lines() if line.entry.event == "link_history_accepted"]
    store.close()


def test_the_check_says_that_the_history_goes_on(desk: Desk) -> None:
    desk.make("4242")
    store = desk.store()
    store.finish_poll(LINKS, cursor=desk.links.news("").cursor, next_at=now())
    store.close()
    texts = [finding["text"] for finding in json.loads(desk.run("check", "--json").stdout)["findings"]
             if finding["about"] == "links"]  # fmt: skip
    assert texts[-1] == "Its history goes on where it was read last."
    assert "answers and takes the key" in texts[0]
