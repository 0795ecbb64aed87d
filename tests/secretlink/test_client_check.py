"""What `connector check` finds out about our own link service, without a trace there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connector.core.ports import Finding, Level
from connector.core.secret import Secret
from connector.http import Answer, Http
from connector.secretlink.client import BuiltinLinks
from connector.secretlink.service.api.keys import ApiKey, Scope, digest_of, new_key
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.running import running
from tests.secretlink.support import FakeClock, options_for


@pytest.fixture
def address(database: str, clock: FakeClock, pepper: bytes, api_key: str) -> Iterator[str]:
    with running(options_for(database, pepper, api_key), clock=clock) as url:
        yield url


def check_with(scopes: Sequence[Scope], database: str, pepper: bytes, clock: FakeClock) -> list[Finding]:
    key = new_key("connector")
    options = replace(
        options_for(database, pepper, key), api_keys=(),
        hashed_keys=(ApiKey("connector", digest_of(key), frozenset(scopes)),),
    )  # fmt: skip
    clock.now = datetime.now(UTC)
    with running(options, clock=clock) as url:
        http = Http(system="The link service", scope="links", sleep=lambda _: None)
        return list(BuiltinLinks(http=http, url=url, api_url=url, api_key=Secret(key), clock=clock).check())


def test_a_key_with_every_scope_is_all_that_is_needed(database: str, pepper: bytes, clock: FakeClock) -> None:
    assert [finding.level for finding in check_with(list(Scope), database, pepper, clock)] == [Level.OK]


@pytest.mark.parametrize("missing", list(Scope))
def test_each_missing_scope_is_named_with_what_does_not_work_without(
    database: str, pepper: bytes, clock: FakeClock, missing: Scope
) -> None:
    findings = check_with([scope for scope in Scope if scope is not missing], database, pepper, clock)[1:]
    assert {missing.value in finding.text for finding in findings} == {True}
    assert all(missing.value in finding.todo for finding in findings)
    level = Level.WARNING if missing is Scope.LINKS_READ else Level.ERROR
    assert {finding.level for finding in findings} == {level}


def test_the_check_leaves_nothing_behind(database: str, pepper: bytes, clock: FakeClock, vault: Vault) -> None:
    check_with(list(Scope), database, pepper, clock)
    assert vault.events(after=0, limit=10).events == ()


@pytest.mark.parametrize("hidden", ["/s/", "/n/"])
def test_a_proxy_that_hides_pages_is_found(address: str, api_key: str, clock: FakeClock, hidden: str) -> None:
    clock.now = datetime.now(UTC)

    class Proxied(Http):
        """Stands for a reverse proxy that does not pass a path on."""

        def call(self, method: str, url: str, **more: Any) -> Answer:
            answer = super().call(method, url, **more)
            return replace(answer, status=404, headers={"Server": "nginx"}) if hidden in url else answer

    http = Proxied(system="The link service", scope="links", sleep=lambda _: None)
    findings = list(BuiltinLinks(http=http, url=address, api_url=address, api_key=Secret(api_key), clock=clock).check())
    assert [finding.level for finding in findings] == [Level.OK, Level.WARNING]
    assert hidden in findings[1].text
