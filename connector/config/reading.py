"""Reading a file and checking it: every problem at once, each with its place."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, Tag, ValidationError

from connector.config.settings import ConnectorSettings, LinkServerSettings
from connector.config.values import Place
from connector.errors import ConfigError

TIMEDELTA = re.compile(r"datetime\.timedelta\((?:days=(?P<days>\d+))?(?:, )?(?:seconds=(?P<seconds>\d+))?\)", re.ASCII)
PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds one mapping.

    Raises:
        ConfigError: Not there, not readable, not YAML, a key given twice; with file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as failure:
        raise ConfigError(f"{path} cannot be read ({failure.strerror}). Check the path that was given.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text. Save it as UTF-8.") from None
    try:
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as failure:
        mark = failure.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        # The YAML reader repeats what it stumbled over, and that may be a secret: only our own words go on.
        what = failure.problem if isinstance(failure, _Refused) else "this is not YAML"
        raise ConfigError(f"{path}{line}: {what}. Correct that line.") from None
    except yaml.YAMLError:
        raise ConfigError(f"{path} is not YAML. Check it with a YAML editor.") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold keys and values, but holds {type(data).__name__}.")
    return data


def load_connector(path: Path, *, environ: Mapping[str, str] | None = None) -> tuple[ConnectorSettings, Place]:
    """Read and check `connector.yaml`.

    Raises:
        ConfigError: With every problem of the file itself; adapter sections are checked by `wiring`.
    """
    data = _merge(read_yaml(path), _from_environment())
    place = Place(
        folder=path.resolve().parent,
        production=data.get("environment") != "demo",
        environ=os.environ if environ is None else environ,
    )
    return validate(ConnectorSettings, data, place, where=path.name), place


def load_link_server(path: Path, *, environ: Mapping[str, str] | None = None) -> LinkServerSettings:
    """Read and check the link service's file.

    Raises:
        ConfigError: With every problem.
    """
    place = Place(folder=path.resolve().parent, production=True, environ=os.environ if environ is None else environ)
    return validate(LinkServerSettings, read_yaml(path), place, where=path.name)


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], data: Mapping[str, object], place: Place, *, where: str) -> Model:
    """Check a section against its model.

    Args:
        where: Put before each problem: the file's name, or the section's place such as `psa.halo`.

    Raises:
        ConfigError: Every problem, with its place and what to do; values are never repeated from secrets.
    """
    try:
        return model.model_validate(dict(data), context=place)
    except ValidationError as failure:
        raise ConfigError([_sentence(problem, model, where) for problem in _own(failure.errors())]) from None


def _own(problems: list[Any]) -> list[Any]:
    """Without what only follows from others: a list of which every entry is wrong is not empty."""
    places = [problem["loc"] for problem in problems]
    return [
        problem
        for problem in problems
        if problem["type"] != "too_short"
        or not any(
            len(place) > len(problem["loc"]) and place[: len(problem["loc"])] == problem["loc"] for place in places
        )
    ]


def _sentence(problem: Any, model: type[BaseModel], where: str) -> str:
    steps = [str(step) for step in problem["loc"]]
    at = ".".join(steps)
    place = f"{where}: {at}" if at else where
    match problem["type"]:
        case "extra_forbidden":
            known = _keys_at(model, steps[:-1])
            close = difflib.get_close_matches(steps[-1], known, n=1)
            hint = f" Did you mean {close[0]}?" if close else f" Known here: {_list(known)}." if known else ""
            return f"{place}: unknown key.{hint}"
        case "missing":
            return f"{place}: missing. Add it."
        case _:
            words = re.sub(TIMEDELTA, _duration, str(problem["msg"]).removeprefix("Value error, "))
            return f"{place}: {words}."


def _duration(python: re.Match[str]) -> str:
    """A duration as it is written in the file: `1d`, where pydantic shows Python."""
    seconds = 86_400 * int(python["days"] or 0) + int(python["seconds"] or 0)
    unit, size = next(
        (unit, size) for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)) if not seconds % size
    )
    return f"{seconds // size}{unit}"


def _keys_at(model: type[BaseModel], steps: list[str]) -> list[str]:
    """Names that are allowed where an unknown key was found; empty when the place cannot be told."""
    current: object = model
    for step in steps:
        if isinstance(current, type) and issubclass(current, BaseModel):
            known = current.model_fields.get(step)
            current = known.annotation if known else None
        elif get_origin(current) is dict:
            current = get_args(current)[1]
        elif get_origin(current) is tuple:
            current = get_args(current)[0]
        else:
            current = next((kind for kind in get_args(current) if Tag(step) in getattr(kind, "__metadata__", ())), None)
        current = _bare(current)
    if not (isinstance(current, type) and issubclass(current, BaseModel)):
        return []
    return sorted(field.alias or name for name, field in current.model_fields.items())


def _bare(hint: object) -> object:
    """A type without what is annotated to it, and without its `None`."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) is Union or isinstance(hint, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return _bare(kinds[0]) if len(kinds) == 1 else hint
    return hint


def _from_environment() -> dict[str, Any]:
    """The keys of `ConnectorSettings` that are set as environment variables."""
    # Imported here: it costs 14 MB, and the link service does without.
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

    class FromEnvironment(BaseSettings, ConnectorSettings):
        """Only read from: validated as `BaseSettings`, the secrets would not know their folder."""

        model_config = SettingsConfigDict(env_prefix="CONNECTOR_", env_nested_delimiter="__")

    try:
        return dict(EnvSettingsSource(FromEnvironment)())
    except SettingsError as failure:
        found = re.search(r'field "(\w+)"', str(failure))
        name = f"CONNECTOR_{found[1].upper()}" if found else "CONNECTOR_…"
        raise ConfigError(
            f"The environment variable {name} does not hold JSON. Write JSON, or set the single keys: {name}__<KEY>."
        ) from None


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        merged[key] = _merge(known, value) if isinstance(known, dict) and isinstance(value, Mapping) else value
    return merged


def _list(names: Mapping[str, object] | list[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


class _Refused(yaml.constructor.ConstructorError):
    """A problem in our own words, which repeat no value."""


class _StrictLoader(yaml.SafeLoader):
    """YAML without surprises: a key given twice is an error instead of the last one winning."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """What a node stands for.

        Raises:
            YAMLError: It stands for nothing, such as the 30th of February, for which PyYAML has errors of many kinds.
        """
        try:
            return super().construct_object(node, deep=deep)
        except (AttributeError, LookupError, TypeError, ArithmeticError, ValueError):
            what = "there is no such day, time or number: correct it, or write it in quotes"
            raise _Refused(None, None, what, node.start_mark) from None


def _strict_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            what = "a key is a word, not a list or a mapping; a placeholder in double braces was not filled in, perhaps"
            raise _Refused(None, None, what, key_node.start_mark)
        key = loader.construct_object(key_node)
        if key in seen:
            raise _Refused(None, None, f"the key {key!r} is given twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


def _strict_number(_: _StrictLoader, node: yaml.ScalarNode) -> int:
    # YAML 1.1 takes 012 for 10 and 12:30 for 750: as an id, that would be another customer's.
    if not PLAIN_NUMBER.fullmatch(node.value):
        what = "YAML takes this for another number: write it in quotes, or as a plain number"
        raise _Refused(None, None, what, node.start_mark)
    return int(node.value)


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _strict_number)
_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _strict_mapping)
