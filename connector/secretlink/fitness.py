"""Whether a link service can do what the configuration wants of it: said at the start, not at the first ticket.

What a service of that kind cannot do is a problem that stops the start where people would be promised something else
than they get: views, shortest lifetime, mode, typed check. What is merely weaker than with our own service, or shows
only when the service is asked which edition it is, is a warning of `connector check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from connector.core.ports import Capabilities, Finding, HumanCheck, Level, LinkMode, LinkWish
from connector.errors import PermanentError


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What one place of the configuration wants of links; `None`: that is said elsewhere, or nowhere.

    Attributes:
        where: The place: `links`, `tenants.contoso.links`.
    """

    where: str
    views: int | None = None
    lifetime: timedelta | None = None
    mode: LinkMode | None = None
    human_check: HumanCheck | None = None


def problems(kind: str, can: Capabilities, wanted: Iterable[Wanted]) -> Iterator[str]:
    """What stops the start, a sentence each, with what to write instead."""
    for want in wanted:
        where = want.where
        if want.views is not None and want.views > can.most_views:
            yield (
                f"{where}.views: {want.views} is more than links of kind {kind} can have. Write {can.most_views}, "
                "or use kind: builtin."
            )
        if want.lifetime is not None and want.lifetime < can.shortest:
            yield (
                f"{where}.lifetime: links of kind {kind} live for {_span(can.shortest)} at least, not "
                f"{_span(want.lifetime)}. Write {_span(can.shortest)} or more, or use kind: builtin."
            )
        if want.mode is not None and want.mode not in can.modes:
            modes = ", ".join(sorted(mode.value for mode in can.modes))
            yield (
                f"{where}.mode: links of kind {kind} are opened by their service only. Write {modes}, "
                "or use kind: builtin."
            )
        if want.human_check not in (None, HumanCheck.OFF) and not can.human_check:
            yield (
                f"{where}.human_check: links of kind {kind} cannot ask for the ticket's number. Write off, "
                "or use kind: builtin."
            )


def warnings(kind: str, can: Capabilities) -> Iterator[Finding]:
    """Where people get less than with our own link service."""

    def warn(about: str, text: str, todo: str) -> Finding:
        return Finding(Level.WARNING, about, f"kind {kind}: {text}", todo)

    builtin = "use kind: builtin where that matters"
    if not can.scanner_proof:
        yield warn(
            "links.kind", "a mail scanner that follows what is on the page uses up a view and sees the password",
            f"exempt the link service from link rewriting and scanning, or {builtin}",
        )  # fmt: skip
    if not can.tells_ip:
        yield warn("links.kind", "nobody learns from which address a link was opened, only when", builtin)
    elif not can.tells_place:
        yield warn("links.kind", "nobody learns from where a link was opened", builtin)
    if not can.alarms:
        yield warn(
            "links.kind", "it has no page for 'this was not me': the mails name the service desk's phone instead, and "
            "nothing is locked by itself",
            f"see that support.phone is set and answered, or {builtin}",
        )  # fmt: skip
    if not can.announces:
        yield warn("links.kind", "an opened link is learned of at the next poll, not at once", builtin)


def refuse_unfit(wish: LinkWish, can: Capabilities, name: str) -> None:
    """The net under `problems`: no link is made other than it was wished.

    Raises:
        PermanentError: The service cannot make it so. Nothing was sent.
    """
    if not 1 <= wish.views <= can.most_views:
        raise PermanentError(f"{name} gives a link 1 to {can.most_views} views, not {wish.views}. Set links.views.")
    if wish.lifetime < can.shortest:
        raise PermanentError(f"{name} gives no lifetime of {_span(wish.lifetime)}. Set links.lifetime.")
    if wish.mode not in can.modes:
        raise PermanentError(f"{name} cannot make a link of mode {wish.mode.value}. Set links.mode: path.")
    if wish.human_check is not HumanCheck.OFF and not can.human_check:
        raise PermanentError(f"{name} cannot ask for the ticket's number. Set links.human_check: off.")


def _span(length: timedelta) -> str:
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    if seconds:
        return f"{int(length.total_seconds())}s"
    days, rest = divmod(minutes, 24 * 60)
    return f"{days}d" if days and not rest else f"{minutes}m"
