"""The command line: sentences and exit codes, never a traceback."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest

from connector.cli.checking import mail_tenant
from connector.cli.printing import print_wrapped
from connector.config import load_connector
from sandbox.stage import free_port
from tests import forked

ROOT = Path(__file__).parent.parent


def connector(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forked.run("connector", "--config", str(config), *words)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A right configuration of systems that are not there."""
    (tmp_path / "secret").write_text("x" * 40)
    (tmp_path / "halopsa.yaml").write_text((ROOT / "mappings" / "halopsa.yaml").read_text(encoding="utf-8"))
    nobody = f"http://127.0.0.1:{free_port()}"
    settings: dict[str, Any] = {
        "environment": "demo",
        "database": f"sqlite:///{(tmp_path / 'connector.db').as_posix()}",
        "inbound": {"listen": f"127.0.0.1:{free_port()}"},
        "psa": {"halo": {"kind": "halopsa", "url": nobody, "client_id": "c", "client_secret": {"file": "secret"},
                         "mapping": "halopsa.yaml"}},
        "graph": {"client_id": "c", "client_secret": {"file": "secret"}, "url": nobody,
                  "authority": nobody.replace("http:", "https:")},
        "tenants": {"contoso": {"tenant_id": "8a000000-0000-0000-0000-000000000000", "clients": {"halo": ["12"]}}},
        "links": {"url": nobody, "api_key": {"file": "secret"}},
        "mail": {"host": "127.0.0.1", "port": free_port(), "from": "IT <it@example.com>"},
    }  # fmt: skip
    path = tmp_path / "connector.yaml"
    path.write_text(json.dumps(settings))
    return path


def change(config: Path, **changes: Any) -> None:
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))


def test_offline_check_is_content_with_right_files(config: Path) -> None:
    done = connector(config, "check", "--offline")
    assert done.returncode == 0, done.stderr
    assert "0 errors, 0 warnings" in done.stdout
    assert re.search(r"^ok +passwords: passphrase: 4 words and 3 digits, \d+\.\d bits\.$", done.stdout, re.MULTILINE)


def test_offline_check_asks_nobody_and_so_reports_no_tenant(config: Path) -> None:
    said = json.loads(connector(config, "check", "--offline", "--json").stdout)
    assert set(said) == {"findings", "errors", "warnings", "tenants"}
    assert said["tenants"] == []


@pytest.mark.parametrize("written", ["true", "silent"])
def test_a_dry_run_that_was_forgotten_is_a_warning(config: Path, written: str) -> None:
    mapping = config.parent / "halopsa.yaml"
    mapping.write_text(f"{mapping.read_text(encoding='utf-8')}\ndry_run: {written}\n", encoding="utf-8")
    done = connector(config, "check", "--offline")
    assert done.returncode == 0
    assert re.search(r"^warn +psa\.halo\.mapping: dry_run is on", done.stdout, re.MULTILINE)
    assert "0 errors, 1 warning." in done.stdout


def test_the_policy_of_passwords_is_the_configured_one(config: Path) -> None:
    change(config, passwords={"policy": "random"})
    assert "passwords: random: 20 characters, " in connector(config, "check", "--offline").stdout


def test_wrong_keys_and_missing_secret_files_are_named_all_at_once_with_exit_code_2(config: Path) -> None:
    change(config, pol_every="15s", mail={"host": "127.0.0.1"}, database="mysql://host/db",
           graph={"client_id": "c", "client_secret": {"file": "not-there"}})  # fmt: skip
    for command in (["check"], ["run"], ["once"], ["cases"]):
        done = connector(config, *command)
        assert done.returncode == 2
        assert "pol_every: unknown key. Did you mean poll_every?" in done.stderr
        assert "not-there cannot be read" in done.stderr
        assert "mysql is not supported" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_adapters_problems_are_told_with_their_place(config: Path) -> None:
    settings = json.loads(config.read_text())
    settings["psa"]["halo"]["colour"] = "red"
    settings["psa"]["other"] = {"kind": "faxmachine"}
    settings["links"]["api_key"] = "inline-secret-value"
    config.write_text(json.dumps(settings))
    done = connector(config, "check", "--offline")
    assert done.returncode == 2
    assert "psa.halo: colour: unknown key" in done.stderr
    assert "'faxmachine' is not known. Known kinds:" in done.stderr
    assert "a secret is never written here" in done.stderr
    assert "inline-secret-value" not in done.stderr


