"""A link service that really listens, in a thread of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import uvicorn

from connector.secretlink.service.options import LinkServiceOptions
from connector.secretlink.service.web import create_app
from connector.secretlink.service.wire import bounded_http


@contextmanager
def running(options: LinkServiceOptions, *, clock: Callable[[], datetime]) -> Iterator[str]:
    """Serve until the block ends; gives the address."""
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: object = None) -> None:
            await super().startup()
            started.set()

    app = create_app(options, clock=clock)
    config = uvicorn.Config(
        app,
        http=bounded_http(),
        host="127.0.0.1",
        port=0,
        proxy_headers=False,
        access_log=False,
        log_config=None,
        ws="none",
    )
    server = Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert started.wait(20), "the link service did not start"
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
