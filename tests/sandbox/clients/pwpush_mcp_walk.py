"""Drives the client inside `pwpush-mcp`. Reads a wish on standard input, prints what the client saw."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from pwpush_mcp.client import PwpushClient, PwpushError
from pwpush_mcp.config import Config


async def walk(wish: dict[str, str]) -> dict[str, Any]:
    client = PwpushClient(Config(base_url=wish["url"], api_token=wish["token"], api_email=wish["email"]))
    seen: dict[str, Any] = {"version": await client.version()}
    made = await client.create_push(
        payload=wish["payload"], kind="text", duration=wish["duration"], expire_after_views=2, retrieval_step=True,
        deletable_by_viewer=False, passphrase=None, name=None, note=wish["note"],
    )  # fmt: skip
    seen["made"] = made
    token = made["url_token"]
    seen["preview"] = await client.preview_push(token)
    seen["active"] = await client.list_pushes("active")
    seen["audit"] = await client.push_audit(token)
    seen["expired"] = await client.expire_push(token)
    seen["dead"] = await client.list_pushes("expired")
    stranger = PwpushClient(Config(base_url=wish["url"], api_token="wrong", api_email=wish["email"]))
    try:
        await stranger.list_pushes("active")
    except PwpushError as failure:
        seen["stranger"] = str(failure)
    return seen


print(json.dumps(asyncio.run(walk(json.load(sys.stdin)))))
