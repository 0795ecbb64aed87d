"""Starts a world's servers on loopback, in one thread with one event loop."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trustme
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.authority import Authority
from sandbox.connectwise import ConnectWise
from sandbox.control import Control
from sandbox.graph import Graph
from sandbox.halo import Halo
from sandbox.onetimesecret import OneTimeSecret
from sandbox.outside import Connections, Outside
from sandbox.passwordpusher import PasswordPusher
from sandbox.smtp import Sink
from sandbox.tokens import Issuer
from sandbox.world import World

START_SECONDS = 60


@dataclass(frozen=True)
class Ports:
    """Wanted ports; 0 lets the system choose."""

    halo: int = 0
    graph: int = 0
    authority: int = 0
    smtp: int = 0
    control: int = 0
    connectwise: int = 0
    passwordpusher: int = 0
    onetimesecret: int = 0


@dataclass(frozen=True)
class Addresses:
    """Where everything listens. `ca_bundle` signed the certificate of token endpoint and mail sink."""

    halo: str
    graph: str
    authority: str
    smtp_host: str
    smtp_port: int
    control: str
    ca_bundle: Path
    connectwise: str
    passwordpusher: str
    onetimesecret: str


def require_loopback(host: str) -> None:
    """Refuse any address that others could reach.

    Raises:
        ValueError: `host` is not a loopback address.
    """
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(
            f"The sandbox opens accounts to anybody who asks, so it listens on loopback only, not on {host}."
        )


@contextmanager
def running(world: World, *, host: str = "127.0.0.1", ports: Ports | None = None) -> Iterator[Addresses]:
    """Run every imitated system until the block ends; the addresses work as soon as it is entered.

    Raises:
        ValueError: `host` is not a loopback address.
        OSError: A wanted port is taken.
    """
    require_loopback(host)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
        sockets = _bound(stack, host, ports or Ports())
        certificate = _certificate(directory)
        addresses = _addresses(host, sockets, directory / "ca.pem")
        servers = _Servers(world, addresses, sockets, certificate)
        stack.callback(servers.stop)
        servers.start()
        yield addresses


class _Servers:
    def __init__(
        self, world: World, addresses: Addresses, sockets: dict[str, socket.socket], certificate: trustme.LeafCert
    ) -> None:
        self.world, self.addresses, self.sockets = world, addresses, sockets
        self.certificate = certificate
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="sandbox", daemon=True)
        self.ready = threading.Event()
        self.connections: Connections = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self.done: asyncio.Event | None = None
        self.failure: BaseException | None = None

    def start(self) -> None:
        self.thread.start()
        if not self.ready.wait(START_SECONDS) or self.failure:
            raise RuntimeError("The sandbox did not start; see the message above.") from self.failure

    def stop(self) -> None:
        if self.loop and self.done:
            self.loop.call_soon_threadsafe(self.done.set)
        if self.thread.is_alive():
            self.thread.join(START_SECONDS)

    async def _run(self) -> None:
        try:
            await self._serve()
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self.ready.set()

    async def _serve(self) -> None:
        self.loop, self.done = asyncio.get_running_loop(), asyncio.Event()
        issuer = Issuer()
        issuer.audiences.add(self.addresses.graph)
        world = self.world
        world.connectwise_url = self.addresses.connectwise
        http = {
            "halo": self._server("halo", Halo(world).app()),
            "connectwise": self._server("connectwise", ConnectWise(world).app()),
            "graph": self._server("graph", Graph(world, issuer).app()),
            "authority": self._server("authority", Authority(world, issuer).app(), unkind=False),
            "passwordpusher": self._server("passwordpusher", PasswordPusher(world).app()),
            "onetimesecret": self._server("onetimesecret", OneTimeSecret(world).app()),
            "control": self._server("control", Control(world, self.addresses).app()),
        }
        # aiosmtpd announces a deprecation of its own at every login.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        context = _tls(self.certificate)
        mail = await self.loop.create_server(partial(Sink(world).protocol, context), sock=self.sockets["smtp"])
        tasks = [asyncio.create_task(server.serve(sockets=[self.sockets[name]])) for name, server in http.items()]
        while not all(server.started for server in http.values()):
            if any(task.done() for task in tasks):
                await asyncio.gather(*tasks)
            await asyncio.sleep(0.01)
        self.ready.set()
        await self.done.wait()
        mail.close()
        for server in http.values():
            server.should_exit = True
        # Idle TLS connections would otherwise be waited for until their clients say goodbye.
        for transport in list(self.connections.values()):
            transport.abort()
        await asyncio.gather(*tasks)

    def _server(self, name: str, app: ASGIApp, *, unkind: bool = True) -> uvicorn.Server:
        outer = app
        if name != "control":
            outer = Outside(app, world=self.world, system=name, connections=self.connections, unkind=unkind)
        config = uvicorn.Config(
            outer,
            http=_tracking(self.connections),
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=30,
        )
        config.load()
        if name == "authority":
            config.ssl = _tls(self.certificate)
        return uvicorn.Server(config)


def _tracking(connections: Connections) -> type[asyncio.Protocol]:
    """uvicorn's protocol, which also remembers each connection so that a fault can cut it."""

    class Tracking(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
            self.connection_key = (str(peer[0]), int(peer[1]), int(here[1]))
            connections[self.connection_key] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(self.connection_key, None)
            super().connection_lost(exc)

    return Tracking


def _bound(stack: ExitStack, host: str, ports: Ports) -> dict[str, socket.socket]:
    sockets: dict[str, socket.socket] = {}
    for name, port in vars(ports).items():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Named TCP, because asyncio turns delayed sending off for such sockets only; it costs 40 ms an answer.
        listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
        if os.name == "posix":  # elsewhere this option would let two processes share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        sockets[name] = listener
    return sockets


def _addresses(host: str, sockets: dict[str, socket.socket], ca_bundle: Path) -> Addresses:
    port = {name: listener.getsockname()[1] for name, listener in sockets.items()}
    plain = f"[{host}]" if ":" in host else host
    return Addresses(
        halo=f"http://{plain}:{port['halo']}",
        graph=f"http://{plain}:{port['graph']}",
        # MSAL takes https authorities only.
        authority=f"https://localhost:{port['authority']}",
        smtp_host="localhost",
        smtp_port=port["smtp"],
        control=f"http://{plain}:{port['control']}",
        ca_bundle=ca_bundle,
        connectwise=f"http://{plain}:{port['connectwise']}",
        passwordpusher=f"http://{plain}:{port['passwordpusher']}",
        onetimesecret=f"http://{plain}:{port['onetimesecret']}",
    )


def _certificate(directory: Path) -> trustme.LeafCert:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    return authority.issue_cert("localhost", "127.0.0.1", "::1")


def _tls(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context
