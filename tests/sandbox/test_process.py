"""`python -m sandbox` as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]


def start(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sandbox", *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_says_where_it_listens_and_leaves_cleanly(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    process = start("--gentle", "--ready-file", str(file), "--seed", "4", "--tenants", "2", "--users", "1")
    try:
        deadline = time.monotonic() + 30
        while not file.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        ready = json.loads(file.read_text())
        answer = requests.get(f"{ready['control']}/control/overview", timeout=10)
        assert answer.json()["gentle"] is True
        assert Path(ready["ca_bundle"]).is_file()
        assert ready["tenants"]["contoso"]["clients"] == ["12", "13"]
        assert ready["tenants"]["contoso"]["approvers"] == ["anna@contoso.com"]
        assert ready["tenants"]["customer02"]["approvers"] == ["approver@customer02.example"]
        assert ready["graph_mfa_client_id"] != ready["graph_client_id"]
        if os.name == "posix":
            assert file.stat().st_mode & 0o077 == 0
    finally:
        process.terminate()
        out, err = process.communicate(timeout=20)
    if os.name == "posix":
        assert process.returncode == 0
        assert not Path(ready["ca_bundle"]).exists()
    assert json.loads(out) == ready
    assert err == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_it_refuses_to_listen_where_others_could_reach_it(host: str) -> None:
    process = start("--host", host)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "loopback" in err
    assert out == ""


def test_a_taken_port_is_said_in_words() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start("--halo-port", str(taken.getsockname()[1]))
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Choose another port" in err
    assert "Traceback" not in err
