"""What the papers say is so: commands, help, pictures, examples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from connector.config import load_connector, load_link_server
from connector.core.machine import picture
from connector.errors import ConfigError
from connector.secretlink.options import LinkServiceOptions
from connector.wiring import build_adapters

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
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


def test_the_example_configurations_are_accepted_as_they_stand(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x" * 48)
    for name in ("connector.yaml", "links.yaml"):
        text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
        text = re.sub(r"/run/secrets/\w+", secret.as_posix(), text)
        text = text.replace("../mappings/", f"{(ROOT / 'mappings').as_posix()}/")
        (tmp_path / name).write_text(text, encoding="utf-8")
    settings, place = load_connector(tmp_path / "connector.yaml", environ={})
    assert settings.production
    assert build_adapters(settings, place).psas.keys() == {"halo"}
    LinkServiceOptions.from_settings(load_link_server(tmp_path / "links.yaml", environ={}), folder=tmp_path)


def test_the_examples_name_only_secrets_that_are_files() -> None:
    with pytest.raises(ConfigError) as failure:
        load_connector(ROOT / "deploy" / "connector.yaml", environ={})
    assert all("secret file" in problem for problem in failure.value.problems)


def test_no_paper_speaks_of_a_workplace() -> None:
    for paper in PAPERS:
        assert not re.search(r"/work/|/root/|/home/\w+", paper.read_text(encoding="utf-8")), paper.name
