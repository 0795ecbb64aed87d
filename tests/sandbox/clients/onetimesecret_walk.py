"""Drives the client `onetimesecret`. Reads a wish on standard input, prints what the client gave back."""

from __future__ import annotations

import json
import sys

from onetimesecret import OneTimeSecretCli

wish = json.load(sys.stdin)
ours = OneTimeSecretCli(wish["username"], wish["token"], url=wish["url"])
seen = {"link": ours.create_link(wish["payload"], ttl=3600), "anonymous": ""}
seen["anonymous"] = OneTimeSecretCli(url=wish["url"]).create_link(wish["payload"])
try:
    OneTimeSecretCli(wish["username"], "wrong", url=wish["url"]).create_link(wish["payload"])
except Exception as failure:
    seen["stranger"] = f"{type(failure).__name__}: {failure}"
print(json.dumps(seen))
