"""Keys: what each may do, until when and from where, and what its refusal tells to whom."""

from __future__ import annotations

import base64
import json
import re
import secrets
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
import structlog
import yaml
from starlette.applications import Starlette
from typer.testing import CliRunner

from connector.cli.commands import app as command_line
from connector.config import HashedKeySection, load_link_server
from connector.errors import ConfigError
from connector.secretlink.place import parse_networks
from connector.secretlink.seal import lookup_of
from connector.secretlink.service.api.keys import ALL_SCOPES, ApiKey, ApiKeys, Refusal, Scope, digest_of, new_key
from connector.secretlink.service.options import LinkServiceOptions
from connector.secretlink.service.web import create_app
from tests.secretlink.support import Browser, FakeClock, encode, make_link, options_for

ROOT = Path(__file__).parent.parent.parent
ENDPOINTS = [
    ("POST", "/links", Scope.LINKS_CREATE),
    ("GET", "/links/lnk_never-made", Scope.LINKS_READ),
    ("POST", "/links/lnk_never-made/revoke", Scope.LINKS_REVOKE),
    ("GET", "/events", Scope.EVENTS_READ),
]


def hashed(key: str, **changes: Any) -> ApiKey:
    values: dict[str, Any] = {"name": "reporting", "digest": digest_of(key)}
    return ApiKey(**(values | changes))


def service(database: str, pepper: bytes, clock: FakeClock, *keys: ApiKey, **changes: Any) -> Starlette:
    options = options_for(database, pepper, "", api_keys=(), hashed_keys=keys, **changes)
    return create_app(options, clock=clock)


def call(browser: Browser, method: str, path: str) -> Any:
    return browser.api(method, path, make_link().to_body() if (method, path) == ("POST", "/links") else None)


@pytest.mark.parametrize(("method", "path", "scope"), ENDPOINTS, ids=[str(scope) for *_, scope in ENDPOINTS])
def test_a_key_opens_what_its_scopes_name_and_nothing_else(
    database: str, pepper: bytes, clock: FakeClock, method: str, path: str, scope: Scope
) -> None:
    only, all_but = new_key("only"), new_key("all-but")
    app = service(
        database, pepper, clock,
        hashed(only, name="only", scopes=frozenset({scope})),
        hashed(all_but, name="all-but", scopes=ALL_SCOPES - {scope}),
    )  # fmt: skip
    assert call(Browser(app, clock, only), method, path).status in (200, 201, 404)
    events = app.state.vault.events(after=0, limit=9).head
    refused = call(Browser(app, clock, all_but), method, path)
    assert refused.status == 403
    assert str(scope) in refused.json()["message"]
    assert refused.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'
    assert app.state.vault.events(after=0, limit=9).head == events
    app.state.vault.close()


def test_a_key_that_may_end_no_link_arms_no_alarm_that_does(database: str, pepper: bytes, clock: FakeClock) -> None:
    creates, both = new_key("creates"), new_key("both")
    app = service(
        database, pepper, clock,
        hashed(creates, name="creates", scopes=frozenset({Scope.LINKS_CREATE})),
        hashed(both, name="both", scopes=frozenset({Scope.LINKS_CREATE, Scope.LINKS_REVOKE})),
    )  # fmt: skip
    token = secrets.token_bytes(24)
    alarm = {
        "id": "alarm-0001", "lookup": encode(lookup_of(token)), "about": "mine/1", "link_id": "lnk_somebody-elses",
        "source": "notice", "display_name": "Anna Example", "ticket": "", "expires_at": int(clock().timestamp()) + 60,
    }  # fmt: skip
    with structlog.testing.capture_logs() as logged:
        refused = Browser(app, clock, creates).api("POST", "/alarms", alarm)
    assert (refused.status, "links:revoke" in refused.json()["message"]) == (403, True)
    assert [(entry["key"], entry["missing"]) for entry in logged] == [("creates", "links:revoke")]
    assert app.state.vault.look_alarm(lookup_of(token)) is None
    assert (
        Browser(app, clock, creates).api("POST", "/alarms", alarm | {"link_id": None, "id": "alarm-0002"}).status == 201
    )
    lookup = encode(lookup_of(secrets.token_bytes(24)))
    assert Browser(app, clock, both).api("POST", "/alarms", alarm | {"lookup": lookup}).status == 201
    app.state.vault.close()


