"""HTTP calls that can be ended from outside.

The time limits of `requests` begin anew with each byte, so whoever answers a byte now and then holds a call for ever.
What ends it whatever it waits for is its connection: shut down by another thread, it has nothing more to say.
Source: https://requests.readthedocs.io/en/latest/user/quickstart/#timeouts, read 2026-11-22.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from connector.http import Http


class Cut(OSError):
    """The call was ended; no new connection is made for it."""


class CuttableHttp(Http):
    """`Http` for one call at a time, which any thread can end."""

    def __init__(
        self, *, system: str, scope: str, timeout: timedelta, ca_bundle: str | None, proxy: str | None
    ) -> None:
        """As `Http`. Answers of the sandbox are welcome."""
        super().__init__(
            system=system, scope=scope, timeout=timeout, ca_bundle=ca_bundle, proxy=proxy, refuse_sandbox=False
        )
        self._pools = _pools(self._hold)
        self._lock = threading.Lock()
        self._held: socket.socket | None = None
        self._is_cut = False

    @contextmanager
    def cuttable(self) -> Iterator[Callable[[], bool]]:
        """For the length of one call, in the thread that makes it. No connection is kept after it.

        What it gives says whether the call was ended from outside. Then an answer may have come all the same, cut off
        anywhere.
        """
        with self._lock:
            self._is_cut = False
        try:
            yield lambda: self._is_cut
        finally:
            self._session.close()
            with self._lock:
                self._let_go()

    def cut(self) -> None:
        """End the call that is in hand; it fails. Does nothing when there is none."""
        with self._lock:
            self._is_cut = True
            if self._held is not None:
                with suppress(OSError):  # the other side was faster
                    self._held.shutdown(socket.SHUT_RDWR)

    def _hold(self, made: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
                made.close()
                raise Cut("the call was ended")
            self._let_go()
            # A handle of our own: what TLS makes of a socket leaves the first one empty.
            self._held = made.dup()

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    @property
    def _session(self) -> Any:
        session: Any = super()._session
        for adapter in session.adapters.values():
            for manager in (adapter.poolmanager, *map(adapter.proxy_manager_for, self._proxies.values())):
                manager.pool_classes_by_scheme = self._pools
        return session


def _pools(hold: Callable[[socket.socket], None]) -> Mapping[str, type[HTTPConnectionPool]]:
    """Of connections that are shown to somebody before anything is sent or read."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            made = super()._new_conn()
            hold(made)
            return made

    class Tls(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            made = super()._new_conn()
            hold(made)
            return made

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}
