"""A real link service, alone or behind a real nginx or Caddy with the files of `deploy/proxy`, and its visitors."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme

from connector.secretlink.seal import check_of
from sandbox.stage import free_port, wait_for
from tests.own_venv import not_here
from tests.secretlink.support import Made, encode, make_link, new_nonce

ROOT = Path(__file__).parent.parent.parent
HOST = "links.msp.example"
"""As it stands in the shipped files."""
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"


# ---------------------------------------------------------------- the service


@dataclass
class Service:
    """`connector serve-links` as a process of its own, at log level debug.

    Attributes:
        folder: Its configuration, secrets and log, and its database where that is SQLite.
        database: SQLAlchemy address; empty for SQLite in the folder.
    """

    folder: Path
    database: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    api_key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    pepper: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "secrets").mkdir(exist_ok=True)
        (self.folder / "secrets" / "pepper").write_text(self.pepper)
        (self.folder / "secrets" / "links").write_text(self.api_key)
        settings = {
            "database": self.database or f"sqlite:///{(self.folder / 'links.db').as_posix()}",
            "listen": f"127.0.0.1:{self.port}",
            "url": f"https://{HOST}",
            "pepper": {"file": "secrets/pepper"},
            "api_keys": [{"file": "secrets/links"}],
            "trusted_proxies": ["127.0.0.1/32"],
            "log": {"level": "debug", "format": "json"},
        }
        (self.folder / "links.yaml").write_text(json.dumps(settings | dict(self.settings)))

    @property
    def log(self) -> Path:
        return self.folder / "links.log"

    def start(self) -> None:
        with self.log.open("ab") as out:
            program = [sys.executable, "-m", "connector", "--config", str(self.folder / "links.yaml"), "serve-links"]
            self.process = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=ROOT)
        process = self.process
        wait_for("the link service", lambda: _answers(self.port) or process.poll() is not None, seconds=60)
        assert process.poll() is None, self.log.read_text()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        self.process = None

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def visitor(self) -> Visitor:
        """Somebody who comes straight to the service, without a proxy."""
        return Visitor(self.port, None, api_key=self.api_key)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


# ---------------------------------------------------------------- people


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Visitor:
    """Asks one server, over TLS where it is a proxy.

    Attributes:
        source: The address that the proxy sees.
    """

    port: int
    tls: ssl.SSLContext | None = field(repr=False)
    source: str = "127.0.0.1"
    api_key: str = field(default="", repr=False)

    def ask(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        line = socket.create_connection(("127.0.0.1", self.port), timeout=30, source_address=(self.source, 0))
        connection = http.client.HTTPConnection(HOST, self.port)
        connection.sock = self.tls.wrap_socket(line, server_hostname=HOST) if self.tls else line
        try:
            connection.request(
                method, path, body=body, headers={"Host": HOST, "User-Agent": BROWSER, **(headers or {})}
            )
            got = connection.getresponse()
            return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        finally:
            connection.close()

    def say(self, words: bytes) -> bytes:
        """Send what no library would; what came back until the server closed, or nothing."""
        line = socket.create_connection(("127.0.0.1", self.port), timeout=30, source_address=(self.source, 0))
        with self.tls.wrap_socket(line, server_hostname=HOST) if self.tls else line as connection:
            connection.sendall(words)
            got = b""
            try:
                while part := connection.recv(65536):
                    got += part
            except OSError:
                pass
            return got

    def api(self, method: str, path: str, content: object | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self.api_key}"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        body = None if content is None else json.dumps(content).encode()
        return self.ask(method, f"/api/v1{path}", body=body, headers=headers)

    def create(
        self, *, views: int = 2, lifetime: timedelta = timedelta(minutes=60), check: str = "", **changes: Any
    ) -> Made:
        """Do the connector's half and give the sealed link to the service.

        Args:
            check: What has to be typed; empty for nothing.
        """
        made = make_link(views=views, lifetime=lifetime, now=datetime.now(UTC))
        if check:
            changes["human_check"] = encode(check_of(made.key, check))
        answer = self.api("POST", "/links", made.to_body(**changes))
        assert answer.status == 201, (answer.status, answer.text)
        return made

    def page(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, content: object, **headers: str) -> Answer:
        """As the page's own script does."""
        own = {"Content-Type": "application/json", "X-Reveal": "1", "Sec-Fetch-Site": "same-origin"}
        return self.ask("POST", path, body=json.dumps(content).encode(), headers={**own, **headers})

    def proceed(self, path: str) -> str:
        """Open the page and go one step further; what the reveal needs. Take a person's time after it."""
        page = self.page(path)
        assert page.status == 200, page.status
        challenge = page.text.split('data-challenge="', 1)[1].split('"', 1)[0]
        step = self.post(f"{path}/step", {"challenge": challenge})
        assert step.status == 200, step.status
        return str(step.json()["challenge"])

    def reveal(self, path: str, **wish: str) -> Answer:
        """Everything that a person does; the service wants a person's pace, so this takes a second."""
        challenge = self.proceed(path)
        time.sleep(0.85)
        return self.post(f"{path}/reveal", {"challenge": challenge, "nonce": new_nonce(), **wish})

    def say_not_me(self, path: str, act: str = "") -> Answer:
        """The same on a page that says "this was not me": an alarm's (`act`: `/raise`), or `/not-me` of a link."""
        page = self.page(path)
        challenge = page.text.split('data-challenge="', 1)[1].split('"', 1)[0]
        step = self.post(f"{path}/step", {"challenge": challenge})
        assert step.status == 200, (step.status, step.text)
        time.sleep(0.85)
        return self.post(f"{path}{act}", {"challenge": step.json()["challenge"], "nonce": new_nonce()})


