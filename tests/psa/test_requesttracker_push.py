"""What comes in by push, from RT or from anybody: ids, once the token was shown, and nothing else."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from connector.core.ports import Push
from connector.errors import ConfigError, PushRefused
from connector.psa.requesttracker.adapter import RequestTracker
from tests.psa.requesttracker_oddities import build_adapter


@pytest.fixture
def token() -> str:
    return secrets.token_hex(24)


def connector(folder: Path, token: str | None) -> RequestTracker:
    section: dict[str, Any] = {}
    if token is not None:
        (folder / "push.token").write_text(token, encoding="utf-8")
        section["push"] = {"token": {"file": "push.token"}}
    return build_adapter(folder, "https://rt.example.com", secrets.token_hex(16), section=section)


def push(token: str | None, body: bytes = b"", **query: str) -> Push:
    return Push(headers={} if token is None else {"x-connector-token": token}, query=query, body=body)


@pytest.mark.parametrize(
    ("body", "query", "ids"),
    [
        (b"ticket=12", {}, ("12",)),
        (b"ticket=12%2C13", {}, ("12", "13")),
        (b"ticket=12&ticket=13&other=14", {}, ("12", "13")),
        (b"", {"ticket": "12"}, ("12",)),
        (b"ticket=12", {"ticket": "12,7"}, ("12", "7")),
        (b"", {}, ()),
        (b"ticket=", {}, ()),
        (b"ticket=1+OR+id%3E0,0,-1,%EF%BC%91,1.5,../2,9999999999999999999", {}, ()),
        (b'{"ticket": 12}', {}, ()),
        (b"\xff\xfe", {"ticket": "3"}, ("3",)),
        (b"ticket=12" + b"&x=1" * 2000, {}, ()),
        (b"ticket=12&" + b"x" * 5000, {"ticket": "3"}, ("3",)),
        (b"ticket=" + b",".join(b"%d" % one for one in range(1, 200)), {}, tuple(str(one) for one in range(1, 21))),
    ],
)
def test_a_push_with_the_token_tells_ids_and_nothing_else(
    tmp_path: Path, token: str, body: bytes, query: dict[str, str], ids: tuple[str, ...]
) -> None:
    assert tuple(connector(tmp_path, token).heard(push(token, body, **query))) == ids


@pytest.mark.parametrize("show", [lambda _: None, lambda _: "", lambda real: real[:-1], lambda real: real + "0",
                                  str.upper, lambda _: "ä" * 48, lambda real: f" {real}"])  # fmt: skip
def test_a_push_without_the_right_token_is_refused_and_the_token_not_repeated(
    tmp_path: Path, token: str, show: Any
) -> None:
    with pytest.raises(PushRefused) as refused:
        connector(tmp_path, f"a{token}").heard(push(show(f"a{token}"), b"ticket=12"))
    assert token not in str(refused.value)
    assert "psa.rt.push" in str(refused.value)


def test_without_a_token_in_the_configuration_any_push_only_means_poll(tmp_path: Path, token: str) -> None:
    assert tuple(connector(tmp_path, None).heard(push(token, b"ticket=12", ticket="12"))) == ()
    assert tuple(connector(tmp_path, None).heard(push(None, b"ticket=12"))) == ()


def test_a_token_that_could_be_guessed_is_refused_at_start(tmp_path: Path) -> None:
    short = secrets.token_hex(8)
    with pytest.raises(ConfigError, match=r"psa\.rt\.push\.token") as refused:
        connector(tmp_path, short)
    assert short not in str(refused.value)


def test_a_hand_off_to_another_queue_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hand_off\.team"):
        build_adapter(tmp_path, "https://rt.example.com", secrets.token_hex(16), hand_off={"team": "Second line"})
