"""How `connector serve-links` starts: what is read apart from it, and what it says when that goes wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pytest
import requests

from connector.cli import starting
from connector.cli.serving import config_of
from connector.errors import ConfigError
from connector.migrations import current
from connector.secretlink.service.ending import Ending, Told
from connector.store import exclusive
from sandbox.stage import free_port, wait_for
from tests.secretlink.support import make_link

NOT_WHILE_IT_SERVES = (
    "alembic", "connector.config", "greenlet._greenlet", "maxminddb", "prometheus_client", "pydantic", "rich.console",
    "segno", "sqlalchemy.dialects.postgresql", "typer", "yaml",
)  # fmt: skip
posix_only = pytest.mark.skipif(os.name == "nt", reason="It needs signals, named pipes and /proc")


class Desk:
    """A folder with the file of a link service, and the processes that were started with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "links.yaml"
        self.database = f"sqlite:///{(folder / 'links.db').as_posix()}"
        self.port = free_port()
        self.pepper, self.key = secrets.token_urlsafe(48), secrets.token_urlsafe(32)
        (folder / "pepper").write_text(self.pepper)
        (folder / "key").write_text(self.key)
        self.write()

    def write(self, **changes: Any) -> None:
        settings = {
            "database": self.database, "listen": f"127.0.0.1:{self.port}", "url": "http://127.0.0.1:8081",
            "pepper": {"file": "pepper"}, "api_keys": [{"file": "key"}],
        }  # fmt: skip
        self.config.write_text(json.dumps(settings | changes))

    @contextlib.contextmanager
    def start(
        self, arguments: Sequence[str] | None = None, *, python: Sequence[str] = (), **popen: Any
    ) -> Iterator[subprocess.Popen[str]]:
        named = ["--config", str(self.config)] if arguments is None else arguments
        program = [sys.executable, *python, "-m", "connector", *named, "serve-links"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(program, **(pipes | popen)) as process:
            try:
                yield process
            finally:
                process.kill()

    def fail(self, arguments: Sequence[str] | None = None, **popen: Any) -> tuple[int, str, str]:
        """Start it and wait for its end: the exit code, and what it says."""
        with self.start(arguments, **popen) as process:
            out, said = process.communicate(timeout=60)
        return process.returncode, out, said

    def answers(self) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).status_code == 200
        return False


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_only_the_start_needs_is_never_loaded_by_the_process_that_serves(desk: Desk) -> None:
    log = desk.folder / "imports.log"
    with log.open("w") as told, desk.start(python=["-X", "importtime"], stderr=told) as process:
        wait_for("the link service", desk.answers, seconds=60)
        url, authorized = f"http://127.0.0.1:{desk.port}/api/v1", {"Authorization": f"Bearer {desk.key}"}
        body = make_link(now=datetime.now(UTC)).to_body()
        assert requests.post(f"{url}/links", json=body, headers=authorized, timeout=10).status_code == 201
        assert requests.post(f"{url}/links", json={}, headers=authorized, timeout=10).status_code == 422
        assert requests.get(f"{url}/events", headers=authorized, timeout=10).status_code == 200
        assert requests.get(f"{url}/openapi.json", timeout=10).status_code == 200
        process.terminate()
        process.wait(30)
    loaded = set(re.findall(r"^import time:.*\| +(\S+)$", log.read_text(), re.MULTILINE))
    assert "connector.secretlink.service.web" in loaded, "the list was read"
    assert [name for name in NOT_WHILE_IT_SERVES if name in loaded] == []


# ---------------------------------------------------------------- what it is told


def test_the_usual_arguments_are_read_without_typer_and_all_others_by_it() -> None:
    named = {"CONNECTOR_CONFIG": "named.yaml"}
    for usual in (["--config", "links.yaml"], ["-c", "links.yaml"], ["--config=links.yaml"]):
        assert config_of([*usual, "serve-links"], named) == Path("links.yaml")
    assert config_of(["serve-links"], named) == Path("named.yaml")
    assert config_of(["serve-links"], {"CONNECTOR_CONFIG": ""}) == Path("connector.yaml")
    for others in (["-clinks.yaml", "serve-links"], ["--config=", "serve-links"], ["--config", "", "serve-links"],
                   ["--config", "links.yaml", "run"], ["--config", "links.yaml", "serve-links", "--help"],
                   ["--help", "serve-links"], ["--config", "links.yaml"], []):  # fmt: skip
        assert config_of(others, named) is None


@pytest.mark.parametrize("arguments", [["-c{}"], ["--config={}"], ["--config", "elsewhere.yaml", "-c", "{}"], []])
def test_however_the_file_is_named_the_same_comes_of_it(desk: Desk, arguments: list[str]) -> None:
    desk.write(surprise=1)
    env = os.environ | {"CONNECTOR_CONFIG": "nowhere.yaml" if arguments else str(desk.config)}
    told = desk.fail([argument.format(desk.config) for argument in arguments], env=env)
    assert told == desk.fail()
    assert (told[0], "links.yaml: surprise" in told[2]) == (2, True)