# ---------------------------------------------------------------- proxies


@dataclass
class Proxy:
    """A real proxy in front of a service.

    Attributes:
        folder: Everything that it writes: logs, temporary files, what it prints.
        tls_port, plain_port: Where it listens on 127.0.0.1.
        as_shipped: Whether the lines that keep addresses out of logs are left in.
    """

    name: str
    folder: Path
    service: Service
    authority: trustme.CA
    as_shipped: bool = True
    tls_port: int = field(default_factory=free_port)
    plain_port: int = field(default_factory=free_port)

    @property
    def log(self) -> Path:
        """The access log that the shipped file names."""
        return self.folder / "log" / "links.log"

    @property
    def main_log(self) -> Path:
        """What the proxy says about itself: nginx's error log, Caddy's standard error."""
        return self.folder / "log" / "main.log"

    def visitor(self, source: str = "127.0.0.1") -> Visitor:
        tls = ssl.create_default_context()
        self.authority.configure_trust(tls)
        return Visitor(self.tls_port, tls, source, self.service.api_key)

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        for folder in ("log", "tmp"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
            (self.folder / folder).chmod(0o777)  # nginx's workers are another user
        certificate = self.authority.issue_cert(HOST, "push.msp.example")
        certificate.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        for number, part in enumerate(certificate.cert_chain_pems):
            part.write_to_path(str(self.folder / "cert.pem"), append=number > 0)
        words = _prepare_nginx(self) if self.name == "nginx" else _prepare_caddy(self)
        environ = os.environ | {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder / "tmp"),
                                "XDG_CONFIG_HOME": str(self.folder / "tmp")}  # fmt: skip
        with self.main_log.open("ab") as out:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ)
        try:
            wait_for(self.name, lambda: _answers(self.tls_port) or process.poll() is not None, seconds=60)
            assert process.poll() is None, self.main_log.read_text()
            yield self
        finally:
            process.terminate()
            process.wait(30)


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        not_here(
            f"There is no {name} here, so the shipped file cannot be tried with it. Get it: apt-get install {name}"
        )
    return found


def _swap(text: str, changes: Sequence[tuple[str, str]]) -> str:
    """Replace each; one that is not there would mean that the shipped file has changed."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def _prepare_nginx(proxy: Proxy) -> list[str]:
    """The shipped file in a main file like Debian's; only ports, certificates and folders are others."""
    program, folder = _program("nginx"), proxy.folder
    shipped = (ROOT / "deploy" / "proxy" / "nginx.conf").read_text()
    text = _swap(shipped, [
        ("listen 443 ssl;", f"listen 127.0.0.1:{proxy.tls_port} ssl;"),
        ("listen 80;", f"listen 127.0.0.1:{proxy.plain_port};"),
        ("# ssl_certificate ...; ssl_certificate_key ...;",
         f"ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;"),
        ("/var/log/nginx/links.log", str(proxy.log)),
        ("127.0.0.1:8081", f"127.0.0.1:{proxy.service.port}"),
    ])  # fmt: skip
    if not proxy.as_shipped:
        text = "\n".join(line for line in text.splitlines() if not line.strip().startswith(("access_log", "error_log")))
    (folder / "links.conf").write_text(text)
    temporary = "\n".join(f"{kind}_temp_path {folder}/tmp/{kind};"
                          for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # fmt: skip
    (folder / "nginx.conf").write_text(
        f"pid {folder}/nginx.pid;\nerror_log {proxy.main_log} info;\nworker_processes 2;\n"
        f"events {{ worker_connections 256; }}\n"
        f"http {{\naccess_log {folder}/log/access.log;\n{temporary}\ngzip on;\ninclude {folder}/links.conf;\n}}\n"
    )
    return [
        program,
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        str(proxy.main_log),
        "-g",
        "daemon off;",
    ]


def _prepare_caddy(proxy: Proxy) -> list[str]:
    """The shipped file; only ports, certificates and folders are others."""
    program, folder = _program("caddy"), proxy.folder
    shipped = (ROOT / "deploy" / "proxy" / "Caddyfile").read_text()
    certificate = f"\ttls {folder}/cert.pem {folder}/key.pem\n"
    own = f"{{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\thttp_port {proxy.plain_port}\n\thttps_port {proxy.tls_port}\n"
    text = _swap(shipped, [
        ("{\n\tlog default {", f"{own}\tlog default {{"),
        (f"\n{HOST} {{\n", f"\n{HOST} {{\n{certificate}"),
        ("\npush.msp.example {\n", f"\npush.msp.example {{\n{certificate}"),
        ("/var/log/caddy/links.log", str(proxy.log)),
        ("127.0.0.1:8081", f"127.0.0.1:{proxy.service.port}"),
    ])  # fmt: skip
    if not proxy.as_shipped:
        text = "\n".join(line for line in text.splitlines() if not line.strip().endswith(" delete"))
    (folder / "Caddyfile").write_text(text + "\n")
    return [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
