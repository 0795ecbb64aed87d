"""A whole life of a link through a real nginx and a real Caddy, with the files of `deploy/proxy` as they are shipped.

Neither may write down what opens a link: not when all is well, and not when it is 404, 413, 429 or the service is down,
which is when proxies like to quote the request. And the address that the service learns must be the visitor's.
"""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from connector.secretlink.seal import new_token
from sandbox.stage import wait_for
from tests.canary import Canary, files_in, leaks
from tests.e2e.link_servers import BROWSER, HOST, Answer, Proxy, Service
from tests.secretlink.support import Made, encode, new_nonce

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.name == "nt", reason="The proxies are tried with Debian's packages"),
]

ELSEWHERE = "127.0.0.2"
"""Another address of this machine: the visitor's, while the proxy's own is 127.0.0.1."""
CLAIMED = "198.51.100.77"
"""What a visitor says about their own address."""


@dataclass
class Life:
    """What was done through a proxy, and what it left behind.

    Attributes:
        shown: The answer of each act, by what it was.
        secrets: What must be in no log.
    """

    proxy: Proxy
    shown: dict[str, Answer] = field(default_factory=dict)
    secrets: list[Canary] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    left: dict[str, bytes] = field(default_factory=dict)

    def keep(self, link: Made, what: str) -> Made:
        self.secrets += [
            Canary(f"the token of {what}", link.token.reveal()),
            Canary(f"the id of {what}", link.terms.link_id),
            Canary(f"the password of {what}", link.password.reveal(), cut=False),
            Canary(f"the lookup of {what}", encode(link.lookup)),
        ]
        return link

    def stranger(self) -> str:
        """A token that opens nothing; as secret as any, for it may be one of another service."""
        token = new_token().reveal()
        self.secrets.append(Canary("a token that is not known", token))
        return token


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp(request.param)
    folder.chmod(0o755)
    with Service(folder / "service") as service:
        proxy = Proxy(request.param, folder / "proxy", service, trustme.CA())
        lived = Life(proxy, secrets=[Canary("the API key", service.api_key), Canary("the pepper", service.pepper)])
        with proxy.running():
            _live(lived)
            _provoke(lived)
            lived.events = proxy.visitor().api("GET", "/events?after=0&limit=500").json()["events"]
            service.stop()
            _find_it_away(lived)
            time.sleep(0.2)  # Caddy writes its logs a moment later
        lived.left = files_in(proxy.folder, without=["*.pem"])
        yield lived


def _live(life: Life) -> None:
    """From the making to the last view, and one that is revoked."""
    connector, person = life.proxy.visitor(), life.proxy.visitor(ELSEWHERE)
    link = life.keep(connector.create(views=2), "a link")
    life.shown["made"] = connector.api("GET", f"/links/{link.terms.link_id}")
    claims = {"X-Forwarded-For": CLAIMED, "Forwarded": f"for={CLAIMED}", "X-Real-IP": CLAIMED}
    life.shown["page"] = person.page(link.path, **claims, **{"Accept-Encoding": "gzip"})
    life.shown["too fast"] = person.post(f"{link.path}/reveal", {"challenge": "", "nonce": new_nonce()})
    life.shown["first view"] = person.reveal(link.path)
    life.shown["style"] = person.page("/static/nothing.css", Referer=f"https://{HOST}{link.path}")
    life.shown["last view"] = person.reveal(link.path)
    life.shown["used"] = person.page(link.path)
    assert life.shown["last view"].json()["password"] == link.password.reveal()
    revoked = life.keep(connector.create(), "a revoked link")
    connector.api("POST", f"/links/{revoked.terms.link_id}/revoke")
    life.shown["revoked"] = person.page(revoked.path)


