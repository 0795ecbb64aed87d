"""No secret comes to rest: whole cases and a bad day by real processes at log level debug, then a search for them all.

The passwords, links and tokens of the story are not known beforehand. A proxy between the connector and the other
systems remembers what it really sent; the links come from the mails, the passwords also from the opened links.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.stage import Stage, alarm_in, call, link_in, open_link, wait_for
from tests.canary import Canary, Places, files_in, leaks, shapes
from tests.e2e.recording_proxy import Passed, RecordingProxy, recording_proxy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

REQUESTER, APPROVER = "ben@contoso.com", "anna@contoso.com"
NOT_OURS = ("*.secret", "sandbox.json*", "sandbox.log")
"""The files that secrets are given in, and what the sandbox writes about its own."""

DEBUG = {"log": {"level": "debug", "format": "json"}}
LINK = re.compile(r"https?://\S+/s/([A-Za-z0-9_-]+)")
ALARM = re.compile(r"https?://\S+/n/([A-Za-z0-9_-]+)")
WITH_ALARM = re.compile(r"\] (Password shown: |(Password|MFA|Password and MFA) of .* reset$)")


@dataclass
class Story:
    """What was seen of it.

    Attributes:
        places: Everything that was looked at, by kind: `logs`, `databases`, `mails` …
        opened: The passwords that people saw, by account.
        mails: Every mail.
        echo: What failing systems put into their answers; it stands for whatever an answer may hold.
    """

    stage: Stage
    proxy: RecordingProxy
    places: dict[str, dict[str, bytes]] = field(default_factory=dict, repr=False)
    opened: dict[str, str] = field(default_factory=dict, repr=False)
    tickets: list[int] = field(default_factory=list)
    mails: list[dict[str, Any]] = field(default_factory=list, repr=False)
    echo: str = field(default_factory=lambda: f"echo-{secrets.token_urlsafe(24)}", repr=False)

    # -- what happens

    def raise_ticket(self, kind: str, subject: str, **more: Any) -> int:
        number = self.stage.raise_ticket(kind, subject, REQUESTER, details="locked out", **more)
        self.tickets.append(number)
        wait_for("the confirmation", lambda: self.stage.mails(number))
        return number

    def approve(self, number: int) -> None:
        self.stage.control("POST", f"/tickets/{number}/approve", {"approver": APPROVER, "comment": "fine"})

    def links_of(self, number: int, *, seconds: float = 60) -> list[str]:
        found: list[str] = wait_for(
            f"the link of {number}",
            lambda: [link_in(mail) for mail in self.stage.mails(number) if link_in(mail)],
            seconds=seconds,
        )
        return found

    def open(self, number: int, subject: str) -> None:
        status, password = open_link(self.links_of(number)[-1])
        assert status == 200
        facts = self.stage.control("POST", f"/accounts/{subject}/check-password", {"password": password})
        assert facts["opens"], "the canary is the password in force"
        self.opened[subject] = password

    def closed(self, number: int, status: str = "Closed") -> None:
        wait_for(f"the end of {number}", lambda: self.stage.ticket(number)["status"] == status, seconds=90)

    def fault(self, **fault: Any) -> None:
        self.stage.control("POST", "/faults", fault)

    # -- what is seen

    def look_at_files(self, when: str) -> None:
        for name, content in files_in(self.stage.folder, without=NOT_OURS).items():
            kind = "logs" if name.endswith(".log") else "databases" if ".db" in name else "other files"
            self.places.setdefault(kind, {})[f"{name} {when}"] = content

    def look_at_commands(self) -> None:
        first = str(self.tickets[0])
        for words in (("show", first), ("show", first, "--json"), ("cases", "--all"), ("cases", "--all", "--json"),
                      ("cases", "--needs-person"), ("audit", "verify"), ("audit", "export"), ("check",),
                      ("check", "--json"), ("check", "--offline"), ("show", "99999"), ("retry", first)):  # fmt: skip
            done = self.stage.connector(*words)
            self.places.setdefault("commands", {})[" ".join(words)] = f"{done.stdout}\n{done.stderr}".encode()
        for name in ("metrics", "healthz"):
            page = call("GET", f"http://127.0.0.1:{self.stage.inbound_port}/{name}")
            self.places.setdefault("metrics", {})[name] = str(page).encode()

    def look_at_the_outside(self) -> None:
        mails = self.places["mails"] = {}
        self.mails = self.stage.mails()
        for mail in self.mails:
            # In the one mail that carries a link or an alarm, its own may stand; nothing else.
            text = json.dumps(mail, ensure_ascii=False)
            own = [found for found in (link_in(mail), alarm_in(mail) if WITH_ALARM.search(mail["subject"]) else "")
                   if found]  # fmt: skip
            for address in own:
                text = text.replace(address, "")
            mails[f"mail {mail['id']}: {mail['subject']}"] = text.encode()
        tickets = self.places["tickets"] = {}
        for number in self.tickets:
            tickets[f"ticket {number}"] = json.dumps(self.stage.ticket(number), ensure_ascii=False).encode()
        exchanges = self.stage.control("GET", "/exchanges?system=halo")
        tickets["what HaloPSA was sent"] = json.dumps(
            [{key: one[key] for key in ("url", "request_headers", "request_body")} for one in exchanges],
            ensure_ascii=False,
        ).encode()

    # -- what was secret

    @property
    def links(self) -> list[str]:
        return [link_in(mail) for mail in self.mails if link_in(mail)]

    @property
    def alarms(self) -> list[str]:
        return [alarm_in(mail) for mail in self.mails if alarm_in(mail)]

    def asked(self, what: str) -> list[Passed]:
        """Requests whose method and path fit a pattern."""
        return [one for one in self.proxy.passed if re.search(what, f"{one.method} {one.path}")]

    def passwords(self) -> list[str]:
        """Every password that was ever sent to Microsoft Graph, those of failed tries too."""
        return [json.loads(one.body)["passwordProfile"]["password"] for one in self.asked(r"^PATCH /v1\.0/users/")]

    def bearer_tokens(self) -> set[str]:
        headers = (one.headers.get("Authorization", "") for one in self.proxy.passed)
        return {header.removeprefix("Bearer ") for header in headers if header}

    def given(self, name: str) -> str:
        return (self.stage.folder / f"{name}.secret").read_text()

    def canaries(self) -> list[Canary]:
        api_key = self.given("api-key")
        found = [
            Canary("the client secret of HaloPSA", self.given("halo")),
            Canary("the client secret of Graph", self.given("graph")),
            Canary("the password of the mail server", self.given("smtp")),
            Canary("the API key of the link service", api_key),
            Canary("the pepper of the link service", self.given("pepper")),
            Canary("the body of an answer", self.echo),
            *(Canary("a password", password) for password in {*self.passwords(), *self.opened.values()}),
            *(Canary("the token of a link", match[1]) for link in self.links if (match := LINK.search(link))),
            *(Canary("the token of an alarm", match[1]) for one in self.alarms if (match := ALARM.search(one))),
        ]
        for token in self.bearer_tokens() - {api_key}:
            # The head of a JWT is the same for all; claims and signature are what must not be seen.
            parts = token.split(".")[1:] if token.count(".") == 2 else [token]
            found += [Canary("a part of an access token", part) for part in parts]
        return found


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("canary") / "stage"
    with recording_proxy() as proxy:
        stage = Stage(folder, settings={**DEBUG, "http": {"proxy": proxy.url}}, links_settings=DEBUG)
        with stage:
            (folder / "tmp").mkdir()
            stage.environ = {name: str(folder / "tmp") for name in ("TMPDIR", "TEMP", "TMP")}
            stage.start_all()
            story = Story(stage, proxy)
            _good_day(story)
            _bad_day(story)
            story.look_at_files("while it runs")
            story.look_at_commands()
            story.look_at_the_outside()
            assert len(story.mails) == len(stage.mails()), "nothing more is under way"
            for name in ("connector", "links"):
                assert stage.stop(name) == 0
            story.look_at_files("after the end")
            yield story


def _good_day(story: Story) -> None:
    """A password by a link, opened; methods and password at once, opened."""
    number = story.raise_ticket("Password Reset", "dana@contoso.com")
    story.approve(number)
    story.links_of(number)
    story.look_at_files("while a link is out")
    story.open(number, "dana@contoso.com")
    story.look_at_files("right after the reveal")
    both = story.raise_ticket("Account Reset", "oona.o'neil@contoso.com", what="Both")
    story.approve(both)
    story.open(both, "oona.o'neil@contoso.com")
    for one in (number, both):
        story.closed(one)


def _bad_day(story: Story) -> None:
    """Every system fails once, and says something that must not be repeated."""
    stage = story.stage
    words = json.dumps({"error": {"code": "Request_BadRequest", "message": story.echo}, "detail": story.echo})
    refused = story.raise_ticket("Password Reset", "emil@contoso.com")
    story.fault(system="graph", kind="status", match=r"^PATCH /v1\.0/users/", status=400, body=words)
    story.approve(refused)
    story.closed(refused, "Needs technician")

    delayed = story.raise_ticket("Password Reset", "zoe@contoso.com")
    banned = f"The specified password does not comply with password complexity requirements. {story.echo}"
    story.fault(system="graph", kind="status", match=r"^PATCH /v1\.0/users/", status=400,
                body=json.dumps({"error": {"code": "Request_BadRequest", "message": banned}}))  # fmt: skip
    story.fault(system="graph", kind="cut_after", match=r"^PATCH /v1\.0/users/")
    story.fault(system="halo", kind="not_json", match=r"(?i)^GET /api/tickets/", body=f"<html>{story.echo}</html>")
    story.fault(system="halo", kind="status", match=r"(?i)^POST /api/actions", status=500, body=story.echo)
    story.fault(system="graph", kind="status", match="batch", status=503, body=words)
    stage.control("POST", "/expire-tokens")
    story.approve(delayed)
    story.open(delayed, "zoe@contoso.com")
    story.closed(delayed)

    unmailed = story.raise_ticket("Password Reset", "farid@contoso.com")
    story.fault(system="smtp", kind="status", match="DATA .*Password ready", status=550, body=f"5.1.1 {story.echo}")
    story.approve(unmailed)
    story.closed(unmailed, "Needs technician")

    without_links = story.raise_ticket("Password Reset", "paul+sales@contoso.com")
    stage.kill("links")
    story.approve(without_links)
    tried = re.compile(rf'"ticket": "{without_links}".*The link service at .* cannot be reached.*"delayed"')
    wait_for("a failed try", lambda: tried.search(stage.log("connector")))
    stage.start_links()
    story.open(without_links, "paul+sales@contoso.com")
    story.closed(without_links)
    assert stage.control("GET", "/faults") == [], "every fault was met"


# ---------------------------------------------------------------- nothing is found


@pytest.mark.parametrize("kind", ["logs", "databases", "other files", "mails", "tickets", "commands", "metrics"])
def test_no_secret_comes_to_rest_in(story: Story, kind: str) -> None:
    assert leaks(story.canaries(), story.places[kind]) == []
    assert shapes(story.places[kind]) == [], "a link that was never mailed is not known, but is known by its shape"


def test_the_search_looked_at_what_matters(story: Story) -> None:
    """An empty place would hold no secret either."""
    seen = {name: content for kind in story.places.values() for name, content in kind.items()}
    assert all(seen[name] for name in ("connector.log after the end", "links.log after the end"))
    for database in ("connector.db", "links.db"):
        assert seen[f"{database}-wal while a link is out"], "the write-ahead log was there and was looked at"
        assert seen[f"{database}, row by row after the end"]
    assert b"graph_refused" in seen["connector.log after the end"], "debug messages are in it"
    assert len(story.places["mails"]) > 12
    assert sum(bool(link_in(mail)) for mail in story.mails) >= 4
    assert b"Approved by Anna Approver" in b"".join(story.places["tickets"].values())
    assert b"connector_outside_calls_total" in seen["metrics"]
    assert b"setting_password" in seen["audit export"]


def test_the_canaries_are_the_secrets_of_the_story(story: Story) -> None:
    names = [canary.name for canary in story.canaries()]
    # Four that people saw, two that Graph refused, one whose answer was lost, one whose mail was refused.
    assert len(set(story.passwords())) >= 4 + 2 + 1 + 1
    assert set(story.opened.values()) <= set(story.passwords())
    assert names.count("the token of a link") >= 4
    assert names.count("the token of an alarm") >= 4 + 1, "one for each opened link, and the notice to Dana"
    assert len(set(story.alarms)) == len(story.alarms), "no two mails have the same one"
    assert names.count("a part of an access token") >= 2 + 2, "Graph's in two parts, and two of HaloPSA's"


# ---------------------------------------------------------------- each goes only where it belongs


def test_a_password_is_sent_to_graph_alone_and_once(story: Story) -> None:
    passwords = story.passwords()
    assert len(passwords) == len(set(passwords)), "every try has a password of its own"
    canaries = [Canary("a password", password) for password in passwords]
    others = {
        f"{one.method} {one.url}": one.sent
        for one in story.proxy.passed
        if not (one.method == "PATCH" and one.origin == story.stage.facts["graph"])
    }
    assert leaks(canaries, others) == []


def test_the_connector_sends_no_link_and_no_alarm_to_anybody_but_by_mail(story: Story) -> None:
    canaries = [one for one in story.canaries() if one.name in ("the token of a link", "the token of an alarm")]
    assert len(canaries) >= 4 + 5
    assert leaks(canaries, {f"{one.method} {one.url}": one.sent for one in story.proxy.passed}) == []


def test_every_credential_goes_to_its_own_system_only(story: Story) -> None:
    halo, graph = story.stage.facts["halo"], story.stage.facts["graph"]
    links = f"http://127.0.0.1:{story.stage.links_port}"
    tokens = {origin: {one.headers["Authorization"] for one in story.proxy.passed if one.origin == origin
                       and "Authorization" in one.headers} for origin in (halo, graph, links)}  # fmt: skip
    assert tokens[links] == {f"Bearer {story.given('api-key')}"}
    assert not tokens[halo] & tokens[graph]
    assert {one.origin for one in story.proxy.passed} == {halo, graph, links}
    for name, owner in (("halo", halo), ("api-key", links), ("graph", ""), ("smtp", ""), ("pepper", "")):
        elsewhere = {one.url: one.sent for one in story.proxy.passed if one.origin != owner}
        assert leaks([Canary(name, story.given(name))], elsewhere) == []
    in_addresses = {str(number): one.url.encode() for number, one in enumerate(story.proxy.passed)}
    assert leaks(story.canaries(), in_addresses) == []


# ---------------------------------------------------------------- wrong secrets


def test_secrets_that_are_refused_are_not_repeated(story: Story, tmp_path: Path) -> None:
    folder = tmp_path / "wrong"
    shutil.copytree(story.stage.folder, folder, ignore=shutil.ignore_patterns("*.db*", "*.log", "tmp"))
    wrong = [Canary(f"a wrong {name} secret", secrets.token_urlsafe(32)) for name in ("halo", "graph", "smtp")]
    for canary in wrong:
        (folder / f"{canary.name.split()[2]}.secret").write_text(canary.value)
    story.stage.start_links()
    done = story.stage.connector("check", config=str(folder / "connector.yaml"))
    story.stage.stop("links")
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 1
    assert said.count("ERROR") >= 3, said
    assert leaks(wrong, {"connector check": said.encode()}) == []


# ---------------------------------------------------------------- the search can fail


def test_a_secret_planted_into_a_copy_of_a_log_is_found(story: Story, tmp_path: Path) -> None:
    password = next(iter(story.opened.values()))
    for name in ("connector.log", "links.log"):
        log = tmp_path / name
        shutil.copy(story.stage.folder / name, log)
        assert leaks(story.canaries(), files_in(tmp_path)) == []
        with log.open("ab") as out:
            out.write(json.dumps({"event": "planted", "header": _basic(password)}).encode())
        assert any("a password" in leak and name in leak for leak in leaks(story.canaries(), files_in(tmp_path)))
        log.unlink()


@pytest.mark.parametrize("database", ["connector.db", "links.db"])
def test_a_secret_planted_into_a_copy_of_a_database_is_found_in_its_write_ahead_log(
    story: Story, tmp_path: Path, database: str
) -> None:
    copy = tmp_path / database
    shutil.copy(story.stage.folder / database, copy)
    assert leaks(story.canaries(), files_in(tmp_path)) == []
    token = story.links[0].rpartition("/")[2]
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        connection.execute("CREATE TABLE planted (value BLOB)")
        connection.execute("INSERT INTO planted VALUES (?)", (b"x" * 5000 + token.encode(),))
        connection.commit()
        found = leaks(story.canaries(), files_in(tmp_path))
    assert any("the token of a link" in leak and f"{database}-wal" in leak for leak in found)
    assert any("the token of a link" in leak and "row by row" in leak for leak in found)


@pytest.mark.parametrize("kind", ["mails", "tickets", "commands", "metrics"])
def test_a_secret_planted_elsewhere_is_found(story: Story, kind: str) -> None:
    planted: Places = {
        name: content + b" " + canary.value.encode()
        for canary, (name, content) in zip(story.canaries(), story.places[kind].items(), strict=False)
    }
    assert len(leaks(story.canaries(), planted)) >= len(planted) > 0


def _basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"dana@contoso.com:{password}".encode()).decode()