def test_a_key_ends_at_midnight_of_its_day(database: str, pepper: bytes, clock: FakeClock) -> None:
    key = new_key("reporting")
    app = service(database, pepper, clock, hashed(key, expires=date(2026, 11, 23)))
    browser = Browser(app, clock, key)
    clock.now = datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC)
    assert browser.api("GET", "/events").status == 200
    clock.now = datetime(2026, 11, 23, tzinfo=UTC)
    assert browser.api("GET", "/events").status == 401
    app.state.vault.close()


def test_a_key_works_only_from_its_networks_as_the_trusted_proxies_tell_them(
    database: str, pepper: bytes, clock: FakeClock
) -> None:
    key = new_key("reporting")
    networks = parse_networks(["10.0.0.0/8", "2001:db8::/32"])
    app = service(database, pepper, clock, hashed(key, networks=networks), trusted_proxies=("192.0.2.1/32",))
    browser = Browser(app, clock, key)

    def status(peer: str, forwarded: str = "") -> int:
        headers = {"authorization": f"Bearer {key}"} | ({"x-forwarded-for": forwarded} if forwarded else {})
        return browser.get("/api/v1/events", headers=headers, peer=peer).status

    assert status("10.1.2.3") == 200
    assert status("2001:db8::7") == 200
    assert status("::ffff:10.1.2.3") == 200
    assert status("192.0.2.1", "10.1.2.3") == 200
    assert status("203.0.113.9") == 401
    assert status("203.0.113.9", "10.1.2.3") == 401, "a stranger's word about its own address"
    assert status("192.0.2.1", "10.1.2.3, 203.0.113.9") == 401
    assert status("192.0.2.1") == 401
    assert status("not an address") == 401
    app.state.vault.close()


def test_a_refused_key_looks_the_same_whether_it_is_unknown_over_or_elsewhere(
    database: str, pepper: bytes, clock: FakeClock
) -> None:
    over, elsewhere = new_key("over"), new_key("elsewhere")
    app = service(
        database, pepper, clock,
        hashed(over, name="over", expires=date(2026, 1, 1)),
        hashed(elsewhere, name="elsewhere", networks=parse_networks(["10.0.0.0/8"])),
    )  # fmt: skip
    answers = [call(Browser(app, clock, key), "GET", "/events") for key in (over, elsewhere, new_key("over"), "", "ü")]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1
    assert len({json.dumps(dict(answer.headers), sort_keys=True) for answer in answers}) == 1
    app.state.vault.close()


def test_the_log_names_the_key_and_the_reason_once_a_minute_and_never_the_key(clock: FakeClock) -> None:
    key, stranger = new_key("reporting"), new_key("reporting")
    keys = ApiKeys([hashed(key, scopes=frozenset({Scope.LINKS_READ}))], clock=clock)

    def ask(shown: str) -> ApiKey | Refusal:
        return keys.judge([f"Bearer {shown}"], ip=None, scope=Scope.EVENTS_READ)

    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            ask(key)
            ask(stranger)
        clock.advance(seconds=60)
        ask(key)
    told = [(entry["key"], entry["reason"], entry["missing"], entry["silent_before"]) for entry in logged]
    assert told == [
        ("reporting", "scope", "events:read", 0),
        ("unknown", "unknown", None, 0),
        ("reporting", "scope", "events:read", 2),
    ]
    for secret in (key, stranger, key[-43:], stranger[-43:], digest_of(key).hex()):
        assert secret not in json.dumps(logged)


def test_refusals_are_logged_on_after_a_clock_was_set_back(clock: FakeClock) -> None:
    keys = ApiKeys([hashed(new_key("reporting"))], clock=clock)
    with structlog.testing.capture_logs() as logged:
        for hours in (0, -1, 0):
            clock.advance(hours=hours)
            keys.judge([], ip=None, scope=Scope.EVENTS_READ)
    assert [entry["silent_before"] for entry in logged] == [0, 0], "the third within the minute after the second"


def test_two_authorization_headers_are_nobodys(clock: FakeClock) -> None:
    key = new_key("reporting")
    keys = ApiKeys([hashed(key)], clock=clock)
    assert isinstance(keys.judge([f"Bearer {key}"], ip=None, scope=Scope.EVENTS_READ), ApiKey)
    for headers in ([], [f"Bearer {key}"] * 2, [f"Bearer {key}", "Basic x"], [f"Basic {key}"], [key], ["Bearer"]):
        assert keys.judge(headers, ip=None, scope=Scope.EVENTS_READ) == Refusal("unknown", "unknown")


