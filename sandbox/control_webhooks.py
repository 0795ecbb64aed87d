"""The control port's webhooks of HaloPSA: set up, switched off, and what became of each delivery."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.control_call import Handler, object_of
from sandbox.desk_records import NotThere
from sandbox.halo_webhooks import Webhook, postman_of
from sandbox.world import World


class Webhooks:
    """The handlers; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/control/halo/webhooks", self.list_webhooks),
            ("POST", "/control/halo/webhooks", self.add_webhook),
            ("PATCH", "/control/halo/webhooks/{id}", self.patch_webhook),
            ("DELETE", "/control/halo/webhooks/{id}", self.delete_webhook),
            ("GET", "/control/halo/deliveries", self.list_deliveries),
            ("DELETE", "/control/halo/deliveries", self.delete_deliveries),
            ("POST", "/control/halo/deliveries/{id}/resend", self.resend),
        ]

    async def list_webhooks(self, _request: Request) -> Response:
        return JSONResponse([_shown_webhook(one) for one in postman_of(self.world).webhooks.values()])

    async def add_webhook(self, request: Request) -> Response:
        """`{url, username, password, payload, events, types, batch_seconds}`.

        `payload` is small, full, event or batch; `types` are names of ticket types.
        """
        body = await object_of(request)
        webhook = Webhook(**self._webhook_keys(body))
        postman_of(self.world).add(webhook)
        return JSONResponse(_shown_webhook(webhook), status_code=201)

    async def patch_webhook(self, request: Request) -> Response:
        postman = postman_of(self.world)
        before = self._webhook(request)
        postman.webhooks[before.id] = replace(before, **self._webhook_keys(await object_of(request)))
        return JSONResponse(_shown_webhook(postman.webhooks[before.id]))

    async def delete_webhook(self, request: Request) -> Response:
        del postman_of(self.world).webhooks[self._webhook(request).id]
        return JSONResponse({})

    async def list_deliveries(self, _request: Request) -> Response:
        return JSONResponse([asdict(one) for one in postman_of(self.world).log])

    async def delete_deliveries(self, _request: Request) -> Response:
        postman_of(self.world).log.clear()
        return JSONResponse({})

    async def resend(self, request: Request) -> Response:
        return JSONResponse(asdict(postman_of(self.world).resend(request.path_params["id"])), status_code=201)

    def _webhook(self, request: Request) -> Webhook:
        webhook = postman_of(self.world).webhooks.get(request.path_params["id"])
        if webhook is None:
            raise NotThere(f"webhook {request.path_params['id']!r}")
        return webhook

    def _webhook_keys(self, body: dict[str, Any]) -> dict[str, Any]:
        keys = dict(body)
        if "events" in keys:
            keys["events"] = tuple(str(one) for one in keys["events"])
        if "types" in keys:
            keys["types"] = tuple(self.world.desk.type_named(str(one)).id for one in keys["types"])
        return keys


def _shown_webhook(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "username": webhook.username,
        "payload": webhook.payload,
        "events": list(webhook.events),
        "types": list(webhook.types),
        "active": webhook.active,
        "batch_seconds": webhook.batch_seconds,
    }
