"""The link service beside SnapPass (PyPI, with Debian's Redis), and with a million links of the past in its database.

Servers that are compared are asked in turn, round by round, by the same clients: make a link, open its page, reveal.
SnapPass gets an interpreter of its own from PyPI; without PyPI or `redis-server` its lines are left out.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from bench.figures import Figure, median, percentile, say
from bench.links_load import PAUSE_SECONDS, Server, Timed, make_and_open, race, reveal_all
from bench.watch import resident_megabytes
from connector.secretlink.service.store.marks import IN_A_ROW
from sandbox.stage import free_port, wait_for

ROUNDS: Final = 3
CLIENTS, LINKS_EACH = 4, 150
RACED_LINKS, OPENERS = 200, 16
PAST_LINKS: Final = 1_000_000
EVENTS_EACH: Final = 4
PAST_ROUNDS: Final = 6
PROBES: Final = 400
ALONE_SECONDS: Final = 20
SNAPPASS: Final = ("snappass==1.6.2", "gunicorn", "setuptools<81")
"""setuptools brings `distutils`, which SnapPass imports and Python dropped with 3.12."""


def measure(folder: Path, *, short: bool = False) -> Sequence[Figure]:
    """Measure it beside SnapPass, in about a minute.

    Args:
        short: A quarter of the raced links.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(CLIENTS, mp_context=get_context("spawn")) as pool:
        return list(_beside_snappass(folder, pool, RACED_LINKS // 4 if short else RACED_LINKS))


def measure_past(folder: Path, *, short: bool = False) -> Sequence[Figure]:
    """Measure what many ended links cost, kept and being forgotten, in about four minutes.

    Args:
        short: A tenth of the links.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return list(_with_a_past(folder, pool, PAST_LINKS // 10 if short else PAST_LINKS))


# ---------------------------------------------------------------- side by side


@dataclass
class Score:
    """What one server did, round by round."""

    rates: list[float] = field(default_factory=list)
    reveals: list[float] = field(default_factory=list)
    raced: list[int] = field(default_factory=list)

    @property
    def twice(self) -> int:
        """How many one-view secrets were handed out more than once."""
        return sum(count > 1 for count in self.raced)


def _beside_snappass(folder: Path, pool: ProcessPoolExecutor, raced: int) -> Iterator[Figure]:
    with ExitStack() as stack:
        ours = stack.enter_context(link_service(folder / "links"))
        servers = [ours.server]
        try:
            servers.append(stack.enter_context(_snappass(folder / "snappass")))
        except _NotHere as reason:
            say(f"  links: without SnapPass: {reason}")
        scores = {server.kind: Score() for server in servers}
        for turn in range(ROUNDS):
            for server in servers if turn % 2 == 0 else servers[::-1]:
                score = scores[server.kind]
                rate, reveals = _round(server, pool)
                score.rates.append(rate)
                score.reveals += reveals
                say(f"  links: {server.kind} {rate:.0f} requests/s")
        for server in servers:
            scores[server.kind].raced += race(server, links=raced, openers=OPENERS)
        memory, first = resident_megabytes(ours.pid), ours.megabytes_at_start
    note = "a link's life has two of them here, and none at SnapPass, whose Redis keeps nothing on the disk"
    yield Figure("one commit that is on the disk, p50", _commit_milliseconds(folder / "commit.db"), "ms", None, note)
    yield from _figures(scores["ours"], scores.get("snappass"))
    yield Figure("link service: memory after it", memory, "MB", 60, f"{first:.0f} MB when started")


def _round(server: Server, pool: ProcessPoolExecutor) -> tuple[float, Sequence[float]]:
    """Requests per second, and the seconds of each reveal."""
    start = time.time() + 0.5
    begun = [pool.submit(make_and_open, server, LINKS_EACH, 2, start) for _ in range(CLIENTS)]
    opened = [done.result() for done in begun]
    start = time.time() + PAUSE_SECONDS
    ended = [pool.submit(reveal_all, server, links, start) for links, _ in opened]
    revealed = [done.result() for done in ended]
    made = [timed for _, timed in opened]
    requests = sum(timed.requests for timed in (*made, *revealed))
    return requests / (_wall(made) + _wall(revealed)), [second for timed in revealed for second in timed.seconds]


def _commit_milliseconds(path: Path) -> float:
    """What this machine's disk takes for one, right after the rounds: all that the service does waits for it."""
    seconds = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "CREATE TABLE one (value BLOB)"):
            connection.execute(statement)
        for _ in range(100):
            start = time.perf_counter()
            connection.execute("INSERT INTO one VALUES (randomblob(2000))")
            seconds.append(time.perf_counter() - start)
    return _milliseconds(seconds, 0.5)


def _wall(timed: Sequence[Timed]) -> float:
    return max(one.ended for one in timed) - min(one.began for one in timed)


def _figures(ours: Score, other: Score | None) -> Iterator[Figure]:
    note = f"{ROUNDS} rounds: {', '.join(f'{rate:.0f}' for rate in ours.rates)}"
    yield Figure("link service: create, page, step, reveal", median(ours.rates), "requests/s", None, note)
    if other:
        note = f"{ROUNDS} rounds: {', '.join(f'{rate:.0f}' for rate in other.rates)}"
        yield Figure("SnapPass: create, page, reveal", median(other.rates), "requests/s", None, note)
        ratios = [mine / theirs for mine, theirs in zip(ours.rates, other.rates, strict=True)]
        note = f"in the same rounds: {', '.join(f'{ratio:.1f}' for ratio in ratios)}"
        yield Figure("link service / SnapPass", median(ratios), "times", 2.0, note, at_least=True)
    yield Figure("link service: reveal, p50", _milliseconds(ours.reveals, 0.5), "ms")
    yield Figure("link service: reveal, p99", _milliseconds(ours.reveals, 0.99), "ms", 10)
    if other:
        note = f"p50 {_milliseconds(other.reveals, 0.5):.2f} ms"
        yield Figure("SnapPass: reveal, p99", _milliseconds(other.reveals, 0.99), "ms", None, note)
    what = "one-view secrets handed out more than once"
    yield Figure(f"link service: {what}", ours.twice, f"of {len(ours.raced)}", 0, f"{OPENERS} open each at once")
    if other:
        note = f"up to {max(other.raced)} times"
        yield Figure(f"SnapPass: {what}", other.twice, f"of {len(other.raced)}", None, note)


# ---------------------------------------------------------------- a long past


def _with_a_past(folder: Path, pool: ProcessPoolExecutor, count: int) -> Iterator[Figure]:
    """The same reveals with an empty database, with many ended links, and while those are being forgotten."""
    places = {name: folder / name for name in ("empty", "full", "purged")}
    make_place(places["empty"])
    make_place(places["full"], past=count, ended_days_ago=1)
    make_place(places["purged"], past=count, ended_days_ago=100)
    say(f"  past: two databases of {count:,} links, each with {EVENTS_EACH} events")
    reveals: dict[str, list[float]] = {name: [] for name in places}
    for turn in range(PAST_ROUNDS):
        names = list(places)
        for name in names[turn % 3 :] + names[: turn % 3]:  # one at a time: forgetting would be felt by all
            with running(places[name]) as service:
                reveals[name] += _probe(service.server, pool)
    with running(places["purged"]):
        before, began = _links_in(places["purged"]), time.monotonic()
        time.sleep(ALONE_SECONDS)
        after, seconds = _links_in(places["purged"]), time.monotonic() - began
    (calm, usual), (past, often), (purging, meanwhile) = (
        [_milliseconds(reveals[name], share) for share in (0.99, 0.5)] for name in places
    )
    note = f"p99 {past:.2f} ms, empty {calm:.2f} ms; p50 {often:.2f} ms, empty {usual:.2f} ms"
    yield Figure(f"reveal with {count:,} ended links / with none, p99", past / calm, "times", 1.3, note)
    slowest = f"slowest {max(reveals['purged']) * 1000:.0f} ms, empty {max(reveals['empty']) * 1000:.0f} ms"
    note = f"p99 {purging:.2f} ms; p50 {meanwhile:.2f} ms; {slowest}; {count - before:,} forgotten meanwhile"
    yield Figure("the same while they are forgotten", purging / calm, "times", 1.3, note)
    minutes = PAST_LINKS / max(before - after, 1) * seconds / 60
    note = f"{before - after:,} in {seconds:.0f} s, while nobody reveals"
    yield Figure(f"to forget {PAST_LINKS:,} links", minutes, "minutes", 60, note)


def _probe(server: Server, pool: ProcessPoolExecutor) -> Sequence[float]:
    opened, _ = pool.submit(make_and_open, server, PROBES, 2, time.time()).result()
    return pool.submit(reveal_all, server, opened, time.time() + PAUSE_SECONDS).result().seconds


def _milliseconds(seconds: Sequence[float], share: float) -> float:
    return percentile(seconds, share) * 1000


# ---------------------------------------------------------------- our service


@dataclass(frozen=True)
class Running:
    """A link service that answers."""

    server: Server
    pid: int
    megabytes_at_start: float


@contextmanager
def link_service(folder: Path) -> Iterator[Running]:
    """Run one with an empty database, the way its unit file does."""
    make_place(folder)
    with running(folder) as service:
        yield service


def make_place(folder: Path, *, past: int = 0, ended_days_ago: int = 0) -> None:
    """Write down what a link service needs; with so many links that ended so long ago in its database."""
    folder.mkdir(parents=True)
    port = free_port()
    (folder / "key").write_text(secrets.token_urlsafe(32))
    (folder / "pepper").write_text(secrets.token_urlsafe(48))
    settings = {
        "database": f"sqlite:///{(folder / 'links.db').as_posix()}", "listen": f"127.0.0.1:{port}",
        "url": f"http://127.0.0.1:{port}", "pepper": {"file": "pepper"}, "api_keys": [{"file": "key"}],
    }  # fmt: skip
    (folder / "links.yaml").write_text(json.dumps(settings))
    if past:
        with running(folder) as service:
            make_and_open(service.server, 1, 1, 0.0)  # the pattern for all others
        insert_past(folder / "links.db", past, ended_days_ago)


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    """Run the one of this folder."""
    program = [sys.executable, "-m", "connector", "--config", str(folder / "links.yaml")]
    port = int(json.loads((folder / "links.yaml").read_text())["listen"].rpartition(":")[2])
    subprocess.run([*program, "migrate"], check=True, capture_output=True)
    with _process([*program, "serve-links"], folder / "links.log") as process:
        _wait_until_open(port)
        server = Server("ours", port, (folder / "key").read_text())
        yield Running(server, process.pid, resident_megabytes(process.pid))


def insert_past(database: Path, count: int, days_ago: int) -> None:
    """Copy the one link there is, as ended, so many times, with what happened to it; whatever columns there are by now.

    What is copied stands before what is there, and marks of then and of yesterday tell the service how old it is. The
    macs are not right: the service says once that its history is broken.
    """
    now = int(time.time())
    ended = now - days_ago * 86_400
    link = {
        "id": "past.id", "lookup_mac": "randomblob(32)", "content_mac": "randomblob(32)",
        "sealed_digest": "NULL",  # as if they were made before there was one: the macs are not right
        "blob": "NULL", "state": "'expired'", "expires_at": f"{ended} - n % 3600",
        "created_ms": f"({ended} - 3600) * 1000", "ended_ms": f"{ended} * 1000",
    }  # fmt: skip
    event = {
        "seq": f"(n - 1) * {EVENTS_EACH} + k", "link_id": "past.id", "at_ms": f"{ended} * 1000", "ip": "NULL",
        "user_agent": "NULL", "salt": "NULL", "mac": "randomblob(32)",
    }  # fmt: skip
    with closing(sqlite3.connect(database)) as connection:
        (pattern,) = connection.execute("SELECT id FROM link LIMIT 1").fetchone()
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -400000")
        connection.execute("UPDATE event SET seq = -seq")
        connection.execute("UPDATE event SET seq = ? - seq", (count * EVENTS_EACH,))
        connection.execute("CREATE TEMP TABLE past (n INTEGER PRIMARY KEY, id TEXT)")
        connection.execute(
            "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < ?) "
            "INSERT INTO past SELECT n, 'lnk_' || hex(randomblob(12)) || n FROM many",
            (count,),
        )
        connection.execute("CREATE TEMP TABLE part (k INTEGER)")
        connection.executemany("INSERT INTO part VALUES (?)", [(k + 1,) for k in range(EVENTS_EACH)])
        _copy(connection, "link", link, "link, past WHERE link.id = ?", pattern)
        of_pattern = "event, past, part WHERE event.seq = (SELECT min(seq) FROM event WHERE link_id = ?) ORDER BY n, k"
        _copy(connection, "event", event, of_pattern, pattern)
        connection.execute("DELETE FROM mark")
        hours = [instant + 3600 * hour for instant in (ended, now - 86_400) for hour in range(IN_A_ROW)]
        rows = [(number, count * EVENTS_EACH, hour * 1000) for number, hour in enumerate(hours, start=1)]
        connection.executemany("INSERT INTO mark VALUES (?, ?, ?)", rows)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with database.open("rb") as file:  # or the first commit of whoever is measured waits for a gigabyte
        os.fsync(file)


def _copy(connection: sqlite3.Connection, table: str, changed: dict[str, str], where: str, pattern: str) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    chosen = ", ".join(changed.get(column, f"{table}.{column}") for column in columns)
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {where}",  # noqa: S608 - our own
        (pattern,),
    )


