"""What the papers say is so: commands, help, pictures, examples."""

from __future__ import annotations

import ast
import copy
import re
import secrets
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import typer
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

from connector.cli.commands import app
from connector.config import Place, load_connector, load_link_server
from connector.config.graph import CREDENTIALS, METHOD_NAMES, GraphSection, RegistrationSection
from connector.config.settings import ConnectorSettings, LinkServerSettings, LogSection, TenantSection
from connector.core.machine import picture
from connector.core.messages import PUBLIC_TOPICS
from connector.errors import ConfigError
from connector.graph.aadsts import ADVICE
from connector.graph.mailer import GraphMailSettings
from connector.psa.connectwise.adapter import ConnectWiseSection
from connector.psa.connectwise.mapping import ConnectWiseMapping
from connector.psa.halopsa.adapter import HaloSection
from connector.psa.halopsa.mapping import HaloMapping
from connector.psa.mapping import PsaMapping, TimingRules, read_mapping
from connector.psa.requesttracker.adapter import RequestTrackerSection
from connector.psa.requesttracker.mapping import RequestTrackerMapping
from connector.secretlink.onetimesecret.adapter import OneTimeSecretSection
from connector.secretlink.passwordpusher.section import PasswordPusherSection
from connector.secretlink.service.options import LinkServiceOptions
from connector.wiring import build_adapters

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENTRA = (ROOT / "docs" / "entra.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "deploy" / "connector.yaml").read_text(encoding="utf-8")
COMMENTED = re.compile(r"^( *)# ( *)(?=[a-z_]+:(?: |$))")
"""A key behind a `#`; prose begins with a capital letter."""
YEAR = timedelta(days=365)
PAPERS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "sandbox/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
MAPPINGS: dict[str, type[PsaMapping]] = {
    "halopsa": HaloMapping,
    "connectwise": ConnectWiseMapping,
    "requesttracker": RequestTrackerMapping,
}
MEANINGLESS = {
    # Deciders' votes stand in RT's approvals, and a team would be another queue.
    "requesttracker": {"hand_off.team", "alarm.team", "approval.approved_statuses", "approval.rejected_statuses"},
}
COMMANDS = typer.main.get_command(app)


def name_of(paper: Path) -> str:
    return paper.relative_to(ROOT).as_posix()


def leaves(group: Any, *above: str) -> Iterator[tuple[str, ...]]:
    """Every command that can be run, such as `("audit", "verify")`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, *above, name)
        else:
            yield (*above, name)


def calls_in(text: str) -> Iterator[list[str]]:
    """The words after `connector` of each call in a text: in a code block, or between backticks."""
    blocks = re.findall(r"^ *```[a-z]*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`]+)`", prose)
    for line in lines:
        for found in re.finditer(
            r"(?:^|: |/)connector (?!\()((?:--config \S+ )?[a-z][a-z-]*(?![^\s.,;]).*)", line.strip()
        ):
            words = found[1].partition("#")[0].split()
            yield words[2:] if words[0] == "--config" else words


def test_the_readmes_state_picture_is_the_table_that_runs() -> None:
    drawn = re.search(r"```mermaid\n(.*?)\n```", README, re.DOTALL)
    assert drawn is not None
    assert drawn[1] == picture()


@pytest.mark.parametrize("paper", PAPERS, ids=name_of)
def test_every_command_and_option_of_the_papers_exists(paper: Path) -> None:
    for words in calls_in(paper.read_text(encoding="utf-8")):
        command: Any = COMMANDS
        while words and hasattr(command, "commands"):
            assert words[0].rstrip(".,;") in command.commands, f"no such command: connector {' '.join(words)}"
            command, *words = command.commands[words[0].rstrip(".,;")], *words[1:]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        named = {word.partition("=")[0].rstrip(".,;") for word in words if word.startswith("--")}
        assert named <= known, f"{name_of(paper)}: connector {command.name} has no {named - known}"


def test_every_command_is_in_the_readme() -> None:
    told = {tuple(words[:depth]) for words in calls_in(README) for depth in (1, 2)}
    every = set(leaves(COMMANDS))
    assert {("run",), ("rehearse",), ("psa", "register-callback")} <= every
    assert every - told == set()


def test_the_readme_shows_how_to_try_without_harm() -> None:
    assert any(words[0] == "run" and "--dry-run" in words for words in calls_in(README))


def test_every_make_target_of_the_papers_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for paper in PAPERS:
        text = paper.read_text(encoding="utf-8")
        named = set(re.findall(r"`make ([a-z-]+)`", text)) | set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
        assert named <= targets, f"{paper.name} names {named - targets}"


@pytest.mark.parametrize("paper", PAPERS, ids=name_of)
def test_every_link_of_the_papers_leads_somewhere(paper: Path) -> None:
    text = paper.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text) + [(t, "") for t in re.findall(r'src="([^"]+)"', text)]
    missing = []
    for target, anchor in links:
        if "://" in target or target.startswith("mailto:"):
            continue
        there = (paper.parent / target) if target else paper
        if not there.exists() or (anchor and anchor not in anchors_of(there)):
            missing.append(f"{target}#{anchor}")
    assert missing == []


def anchors_of(paper: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a paper."""
    headings = re.findall(r"^#+ (.*)$", paper.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("paper", PAPERS, ids=name_of)
def test_every_file_of_the_project_that_a_paper_names_exists(paper: Path) -> None:
    folders = "bench|connector|deploy|docs|mappings|sandbox|scripts|tests"
    named = set(re.findall(rf"`((?:{folders})/[\w./-]+\.(?:py|md|yaml|sh))`", paper.read_text(encoding="utf-8")))
    unknown = {"docs/psa/name.md"}
    assert sorted(one for one in named - unknown if not (ROOT / one).exists()) == []


@pytest.fixture(scope="module")
def cupboard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the examples look for in /run/secrets, made now."""
    folder = tmp_path_factory.mktemp("secrets")
    names = ("halo", "connectwise", "rt", "graph", "federated-token", "links", "mail", "sentry", "pepper")
    for name in (*names, "graph-passphrase", "halo-push", "rt-push"):
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


def test_the_link_services_example_shows_every_key_that_there_is() -> None:
    example = (ROOT / "deploy" / "links.yaml").read_text(encoding="utf-8")
    found = {key: line for line, key in re.findall(r"^(?:# )?((\w+):.*)$", example, re.MULTILINE)}
    assert set(LinkServerSettings.model_fields) - found.keys() == set()
    log = LinkServerSettings.model_fields["log"]
    assert LogSection.model_validate(yaml.safe_load(found["log"])["log"]) == log.default, "the defaults are shown"


def test_the_example_shows_every_key_of_each_psa() -> None:
    sections = {"halo": HaloSection, "cw": ConnectWiseSection, "rt": RequestTrackerSection}
    example = yaml.safe_load(EXAMPLE)
    for place, value in ALTERNATIVES:
        if place[0] == "psa":
            example = with_key(example, place, value)
    for name, section in sections.items():
        shown = set(keys_in(example["psa"][name]))
        may_be_left_out = {"callback.key_url"}
        assert set(keys_of(section)) - shown - may_be_left_out == set(), name


def test_the_example_shows_every_key_of_each_other_link_service() -> None:
    sections = {"passwordpusher": PasswordPusherSection, "onetimesecret": OneTimeSecretSection}
    shown = {value["kind"]: set(value) for place, value in ALTERNATIVES if place == ("links",)}
    assert shown == {kind: {"kind", "lifetime", "views", *keys_of(section)} for kind, section in sections.items()}


def fragments_in(paper: Path) -> Iterator[dict[str, Any]]:
    """The pieces of configuration that a paper shows, at whatever indentation."""
    for block in re.findall(r"```yaml\n(.*?)```", paper.read_text(encoding="utf-8"), re.DOTALL):
        piece = yaml.safe_load(textwrap.dedent(block))
        assert isinstance(piece, dict), f"{name_of(paper)}: {block}"
        yield piece


@pytest.mark.parametrize("paper", PAPERS, ids=name_of)
def test_every_key_in_a_papers_pieces_of_configuration_exists(paper: Path) -> None:
    sections = {"halo": HaloSection, "cw": ConnectWiseSection, "rt": RequestTrackerSection}
    anywhere = {
        *keys_of(ConnectorSettings),
        *keys_of(LinkServerSettings),
        *(key for model in (*sections.values(), *MAPPINGS.values()) for key in keys_of(model)),
    }
    for piece in fragments_in(paper):
        for name, section in piece.pop("psa", {}).items():
            named = {key for key in keys_in(section) if not key.endswith((".file", ".env"))}
            assert named <= {"kind", *keys_of(sections[name])}
        for section in piece.pop("tenants", {}).values():
            assert set(keys_in(section, chosen=("halo", "cw", "rt"))) <= set(keys_of(TenantSection))
        assert piece.keys() <= {key.partition(".")[0] for key in anywhere}, f"{name_of(paper)}: {piece.keys()}"


COMMENTED_RULES = [
    (kind, place, value)
    for kind in MAPPINGS
    for place, value in commented_keys((ROOT / "mappings" / f"{kind}.yaml").read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(
    ("kind", "place", "value"), COMMENTED_RULES, ids=[f"{kind}-{'.'.join(place)}" for kind, place, _ in COMMENTED_RULES]
)
def test_every_key_behind_a_comment_sign_of_a_mapping_is_accepted(
    kind: str, place: tuple[str, ...], value: Any, tmp_path: Path
) -> None:
    mapping = yaml.safe_load((ROOT / "mappings" / f"{kind}.yaml").read_text(encoding="utf-8"))
    inside = mapping
    for step in place[:-1]:
        inside = inside[step][0] if isinstance(inside[step], list) else inside[step]
    if place == ("approval", "field"):  # stands for the approval in place of statuses
        del inside["approved_statuses"], inside["rejected_statuses"]
    inside[place[-1]] = value
    (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(mapping), encoding="utf-8")
    read_mapping(MAPPINGS[kind], "mapping.yaml", Place(folder=tmp_path, production=True, environ={}))


@pytest.mark.parametrize("kind", MAPPINGS)
def test_every_mapping_shows_every_key_that_there_is(kind: str) -> None:
    shown = set(keys_in(yaml.safe_load((ROOT / "mappings" / f"{kind}.yaml").read_text(encoding="utf-8"))))
    for where, place, value in COMMENTED_RULES:
        if where == kind:
            path = ".".join(place)
            shown |= {path, *(f"{path}.{key}" for key in keys_in(value))}
    wanted = set(keys_of(MAPPINGS[kind])) - MEANINGLESS.get(kind, set())
    assert {"dry_run", "notes.public", "timing.business_hours.holidays", "approval.approvers.minimum"} <= wanted
    assert wanted - shown == set()


@pytest.mark.parametrize("kind", MAPPINGS)
def test_every_mapping_says_which_notes_may_be_public_and_what_is_in_them(kind: str) -> None:
    text = (ROOT / "mappings" / f"{kind}.yaml").read_text(encoding="utf-8")
    comment = " ".join(text.partition("Which notes")[2].partition("# notes:")[0].replace("#", "").split())
    listed = re.search(r"Any of: ([^.]+)\.", comment)
    assert listed is not None
    assert set(listed[1].split(", ")) == PUBLIC_TOPICS
    assert "approvers' names and addresses" in comment


@pytest.mark.parametrize("kind", MAPPINGS)
def test_the_values_that_a_mapping_shows_for_timing_are_the_defaults(kind: str) -> None:
    [value] = [value for where, place, value in COMMENTED_RULES if (where, place) == (kind, ("timing",))]
    value = {key: shown for key, shown in value.items() if key != "business_hours"}
    assert TimingRules.model_validate(value) == TimingRules()


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
