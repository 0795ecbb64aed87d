"""HTTP calls that can be ended from outside.

The time limits of `requests` begin anew with each byte, so whoever answers a byte now and then holds a call for ever.
What ends it whatever it waits for is its connection: shut down by another thread, it has nothing more to say. Only
looking up a name cannot be ended: it takes as long as the system's resolver lets it, often half a minute where no name
server answers. Then nothing is connected any more.
Sources: https://requests.readthedocs.io/en/latest/user/quickstart/#timeouts; man resolv.conf; read 2026-11-22.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from connector.http import Http

_ADDRESSES_TRIED: Final = 4
"""As many have a turn in the time of one call, though none of them answers: one in a network that is down, say."""


class Cut(OSError):
    """The call was ended; no new connection is made for it."""


class CuttableHttp(Http):
    """`Http` for one call at a time, which any thread can end."""

    def __init__(
        self, *, system: str, scope: str, timeout: timedelta, ca_bundle: str | None, proxy: str | None
    ) -> None:
        """As `Http`. Answers of the sandbox are welcome.

        Args:
            timeout: For each wait for data. For connecting to each address of the name, a quarter of it.
        """
        super().__init__(
            system=system, scope=scope, timeout=timeout, ca_bundle=ca_bundle, proxy=proxy, refuse_sandbox=False
        )
        self._pools = _pools(self._connect)
        self._time_of_an_address = timeout.total_seconds() / _ADDRESSES_TRIED
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
        """End the call that is in hand: nothing more is sent, and it fails, at once unless a name is looked up.

        Does nothing when there is none.
        """
        with self._lock:
            self._is_cut = True
            if self._held is not None:
                with suppress(OSError):  # the other side was faster
                    self._held.shutdown(socket.SHUT_RDWR)

    def _connect(self, host: str, port: int, options: Iterable[tuple[Any, ...]]) -> socket.socket:
        """As urllib3 connects, but each address in a time of its own, and none when the call was ended."""
        failure = OSError("the name has no address")
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise OSError("this is no name of a computer") from None
        for family, kind, protocol, _, address in found:
            try:
                made = socket.socket(family, kind, protocol)
            except OSError as error:  # a network that this computer does not speak
                failure = error
                continue
            try:
                self._hold(made)
                for option in options:
                    made.setsockopt(*option)
                made.settimeout(self._time_of_an_address)
                made.connect(address)
            except Cut:
                made.close()
                raise
            except OSError as error:
                made.close()
                failure = error
            else:
                return made
        raise failure

    def _hold(self, made: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
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


def _pools(
    connect: Callable[[str, int, Iterable[tuple[Any, ...]]], socket.socket],
) -> Mapping[str, type[HTTPConnectionPool]]:
    """Of connections that somebody else makes."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self.host, self.port, self.socket_options or ())

    class Tls(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self.host, self.port, self.socket_options or ())

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}
