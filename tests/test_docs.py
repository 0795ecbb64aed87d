"""What the papers say is so: commands, help, pictures, examples."""

from __future__ import annotations

import ast
import copy
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import NameOID
from pydantic import BaseModel

from connector.config import load_connector, load_link_server
from connector.config.graph import CREDENTIALS, METHOD_NAMES, GraphSection, RegistrationSection
from connector.config.settings import ConnectorSettings
from connector.core.machine import picture
from connector.errors import ConfigError
from connector.graph.aadsts import ADVICE
from connector.graph.mailer import GraphMailSettings
from connector.secretlink.options import LinkServiceOptions
from connector.wiring import build_adapters

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENTRA = (ROOT / "docs" / "entra.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "deploy" / "connector.yaml").read_text(encoding="utf-8")
COMMENTED = re.compile(r"^( *)# ( *)(?=[a-z_]+:(?: |$))")
"""A key behind a `#`; prose begins with a capital letter."""
YEAR = timedelta(days=365)
PAPERS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


def help_of(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "connector", *words, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_the_readmes_state_picture_is_the_table_that_runs() -> None:
    drawn = re.search(r"```mermaid\n(.*?)\n```", README, re.DOTALL)
    assert drawn is not None
    assert drawn[1] == picture()


def test_every_command_of_the_readme_exists_and_every_command_is_in_the_readme() -> None:
    listed = set(re.findall(r"^  ([a-z-]+) {2,}", help_of().partition("Commands:")[2], re.MULTILINE))
    assert listed, "the help lists commands"
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    pattern = r"^\s*connector (?:--config \S+ )?([a-z]+(?:-[a-z]+)*)"
    named = set(re.findall(pattern, "\n".join(re.findall(r"`([^`]+)`", prose)) + "\n" + blocks, re.MULTILINE))
    assert listed == named & listed, f"not in the README: {listed - named}"
    assert named <= listed, f"no such command: {named - listed}"


def test_every_make_target_of_the_papers_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for paper in PAPERS:
        text = paper.read_text(encoding="utf-8")
        named = set(re.findall(r"`make ([a-z-]+)`", text)) | set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
        assert named <= targets, f"{paper.name} names {named - targets}"


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_link_of_the_papers_leads_somewhere(paper: Path) -> None:
    text = paper.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) + re.findall(r'src="([^"]+)"', text)
    missing = [t for t in targets if "://" not in t and not t.startswith("mailto:") and not (paper.parent / t).exists()]
    assert missing == []


@pytest.fixture(scope="module")
def cupboard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the examples look for in /run/secrets, made now."""
    folder = tmp_path_factory.mktemp("secrets")
    names = ("halo", "connectwise", "rt", "graph", "federated-token", "links", "mail", "sentry", "pepper")
    for name in (*names, "graph-passphrase"):
        (folder / name).write_text(secrets.token_urlsafe(48))
    passphrase = (folder / "graph-passphrase").read_text().encode()
    sealed = BestAvailableEncryption(passphrase)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    whom = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(whom, whom, key.public_key(), x509.random_serial_number(), now, now + YEAR)
    certificate = builder.sign(key, SHA256())
    public = certificate.public_bytes(Encoding.PEM)
    for file, how in (("graph", NoEncryption()), ("graph-mfa", NoEncryption()), ("graph-sealed", sealed)):
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
        (folder / f"{file}.pem").write_bytes(private + public)
    (folder / "graph.pfx").write_bytes(serialize_key_and_certificates(b"example", key, certificate, None, sealed))
    return folder


def test_the_example_configurations_are_accepted_as_they_stand(cupboard: Path, tmp_path: Path) -> None:
    for name in ("connector.yaml", "links.yaml"):
        text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(here(text, cupboard), encoding="utf-8")
    settings, place = load_connector(tmp_path / "connector.yaml", environ={})
    assert settings.production
    assert build_adapters(settings, place).psas.keys() == {"halo"}
    LinkServiceOptions.from_settings(load_link_server(tmp_path / "links.yaml", environ={}), folder=tmp_path)


def here(text: str, cupboard: Path) -> str:
    """An example with the paths of this machine."""
    text = text.replace("/run/secrets", cupboard.as_posix())
    return re.sub(r"(?<=mapping: )mappings/", f"{(ROOT / 'mappings').as_posix()}/", text)


def commented_keys(text: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each key behind a `#` that is not inside another such key: its place, and its value."""
    lines = text.splitlines()
    place: list[tuple[int, str]] = []
    skip_to = 0
    for number, line in enumerate(lines):
        plain = COMMENTED.sub(r"\1\2", line)
        found = re.match(r"( *)([a-z_]+):", plain)
        if number < skip_to or not found:
            continue
        indent = len(found[1])
        place = [(depth, key) for depth, key in place if depth < indent]
        if plain != line:
            block = [plain]
            for more in lines[number + 1 :]:
                deeper = COMMENTED.sub(r"\1\2", more)
                if deeper == more or len(deeper) - len(deeper.lstrip()) <= indent:
                    break
                block.append(deeper)
            skip_to = number + len(block)
            value = yaml.safe_load("\n".join(entry[indent:] for entry in block))[found[2]]
            yield (*(key for _, key in place), found[2]), value
        else:
            place.append((indent, found[2]))


def with_key(data: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The example with one more key, in place of what cannot stand beside it."""
    changed = copy.deepcopy(data)
    inside = changed
    for step in place[:-1]:
        inside = inside[step]
    if place[0] == "graph" and place[-1] in CREDENTIALS:
        for other in CREDENTIALS:
            inside.pop(other, None)
    if place[-1] == "certificate_passphrase":
        inside["certificate"] = {"file": "/run/secrets/graph-sealed.pem"}
        del inside["client_secret"]
    inside[place[-1]] = value
    return changed


ALTERNATIVES = list(commented_keys(EXAMPLE))


def test_the_example_shows_keys_behind_a_comment_sign() -> None:
    found = {".".join(place) for place, _ in ALTERNATIVES}
    assert {"psa.rt", "graph.certificate_pfx", "graph.mfa", "tenants.contoso.mfa", "passwords", "mfa", "mail"} <= found


@pytest.mark.parametrize(("place", "value"), ALTERNATIVES, ids=[".".join(place) for place, _ in ALTERNATIVES])
def test_every_key_behind_a_comment_sign_is_accepted(
    place: tuple[str, ...], value: Any, cupboard: Path, tmp_path: Path
) -> None:
    changed = with_key(yaml.safe_load(EXAMPLE), place, value)
    (tmp_path / "connector.yaml").write_text(here(yaml.safe_dump(changed), cupboard), encoding="utf-8")
    settings, folder = load_connector(tmp_path / "connector.yaml", environ={})
    adapters = build_adapters(settings, folder)
    if place == ("mail",):
        assert adapters.mailer.own_addresses == {value["mailbox"]}
    if place[0] == "graph" and place[-1] in CREDENTIALS:
        assert [line.kind for line in adapters.directory.credentials()] == [place[-1]]


def keys_of(model: type[BaseModel]) -> Iterator[str]:
    """Every key that a section can hold, without the names that an admin chooses."""
    for name, known in model.model_fields.items():
        yield known.alias or name
        for section in sections_in(known.annotation):
            yield from (f"{known.alias or name}.{key}" for key in keys_of(section))


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, dict):
        for part in get_args(annotation):
            yield from sections_in(part)


def keys_in(value: Any, *, chosen: tuple[str, ...] = ()) -> Iterator[str]:
    """Every key that an example shows; names that an admin chooses are left out."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from ([key] if key not in chosen else ())
            start = "" if key in chosen else f"{key}."
            yield from (f"{start}{deeper}" for deeper in keys_in(inside, chosen=chosen))


def test_the_example_shows_every_key_that_there_is() -> None:
    shown = set(keys_in(yaml.safe_load(EXAMPLE), chosen=("contoso", "halo")))
    for place, value in ALTERNATIVES:
        path = ".".join(step for step in place if step != "contoso")
        shown |= {path, *(f"{path}.{key}" for key in keys_in(value))}
    # One example of each kind of credential does for both registrations; the function is told beside the file.
    again = {f"graph.mfa.{key}" for key in keys_of(RegistrationSection)} | {"graph.federated.callable"}
    assert set(keys_of(ConnectorSettings)) - again <= shown
    mail = set(GraphMailSettings.model_fields) - set(RegistrationSection.model_fields)
    assert {f"mail.{key}" for key in mail} <= shown


def test_every_key_for_microsoft_is_explained_once() -> None:
    table = re.search(r"<!-- keys -->\n(.*?)<!-- /keys -->", ENTRA, re.DOTALL)
    assert table is not None
    explained = re.findall(r"^\| `([^`]+)`", table[1], re.MULTILINE)
    mail = set(GraphMailSettings.model_fields) - set(RegistrationSection.model_fields)
    wanted = {
        *(f"graph.{key}" for key in GraphSection.model_fields),
        *("graph.certificate_pfx.file", "graph.certificate_pfx.passphrase"),
        *("graph.federated.file", "graph.federated.callable"),
        *("passwords.policy", "mfa.keep", "tenants.<name>.mfa.keep"),
        *(f"mail.{key}" for key in mail),
    } - {"graph.certificate_pfx", "graph.federated", "mail.kind"}
    assert sorted(explained) == sorted(wanted)
    assert all(f"`{kind}`" in table[1] for kind in METHOD_NAMES)


def test_every_sign_in_code_that_has_an_advice_is_in_the_table_of_troubles() -> None:
    told = set(re.findall(r"\b\d{5,7}\b", " ".join(re.findall(r"^\| AADSTS([^|]*)\|", ENTRA, re.MULTILINE))))
    assert told == {str(code) for code in ADVICE}


def texts_of(source: str) -> Iterator[str]:
    """Every text of a module; what is filled in later is left out with an ellipsis."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_message_in_the_table_of_troubles_is_one_of_ours() -> None:
    troubles = ENTRA.partition("## 11.")[2].partition("## 12.")[0]
    firsts = re.findall(r"^\| ([^|]*) \|", troubles, re.MULTILINE)
    texts = [text for first in firsts for text in re.findall(r'"([^"]+)"', first)]
    quoted = {part.strip(" ()") for text in texts for part in text.split("…")}
    ours = "\n".join(
        text for module in (ROOT / "connector").rglob("*.py") for text in texts_of(module.read_text(encoding="utf-8"))
    )
    assert len(quoted) > 20
    assert sorted(part for part in quoted if part not in ours) == []


def test_the_examples_name_only_secrets_that_are_files() -> None:
    with pytest.raises(ConfigError) as failure:
        load_connector(ROOT / "deploy" / "connector.yaml", environ={})
    assert all("secret file" in problem for problem in failure.value.problems)


def test_no_paper_speaks_of_a_workplace() -> None:
    for paper in PAPERS:
        assert not re.search(r"/work/|/root/|/home/\w+", paper.read_text(encoding="utf-8")), paper.name
