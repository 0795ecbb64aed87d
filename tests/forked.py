"""A program of ours in a process of its own, without the second that its imports take each time.

`multiprocessing`'s fork server has imported them and done nothing else; every call runs in a fresh fork of it.
Arguments, environment, output and exit code are those of `python -m MODULE` or `python SCRIPT`. That the programs start
by themselves is seen in `tests/e2e`.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

TIMEOUT_SECONDS = 60
_IMPORTED = ["connector.cli", "connector.wiring", "connector.runner"]
_CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()


def run(
    program: str, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with nothing on its standard input; what it printed and its exit code.

    Args:
        program: A module's name, or the path of a script.
        env: The whole environment; default: ours.

    Raises:
        subprocess.TimeoutExpired: It was still running after a minute, and was killed.
    """
    environ, folder = dict(os.environ if env is None else env), str(cwd or Path.cwd())
    if not _CAN_FORK:
        command = [sys.executable, *([] if program.endswith(".py") else ["-m"]), program, *words]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=TIMEOUT_SECONDS, env=environ, cwd=folder,
        )  # fmt: skip
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    with tempfile.TemporaryDirectory() as kept:
        files = [os.devnull, f"{kept}/stdout", f"{kept}/stderr"]
        process = context.Process(target=_be, args=(program, words, environ, folder, files))
        process.start()
        process.join(TIMEOUT_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(program, TIMEOUT_SECONDS)
        printed, complained = (Path(file).read_text(encoding="utf-8") for file in files[1:])
        return subprocess.CompletedProcess([program, *words], process.exitcode, printed, complained)


def _be(program: str, words: Sequence[str], environ: Mapping[str, str], folder: str, files: Sequence[str]) -> None:
    """Become the program, in the new process."""
    for number, file in enumerate(files):
        opened = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.argv = [program, *words]
    try:
        if program.endswith(".py"):
            runpy.run_path(program, run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # processes of `multiprocessing` end without
