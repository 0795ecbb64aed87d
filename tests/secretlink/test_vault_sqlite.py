"""The vault on SQLite: what a file, a crash and a power cut are to it."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from connector.errors import ConfigError
from connector.secretlink.seal import Pepper
from connector.secretlink.service.store import retention
from connector.secretlink.service.store.links import Refused, Revealed
from connector.secretlink.service.store.vault import Vault
from tests.secretlink.support import FakeClock, full_disk, new_nonce, open_vault
from tests.secretlink.test_vault import blob_of, claim, create, kinds

CRASH = """
import os, sys
from datetime import UTC, datetime
from sqlalchemy import event
from connector.secretlink.service.store.chain import Visitor
from connector.secretlink.seal import Pepper, decode_token, lookup_of
from connector.secretlink.service.store.vault import Vault

database, moment = sys.argv[1:3]
pepper, token, nonce, now = sys.stdin.read().split()
key = decode_token(token)
vault = Vault(database, Pepper(bytes.fromhex(pepper)), clock=lambda: datetime.fromtimestamp(float(now), UTC))

@event.listens_for(vault.engine, "before_cursor_execute")
def die(connection, cursor, statement, *_):
    if statement.startswith(moment):
        os._exit(9)

if moment == "after commit":
    vault.claim(lookup_of(key), token=key, nonce=nonce, visitor=Visitor())
    os._exit(9)
vault.claim(lookup_of(key), token=key, nonce=nonce, visitor=Visitor())
"""


@pytest.mark.parametrize(
    ("moment", "views"),
    [("UPDATE link SET views", 0), ("UPDATE link SET blob", 0), ("INSERT INTO event", 0), ("after commit", 1)],
)
def test_a_crash_inside_a_reveal_costs_a_view_only_when_the_password_could_be_out(
    database: str, clock: FakeClock, pepper: bytes, moment: str, views: int
) -> None:
    vault = open_vault(database, clock, pepper)
    link = create(vault, clock, views=1)
    vault.close()
    secret_input = f"{pepper.hex()} {link.token.reveal()} {new_nonce()} {clock.now.timestamp()}"
    done = subprocess.run([sys.executable, "-c", CRASH, database, moment], input=secret_input, text=True, check=False)
    assert done.returncode == 9
    again = open_vault(database, clock, pepper)
    found = again.find(link.terms.link_id)
    assert found is not None
    assert found.views == views
    assert len(again.views_of(link.terms.link_id)) == views
    assert isinstance(claim(again, link), Refused if views else Revealed)
    assert again.verify_chain().broken_at is None
    again.close()


def test_the_clear_password_and_the_token_are_nowhere_in_the_files(
    vault: Vault, clock: FakeClock, tmp_path: Path
) -> None:
    links = [create(vault, clock, views=views) for views in (1, 2, 3)]
    for link in links:
        claim(vault, link)
    files = sorted(tmp_path.iterdir())
    assert any(file.name.endswith("-wal") for file in files)
    content = b"".join(file.read_bytes() for file in files)
    assert links[0].terms.link_id.encode() in content
    for link in links:
        for secret in (
            link.password.reveal().encode(),
            link.token.reveal().encode(),
            link.key,
            link.lookup,
            link.sealed,
        ):
            assert secret not in content


def test_a_wiped_blob_is_gone_from_file_and_log_after_the_checkpoint(
    vault: Vault, clock: FakeClock, tmp_path: Path
) -> None:
    link = create(vault, clock, views=1)
    blob = blob_of(vault, link)
    assert blob is not None
    assert any(blob in file.read_bytes() for file in tmp_path.iterdir())
    claim(vault, link)
    vault.checkpoint()
    assert not any(blob in file.read_bytes() for file in tmp_path.iterdir())


def test_a_full_disk_is_told_as_what_it_is_and_what_could_not_be_folded_is_folded_later(
    vault: Vault, clock: FakeClock, tmp_path: Path
) -> None:
    for _ in range(retention.ROWS_TO_FOLD):
        create(vault, clock)
    clock.advance(hours=1)
    while vault.expire_due():
        pass
    log = tmp_path / "links.db-wal"
    with full_disk(room=(tmp_path / "links.db").stat().st_size):
        with pytest.raises(SQLAlchemyError):
            vault.checkpoint()
        with pytest.raises(SQLAlchemyError):
            vault.purge(up_to=0)
    assert log.stat().st_size
    with vault.engine.connect() as connection:
        assert connection.execute(text("PRAGMA busy_timeout")).scalar_one() == 10_000
    assert kinds(vault) == ["created"] * retention.ROWS_TO_FOLD + ["expired"] * retention.ROWS_TO_FOLD
    vault.checkpoint()
    assert log.stat().st_size == 0


def test_sqlite_is_set_up_so_that_a_counted_view_survives_a_power_cut(vault: Vault) -> None:
    with vault.engine.connect() as connection:
        settings = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}


def test_a_database_without_tables_is_refused_with_the_command_that_helps(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(ConfigError, match="migrate"):
        Vault(f"sqlite:///{tmp_path / 'empty.db'}", Pepper(secrets.token_bytes(32)), clock=clock)
    with pytest.raises(ConfigError, match="cannot be opened"):
        Vault(f"sqlite:///{tmp_path / 'no' / 'folder.db'}", Pepper(secrets.token_bytes(32)), clock=clock)
    with pytest.raises(ConfigError, match="mysql"):
        Vault("mysql://localhost/links", Pepper(secrets.token_bytes(32)), clock=clock)
