"""The guide for HaloPSA quotes what the program says: its findings and its words for what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from connector.core.ports import Level
from connector.psa.halopsa.adapter import HaloSection
from connector.psa.halopsa.mapping import HaloApprovalRules, HaloMapping
from connector.psa.mapping import PsaMapping
from sandbox.server import Addresses, running
from sandbox.world import World
from tests.psa.halopsa_desk import HaloDesk
from tests.psa.halopsa_make import ROOT, MovableClock, shipped_mapping

GUIDE = (ROOT / "docs" / "psa" / "halopsa.md").read_text(encoding="utf-8")
SOURCES = "".join(
    re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "connector" / "psa" / "halopsa").glob("*.py"))
)
SHOWN = {Level.ERROR: "ERROR", Level.WARNING: "warn"}


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[World, Addresses, MovableClock]]:
    clock = MovableClock()
    world = World(gentle=True, now=clock)
    with running(world) as addresses:
        yield world, addresses, clock


@pytest.fixture
def desk(house: tuple[World, Addresses, MovableClock]) -> HaloDesk:
    world, addresses, clock = house
    clock.moment = MovableClock().moment
    world.reset()
    return HaloDesk(world, addresses, clock)


def elsewhere(desk: HaloDesk) -> HaloMapping:
    desk.desk.habits.auth_path = "/identity"
    return shipped_mapping()


def misnamed(_: HaloDesk) -> HaloMapping:
    shipped = shipped_mapping()
    approval = shipped.approval.model_copy(update={"rejected_statuses": ("Declined",)})
    return shipped.model_copy(update={"approval": approval, "note_outcome": "Internal Note"})


def too_early(desk: HaloDesk) -> HaloMapping:
    process = desk.desk.processes[5]
    steps = (replace(process.steps[0], automatic=frozenset({"autoapproveifnoapprovers"})),)
    desk.desk.processes[5] = replace(process, steps=steps)
    desk.desk.types[25] = replace(desk.desk.types[25], approval_process=7)
    shipped = shipped_mapping()
    approval = shipped.approval.model_copy(update={"approved_statuses": ("Manager Approved", "Approved")})
    return shipped.model_copy(update={"approval": approval})


MISTAKES: dict[str, Callable[[HaloDesk], HaloMapping]] = {
    "auth": elsewhere,
    "names": misnamed,
    "processes": too_early,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_guide_shows_what_check_says_of_a_typical_mistake(desk: HaloDesk, mistake: str) -> None:
    psa = desk.again(mapping=MISTAKES[mistake](desk))
    said = [
        f"{SHOWN[finding.level]} {finding.about}: {finding.text}{' -> ' if finding.todo else ''}{finding.todo}"
        for finding in psa.check()
        if finding.level is not Level.OK and not finding.about.endswith(".tickets")
    ]
    block = re.search(rf"<!-- check: {mistake} -->\n```\n(.*?)```", GUIDE, re.DOTALL)
    assert block is not None
    wanted = " ".join("\n".join(said).replace(desk.addresses.halo, "https://msp.halopsa.com").split())
    assert " ".join(block[1].split()) == wanted


def test_the_table_of_troubles_quotes_what_the_program_says() -> None:
    table = GUIDE[GUIDE.index("## 8.") :]
    quoted = [
        word for row in re.findall(r"^\| (.*?) \|", table, re.MULTILINE) for word in re.findall(r"`([^`]+)`", row)
    ]
    assert len(quoted) >= 6
    for words in quoted:
        plain = words.removesuffix(" (401)").replace("0 of 1", "{count} of {step.least_votes}")
        assert plain in SOURCES, words


def test_every_key_is_explained() -> None:
    shared = {"kind", "url", "client_id", "client_secret", "mapping"}
    for key in (HaloSection.model_fields.keys() - shared) | HaloApprovalRules.model_fields.keys():
        assert f"`{key}" in GUIDE, key
    for key in PsaMapping.model_fields.keys() - {"dry_run"}:
        assert f"`{key}" in GUIDE, key
    assert "`dry_run: true`" in GUIDE


def test_every_key_of_a_mapping_stands_in_the_shipped_one() -> None:
    shipped = (ROOT / "mappings" / "halopsa.yaml").read_text(encoding="utf-8")
    keys: list[Any] = [*HaloMapping.model_fields, *HaloApprovalRules.model_fields]
    missing = [key for key in keys if not re.search(rf"\b{key}:", shipped)]
    assert missing == []
