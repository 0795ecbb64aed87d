"""Signals that ask for the end, heard from the first moment of a process to its last.

Whatever nobody listens to ends a process in the middle of something, or, where it is the first one of a container, is
lost for good. Source: man 7 pid_namespaces, read 2026-11-22.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")  # the last is Ctrl+Break of Windows


class Told(BaseException):
    """A signal asked for the end while something was waited for that may be broken off."""


class Ending:
    """The signals that have come, in their order. Made by `noted_signals`."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self._breaks_off = False

    @contextmanager
    def breaking_off(self) -> Iterator[None]:
        """For what is not to be waited for once the end is asked for.

        Raises:
            Told: Once, at whatever line that is, if need be the first. To be caught around the whole block.
        """
        try:
            self._breaks_off = True
            if self.signals:
                raise Told
            yield
        finally:
            self._breaks_off = False

    def note(self, number: int, _: FrameType | None = None) -> None:
        """What is called when a signal comes."""
        self.signals.append(number)
        if self._breaks_off:
            self._breaks_off = False
            raise Told


@contextmanager
def noted_signals() -> Iterator[Ending]:
    """Note SIGTERM, SIGINT and (Windows) Ctrl+Break; nothing else comes of them. Only the main thread can."""
    ending = Ending()
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.signal(number, ending.note) for number in numbers}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