def test_the_start_warns_of_keys_that_end_soon(clock: FakeClock) -> None:
    ends = {"over": date(2026, 11, 1), "soon": date(2026, 12, 6), "later": date(2026, 12, 7), "never": None}
    keys = ApiKeys([hashed(new_key(name), name=name, expires=end) for name, end in ends.items()], clock=clock)
    with structlog.testing.capture_logs() as logged:
        keys.warn_of_ends()
    assert [(entry["key"], entry["over"]) for entry in logged] == [("over", True), ("soon", False)]


def test_no_key_and_no_digest_is_in_a_representation(database: str, pepper: bytes) -> None:
    plain, key = secrets.token_urlsafe(32), new_key("reporting")
    options = options_for(database, pepper, plain, hashed_keys=(hashed(key),))
    for secret in (plain, key, str(digest_of(key)), digest_of(key).hex()):
        assert secret not in repr(options)
        assert secret not in repr(options.every_key())


def test_the_file_and_the_service_know_the_same_scopes() -> None:
    field = HashedKeySection.model_fields["scopes"].annotation
    assert set(get_args(get_args(field)[0])) == {scope.value for scope in Scope}


def settings_with(tmp_path: Path, keys: list[Any]) -> LinkServiceOptions:
    for name in ("pepper", "first", "second", "third"):
        (tmp_path / name).write_text(secrets.token_urlsafe(48))
    settings = {
        "database": f"sqlite:///{(tmp_path / 'links.db').as_posix()}",
        "pepper": {"file": "pepper"},
        "url": "https://links.example.com",
        "api_keys": keys,
    }
    (tmp_path / "links.yaml").write_text(yaml.safe_dump(settings))
    return LinkServiceOptions.from_settings(load_link_server(tmp_path / "links.yaml"), folder=tmp_path)


def entry(**changes: Any) -> dict[str, Any]:
    made = {"name": "reporting", "sha256": digest_of(new_key("reporting")).hex(), "scopes": ["links:read"]}
    return {name: value for name, value in (made | changes).items() if value is not None}


