"""What another link service cannot do is said at the start, in words that tell what to write."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from connector.adapter import Surroundings
from connector.config import ConnectorSettings, HttpSection, LinksSection, Place
from connector.config.settings import TenantSection
from connector.core.ports import Capabilities, HumanCheck, Level, LinkMode
from connector.errors import ConfigError
from connector.secretlink.fitness import Wanted, problems, warnings
from connector.secretlink.onetimesecret.adapter import CAPABILITIES as ONETIMESECRET
from connector.secretlink.onetimesecret.adapter import OneTimeSecret
from connector.secretlink.passwordpusher.adapter import PasswordPusher
from connector.secretlink.passwordpusher.section import CAPABILITIES as PASSWORDPUSHER
from connector.wiring import present, unfit_links

HOUR = timedelta(hours=1)


def said(kind: str, can: Capabilities, **wish: object) -> Sequence[str]:
    values = {"where": "links", "views": 1, "lifetime": HOUR, **wish}
    return list(problems(kind, can, [Wanted(**values)]))  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "can"), [("passwordpusher", PASSWORDPUSHER), ("onetimesecret", ONETIMESECRET)])
def test_what_it_can_do_is_no_problem_and_what_it_cannot_names_its_key(kind: str, can: Capabilities) -> None:
    assert said(kind, can) == []
    (sentence,) = said(kind, can, mode=LinkMode.FRAGMENT)
    assert sentence.startswith("links.mode: ")
    assert "Write path, or use kind: builtin." in sentence
    (sentence,) = said(kind, can, where="tenants.contoso.links", human_check=HumanCheck.TICKET_NUMBER)
    assert sentence.startswith("tenants.contoso.links.human_check: ")
    assert "Write off" in sentence


def test_two_views_are_fine_with_password_pusher_and_a_problem_with_onetimesecret() -> None:
    assert said("passwordpusher", PASSWORDPUSHER, views=2) == []
    assert said("onetimesecret", ONETIMESECRET, views=2) == [
        "links.views: 2 is more than links of kind onetimesecret can have. Write 1, or use kind: builtin."
    ]


def test_a_lifetime_that_it_does_not_give_is_a_problem() -> None:
    (sentence,) = said("onetimesecret", ONETIMESECRET, lifetime=timedelta(seconds=59))
    assert sentence.startswith("links.lifetime: links of kind onetimesecret live for 1m at least, not 59s.")


def test_our_own_service_can_do_everything_and_is_warned_about_nothing() -> None:
    everything = {"views": 20, "mode": LinkMode.FRAGMENT, "human_check": HumanCheck.TICKET_NUMBER}
    assert said("builtin", Capabilities(), **everything, lifetime=timedelta(seconds=1)) == []
    assert list(warnings("builtin", Capabilities())) == []


@pytest.mark.parametrize(("kind", "can"), [("passwordpusher", PASSWORDPUSHER), ("onetimesecret", ONETIMESECRET)])
def test_what_is_weaker_than_with_our_own_is_warned_about(kind: str, can: Capabilities) -> None:
    found = list(warnings(kind, can))
    assert {finding.level for finding in found} == {Level.WARNING}
    assert all(finding.todo for finding in found)
    text = " ".join(finding.text for finding in found)
    assert "scanner" in text
    assert "this was not me" in text
    assert ("from which address" in text) is (kind == "onetimesecret")


def surroundings(folder: Path) -> Surroundings:
    return Surroundings(place=Place(folder=folder, production=True, environ={}), http=HttpSection(), clock=present)


def test_password_pusher_is_built_from_its_section(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(secrets.token_urlsafe(), "utf-8")
    section = {"kind": "passwordpusher", "url": "https://pwpush.msp.example", "token": {"file": "token"}}
    for more in ({}, {"account_id": 12}, {"account_id": "12"}):
        links = PasswordPusher.from_config("links", {**section, **more}, surroundings(tmp_path))
        assert links.capabilities.most_views == 20


def test_onetimesecret_is_built_from_its_section(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(secrets.token_urlsafe(), "utf-8")
    section = {
        "kind": "onetimesecret", "url": "https://eu.onetimesecret.com", "username": "links@msp.example",
        "token": {"file": "token"},
    }  # fmt: skip
    assert OneTimeSecret.from_config("links", section, surroundings(tmp_path)).capabilities.most_views == 1


@pytest.mark.parametrize("adapter", [PasswordPusher, OneTimeSecret])
def test_a_section_names_every_problem_and_no_token_means_no_start(
    adapter: type[PasswordPusher] | type[OneTimeSecret], tmp_path: Path
) -> None:
    (tmp_path / "blank").write_text(" \n", "utf-8")
    with pytest.raises(ConfigError) as refusal:
        adapter.from_config("links", {"url": "http://push.example.com", "tokn": 1}, surroundings(tmp_path))
    text = str(refusal.value)
    assert "links: url" in text
    assert "Did you mean token?" in text
    assert "links: token: missing" in text
    with pytest.raises(ConfigError, match="token"):
        adapter.from_config(
            "links",
            {"url": "https://push.example.com", "username": "a@b.example", "token": {"file": "blank"}},
            surroundings(tmp_path),
        )


def test_each_problem_is_named_once_and_where_it_is_written() -> None:
    contoso = TenantSection.model_validate(
        {"tenant_id": "contoso.example.com", "links": {"mode": "fragment", "human_check": "ticket_number"}}
    )
    plain = TenantSection.model_validate({"tenant_id": "fabrikam.example.com", "links": {"locale": "de"}})
    settings = ConnectorSettings.model_construct(
        links=LinksSection(kind="onetimesecret", lifetime=timedelta(seconds=30)),
        tenants={"contoso": contoso, "fabrikam": plain},
    )
    said = unfit_links(settings, ONETIMESECRET)
    assert [sentence.partition(": ")[0] for sentence in said] == [
        "links.views", "links.lifetime", "tenants.contoso.links.mode", "tenants.contoso.links.human_check",
    ]  # fmt: skip
    assert unfit_links(settings, Capabilities()) == []