def _provoke(life: Life) -> None:
    """What goes wrong, and odd ways to write an address that still leads there."""
    connector, person = life.proxy.visitor(), life.proxy.visitor("127.0.0.3")
    link = life.keep(connector.create(), "an oddly written link")
    token = link.token.reveal()
    for way in (f"//s/{token}", f"/%73/{token}", f"/x/../s/{token}", f"/s/{token}?from=mail", f"/s/{token}/",
                f"/s/{link.terms.link_id}%23{token}", f"/s/{link.terms.link_id}%2523{token}",
                f"/n/{token}", f"/?next=/s/{token}", f"/S/{token}"):  # fmt: skip
        life.shown[way.replace(token, "TOKEN")] = person.page(way, Referer=f"https://{HOST}{link.path}")
    life.shown["unknown"] = person.page(f"/s/{life.stranger()}")
    life.shown["unknown alarm"] = person.page(f"/n/{life.stranger()}")
    life.shown["unknown alarm raised"] = person.post(f"/n/{life.stranger()}/raise", {})
    life.shown["a method that is none"] = person.ask("DELETE", link.path)
    life.shown["5 KB"] = person.post(f"{link.path}/step", {"challenge": "x" * 5000})
    life.shown["40 KB"] = person.post(f"{link.path}/step", {"challenge": "x" * 40_000})
    life.shown["a long address"] = person.page(f"/s/{token}{'x' * 6000}")
    for words in (f"GET /s/{token} HTTP/1.1\r\nHost: {HOST}\r\nBad Header: x\r\n\r\n",
                  f"GET /s/{token} HTTP/9.9\r\nHost: {HOST}\r\n\r\n",
                  f"GET /s/{token} HTTP/1.1\r\n\r\n",
                  f"GET https://{HOST}/s/{token} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n",
                  f"POST /s/{token}/step HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100\r\n\r\nshort"):  # fmt: skip
        if words.startswith("POST"):
            _hang_up(life.proxy, words.encode())
        else:
            person.say(words.encode().replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
    for _ in range(40):
        life.shown["a crowd of unknown ones"] = person.page(f"/s/{life.stranger()}")
    life.shown["without TLS"] = _plainly(life.proxy, link.path)
    stranger = life.proxy.visitor(ELSEWHERE)
    for way in ("/api/v1/events?after=0", "//api/v1/events?after=0", "/%61pi/v1/events?after=0", "/x/../api/v1/events"):
        life.shown[f"{way} from elsewhere"] = stranger.ask(
            "GET",
            way,
            headers={"Authorization": f"Bearer {life.proxy.service.api_key}", "X-Forwarded-For": "127.0.0.1"},
        )


def _find_it_away(life: Life) -> None:
    person = life.proxy.visitor(ELSEWHERE)
    for what, way in (("page", f"/s/{life.stranger()}"), ("alarm", f"/n/{life.stranger()}"), ("other", "/healthz")):
        life.shown[f"{what} while it is away"] = person.page(way)
    life.shown["reveal while it is away"] = person.post(f"/s/{life.stranger()}/reveal", {"nonce": secrets.token_hex()})


def _hang_up(proxy: Proxy, words: bytes) -> None:
    """Send half a request and be gone."""
    visitor = proxy.visitor()
    assert visitor.tls is not None
    line = socket.create_connection(("127.0.0.1", proxy.tls_port), source_address=(ELSEWHERE, 0))
    with visitor.tls.wrap_socket(line, server_hostname=HOST) as connection:
        connection.sendall(words)


def _plainly(proxy: Proxy, path: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.plain_port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": HOST, "User-Agent": BROWSER})
        got = connection.getresponse()
        return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
    finally:
        connection.close()


# ---------------------------------------------------------------- it works


def test_a_link_lives_through_the_proxy(life: Life) -> None:
    statuses = {what: answer.status for what, answer in life.shown.items()}
    assert {what: statuses[what] for what in ("made", "page", "first view", "last view", "used", "revoked")} == {
        "made": 200, "page": 200, "first view": 200, "last view": 200, "used": 410, "revoked": 410
    }  # fmt: skip
    assert statuses["too fast"] == 403
    kinds = [event["kind"] for event in life.events]
    assert kinds.count("revealed") == 2
    assert kinds.count("revoked") == 1


def test_the_services_own_refusals_are_passed_on(life: Life) -> None:
    statuses = {what: answer.status for what, answer in life.shown.items()}
    assert statuses["unknown"] == 404
    assert statuses["a method that is none"] == 405
    assert statuses["5 KB"] == 413
    assert statuses["40 KB"] == 413
    assert statuses["a crowd of unknown ones"] == 429
    assert "wait a minute" in life.shown["a crowd of unknown ones"].text.lower()


@pytest.mark.parametrize("header", ["content-security-policy", "strict-transport-security", "x-frame-options"])
def test_the_services_headers_arrive_once(life: Life, header: str) -> None:
    assert ", " not in life.shown["page"].headers[header].replace("max-age=63072000; includeSubDomains", "")
    assert life.shown["page"].headers["cache-control"].startswith("no-store")
    assert life.shown["page"].headers["referrer-policy"] == "no-referrer"


def test_a_page_is_not_compressed_even_for_who_asks(life: Life) -> None:
    """Beside what somebody else chose, a compressed secret tells of itself by its length."""
    assert "content-encoding" not in life.shown["page"].headers


@pytest.mark.parametrize("what", ["page", "alarm", "other", "reveal"])
def test_while_the_service_is_away_people_are_told_that_nothing_was_lost(life: Life, what: str) -> None:
    answer = life.shown[f"{what} while it is away"]
    assert answer.status == 503
    assert "Nothing was used up. Try again in a minute." in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "nginx" not in answer.text


def test_who_comes_without_tls_is_sent_on(life: Life) -> None:
    answer = life.shown["without TLS"]
    assert answer.status == 308
    assert answer.headers["location"].startswith(f"https://{HOST}")


# ---------------------------------------------------------------- who it was


def test_the_visitors_address_arrives_and_their_own_claim_does_not_count(life: Life) -> None:
    by_kind = {kind: {event["ip"] for event in life.events if event["kind"] == kind} for kind in
               ("page_opened", "step_opened", "revealed")}  # fmt: skip
    assert by_kind["revealed"] == {ELSEWHERE}
    assert by_kind["step_opened"] == {ELSEWHERE}
    assert ELSEWHERE in by_kind["page_opened"]
    said = {event["ip"] for event in life.events if event["ip"]}
    assert CLAIMED not in said
    assert "127.0.0.1" not in said, "the proxy's own address is nobody's"


@pytest.mark.parametrize("way", ["/api", "//api", "/%61pi", "/x/../api"])
def test_the_api_is_for_this_machine_alone(life: Life, way: str) -> None:
    answers = [answer for what, answer in life.shown.items() if what.startswith(way) and what.endswith("elsewhere")]
    assert answers
    assert all(answer.status in (301, 308, 403, 404) for answer in answers), [answer.status for answer in answers]
    assert all(b"events" not in answer.body for answer in answers)


# ---------------------------------------------------------------- nothing is written down


def test_no_log_or_file_of_the_proxy_holds_what_opens_a_link(life: Life) -> None:
    assert len(life.secrets) > 50
    assert leaks(life.secrets, life.left) == []


def test_the_proxy_wrote_logs_all_the_same(life: Life) -> None:
    """An empty log would hold no secret either."""
    log = life.proxy.log.read_text()
    lines = log.splitlines()
    assert len(lines) > 60
    for status in (200, 404, 410, 413, 429, 503):
        assert any(f" {status} " in line or f'"status":{status}' in line for line in lines), status
    assert ELSEWHERE in log
    assert "/s/" not in log
    assert "/n/" not in log
    main = life.proxy.main_log.read_text()
    assert main
    assert "/s/" not in main
    assert [name for name in life.left if name.startswith("tmp/") and b"challenge" in life.left[name]] == []


@pytest.mark.parametrize("name", ["nginx", "caddy"])
def test_without_the_lines_in_question_they_would_be_there(name: str, tmp_path: Path) -> None:
    """What the search above would have found."""
    tmp_path.chmod(0o755)
    for parent in (tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    with Service(tmp_path / "service") as service:
        proxy = Proxy(name, tmp_path / "proxy", service, trustme.CA(), as_shipped=False)
        with proxy.running():
            link = proxy.visitor().create()
            proxy.visitor().page(link.path)
            service.stop()
            token = new_token().reveal()
            proxy.visitor().page(f"/s/{token}")
            quoted = Canary("the token", token)
            seen = Canary("the token", link.token.reveal())
            found = [
                wait_for("the leak", lambda one=one: leaks([one], files_in(proxy.folder, without=["*.pem"])))
                for one in (seen, quoted)
            ]
    assert all(found)
    if name == "nginx":
        assert any("main.log" in leak for leak in found[1]), "the error log quotes the request"