def test_the_file_takes_plain_and_hashed_keys_side_by_side(tmp_path: Path) -> None:
    until = entry(expires=date(2027, 1, 1), networks=["10.0.0.0/8"])
    plain, first, second = settings_with(tmp_path, [{"file": "first"}, entry(name="first"), until]).every_key()
    assert (plain.name, plain.digest, plain.scopes, plain.expires, plain.networks) == (
        "plain-1", digest_of((tmp_path / "first").read_text()), ALL_SCOPES, None, ()
    )  # fmt: skip
    assert (first.name, first.scopes) == ("first", {Scope.LINKS_READ})
    assert (second.digest.hex(), second.expires) == (until["sha256"], date(2027, 1, 1))
    assert [str(network) for network in second.networks] == ["10.0.0.0/8"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([], "api_keys"),
        (["inline-" + "x" * 30], "never written here"),
        ([{"file": "first"}, {"file": "second"}, {"file": "third"}], "at most 2 plain"),
        ([entry(), entry()], "same name"),
        ([entry(sha256="ab" * 32), entry(name="other", sha256="AB" * 32)], "same sha256"),
        ([entry(sha256="ab" * 31)], "sha256"),
        ([entry(name="Reporting")], "name"),
        ([entry(name="a_b")], "name"),
        ([entry(name="unknown")], "the log itself"),
        ([entry(name="plain-1")], "the log itself"),
        ([entry(scopes=[])], "scopes"),
        ([entry(scopes=["links:everything"])], "scopes"),
        ([entry(scopes=None)], "scopes: missing"),
        ([entry(expires="soon")], "expires"),
        ([entry(expires=0)], "expires: 0 is not a day"),
        ([{"file": "first"}, {"file": "first"}], "the same plain secret"),
        ([entry(networks=["10.0.0.1/8"])], "networks"),
        ([entry(key="x")], "unknown key"),
        ([{"file": "first", "scopes": ["links:read"]}], "unknown key"),
    ],
    ids=range(19),
)
def test_a_wrong_key_in_the_file_is_refused_in_words(tmp_path: Path, keys: list[Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        settings_with(tmp_path, keys)
    assert "inline-" not in str(refusal.value)


@pytest.mark.parametrize("between", ["\n", " ", "é", "\x7f"])
def test_a_plain_key_that_no_header_can_carry_is_refused_and_not_repeated(tmp_path: Path, between: str) -> None:
    key = secrets.token_urlsafe(24)
    (tmp_path / "wrong").write_text(f"{key}{between}{key}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"links\.yaml: api_keys\.1\..*this cannot be a key") as refusal:
        settings_with(tmp_path, [entry(), {"file": "wrong"}])
    assert key not in str(refusal.value)


def test_a_plain_key_is_the_same_with_and_without_an_editors_mark(tmp_path: Path) -> None:
    key = secrets.token_urlsafe(24)
    (tmp_path / "marked").write_text(f"{key}\n", encoding="utf-8-sig")
    (made,) = settings_with(tmp_path, [{"file": "marked"}]).every_key()
    assert made.digest == digest_of(key)


def test_a_new_key_is_shown_once_and_its_lines_open_the_service(
    tmp_path: Path, database: str, pepper: bytes, clock: FakeClock
) -> None:
    arguments = ["links", "new-key", "--name", "0123", "--scope", "events:read", "--scope", "links:read",
                 "--expires", "2099-01-01", "--network", "203.0.113.0/24"]  # fmt: skip
    done = CliRunner().invoke(command_line, arguments)
    assert done.exit_code == 0, done.output
    key = next(line for line in done.output.splitlines() if line.startswith("sl_0123_"))
    assert done.output.count(key[-43:]) == 1
    pasted = yaml.safe_load(done.output[done.output.index("api_keys:") :])
    (made,) = settings_with(tmp_path, pasted["api_keys"]).every_key()
    assert made == ApiKey(
        "0123", digest_of(key), frozenset({Scope.LINKS_READ, Scope.EVENTS_READ}), date(2099, 1, 1),
        parse_networks(["203.0.113.0/24"]),
    )  # fmt: skip
    app = service(database, pepper, clock, made)
    assert Browser(app, clock, key).api("GET", "/events").status == 200
    assert Browser(app, clock, new_key("0123")).api("GET", "/events").status == 401
    app.state.vault.close()


def test_a_script_gets_a_new_key_as_json_with_every_right() -> None:
    made = json.loads(CliRunner().invoke(command_line, ["links", "new-key", "--json"]).output)
    assert made["entry"]["scopes"] == [scope.value for scope in Scope]
    assert made["entry"]["sha256"] == digest_of(made["key"]).hex()


def test_a_wrong_wish_for_a_key_names_every_problem_and_makes_none() -> None:
    wrong = [
        "links",
        "new-key",
        "--name",
        "A_b",
        "--scope",
        "everything",
        "--network",
        "10.0.0.1/8",
        "--expires",
        "2020-01-01",
    ]
    done = CliRunner().invoke(command_line, wrong)
    assert isinstance(done.exception, ConfigError)
    assert [problem.partition(":")[0] for problem in done.exception.problems] == [
        "--scope",
        "--name",
        "--expires",
        "--network",
    ]
    assert "sl_" not in done.output


def test_options_without_any_key_are_refused(database: str, pepper: bytes) -> None:
    with pytest.raises(ConfigError, match="connector links new-key"):
        replace(options_for(database, pepper, "x" * 30), api_keys=()).check()


def example_pieces() -> list[dict[str, Any]]:
    """What the papers show of keys and webhooks, as they stand."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "links-api.md").read_text("utf-8"), re.DOTALL)
    text = (ROOT / "deploy" / "links.yaml").read_text("utf-8")
    commented = re.sub(r"^( *)# ( *)(?=- \{name|expires:|webhook:|\{url|kinds:)", r"\1\2", text, flags=re.MULTILINE)
    return [yaml.safe_load(block) for block in [*blocks, commented]]


@pytest.mark.parametrize("piece", example_pieces(), ids=["keys", "webhook", "deploy"])
def test_what_the_papers_show_is_accepted(tmp_path: Path, piece: dict[str, Any]) -> None:
    for name in ("links", "pepper"):
        (tmp_path / name).write_text(secrets.token_urlsafe(48))
    (tmp_path / "webhook").write_text(f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}")
    whole = {
        "database": "sqlite:////tmp/links.db",
        "pepper": {"file": "/run/secrets/pepper"},
        "url": "https://links.example.com",
        "api_keys": [{"file": "/run/secrets/links"}],
    }
    text = yaml.safe_dump(whole | piece).replace("/run/secrets", tmp_path.as_posix())
    text = re.sub(r"(sha256: ).*", rf"\1'{'ab' * 32}'", text)
    (tmp_path / "links.yaml").write_text(text, "utf-8")
    options = LinkServiceOptions.from_settings(load_link_server(tmp_path / "links.yaml", environ={}), folder=tmp_path)
    assert ("reporting" in [key.name for key in options.every_key()]) == ("api_keys" in piece)
    assert (options.webhook is not None) == ("webhook" in piece)
