"""Somebody else's program, written from `docs/links-api.md` alone: none of our code seals here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import unicodedata
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.applications import Starlette

from connector.secretlink.service.store.chain import Visitor
from connector.secretlink.service.store.links import Refused, Revealed
from tests.secretlink.support import START, Browser, new_nonce


def hkdf(key: bytes, info: str) -> bytes:
    """RFC 5869 with SHA-256, no salt, 32 bytes: one block."""
    extracted = hmac.new(bytes(32), key, hashlib.sha256).digest()
    return hmac.new(extracted, info.encode() + b"\x01", hashlib.sha256).digest()


def wire(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def check_of(token: bytes, answer: str) -> bytes:
    folded = unicodedata.normalize("NFKC", answer).casefold()
    normalised = "".join(letter for letter in folded if unicodedata.category(letter)[0] in "LN")
    return hmac.new(hkdf(token, "secretlink/1 check"), normalised.encode(), hashlib.sha256).digest()


def body_for(token: bytes, password: str, **more: Any) -> dict[str, Any]:
    link_id, views, expires_at = f"mine-{secrets.token_hex(8)}", 2, int((START + timedelta(hours=1)).timestamp())
    terms = json.dumps(["secretlink/1", link_id, views, expires_at], separators=(",", ":")).encode()
    content = password.encode()
    padded = len(content).to_bytes(2, "big") + content
    padded += bytes(-len(padded) % 64)
    nonce = secrets.token_bytes(12)
    sealed = nonce + AESGCM(hkdf(token, f"secretlink/1 enc {link_id}")).encrypt(nonce, padded, terms)
    return {
        "id": link_id, "lookup": wire(hkdf(token, "secretlink/1 lookup")), "sealed": wire(sealed), "max_views": views,
        "expires_at": expires_at, "ref": "mine/1", "display_name": "Anna Example", "ticket": "", **more,
    }  # fmt: skip


def test_a_link_that_was_sealed_by_the_paper_opens_to_the_password(browser: Browser, app: Starlette) -> None:
    token, password = secrets.token_bytes(24), f"grün {secrets.token_urlsafe(20)}"
    body = body_for(token, password)
    assert browser.api("POST", "/links", body).status == 201
    assert browser.get(f"/s/{wire(token)}").status == 200
    shown = app.state.vault.claim(
        hkdf(token, "secretlink/1 lookup"), token=token, nonce=new_nonce(), visitor=Visitor()
    )  # fmt: skip
    assert isinstance(shown, Revealed)
    assert shown.password is not None
    assert shown.password.reveal() == password
    assert browser.events()[-1]["ref"] == "mine/1"


def test_a_check_that_was_made_by_the_paper_lets_in_whoever_types_the_answer(browser: Browser, app: Starlette) -> None:
    token, password = secrets.token_bytes(24), secrets.token_urlsafe(20)
    body = body_for(token, password, human_check=wire(check_of(token, "INC-4242")))
    assert browser.api("POST", "/links", body).json()["checked"]
    for answer, right in (("INC-4243", False), (" inc4242 #", True)):
        shown = app.state.vault.claim(
            hkdf(token, "secretlink/1 lookup"), token=token, nonce=new_nonce(), visitor=Visitor(),
            check=check_of(token, answer),
        )  # fmt: skip
        assert isinstance(shown, Revealed if right else Refused)


def test_an_alarm_that_was_made_by_the_paper_can_be_raised(browser: Browser, app: Starlette) -> None:
    token, of_alarm = secrets.token_bytes(24), secrets.token_bytes(24)
    link = body_for(token, secrets.token_urlsafe(20))
    browser.api("POST", "/links", link)
    alarm = {
        "id": f"mine-{secrets.token_hex(8)}", "lookup": wire(hkdf(of_alarm, "secretlink/1 lookup")), "about": "mine/1",
        "link_id": link["id"], "source": "accessed", "display_name": "Anna Example", "ticket": "4242",
        "expires_at": link["expires_at"],
    }  # fmt: skip
    assert browser.api("POST", "/alarms", alarm).status == 201
    assert browser.get(f"/n/{wire(of_alarm)}").status == 200
    assert [event["kind"] for event in browser.events()] == ["created"]
    app.state.vault.raise_alarm(hkdf(of_alarm, "secretlink/1 lookup"), visitor=Visitor())
    reported = next(event for event in browser.events() if event["kind"] == "reported")
    assert (reported["ref"], reported["link_id"], reported["reason"]) == ("mine/1", link["id"], "accessed")
    assert browser.api("GET", f"/links/{link['id']}").json()["state"] == "revoked"
