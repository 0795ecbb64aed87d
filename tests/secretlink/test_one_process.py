"""SQLite is for one process: a second one on the same file is sent away, and dies without harm."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connector.store import exclusive
from tests.secretlink.support import FakeClock, make_database, make_link, open_vault


def serve(folder: Path, database: str, pepper: bytes) -> subprocess.CompletedProcess[str]:
    """Start `connector serve-links` on the database and wait for its end."""
    (folder / "pepper").write_text(pepper.hex())
    (folder / "key").write_text(secrets.token_urlsafe(32))
    settings = {
        "database": database,
        "listen": "127.0.0.1:0",
        "url": "http://127.0.0.1:8081",
        "pepper": {"file": "pepper"},
        "api_keys": [{"file": "key"}],
    }
    config = folder / "links.yaml"
    config.write_text(json.dumps(settings), "utf-8")
    return subprocess.run(
        [sys.executable, "-m", "connector", "--config", str(config), "serve-links"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_second_service_on_one_file_is_refused_and_changes_nothing(tmp_path: Path, pepper: bytes) -> None:
    clock = FakeClock(datetime.now(UTC) - timedelta(hours=1))
    database = make_database(tmp_path)
    vault = open_vault(database, clock, pepper)
    link = make_link(now=clock.now, lifetime=timedelta(seconds=1))
    vault.create(link.to_new_link())
    with exclusive(database, who="link service"):
        done = serve(tmp_path, database, pepper)
    assert done.returncode == 2
    assert "another link service already works with" in done.stderr
    assert "PostgreSQL" in done.stderr
    assert "Traceback" not in done.stderr
    # By the clock of that process the link's time is over: it would have ended it.
    record = vault.find(link.terms.link_id)
    assert record is not None
    assert record.state == "active"
    vault.close()


def test_a_pepper_that_was_taken_away_too_early_stops_the_start_and_says_how_many_links_need_it(
    tmp_path: Path, pepper: bytes
) -> None:
    database = make_database(tmp_path)
    now = FakeClock(datetime.now(UTC))
    vault = open_vault(database, now, pepper)
    for _ in range(3):
        vault.create(make_link(now=now.now).to_new_link())
    vault.close()
    done = serve(tmp_path, database, secrets.token_bytes(32))
    assert done.returncode == 2
    assert "3 links" in done.stderr
    assert "old_peppers" in done.stderr
    assert "Traceback" not in done.stderr