def test_check_tells_everything_that_cannot_be_reached(config: Path) -> None:
    done = connector(config, "check", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    (tenant,) = found["tenants"]
    assert (tenant["tenant"], tenant["signed_in"]) == ("contoso", False)
    places = {
        finding["about"].split(":")[0].split(".")[0] for finding in found["findings"] if finding["level"] == "error"
    }
    assert places >= {"psa", "tenants", "links", "mail"}
    assert all(
        finding["todo"] or finding["level"] != "error" or "." in finding["text"] for finding in found["findings"]
    )


def test_no_configuration_is_a_sentence(tmp_path: Path) -> None:
    done = connector(tmp_path / "missing.yaml", "check")
    assert done.returncode == 2
    assert "missing.yaml cannot be read" in done.stderr


def test_commands_on_an_empty_database_say_what_to_do(config: Path) -> None:
    done = connector(config, "cases")
    assert done.returncode == 1
    assert "connector migrate" in done.stderr
    assert connector(config, "migrate").returncode == 0
    assert connector(config, "migrate").returncode == 0, "a repeat changes nothing"
    assert json.loads(connector(config, "cases", "--json").stdout) == {"paused": "", "cases": []}
    assert "no case of a ticket 4711" in connector(config, "show", "4711").stderr
    assert connector(config, "audit", "verify").returncode == 0


@pytest.mark.parametrize(("pepper", "told"), [("", "pepper: missing"), ("peper: {file: key}", "Did you mean pepper?")])
def test_migrate_tells_of_a_link_services_file_what_is_wrong_with_just_that(
    tmp_path: Path, pepper: str, told: str
) -> None:
    (tmp_path / "key").write_text(secrets.token_urlsafe(32))
    text = f"database: sqlite:///links.db\nurl: https://links.example.com\napi_keys: [{{file: key}}]\n{pepper}\n"
    (tmp_path / "links.yaml").write_text(text)
    done = connector(tmp_path / "links.yaml", "migrate")
    assert done.returncode == 2
    assert told in done.stderr
    assert "psa" not in done.stderr, "those are the connector's keys"


def test_migrate_of_a_connectors_file_without_its_psa_tells_of_that(tmp_path: Path) -> None:
    (tmp_path / "connector.yaml").write_text("environment: demo\ndatabase: sqlite:///connector.db\npepper: x\n")
    done = connector(tmp_path / "connector.yaml", "migrate")
    assert done.returncode == 2
    assert "connector.yaml: psa: missing" in done.stderr


def test_migrate_takes_the_link_services_file_too(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x" * 48)
    path = tmp_path / "links.yaml"
    settings = {
        "database": f"sqlite:///{(tmp_path / 'links.db').as_posix()}",
        "pepper": {"file": "secret"},
        "url": "https://links.example.com",
        "api_keys": [{"file": "secret"}],
    }
    path.write_text(json.dumps(settings))
    assert connector(path, "migrate").returncode == 0
    assert (tmp_path / "links.db").exists()


def test_once_with_everything_away_fails_in_sentences_and_loses_nothing(config: Path) -> None:
    done = connector(config, "once")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "psa.halo" in done.stderr


def test_a_second_daemon_on_the_same_database_is_refused(config: Path) -> None:
    from connector.store import exclusive

    database = json.loads(config.read_text())["database"]
    with exclusive(database):
        done = connector(config, "run")
    assert done.returncode == 2
    assert "another connector already works with" in done.stderr


def test_the_mails_can_be_looked_at_without_a_configuration(tmp_path: Path) -> None:
    done = connector(tmp_path / "none.yaml", "mails", "preview", str(tmp_path / "mails"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mails" / "index.html").exists()


@pytest.mark.parametrize(
    ("mail", "sender"),
    [
        ({"kind": "smtp"}, ""),
        ({"kind": "graph"}, ""),
        ({"kind": "graph", "tenant_id": "8A000000-0000-0000-0000-000000000000"}, "contoso"),
        ({"kind": "graph", "tenant_id": "elsewhere"}, ""),
        ({"kind": "graph", "tenant_id": "8a000000-0000-0000-0000-000000000000", "client_id": "own"}, ""),
    ],
)
def test_the_right_to_send_mail_is_wanted_only_where_the_reset_app_sends(
    config: Path, mail: dict[str, Any], sender: str
) -> None:
    tenants = {
        "contoso": {"tenant_id": "8a000000-0000-0000-0000-000000000000"},
        "fabrikam": {"tenant_id": "9a000000-0000-0000-0000-000000000000"},
    }
    change(config, mail=mail, tenants=tenants)
    settings, _ = load_connector(config)
    assert mail_tenant(settings) == sender


def test_a_long_finding_is_wrapped_and_its_link_stays_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    link = "https://login.example.com/" + "x" * 70
    print_wrapped("ERROR ", f"tenants.contoso: a sentence that is longer than a line; open {link} and accept")
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines if "https" in line] == [link]
    assert all(len(line) <= 60 for line in lines if link not in line)
    assert all(line.startswith("      ") for line in lines[1:])


def test_what_other_systems_send_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_wrapped("ok    ", "a role called \x1b]0;owned\x07\x1b[2J\nERROR everything is lost")
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\x07" not in said
    assert len(said.splitlines()) == 1
