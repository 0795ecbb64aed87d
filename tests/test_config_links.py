"""What a customer's links are like: the defaults under `links`, and what a tenant has of its own."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.config import ConnectorSettings, Place, validate
from connector.core.ports import HumanCheck, LinkMode
from connector.core.steps import Policy
from connector.errors import ConfigError
from connector.wiring import policies
from tests.fakes.psa import FakePsa

NO_KEYS: dict[str, Any] = {}


def settings_of(links: dict[str, Any] = NO_KEYS, tenant: dict[str, Any] = NO_KEYS) -> ConnectorSettings:
    data = {
        "environment": "demo",
        "database": "sqlite:///connector.db",
        "psa": {"halo": {"kind": "halopsa"}},
        "graph": {"client_id": "c", "client_secret": {"env": "GRAPH"}},
        "tenants": {
            "contoso": {"tenant_id": "contoso.example.com", "clients": {"halo": ["12"]}, "links": tenant},
            "fabrikam": {"tenant_id": "fabrikam.example.com", "clients": {"halo": ["13"]}},
        },
        "links": {"url": "https://links.example.com", **links},
        "mail": {},
    }
    place = Place(folder=Path(), production=False, environ={"GRAPH": "x"})
    return validate(ConnectorSettings, data, place, where="connector.yaml")


def policy_of(settings: ConnectorSettings, client: str) -> Policy:
    return policies(settings, senders=frozenset())(FakePsa("halo"), client)


def kind_of(policy: Policy) -> tuple[LinkMode, HumanCheck, str]:
    return policy.link_mode, policy.human_check, policy.locale


def test_links_are_opened_by_the_service_in_english_without_a_question_unless_somebody_says_otherwise() -> None:
    settings = settings_of()
    for client in ("12", "13", "unknown"):
        policy = policy_of(settings, client)
        assert kind_of(policy) == (LinkMode.PATH, HumanCheck.OFF, "en")
        assert policy.alarm_lifetime == timedelta(days=7)


def test_a_customer_has_links_of_its_own_kind_and_the_others_those_of_everybody() -> None:
    settings = settings_of(
        {"mode": "fragment", "human_check": "ticket_number", "locale": "de", "not_me_lifetime": "1h", "views": 3},
        {"mode": "path", "locale": "en"},
    )
    assert kind_of(policy_of(settings, "12")) == (LinkMode.PATH, HumanCheck.TICKET_NUMBER, "en")
    assert kind_of(policy_of(settings, "13")) == (LinkMode.FRAGMENT, HumanCheck.TICKET_NUMBER, "de")
    assert {policy_of(settings, client).alarm_lifetime for client in ("12", "13")} == {timedelta(hours=1)}
    assert {policy_of(settings, client).views for client in ("12", "13")} == {3}


@pytest.mark.parametrize("off", ["off", False])
def test_a_customer_can_do_without_the_check_that_everybody_has(off: object) -> None:
    """YAML 1.1 reads a bare `off` as no."""
    settings = settings_of({"human_check": "ticket_number"}, {"human_check": off})
    assert policy_of(settings, "12").human_check is HumanCheck.OFF
    assert policy_of(settings, "13").human_check is HumanCheck.TICKET_NUMBER


def test_the_keys_of_the_connector_do_not_reach_the_adapter() -> None:
    settings = settings_of({"mode": "fragment", "human_check": "off", "locale": "de", "not_me_lifetime": "31d"})
    assert settings.links.rest == {"url": "https://links.example.com"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mode", "hash"), ("human_check", True), ("human_check", "last_four"), ("human_check", None), ("locale", "xx"),
        ("locale", "EN"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_at_its_place_in_both_sections(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"connector\.yaml: links\.{key}"):
        settings_of({key: value})
    if value is not None:  # in a tenant, nothing means what everybody has
        with pytest.raises(ConfigError, match=rf"connector\.yaml: tenants\.contoso\.links\.{key}"):
            settings_of(tenant={key: value})


@pytest.mark.parametrize("value", ["59m", "32d", "0s", 7, "a week"])
def test_an_alarm_lives_an_hour_to_31_days(value: object) -> None:
    with pytest.raises(ConfigError, match=r"links\.not_me_lifetime"):
        settings_of({"not_me_lifetime": value})


@pytest.mark.parametrize("key", ["not_me_lifetime", "lifetime", "views", "human_chek"])
def test_a_tenant_has_only_the_keys_that_can_differ(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"tenants\.contoso\.links\.{key}: unknown key"):
        settings_of(tenant={key: "1h"})
