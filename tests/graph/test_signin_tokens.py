"""Looking into a token: to explain, and only as far as it can be believed to be one."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

import pytest

from connector.core.secret import Secret
from connector.graph.tokens import TokenFacts, permissions_of, read_token


def token_with(claims: object) -> Secret:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims)]
    return Secret(".".join([*parts, secrets.token_urlsafe(8)]))


def test_a_token_tells_app_principal_permissions_and_roles() -> None:
    claims = {"appid": "a1", "oid": "o1", "roles": ["User.Read.All"], "wids": ["FE930BE7-5E62-47DB-91AF-98C3A49A38B1"]}
    assert read_token(token_with(claims)) == TokenFacts(
        "a1", "o1", frozenset({"User.Read.All"}), frozenset({"fe930be7-5e62-47db-91af-98c3a49a38b1"})
    )


def test_a_token_of_the_second_version_names_its_app_elsewhere() -> None:
    facts = read_token(token_with({"azp": "a2"}))
    assert facts is not None
    assert facts.app_id == "a2"


def test_nothing_consented_is_no_permission_and_not_an_unknown_one() -> None:
    assert permissions_of(token_with({"appid": "a1"})) == frozenset()


@pytest.mark.parametrize("roles", ["User.Read.All", None, 1, {"a": 1}])
def test_roles_of_another_shape_are_unknown(roles: object) -> None:
    assert permissions_of(token_with({"roles": roles})) is None


@pytest.mark.parametrize(
    "claims", [{"appid": 1, "oid": None, "wids": "x"}, {"wids": [1, None, {}]}, {"appid": [], "oid": {}}]
)
def test_odd_claims_are_as_good_as_none(claims: dict[str, Any]) -> None:
    assert read_token(token_with(claims)) == TokenFacts("", "", frozenset(), frozenset())


@pytest.mark.parametrize("claims", [[], None, 7, "text"])
def test_claims_that_are_no_object_tell_nothing(claims: object) -> None:
    assert read_token(token_with(claims)) is None


@pytest.mark.parametrize("token", ["", "opaque", "a.b", "a.b.c", "a..c", "a.%%%.c", "a.b.c.d", "a.bnVsbA.c", "ü.ü.ü"])
def test_a_token_that_cannot_be_looked_into_tells_nothing(token: str) -> None:
    assert read_token(Secret(token)) is None
    assert permissions_of(Secret(token)) is None


def test_a_token_that_is_nested_without_end_tells_nothing() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 200_000).decode()
    assert read_token(Secret(f"a.{deep}.c")) is None
