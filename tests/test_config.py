"""`connector.yaml` and the link service's file: what is taken, and how each mistake is told."""

from __future__ import annotations

import copy
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector.config import (
    METHOD_NAMES,
    Budget,
    BudgetSection,
    ConnectorSettings,
    LinkServerSettings,
    OwnBudgetSection,
    Place,
    is_loopback,
    load_connector,
    load_link_server,
    read_duration,
    read_limit,
    split_listen,
    validate,
)
from connector.config.budget import LEAST_CALLS, read_share
from connector.core.brake import Limit
from connector.errors import ConfigError
from connector.passwords import Policy

GRAPH_SECRET = "GRAPH_SECRET_OF_THE_TESTS"


@pytest.fixture(autouse=True)
def _no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own environment reaches into these tests."""
    for name in list(os.environ):
        if name.upper().startswith("CONNECTOR_"):
            monkeypatch.delenv(name)


def a_configuration(**changes: Any) -> dict[str, Any]:
    """A whole, right `connector.yaml`; `changes` replace values, with dots for the place, `None` takes a key away."""
    data: dict[str, Any] = {
        "environment": "production",
        "database": "sqlite:///connector.db",
        "psa": {"halo": {"kind": "halopsa", "url": "https://msp.halopsa.example.com"}},
        "graph": {"client_id": "6f0", "client_secret": {"env": GRAPH_SECRET}},
        "tenants": {
            "contoso": {
                "tenant_id": "8a1",
                "clients": {"halo": ["12", 13]},
                "approvers": ["anna@contoso.example.com"],
                "protected": {"users": ["vip@contoso.example.com"]},
            }
        },
        "links": {"kind": "builtin", "url": "https://links.msp.example.com"},
        "mail": {"kind": "smtp", "host": "smtp.msp.example.com"},
    }
    return changed(data, changes)


def a_link_server(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "database": "sqlite:///links.db",
        "url": "https://links.msp.example.com",
        "pepper": {"file": "pepper"},
        "api_keys": [{"file": "key"}],
    }
    return changed(data, changes)


def changed(data: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    data = copy.deepcopy(data)
    for place, value in changes.items():
        *parents, last = place.split(".")
        inner = data
        for parent in parents:
            inner = inner.setdefault(parent, {})
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    return data


def write(folder: Path, data: object, name: str = "connector.yaml") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return path


def load(folder: Path, **changes: Any) -> ConnectorSettings:
    return load_connector(write(folder, a_configuration(**changes)), environ={GRAPH_SECRET: secrets.token_hex()})[0]


def problems_of(folder: Path, data: object = None, **changes: Any) -> list[str]:
    path = write(folder, a_configuration(**changes) if data is None else data)
    with pytest.raises(ConfigError) as refusal:
        load_connector(path, environ={GRAPH_SECRET: secrets.token_hex()})
    return list(refusal.value.problems)


def load_server(folder: Path, **changes: Any) -> LinkServerSettings:
    for name in ("pepper", "key"):
        (folder / name).write_text(secrets.token_hex(), encoding="utf-8")
    return load_link_server(write(folder, a_link_server(**changes), "links.yaml"), environ={})


# ---------------------------------------------------------------- what is taken


def test_a_short_configuration_is_whole_by_its_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.production
    assert settings.poll_every == timedelta(seconds=15)
    assert settings.workers == 8
    assert (settings.links.lifetime, settings.links.views) == (timedelta(minutes=60), 2)
    assert settings.http.timeout == timedelta(seconds=30)
    assert settings.brake.per_subject == Limit(3, timedelta(hours=24))
    assert settings.brake.overall == Limit(100, timedelta(hours=1))
    assert settings.inbound.listen == "127.0.0.1:8080"
    assert settings.sentry is None


def test_client_ids_are_strings_however_they_are_written(tmp_path: Path) -> None:
    assert load(tmp_path).tenants["contoso"].clients == {"halo": ("12", "13")}


def test_keys_of_adapters_are_handed_on_untouched(tmp_path: Path) -> None:
    settings = load(tmp_path, **{"psa.halo.made_up": 1, "links.api_url": "http://127.0.0.1:1", "mail.made_up": 2})
    assert settings.psa["halo"]["made_up"] == 1
    assert settings.links.rest == {"url": "https://links.msp.example.com", "api_url": "http://127.0.0.1:1"}
    assert settings.mail["made_up"] == 2


def test_nothing_in_the_settings_can_be_changed_afterwards(tmp_path: Path) -> None:
    settings = load(tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        settings.environment = "demo"


def test_the_link_servers_file_is_whole_by_its_defaults(tmp_path: Path) -> None:
    settings = load_server(tmp_path)
    assert settings.listen == "127.0.0.1:8081"
    assert settings.trusted_proxies == ()
    assert len(settings.api_keys) == 1


# ---------------------------------------------------------------- every problem at once, with its place


def test_every_problem_is_told_at_once_each_with_its_place(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        **{
            "environment": "prod",
            "database": "mysql://db/connector",
            "poll_every": 15,
            "workers": 0,
            "graph.client_id": None,
            "graph.client_secret": {"env": "NOT_SET_ANYWHERE"},
            "graph.url": "http://graph.example.com",
            "tenants.contoso.approvers": ["anna"],
            "brake.overall": "many",
            "made_up": 1,
        },
    )
    for place in (
        "environment", "database", "poll_every", "workers", "graph.client_id", "graph.client_secret", "graph.url",
        "tenants.contoso.approvers.0", "brake.overall", "made_up",
    ):  # fmt: skip
        assert sum(problem.startswith(f"connector.yaml: {place}:") for problem in problems) == 1, place
    assert len(problems) == 10


def test_a_problem_is_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, poll_every=15)
    assert (
        problem
        == "connector.yaml: poll_every: 15 is not a duration: write a number and a unit, such as 15s, 60m, 24h or 7d."
    )


@pytest.mark.parametrize("key", ["environment", "database", "psa", "graph", "tenants", "links", "mail"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    assert problems_of(tmp_path, **{key: None}) == [f"connector.yaml: {key}: missing. Add it."]


@pytest.mark.parametrize(
    ("place", "suggestion"),
    [
        ("enviroment", "environment"),
        ("tenant", "tenants"),
        ("graph.client_ids", "client_id"),
        ("graph.authorty", "authority"),
        ("tenants.contoso.aprovers", "approvers"),
        ("tenants.contoso.protected.user", "users"),
        ("brake.per_subjct", "per_subject"),
        ("http.time_out", "timeout"),
        ("support.color", "colour"),
        ("inbound.listens", "listen"),
        ("log.levels", "level"),
        ("sentry.dns", "dsn"),
    ],
)
def test_an_unknown_key_names_its_place_and_the_nearest_known_one(tmp_path: Path, place: str, suggestion: str) -> None:
    more = {"sentry.dsn": {"env": GRAPH_SECRET}} if place.startswith("sentry") else {}
    (problem,) = problems_of(tmp_path, **{place: "x", **more})
    assert problem == f"connector.yaml: {place}: unknown key. Did you mean {suggestion}?"


def test_an_unknown_key_that_is_near_to_nothing_gets_the_list(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, **{"tenants.contoso.xyzzy": 1})
    assert problem.startswith("connector.yaml: tenants.contoso.xyzzy: unknown key. Known here: approvers, clients,")


def test_an_unknown_key_of_the_link_server_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_server(tmp_path, **{"geo.mmbd": "x", "peper": "y"})
    assert sorted(refusal.value.problems) == [
        "links.yaml: geo.mmbd: unknown key. Did you mean mmdb?",
        "links.yaml: peper: unknown key. Did you mean pepper?",
    ]


@pytest.mark.parametrize(
    ("keys", "problems"),
    [
        ([], ["api_keys: Tuple should have at least 1 item after validation, not 0."]),
        (["inline"], ["api_keys.0.secret: a secret is never written here: use {file: PATH} or {env: NAME}."]),
        (
            [{"name": "a", "sha256": "0" * 64, "scope": ["links:read"]}],
            ["api_keys.0.key.scopes: missing. Add it.", "api_keys.0.key.scope: unknown key. Did you mean scopes?"],
        ),
    ],
    ids=["none", "inline", "misspelt"],
)
def test_of_wrong_keys_just_that_is_told_what_is_wrong(tmp_path: Path, keys: list[object], problems: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_server(tmp_path, api_keys=keys)
    assert list(refusal.value.problems) == [f"links.yaml: {problem}" for problem in problems]


@pytest.mark.parametrize(
    ("place", "value", "bound"),
    [("retention", "1h", "1d"), ("ip_retention", "23h", "1d")],
)
def test_bounds_of_durations_are_told_as_durations_are_written(
    tmp_path: Path, place: str, value: str, bound: str
) -> None:
    with pytest.raises(ConfigError, match=f"{place}: Input should be greater than or equal to {bound}"):
        load_server(tmp_path, **{place: value})
    (problem,) = problems_of(tmp_path, **{"http.timeout": "61s"})
    assert problem.endswith("less than or equal to 1m.")


# ---------------------------------------------------------------- the file itself


def test_a_file_that_is_not_there_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read"):
        load_connector(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("environment: demo\nenvironment: production\n", "line 2: the key 'environment' is given twice"),
        (
            "tenants:\n  contoso: {tenant_id: a}\n  contoso: {tenant_id: b}\n",
            "line 3: the key 'contoso' is given twice",
        ),
        ("a: [1\n", "line 2"),
        ("\tenvironment: demo\n", "line 1"),
        ("- just\n- a list\n", "must hold keys and values, but holds list"),
        ("", "must hold keys and values, but holds NoneType"),
        ("environment: demo\npepper: {{ pepper }}\n", "line 2: a key is a word"),
        ("? [a, b]\n: 1\n", "line 1: a key is a word"),
        ("environment: demo\nexpires: 2027-02-29\n", "line 2: there is no such day"),
        ("workers: !!int many\n", "line 1"),
        ("workers: !!float many\n", "line 1: there is no such day, time or number"),
        ("workers: !!bool perhaps\n", "line 1: there is no such day, time or number"),
        ("expires: !!timestamp tomorrow\n", "line 1: there is no such day"),
    ],
)
def test_what_is_no_proper_yaml_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    (problem,) = problems_of(tmp_path, text)
    assert "connector.yaml" in problem
    assert words in problem


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "connector.yaml"
    path.write_bytes("support: {name: Müller}".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_connector(path)


def test_yaml_makes_no_objects(tmp_path: Path) -> None:
    marker = tmp_path / "made"
    problems_of(tmp_path, f"environment: !!python/object/apply:pathlib.Path.touch ['{marker.as_posix()}']\n")
    assert not marker.exists()


# ---------------------------------------------------------------- secrets


SECRET_PLACES = ["graph.client_secret", "graph.certificate", "sentry.dsn"]


@pytest.mark.parametrize("place", SECRET_PLACES)
@pytest.mark.parametrize("form", ["{}", "[{}]", "a: {}", "value: {}", "{{file: a, env: {}}}"])
def test_a_secret_written_into_the_file_is_refused_without_repeating_it(tmp_path: Path, place: str, form: str) -> None:
    secret = secrets.token_hex(12)
    more = {"graph.client_secret": None} if place == "graph.certificate" else {}
    problems = problems_of(tmp_path, **{**more, place: yaml.safe_load(form.format(f"'{secret}'"))})
    assert any(f"{place}: a secret is never written here" in problem for problem in problems)
    assert secret not in "".join(problems)


@pytest.mark.parametrize(
    "form",
    [
        "*{}",
        "!{} x",
        "0{}",
        "&{}",
        "'{}",
        "%{}",
        "@{}",
    ],
)
def test_a_secret_that_breaks_the_yaml_is_not_repeated_either(tmp_path: Path, form: str) -> None:
    secret = "".join(secrets.choice("01234567") for _ in range(16))
    text = yaml.safe_dump(a_configuration(**{"graph.client_secret": "HERE"})).replace("HERE", form.format(secret))
    problems = problems_of(tmp_path, text)
    assert secret not in "".join(problems)


def test_a_secret_under_a_wrong_key_is_not_repeated(tmp_path: Path) -> None:
    secret = secrets.token_hex(12)
    for place in ("graph.secret", "mail_password", "tenants.contoso.tenant_id.x"):
        data = a_configuration(
            **({"tenants.contoso.tenant_id": {"x": secret}} if "tenants" in place else {place: secret})
        )
        assert secret not in "".join(problems_of(tmp_path, data))


def test_a_secret_file_is_found_beside_the_configuration_and_its_line_end_is_not_part_of_it(tmp_path: Path) -> None:
    secret = secrets.token_hex(12)
    (tmp_path / "graph.secret").write_text(f"{secret}\n", encoding="utf-8")
    settings = load(tmp_path, **{"graph.client_secret": {"file": "graph.secret"}})
    assert settings.graph.client_secret is not None
    assert settings.graph.client_secret.reveal() == secret


@pytest.mark.parametrize("around", ["{}", "{}\n", "{}\r\n", " {} \n\n"])
def test_a_secret_is_the_same_whether_it_comes_from_a_file_or_a_variable(tmp_path: Path, around: str) -> None:
    secret = secrets.token_hex(12)
    (tmp_path / "plain").write_bytes(around.format(secret).encode())
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf" + around.format(secret).encode())
    path = write(
        tmp_path, a_configuration(**{"sentry.dsn": {"file": "marked"}, "graph.client_secret": {"file": "plain"}})
    )
    settings, _ = load_connector(path)
    assert settings.sentry is not None
    assert settings.graph.client_secret is not None
    assert settings.sentry.dsn.reveal() == settings.graph.client_secret.reveal() == secret
    settings, _ = load_connector(write(tmp_path, a_configuration()), environ={GRAPH_SECRET: around.format(secret)})
    assert settings.graph.client_secret is not None
    assert settings.graph.client_secret.reveal() == secret


def test_a_secret_never_shows_in_the_settings(tmp_path: Path) -> None:
    secret = secrets.token_hex(12)
    path = write(tmp_path, a_configuration())
    settings, _ = load_connector(path, environ={GRAPH_SECRET: secret})
    assert settings.graph.client_secret is not None
    assert settings.graph.client_secret.reveal() == secret
    assert secret not in f"{settings!r} {settings} {settings.model_dump()}"
    with pytest.raises((TypeError, ValueError)) as refusal:
        settings.model_dump_json()
    assert secret not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "is not text")],
)
def test_a_secret_file_that_is_of_no_use_is_told_with_its_path(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "graph.secret").write_bytes(content)
    (problem,) = problems_of(tmp_path, **{"graph.client_secret": {"file": "graph.secret"}})
    assert problem.startswith("connector.yaml: graph.client_secret: the secret file")
    assert str(tmp_path / "graph.secret") in problem
    assert words in problem


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_an_environment_variable_that_is_not_set_is_named(tmp_path: Path, value: str | None) -> None:
    path = write(tmp_path, a_configuration())
    with pytest.raises(ConfigError, match=f"the environment variable {GRAPH_SECRET} is not set or empty"):
        load_connector(path, environ={} if value is None else {GRAPH_SECRET: value})


# ---------------------------------------------------------------- the app registrations


FILE = {"file": "graph.bin"}
WAYS_IN: list[dict[str, Any]] = [
    {"client_secret": {"env": GRAPH_SECRET}, "client_secret_expires": "2027-05-01"},
    {"certificate": {"env": GRAPH_SECRET}, "certificate_passphrase": {"env": GRAPH_SECRET}},
    {"certificate_pfx": FILE},
    {"certificate_pfx": {"file": "graph.bin", "passphrase": {"env": GRAPH_SECRET}}},
    {"federated": FILE},
    {"federated": {"callable": "contoso.tokens:Source.assertion"}},
]


@pytest.mark.parametrize("way", WAYS_IN)
@pytest.mark.parametrize("of_mfa", [False, True])
def test_every_way_to_sign_in_is_taken_for_both_apps(tmp_path: Path, way: dict[str, Any], of_mfa: bool) -> None:
    graph: dict[str, Any] = {"client_id": "6f0", **way}
    if of_mfa:
        graph = {"client_id": "6f0", "client_secret": {"env": GRAPH_SECRET}, "mfa": {"client_id": "7a1", **way}}
    read = load(tmp_path, graph=graph).graph
    section = read.mfa if of_mfa else read
    assert section is not None
    for name in way:
        assert getattr(section, name) is not None
    if section.certificate_pfx:
        assert section.certificate_pfx.file == tmp_path / "graph.bin", "a relative path counts from the file's folder"
    if section.federated and section.federated.file:
        assert section.federated.file == tmp_path / "graph.bin"


@pytest.mark.parametrize(
    "given",
    [[], ["client_secret", "federated"], ["certificate", "certificate_pfx"], ["certificate_pfx", "federated"],
     ["client_secret", "certificate", "certificate_pfx", "federated"]],
)  # fmt: skip
@pytest.mark.parametrize("of_mfa", [False, True])
def test_an_app_has_exactly_one_credential(tmp_path: Path, given: list[str], of_mfa: bool) -> None:
    known = {"client_secret": {"env": GRAPH_SECRET}, "certificate": {"env": GRAPH_SECRET}, "certificate_pfx": FILE,
             "federated": FILE}  # fmt: skip
    section: dict[str, Any] = {"client_id": "7a1", **{name: known[name] for name in given}}
    place = "graph.mfa" if of_mfa else "graph"
    (problem,) = problems_of(tmp_path, **{place: section})
    assert problem == (
        f"connector.yaml: {place}: give exactly one of client_secret, certificate, certificate_pfx and federated."
    )


@pytest.mark.parametrize("given", [{}, {"file": "token", "callable": "contoso.tokens:assertion"}])
def test_a_federated_token_comes_from_one_place(tmp_path: Path, given: dict[str, str]) -> None:
    (problem,) = problems_of(tmp_path, graph={"client_id": "6f0", "federated": given})
    assert problem == "connector.yaml: graph.federated: give exactly one of file and callable."


@pytest.mark.parametrize("name", ["contoso.tokens", ":f", "a:", "a b:c", "a:b()", "../x:y", "a:b:c", "os;x:y", ""])
def test_what_names_no_function_is_refused(tmp_path: Path, name: str) -> None:
    (problem,) = problems_of(tmp_path, graph={"client_id": "6f0", "federated": {"callable": name}})
    assert problem.endswith("names no function: write package.module:function.")


@pytest.mark.parametrize("path", ["", " ", 7, ["a"], {"env": "X"}])
def test_what_is_no_path_is_refused(tmp_path: Path, path: object) -> None:
    (problem,) = problems_of(tmp_path, graph={"client_id": "6f0", "certificate_pfx": {"file": path}})
    assert problem == "connector.yaml: graph.certificate_pfx.file: write the path of a file."


def test_a_passphrase_is_never_written_into_the_file(tmp_path: Path) -> None:
    secret = secrets.token_hex(12)
    pfx = {"file": "graph.pfx", "passphrase": secret}
    (problem,) = problems_of(tmp_path, graph={"client_id": "6f0", "certificate_pfx": pfx})
    assert problem.startswith("connector.yaml: graph.certificate_pfx.passphrase: a secret is never written here")
    assert secret not in problem


@pytest.mark.parametrize(
    ("extra", "of"), [("client_secret_expires", "client_secret"), ("certificate_passphrase", "certificate")]
)
def test_a_companion_without_its_credential_is_refused(tmp_path: Path, extra: str, of: str) -> None:
    value = "2027-05-01" if extra.endswith("expires") else {"env": GRAPH_SECRET}
    (problem,) = problems_of(tmp_path, graph={"client_id": "6f0", "federated": FILE, extra: value})
    assert f"{extra} belongs to {of}, which is not there" in problem


@pytest.mark.parametrize("written", ["2027-05-01", '"2027-05-01"'])
def test_the_end_of_a_secret_is_a_day(tmp_path: Path, written: str) -> None:
    text = yaml.safe_dump(a_configuration(**{"graph.client_secret_expires": "HERE"})).replace("HERE", written)
    settings, _ = load_connector(write(tmp_path, text), environ={GRAPH_SECRET: secrets.token_hex()})
    assert settings.graph.client_secret_expires == date(2027, 5, 1)


@pytest.mark.parametrize(
    "value",
    ["2027-13-01", "1 May 2027", "", 20270501, 1, "2027-05-01T10:00:00", True, datetime(2027, 5, 1, 10, tzinfo=UTC)],
)
def test_what_is_no_day_is_refused(tmp_path: Path, value: object) -> None:
    (problem,) = problems_of(tmp_path, **{"graph.client_secret_expires": value})
    assert problem.startswith("connector.yaml: graph.client_secret_expires: ")
    assert problem.endswith("is not a day: write it as 2027-05-01.")


def test_two_registrations_are_two_apps(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, **{"graph.mfa": {"client_id": "6F0", "federated": FILE}})
    assert problem.startswith("connector.yaml: graph: mfa has the same client_id")


@pytest.mark.parametrize("key", ["authority", "url", "cloud", "mfa"])
def test_the_second_app_lives_in_the_cloud_of_the_first(tmp_path: Path, key: str) -> None:
    (problem,) = problems_of(tmp_path, **{"graph.mfa": {"client_id": "7a1", "federated": FILE, key: "x"}})
    assert problem.startswith(f"connector.yaml: graph.mfa.{key}: unknown key")


# ---------------------------------------------------------------- clouds


@pytest.mark.parametrize(
    ("name", "authority", "url"),
    [
        ("global", "https://login.microsoftonline.com", "https://graph.microsoft.com"),
        ("GCC", "https://login.microsoftonline.com", "https://graph.microsoft.com"),
        ("usgov", "https://login.microsoftonline.us", "https://graph.microsoft.us"),
        ("GCC High", "https://login.microsoftonline.us", "https://graph.microsoft.us"),
        ("gcc-high", "https://login.microsoftonline.us", "https://graph.microsoft.us"),
        ("dod", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
        ("DoD", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
        ("china", "https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"),
        ("21Vianet", "https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"),
    ],
)
def test_a_cloud_by_its_name_gives_both_addresses(tmp_path: Path, name: str, authority: str, url: str) -> None:
    graph = load(tmp_path, **{"graph.cloud": name}).graph
    assert (graph.authority, graph.url) == (authority, url)


def test_without_a_cloud_it_is_the_global_one(tmp_path: Path) -> None:
    graph = load(tmp_path).graph
    assert (graph.cloud, graph.authority, graph.url) == (
        "global", "https://login.microsoftonline.com", "https://graph.microsoft.com",
    )  # fmt: skip


def test_an_address_that_is_written_beats_the_clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = load(tmp_path, **{"graph.cloud": "usgov", "graph.url": "https://graph.example.com"}).graph
    assert (graph.authority, graph.url) == ("https://login.microsoftonline.us", "https://graph.example.com")
    monkeypatch.setenv("CONNECTOR_GRAPH__CLOUD", "china")
    monkeypatch.setenv("CONNECTOR_GRAPH__AUTHORITY", "https://login.example.com")
    graph = load(tmp_path).graph
    assert (graph.authority, graph.url) == ("https://login.example.com", "https://microsoftgraph.chinacloudapi.cn")


@pytest.mark.parametrize("name", ["mars", "germany", "", 1, None, ["usgov"]])
def test_a_cloud_that_nobody_knows_is_refused_with_the_list(tmp_path: Path, name: object) -> None:
    data = a_configuration()
    data["graph"]["cloud"] = name
    (problem,) = problems_of(tmp_path, data)
    assert problem.startswith("connector.yaml: graph.cloud: ")
    assert "write one of global, usgov, dod, china" in problem


@pytest.mark.parametrize("name", ["bleu", "Delos", "GovSG"])
def test_a_cloud_whose_graph_is_not_known_for_certain_is_never_guessed(tmp_path: Path, name: str) -> None:
    (problem,) = problems_of(tmp_path, **{"graph.cloud": name})
    assert "leave cloud out and set graph.authority and graph.url" in problem


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    "url",
    ["http://graph.example.com", "http://10.0.0.1", "http://localhost.example.com", "http://127.0.0.1.example.com"],
)
def test_in_production_every_address_is_https(tmp_path: Path, url: str) -> None:
    (problem,) = problems_of(tmp_path, **{"graph.url": url})
    assert "must be https in production" in problem


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8081", "http://localhost:8081", "http://[::1]:8081", "http://127.8.8.8"]
)
def test_loopback_addresses_may_be_http_in_production(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, **{"graph.url": f"{url}/"}).graph.url == url


def test_in_the_demo_addresses_may_be_http(tmp_path: Path) -> None:
    settings = load(tmp_path, **{"environment": "demo", "graph.url": "http://sandbox.example.com"})
    assert not settings.production


@pytest.mark.parametrize("environment", ["prod", "Production", "", "test", None])
def test_an_environment_that_is_not_demo_is_production_for_addresses_too(
    tmp_path: Path, environment: str | None
) -> None:
    problems = problems_of(tmp_path, environment=environment, **{"graph.url": "http://graph.example.com"})
    assert any("must be https in production" in problem for problem in problems)


@pytest.mark.parametrize(
    "url",
    [
        "graph.example.com",
        "ftp://graph.example.com",
        "https://",
        "//graph.example.com",
        "",
        "https://[::",
        "https://a.example:port",
        "https://a.example:99999",
    ],
)
def test_what_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    (problem,) = problems_of(tmp_path, **{"graph.url": url})
    assert "is not an address" in problem


@pytest.mark.parametrize(
    "proxy", ["not a proxy", "http://", "http://[::1", "http://proxy.example.com:p",
              "http://proxy.example.com:99999", "http://proxy.example.com:0", "socks5://proxy.example.com:1080"],
)  # fmt: skip
def test_what_is_no_proxy_is_refused_at_the_start(tmp_path: Path, proxy: str) -> None:
    (problem,) = problems_of(tmp_path, **{"http.proxy": proxy})
    assert problem.startswith("connector.yaml: http.proxy: this is no HTTP proxy")


@pytest.mark.parametrize(
    "proxy", ["", "http://proxy.example.com:3128", "https://me:word@proxy.example.com", "http://[::1]:1/"]
)
def test_a_proxy_may_be_http_and_elsewhere_in_production_too(tmp_path: Path, proxy: str) -> None:
    assert load(tmp_path, **{"http.proxy": proxy}).http.proxy == proxy


def test_credentials_in_an_address_are_refused_without_repeating_them(tmp_path: Path) -> None:
    secret = secrets.token_hex(12)
    for beginning, end in (("https://", ""), ("https://", ":port"), ("ftp://", ""), ("", ":443"), ("https://[", "")):
        (problem,) = problems_of(tmp_path, **{"graph.url": f"{beginning}user:{secret}@graph.example.com{end}"})
        assert "credentials do not belong into an address" in problem
        assert secret not in problem


@pytest.mark.parametrize("proxy", ["127.0.0.1:3128", "localhost:3128", "proxy.example.com", "me:word@proxy:3128"])
def test_a_proxy_without_a_scheme_is_an_http_proxy(tmp_path: Path, proxy: str) -> None:
    assert load(tmp_path, **{"http.proxy": proxy}).http.proxy == f"http://{proxy}"


def test_a_proxy_that_is_refused_is_not_repeated_for_credentials_may_be_in_it(tmp_path: Path) -> None:
    secret = secrets.token_hex(12)
    (problem,) = problems_of(tmp_path, **{"http.proxy": f"http://user:{secret}@proxy.example.com:99999"})
    assert "http.proxy: this is no HTTP proxy" in problem
    assert secret not in problem


def test_a_password_in_the_address_of_the_database_is_refused_without_repeating_it(tmp_path: Path) -> None:
    secret = secrets.token_hex(12)
    (problem,) = problems_of(tmp_path, database=f"postgresql://user:{secret}@db.example.com/connector")
    assert "a password does not belong into the address" in problem
    assert secret not in problem


@pytest.mark.parametrize("database", ["sqlite:////var/lib/connector.db", "postgresql://user@db.example.com/connector"])
def test_databases_that_are_supported(tmp_path: Path, database: str) -> None:
    assert load(tmp_path, database=database).database == database


@pytest.mark.parametrize(
    "database", ["mysql://db/connector", "connector.db", "", "oracle://x", "postgresql://u@h:port/x"]
)
def test_databases_that_are_not(tmp_path: Path, database: str) -> None:
    (problem,) = problems_of(tmp_path, database=database)
    assert problem.startswith("connector.yaml: database:")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("LOCALHOST", True), ("example.com", False),
     ("localhost.example.com", False), ("0.0.0.0", False), ("10.0.0.1", False), ("", False)],
)  # fmt: skip
def test_which_names_can_only_mean_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("listen", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:8080", ("::1", 8080)), ("0.0.0.0:0", ("0.0.0.0", 0))],
)
def test_where_to_listen_is_host_and_port(tmp_path: Path, listen: str, parts: tuple[str, int]) -> None:
    assert split_listen(load(tmp_path, **{"inbound.listen": listen}).inbound.listen) == parts


@pytest.mark.parametrize(
    "listen", ["8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", "127.0.0.1:²"]
)
def test_where_nobody_can_listen_is_refused(tmp_path: Path, listen: str) -> None:
    (problem,) = problems_of(tmp_path, **{"inbound.listen": listen})
    assert "is not host:port" in problem


def test_a_proxy_that_is_no_network_is_refused(tmp_path: Path) -> None:
    assert load_server(tmp_path, trusted_proxies=["10.0.0.0/8", "192.0.2.1"]).trusted_proxies
    with pytest.raises(ConfigError, match=r"'proxy\.example\.com' is not a network"):
        load_server(tmp_path, trusted_proxies=["proxy.example.com"])


# ---------------------------------------------------------------- durations, limits, numbers, zones


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("60m", 3600), ("24h", 86400), ("7d", 604800), ("500ms", 0.5), (" 1.5 h ", 5400), ("0s", 0)],
)
def test_durations_are_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", [15, 1.5, "15", "s", "-5s", "5 minutes", "5S", "1h30m", "", None, True, "5s5s"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        read_duration(value)


@pytest.mark.parametrize("value", ["36501d", "1000000d", "99999999999999d", "9" * 400 + "d"])
def test_a_duration_of_more_than_a_hundred_years_is_a_slip_of_the_pen(value: str) -> None:
    assert read_duration("36500d") == timedelta(days=36_500)
    with pytest.raises(ValueError, match="is too long: write at most 36500d"):
        read_duration(value)


@pytest.mark.parametrize(
    ("text", "limit"), [("3/24h", Limit(3, timedelta(hours=24))), ("10 / 1h", Limit(10, timedelta(hours=1)))]
)
def test_limits_are_a_count_and_a_duration(text: str, limit: Limit) -> None:
    assert read_limit(text) == limit


@pytest.mark.parametrize("value", ["3", "3/", "/24h", "three/24h", "-1/24h", "3/24", 3, None, "1.5/1h", "3/0s"])
def test_what_is_no_limit_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        read_limit(value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("poll_every", "999ms"),
        ("poll_every", "0s"),
        ("workers", 65),
        ("workers", "many"),
        ("http.timeout", "61s"),
        ("http.timeout", "500ms"),
        ("links.lifetime", "8d"),
        ("links.lifetime", "0s"),
        ("links.views", 0),
        ("links.views", 21),
        ("support.colour", "blue"),
        ("support.time_zone", "Mars/Olympus"),
        ("support.time_zone", "Europe"),
        ("tenants.contoso.time_zone", "../etc/passwd"),
        ("tenants.contoso.approvers", ["anna at contoso.example.com"]),
        ("tenants", {}),
        ("psa", {}),
        ("log.level", "loud"),
    ],
)
def test_values_outside_their_bounds_are_refused_at_their_place(tmp_path: Path, place: str, value: object) -> None:
    (problem,) = problems_of(tmp_path, **{place: value})
    assert problem.startswith(f"connector.yaml: {place}")


@pytest.mark.parametrize("place", ["support.time_zone", "tenants.contoso.time_zone"])
def test_time_zones_are_iana_names(tmp_path: Path, place: str) -> None:
    settings = load(tmp_path, **{place: "Europe/London"})
    assert "Europe/London" in (settings.support.time_zone, settings.tenants["contoso"].time_zone)


# ---------------------------------------------------------------- the share of a vendor's limit

LIMIT = Budget(500, timedelta(minutes=3))
SOMEWHERE = Place(folder=Path(), production=True, environ={})


def share_of(limit: Budget | None, model: type[BudgetSection] = BudgetSection, **keys: object) -> Budget | None:
    return validate(model, keys, SOMEWHERE, where="psa.halo.budget").share_of(limit, where="psa.halo")


@pytest.mark.parametrize(("text", "percent"), [("20%", 20), ("1%", 1), ("100%", 100), (" 7 % ", 7), ("05%", 5)])
def test_a_share_is_a_whole_percentage_with_its_sign(text: str, percent: int) -> None:
    assert read_share(text) == percent


@pytest.mark.parametrize(
    "value",
    [0.2, 20, 1, 1.0, True, None, "", "%", "20", "0.2", "0%", "101%", "1000%", "-5%", "12.5%", "2O%", "٢٠%", "1e2%"],
)
def test_what_is_no_share_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="such as 20%"):
        read_share(value)


def test_a_budget_is_a_fifth_of_the_published_limit_unless_told_otherwise() -> None:
    assert share_of(LIMIT) == Budget(100, LIMIT.per)
    assert share_of(LIMIT, share="1%") == Budget(5, LIMIT.per)
    assert share_of(LIMIT, share="100%") == LIMIT
    assert share_of(LIMIT, calls=1000, per="1m") == Budget(200, timedelta(minutes=1))
    assert share_of(LIMIT, share="33%", calls=100, per="1m") == Budget(33, timedelta(minutes=1))


def test_a_share_is_rounded_down() -> None:
    assert share_of(Budget(199, LIMIT.per), share="10%") == Budget(19, LIMIT.per)


def test_without_any_limit_there_is_no_budget() -> None:
    assert share_of(None) is None
    assert share_of(None, OwnBudgetSection, calls=600, per="1m") == Budget(120, timedelta(minutes=1))


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"calls": 100}, "psa.halo.budget"),
        ({"per": "1m"}, "psa.halo.budget"),
        ({"calls": LEAST_CALLS - 1, "per": "1m"}, "psa.halo.budget: calls"),
        ({"calls": "many", "per": "1m"}, "psa.halo.budget: calls"),
        ({"calls": 100, "per": "0s"}, "psa.halo.budget: per"),
        ({"calls": 100, "per": "2d"}, "psa.halo.budget: per"),
        ({"calls": 100, "per": 60}, "psa.halo.budget: per"),
        ({"share": 20}, "psa.halo.budget: share"),
        ({"portion": "20%"}, "psa.halo.budget: portion"),
    ],
)
def test_half_a_limit_and_one_that_limits_nothing_are_refused_at_their_place(keys: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError) as failure:
        share_of(LIMIT, **keys)
    assert [problem.startswith(place) for problem in failure.value.problems] == [True]


@pytest.mark.parametrize("missing", ["calls", "per"])
def test_where_nothing_is_published_a_limit_is_given_whole(missing: str) -> None:
    given = {"calls": 600, "per": "1m"}
    del given[missing]
    with pytest.raises(ConfigError, match=f"psa.halo.budget: {missing}: missing"):
        share_of(None, OwnBudgetSection, **given)


def test_a_share_with_which_nothing_can_be_done_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^psa\.halo: budget\.share: 1% of 400 calls are 4"):
        share_of(Budget(400, LIMIT.per), share="1%")


# ---------------------------------------------------------------- passwords and methods


def test_an_mfa_reset_keeps_nothing_and_a_password_is_a_passphrase_by_default(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.mfa.keep == ()
    assert settings.tenants["contoso"].mfa is None
    assert settings.passwords.policy is Policy.PASSPHRASE


def test_kinds_of_methods_can_be_kept_for_all_and_for_one_customer(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        **{"mfa.keep": ["fido2", "windowsHelloForBusiness"], "tenants.contoso.mfa": {"keep": list(METHOD_NAMES)}},
    )
    assert settings.mfa.keep == ("fido2", "windowsHelloForBusiness")
    own = settings.tenants["contoso"].mfa
    assert own is not None
    assert own.keep == METHOD_NAMES


def test_a_customer_can_keep_nothing_where_all_others_keep_something(tmp_path: Path) -> None:
    settings = load(tmp_path, **{"mfa.keep": ["fido2"], "tenants.contoso.mfa": {}})
    own = settings.tenants["contoso"].mfa
    assert own is not None
    assert own.keep == ()


@pytest.mark.parametrize("place", ["mfa.keep", "tenants.contoso.mfa.keep"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("password", "the password is never removed by an MFA reset"),
        ("Fido2", "did you mean fido2? known are email, external, fido2,"),
        ("fido2AuthenticationMethod", "known are email, external, fido2,"),
        ("sms", "'sms' is not a kind of sign-in method: known are"),
        ("", "is not a kind of sign-in method"),
    ],
)
def test_a_kind_of_method_that_nobody_knows_is_refused_with_the_list(
    tmp_path: Path, place: str, name: str, words: str
) -> None:
    (problem,) = problems_of(tmp_path, **{place: ["phone", name]})
    assert problem.startswith(f"connector.yaml: {place}.1: ")
    assert words in problem


def test_passwords_can_be_random(tmp_path: Path) -> None:
    assert load(tmp_path, **{"passwords.policy": "random"}).passwords.policy is Policy.RANDOM


def test_a_policy_that_is_not_there_is_refused_with_the_list(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, **{"passwords.policy": "short"})
    assert problem.startswith("connector.yaml: passwords.policy: ")
    assert "'passphrase' or 'random'" in problem


# ---------------------------------------------------------------- customers


def test_a_client_belongs_to_one_tenant(tmp_path: Path) -> None:
    other = {"tenant_id": "9b2", "clients": {"halo": ["12"]}}
    (problem,) = problems_of(tmp_path, **{"tenants.fabrikam": other})
    assert "the client 12 of halo belongs to two tenants, contoso and fabrikam" in problem


def test_the_same_client_id_in_two_psas_is_two_clients(tmp_path: Path) -> None:
    other = {"tenant_id": "9b2", "clients": {"rt": ["12"]}}
    settings = load(tmp_path, **{"tenants.fabrikam": other, "psa.rt": {"kind": "requesttracker"}})
    assert len(settings.tenants) == 2


def test_a_tenant_is_named_once(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, **{"tenants.fabrikam": {"tenant_id": "8A1"}})
    assert "have the same tenant_id" in problem


@pytest.mark.parametrize(
    "tenant_id", ["common", "Organizations", "consumers", "", "a/b", "..", "a b", "a?b", "a#b", "-"]
)
def test_what_is_not_one_tenant_is_refused(tmp_path: Path, tenant_id: str) -> None:
    (problem,) = problems_of(tmp_path, **{"tenants.contoso.tenant_id": tenant_id})
    assert problem.startswith("connector.yaml: tenants.contoso.tenant_id: ")
    assert "is not one tenant: write its id" in problem


@pytest.mark.parametrize("tenant_id", ["8a1f0c52-0000-4000-8000-000000000001", "contoso.onmicrosoft.com"])
def test_a_tenant_goes_by_its_id_or_its_domain(tmp_path: Path, tenant_id: str) -> None:
    assert load(tmp_path, **{"tenants.contoso.tenant_id": tenant_id}).tenants["contoso"].tenant_id == tenant_id


def test_clients_of_a_psa_that_is_not_there_are_refused(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, **{"tenants.contoso.clients": {"hallo": ["12"]}})
    assert "names the PSA 'hallo', but psa has only halo" in problem


# ---------------------------------------------------------------- the environment beats the file


def test_an_environment_variable_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOR_POLL_EVERY", "30s")
    monkeypatch.setenv("CONNECTOR_GRAPH__URL", "https://graph.example.com")
    monkeypatch.setenv("CONNECTOR_WORKERS", "3")
    settings = load(tmp_path, poll_every="20s")
    assert settings.poll_every == timedelta(seconds=30)
    assert settings.graph.url == "https://graph.example.com"
    assert settings.graph.client_id == "6f0", "the rest of the section stays"
    assert settings.workers == 3


def test_a_key_deep_inside_a_section_can_be_set_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOR_GRAPH__FEDERATED__FILE", "token")
    settings = load(tmp_path, **{"graph.client_secret": None})
    assert settings.graph.federated is not None
    assert settings.graph.federated.file == tmp_path / "token"


def test_an_environment_variable_is_checked_like_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTOR_POLL_EVERY", "often")
    (problem,) = problems_of(tmp_path)
    assert "poll_every: 'often' is not a duration" in problem


def test_a_secret_does_not_come_in_by_the_back_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = secrets.token_hex(12)
    monkeypatch.setenv("CONNECTOR_GRAPH__CLIENT_SECRET", secret)
    problems = problems_of(tmp_path)
    assert secret not in "".join(problems)


def test_an_environment_variable_that_is_no_json_where_json_is_wanted_is_a_problem_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTOR_TENANTS", "contoso")
    assert any("tenants" in problem.casefold() for problem in problems_of(tmp_path))
