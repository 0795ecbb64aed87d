"""The examples of `deploy/` keep what they promise, as far as that shows without containers and without systemd."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.stage import free_port
from tests.e2e.link_servers import Service
from tests.own_venv import not_here

DEPLOY = Path(__file__).parent.parent / "deploy"
ROOT = DEPLOY.parent
IMAGES = ("Containerfile", "Containerfile.links")
MOST_EXPOSED = 1.0
"""What `systemd-analyze security` may say of the link service: 0 is locked away, 10 is open to all."""


def instructions(name: str) -> list[tuple[str, str]]:
    """The lines of a container file: the word and the rest."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    whole = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in whole.splitlines()]


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "systemd" / "links.service", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return read


# ---------------------------------------------------------------- images


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_ends_as_a_user_who_is_not_root(name: str) -> None:
    users = [rest for word, rest in instructions(name) if word == "USER"]
    assert users
    assert users[-1].partition(":")[0] not in ("root", "0")
    after = [word for word, _ in instructions(name)]
    assert "RUN" not in after[after.index("USER") :], "nothing is built as that user"


def test_the_link_services_user_has_a_number() -> None:
    """A Kubernetes with `runAsNonRoot` believes numbers only."""
    [user] = [rest for word, rest in instructions("Containerfile.links") if word == "USER"]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)


@pytest.mark.parametrize("name", IMAGES)
def test_what_an_image_copies_is_there(name: str) -> None:
    for word, rest in instructions(name):
        if word == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source


@pytest.mark.parametrize(
    ("name", "beside"), [("Containerfile", [["mappings"]]), ("Containerfile.links", [])], ids=["connector", "links"]
)
def test_an_image_is_made_of_the_package_and_of_nothing_that_may_lie_beside_it(
    name: str, beside: list[list[str]]
) -> None:
    copied = [rest.split()[:-1] for word, rest in instructions(name) if word == "COPY"]
    package, ours = copied[:2], copied[2:]
    assert sorted(source for sources in package for source in sources) == [
        "LICENSE", "README.md", "connector", "pyproject.toml"
    ]  # fmt: skip
    assert ours == [["--from=build", "/opt/connector"], *beside]


def test_no_image_needs_curl_or_holds_a_secret() -> None:
    for name in IMAGES:
        text = "\n".join(f"{word} {rest}" for word, rest in instructions(name)).lower()
        assert not re.search(r"\b(curl|wget|apt-get)\b", text)
        assert not re.search(r"(secret|password|pepper|api_key)\s*=", text)


def health_check() -> list[str]:
    [rest] = [rest for word, rest in instructions("Containerfile.links") if word == "HEALTHCHECK"]
    words: list[str] = json.loads(rest.partition("CMD ")[2])
    return words


@pytest.mark.e2e
def test_the_health_check_tells_a_running_service_from_none(tmp_path: Path) -> None:
    python, option, program = health_check()
    assert (python, option) == ("/opt/connector/bin/python", "-c")

    def healthy(port: int) -> bool:
        here = program.replace("127.0.0.1:8081", f"127.0.0.1:{port}")
        assert here != program
        return subprocess.run([sys.executable, option, here], capture_output=True, check=False).returncode == 0

    with Service(tmp_path) as service:
        assert healthy(service.port)
    assert not healthy(free_port())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not healthy(silent.getsockname()[1]), "what accepts and says nothing is not healthy"


# ---------------------------------------------------------------- side by side


def test_connector_and_link_service_share_one_secret_alone(compose: dict[str, Any]) -> None:
    connector, links = compose["services"]["connector"], compose["services"]["links"]
    assert set(connector["secrets"]) & set(links["secrets"]) == {"links"}
    assert "pepper" not in connector["secrets"]
    shared = {volume.partition(":")[0] for volume in connector["volumes"]} & {
        volume.partition(":")[0] for volume in links["volumes"]
    }
    assert shared == set(), "no folder is mounted into both"
    assert connector["image"] != links["image"]


def test_both_containers_are_locked_down(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "environment" not in service, "secrets come as files"
        assert all(volume.endswith(":ro") or volume.split(":")[0].endswith("-data") for volume in service["volumes"])
    links = compose["services"]["links"]
    assert links["ulimits"] == {"core": 0}
    assert links["memswap_limit"] == links["mem_limit"]
    assert "ports" not in links, "the proxy is what is published"


# ---------------------------------------------------------------- systemd


def test_the_units_are_two_users_with_folders_of_their_own(unit: configparser.ConfigParser) -> None:
    other = (DEPLOY / "systemd" / "connector.service").read_text(encoding="utf-8")
    assert unit["Service"]["User"] == unit["Service"]["StateDirectory"] == "links"
    assert "User=connector" in other
    assert "/etc/connector" not in unit["Service"]["ExecStart"]


def test_secrets_come_as_credentials_and_never_as_environment(unit: configparser.ConfigParser) -> None:
    text = (DEPLOY / "systemd" / "links.service").read_text(encoding="utf-8")
    loaded = dict(line.partition("=")[2].split(":") for line in text.splitlines() if line.startswith("LoadCredential="))
    assert loaded == {"pepper": "/etc/links/secrets/pepper", "links": "/etc/links/secrets/links"}
    assert "Environment" not in text
    for name in loaded:
        assert f"/run/credentials/links.service/{name}" in (ROOT / "docs" / "links.md").read_text(encoding="utf-8")


def test_no_secret_may_be_dumped_or_swapped(unit: configparser.ConfigParser) -> None:
    assert unit["Service"]["LimitCORE"] == "0"
    assert unit["Service"]["MemorySwapMax"] == "0"


def test_systemd_finds_the_unit_locked_away() -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        not_here("There is no systemd-analyze here. Get it: apt-get install systemd")
    said = subprocess.run(
        [program, "security", "--offline=true", str(DEPLOY / "systemd" / "links.service")],
        capture_output=True, text=True, timeout=60, check=False,
    ).stdout  # fmt: skip
    found = re.search(r"Overall exposure level for links\.service: (\d+\.\d+)", said)
    assert found, said[-500:]
    assert float(found[1]) <= MOST_EXPOSED
