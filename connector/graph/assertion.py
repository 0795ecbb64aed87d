"""Tokens of another issuer that Entra is told to trust: workload identity of Kubernetes, of a build service, and so on.

They live for minutes to an hour and are renewed by the platform, so none is kept: each request for an access token
reads a fresh one. Source: learn.microsoft.com workload-identity-federation, read 2026-11-22.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path

from connector.config import FederatedSection
from connector.errors import AuthenticationError, ConfigError, TemporaryError

JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
LONGEST = 64 * 1024
"""Bytes of a token file that are looked at; true ones have one or two thousand."""


def read_source(settings: FederatedSection, *, place: str) -> Callable[[], str]:
    """A function that gives a fresh token each time it is called.

    The function raises:
        AuthenticationError: The file is not there, or what was given is no token. It mends itself with the next try
            when the platform does its part, but until then no request of any customer can succeed, so tenants are
            paused and an admin is told. What does not look like a token is never sent to anybody: it could be a key.
        TemporaryError: The file is empty (the platform may be writing it this moment), or the configured function
            failed (it usually asks a neighbour over the network).

    Raises:
        ConfigError: The configured function cannot be imported or called.
    """
    if settings.callable is not None:
        return _from_function(settings.callable, f"{place}.callable")
    if settings.file is not None:
        return _from_file(settings.file, f"{place}.file")
    raise ConfigError(f"{place}: there is neither file nor callable. Give exactly one of them.")


def _from_file(path: Path, place: str) -> Callable[[], str]:
    def read() -> str:
        try:
            with path.open("rb") as file:
                content = file.read(LONGEST)
        except OSError as failure:
            raise AuthenticationError(
                f"{place}: the token file {path} cannot be read ({failure.strerror}). See that the platform writes it, "
                "or correct its path and rights.",
                scope=place,
            ) from None
        token = content.decode("ascii", errors="replace").strip()
        if not token:
            raise TemporaryError(
                f"{place}: the token file {path} is empty. It is read again by itself; see that the platform writes it "
                "if it lasts."
            )
        return _checked(token, place, f"the file {path}")

    return read


def _from_function(name: str, place: str) -> Callable[[], str]:
    function = _load(name, place)

    def ask() -> str:
        try:
            token = function()
        except Exception as failure:  # somebody else's code: whatever its text is, it may hold the token
            raise TemporaryError(
                f"{place}: {name} failed ({type(failure).__name__}). It is called again by itself; look into that "
                "function if it lasts."
            ) from None
        return _checked(token, place, name)

    return ask


def _checked(token: object, place: str, source: str) -> str:
    if isinstance(token, str) and JWT.fullmatch(token):
        return token
    raise AuthenticationError(
        f"{place}: {source} gave something that is not a token. It must be a JWT (three parts with dots) and nothing "
        "else.",
        scope=place,
    )


def _load(name: str, place: str) -> Callable[[], object]:
    module_name, _, attributes = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as failure:  # importing runs somebody else's code
        raise ConfigError(
            f"{place}: {module_name} cannot be imported ({type(failure).__name__}). Install it into the Python "
            "environment of the connector, or correct the name."
        ) from None
    try:
        found = reduce(getattr, attributes.split("."), module)
    except AttributeError:
        raise ConfigError(f"{place}: {module_name} has no {attributes}. Correct the name.") from None
    if not callable(found) or inspect.iscoroutinefunction(found):
        raise ConfigError(f"{place}: {name} is not a plain function. Name one that returns the token as text.")
    try:
        inspect.signature(found).bind()
    except TypeError:
        raise ConfigError(f"{place}: {name} wants arguments. Name a function that is called without any.") from None
    except ValueError:  # a function of a compiled module; it is found out at the first call
        pass
    return found