# ---------------------------------------------------------------- what it says


def read(desk: Desk) -> None:
    """All that is done with the file before the service serves; nothing is written."""
    _, options = starting.read(desk.config)
    current(options.database, "links")


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"pepper": "written here"},
        {"pepper": {"file": "nowhere"}},
        {"url": "https://links.example.com/path", "retention": "1h", "listen": "8081"},
        {"api_keys": []},
        {"support": {"logo": "nowhere.png"}, "geo": {"mmdb": "nowhere.mmdb"}, "ip_retention": "91d"},
        {"webhook": {"url": "https://hook.example.com", "secret": {"file": "key"}, "kinds": ["surprise"]}},
        {"database": "mysql://localhost/links"},
        {"database": "sqlite:////nowhere/at/all/links.db"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_wrong_file_is_told_in_sentences_and_nothing_is_made(desk: Desk, changes: Mapping[str, Any]) -> None:
    desk.write(**changes)
    with pytest.raises(ConfigError) as wrong:
        read(desk)
    assert desk.fail() == (2, "", "".join(f"{problem}\n" for problem in wrong.value.problems))
    assert sorted(path.name for path in desk.folder.iterdir()) == ["key", "links.yaml", "pepper"]


def test_everything_that_is_wrong_is_told_at_once_with_the_name_of_the_file(desk: Desk) -> None:
    (desk.folder / "short").write_text("abc")
    desk.write(
        pepper={"file": "short"}, api_keys=[{"file": "short"}, {"file": "short"}], retention="2d", ip_retention="3d",
        geo={"mmdb": "nowhere.mmdb", "network": "nowhere.net"}, support={"logo": "nowhere.png"},
        url="https://links.example.com/#x", webhook={"url": "https://hook.example.com", "secret": {"file": "short"}},
    )  # fmt: skip
    with pytest.raises(ConfigError) as wrong:
        starting.read(desk.config)
    for words in ("pepper", "api_keys: one is shorter", "api_keys: the same plain secret", "ip_retention", "geo.mmdb",
                  "geo.network", "support.logo", "url", "webhook.secret"):  # fmt: skip
        assert any(words in problem for problem in wrong.value.problems), words
    assert all(problem.startswith("links.yaml: ") for problem in wrong.value.problems)
    assert len(wrong.value.problems) == 9


def test_a_database_that_another_service_holds_is_not_brought_up_to_date(desk: Desk) -> None:
    with exclusive(desk.database, who="link service"):
        code, out, said = desk.fail()
        assert current(desk.database, "links") is None
    assert (code, out) == (2, "")
    assert "another link service already works with" in said
    assert said.count("\n") == 1


# ---------------------------------------------------------------- the process apart


@dataclass(frozen=True)
class HeldUp:
    """A start that has read the pepper and now waits for the key.

    Attributes:
        process: What becomes the service.
        apart: The id of the process that reads.
        key: Where the key is written; once it is closed, the start goes on.
    """

    process: subprocess.Popen[str]
    apart: int
    key: IO[str]


@contextlib.contextmanager
def held_up(desk: Desk) -> Iterator[HeldUp]:
    (desk.folder / "key").unlink()
    os.mkfifo(desk.folder / "key")
    with desk.start() as process:
        writer: int = wait_for("the process apart", lambda: writer_of(desk.folder / "key"), seconds=60)
        with os.fdopen(writer, "w") as key:
            (apart,) = children_of(process.pid)
            yield HeldUp(process, apart, key)


def writer_of(pipe: Path) -> int | None:
    """A named pipe, opened for writing as soon as somebody reads it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def children_of(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # it may just have ended
            if f"\nPPid:\t{parent}\n" in status.read_text():
                found.append(int(status.parent.name))
    return found


def is_there(process: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@posix_only
def test_a_secret_is_in_no_argument_variable_or_file_while_it_goes_from_one_process_to_the_other(desk: Desk) -> None:
    with held_up(desk) as start:
        for number in (start.process.pid, start.apart):
            for name, control in (("cmdline", b"links.yaml"), ("environ", b"PATH=")):
                content = Path(f"/proc/{number}/{name}").read_bytes()
                assert control in content
                assert desk.pepper.encode() not in content
        found = [path.name for path in desk.folder.iterdir() if path.is_file() and desk.pepper in path.read_text()]
        assert found == ["pepper"]
        pipes = {(Path("/proc") / str(number) / "fd/1").readlink() for number in (start.process.pid, start.apart)}
        assert len(pipes) == 2, "what is given back does not go to where the service's own output goes"


@posix_only
def test_who_stops_it_while_it_starts_stops_both_processes_at_once(desk: Desk) -> None:
    with held_up(desk) as start:
        start.process.send_signal(signal.SIGTERM)
        assert start.process.communicate(timeout=60) == ("", "")
        assert start.process.returncode == -signal.SIGTERM
        wait_for("the end of the process apart", lambda: not is_there(start.apart), seconds=30)
    assert not (desk.folder / "links.db").exists()


TOLD_BETWEEN = """
import pickle, signal, sys
from pathlib import Path
from connector.cli import serving, with_exit_codes

loads = pickle.loads
def told_to_end(given):
    signal.raise_signal(signal.SIGTERM)
    return loads(given)
pickle.loads = told_to_end
with_exit_codes(lambda: serving.serve_links(Path(sys.argv[1])))
"""


@posix_only
def test_who_stops_it_between_reading_and_serving_is_heard(desk: Desk) -> None:
    """Nobody but the first process of a container would survive it, and that one would serve on."""
    program = [sys.executable, "-c", TOLD_BETWEEN, str(desk.config)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0
    assert "link_service_stopped" in ended.stderr
    assert "link_service_started" not in ended.stderr


def test_a_signal_breaks_off_only_what_may_be_and_only_once() -> None:
    ending, steps = Ending(), []

    def wait() -> None:
        with ending.breaking_off():
            steps.append("waits")
            ending.note(signal.SIGTERM)
            steps.append("waits on")

    with pytest.raises(Told):
        wait()
    ending.note(signal.SIGINT)  # while it tidies up: noted, no more
    assert (steps, ending.signals) == (["waits"], [signal.SIGTERM, signal.SIGINT])


def test_a_signal_that_came_before_is_not_forgotten_by_what_may_be_broken_off() -> None:
    ending, steps = Ending(), []
    ending.note(signal.SIGTERM)
    with pytest.raises(Told), ending.breaking_off():
        steps.append("begins")
    assert steps == []


@posix_only
def test_it_starts_in_a_folder_that_is_gone(desk: Desk) -> None:
    gone = desk.folder / "gone"
    gone.mkdir()
    wrapped = (
        f"import os, sys; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); os.execv(sys.executable, sys.argv[1:])"
    )
    program = [sys.executable, "-m", "connector", "--config", str(desk.config), "serve-links"]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", wrapped, *program], env=env) as process:
        try:
            wait_for("the link service", desk.answers, seconds=60)
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()


@posix_only
def test_it_serves_though_its_standard_error_is_closed(desk: Desk) -> None:
    with desk.start(stderr=None, preexec_fn=lambda: os.close(2)) as process:
        wait_for("the link service", desk.answers, seconds=60)
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture
def heard_ctrl_c() -> Iterator[None]:
    """Processes started from here hear Ctrl+C, also where the tests run in the background and do not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@posix_only
@pytest.mark.usefixtures("heard_ctrl_c")
def test_ctrl_c_while_it_starts_ends_both_without_a_traceback(desk: Desk) -> None:
    with held_up(desk) as start:
        for number in (start.process.pid, start.apart):  # as a terminal does
            os.kill(number, signal.SIGINT)
        assert start.process.communicate(timeout=60) == ("", "")
        assert start.process.returncode == 130
        wait_for("the end of the process apart", lambda: not is_there(start.apart), seconds=30)


@posix_only
def test_when_the_process_apart_is_killed_that_is_said_and_nothing_is_served(desk: Desk) -> None:
    with held_up(desk) as start:
        os.kill(start.apart, signal.SIGKILL)
        out, said = start.process.communicate(timeout=60)
    assert (start.process.returncode, out) == (1, "")
    assert "did not start" in said
    assert "signal 9" in said
    assert said.count("\n") == 1
    assert not desk.answers()


@posix_only
def test_the_process_apart_does_not_outlive_a_service_that_was_killed(desk: Desk) -> None:
    with held_up(desk) as start:
        start.process.kill()
        start.process.wait(20)
        start.key.write(desk.key)
        start.key.close()
        wait_for("the end of the process apart", lambda: not is_there(start.apart), seconds=30)
        said = start.process.stderr.read() if start.process.stderr else ""
    assert said == "The link service that was to start has ended meanwhile.\n"


def test_a_package_of_the_same_name_where_it_is_started_is_not_run(desk: Desk) -> None:
    planted = desk.folder / "connector"
    planted.mkdir()
    for name in ("__init__.py", "__main__.py"):
        (planted / name).write_text("from pathlib import Path\nPath(__file__).with_name('was-run').touch()\n")
    desk.write(surprise=1)
    _, _, said = desk.fail(python=["-P"], cwd=desk.folder)
    assert "surprise" in said
    assert not (planted / "was-run").exists()


def test_on_a_terminal_the_process_apart_keeps_its_secrets_to_itself(desk: Desk) -> None:
    pty = pytest.importorskip("pty", reason="Windows has no such terminals")
    ours, theirs = pty.openpty()
    program = [sys.executable, "-m", "connector.cli.starting", str(desk.config)]
    done = subprocess.run(program, stdout=theirs, timeout=60, check=False)
    os.write(theirs, b"end")
    assert (done.returncode, os.read(ours, 65536)) == (0, b"end")
    os.close(ours)
    os.close(theirs)