def _links_in(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "links.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM link WHERE state = 'expired'").fetchone()[0])


# ---------------------------------------------------------------- SnapPass


class _NotHere(RuntimeError):
    """This machine cannot run SnapPass."""


@contextmanager
def _snappass(folder: Path) -> Iterator[Server]:
    """SnapPass as it is run in production: gunicorn with two workers, Redis that keeps nothing on the disk.

    Raises:
        _NotHere: Without `redis-server`, or without PyPI.
    """
    redis = shutil.which("redis-server")
    if redis is None:
        raise _NotHere("there is no redis-server; apt-get install redis-server")
    folder.mkdir(parents=True)
    python = _interpreter(folder / "venv")
    line = folder / "redis.sock"
    with ExitStack() as stack:
        own = ["--port", "0", "--unixsocket", str(line), "--save", "", "--appendonly", "no", "--dir", str(folder)]
        stack.enter_context(_process([redis, *own], folder / "redis.log"))
        wait_for("Redis", line.exists)
        words = ["-w", "2", "--threads", "8", "-b", "127.0.0.1:0", "snappass.main:app"]
        environ = {"NO_SSL": "True", "REDIS_URL": f"unix://{line}?db=0", "SECRET_KEY": secrets.token_urlsafe(24)}
        log = folder / "snappass.log"
        stack.enter_context(_process([str(python), "-m", "gunicorn", *words], log, environ))
        found = wait_for("SnapPass", lambda: re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", log.read_text()))
        port = int(found[1])
        _wait_until_open(port, path="/")
        yield Server("snappass", port)


def _interpreter(folder: Path) -> Path:
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--retries", "1"]
    done = subprocess.run([*install, *SNAPPASS], capture_output=True, text=True, check=False)
    if done.returncode:
        raise _NotHere(f"it could not be installed from PyPI: {done.stderr.strip()[-200:]}")
    return python


# ---------------------------------------------------------------- processes


@contextmanager
def _process(
    words: Sequence[str], log: Path, environ: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | (environ or {}),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_open(port: int, *, path: str = "/healthz") -> None:
    def answers() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                return bool(answer.status == 200)
        except (URLError, ConnectionError):
            return False

    wait_for(f"the server on port {port}", answers, seconds=120)
