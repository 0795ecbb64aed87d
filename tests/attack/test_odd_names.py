"""Names that people can give themselves, and what they must not do to the link or its page."""

from __future__ import annotations

import secrets

import pytest

from connector.core.ports import LinkService
from connector.core.secret import Secret
from connector.secretlink.seal import decode_token, lookup_of
from tests.secretlink.conftest import api_key, clock, database, pepper  # noqa: F401 - fixtures
from tests.secretlink.support import FakeClock, open_vault
from tests.secretlink.test_client import address, links, wish  # noqa: F401 - fixtures


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Lea \U0001f469\u200d\U0001f4bb Example", "Lea \U0001f469 \U0001f4bb Example"),
        ("Lea\r\nSet-Cookie: a=b", "Lea Set-Cookie: a=b"),
        ("\u202eevA", "evA"),
        ("L" * 256, "L" * 200),
        ("\u200b", ""),
    ],
)
def test_an_odd_name_costs_nobody_the_reset_and_turns_nothing_around(
    links: LinkService,  # noqa: F811
    database: str,  # noqa: F811
    clock: FakeClock,  # noqa: F811
    pepper: bytes,  # noqa: F811
    name: str,
    shown: str,
) -> None:
    link = links.create(wish(display_name=name), Secret(secrets.token_urlsafe()))
    vault = open_vault(database, clock, pepper)
    record = vault.look(lookup_of(decode_token(link.url.reveal().rpartition("/")[2])))
    vault.close()
    assert record is not None
    assert record.display_name == shown
