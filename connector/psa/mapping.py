"""Reads `mappings/*.yaml`: which tickets are ours, what their fields mean, what counts as a yes, where tickets go.

One shape for every PSA; the keys that only one vendor has are in that vendor's model (`<vendor>/mapping.py`), so that
a foreign key is an error that names its place instead of being ignored. Names and ids may be written for everything: a
number is an id, a text is a name (or an id, where no such name exists). Names are looked up in the PSA by the adapter,
with `resolve`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from connector.config import Duration, Place, Section, Zone, read_yaml, validate
from connector.core.business_hours import BusinessHours
from connector.core.case import Action
from connector.core.messages import PUBLIC_TOPICS
from connector.core.ports import DryRun, Rules, StatusTarget, Timing
from connector.errors import ConfigError


def _read_name(value: object) -> str:
    # YAML turns an unquoted No, Off or Yes into a truth value; a status of that name would be looked for as "False".
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("write a name in quotes, or an id as a number")
    name = str(value).strip()
    if not name:
        raise ValueError("the name is empty: write a name or an id")
    return name


def _check_positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than nothing")
    return value


Name = Annotated[str, BeforeValidator(_read_name)]
"""A name or an id of something in the PSA, as text."""

Wait = Annotated[Duration, AfterValidator(_check_positive)]


# ---------------------------------------------------------------- requests


class FieldSource(Section):
    """Where a value stands in the ticket: `{field: CFSubject}`."""

    field: Name


class ActionSource(Section):
    """What is asked for: always the same, or told by a field of the ticket.

    In the file either a word, `action: password`, or `action: {field: CFResetWhat, values: {"MFA": mfa}}`.
    """

    always: Action | None = None
    field: Name | None = None
    values: dict[Name, Action] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _word(cls, data: object) -> object:
        if isinstance(data, str):
            if data not in set(Action):
                raise ValueError(
                    f"{data!r} is no action: write password, mfa or both, or {{field: NAME, values: {{TEXT: ACTION}}}}"
                )
            return {"always": data}
        return data

    @model_validator(mode="after")
    def _one_way(self) -> ActionSource:
        if self.always is None and (self.field is None or not self.values):
            raise ValueError("write password, mfa or both, or {field: NAME, values: {TEXT: ACTION}}")
        if self.always is not None and (self.field is not None or self.values):
            raise ValueError("write either an action or field and values, not both")
        folded = [_fold(text) for text in self.values]
        if len(set(folded)) < len(folded):
            raise ValueError("two of the values differ only in capitals or blanks: merge them into one")
        return self

    @property
    def possible(self) -> frozenset[Action]:
        """Every action that a ticket can ask for."""
        return frozenset(self.values.values()) if self.always is None else frozenset({self.always})

    def action_for(self, *texts: str) -> Action | None:
        """The action that a ticket asks for.

        Args:
            texts: Every form in which the field gives its value (stored value, displayed text), blanks and capitals
                not counting. Not used where the action is always the same.

        Returns:
            `None` when no text is known, or when two of them mean different actions: then nobody knows what is meant.
        """
        if self.always is not None:
            return self.always
        known = {_fold(text): action for text, action in self.values.items()}
        found = {known[_fold(text)] for text in texts if _fold(text) in known}
        return found.pop() if len(found) == 1 else None


class Request(Section):
    """One kind of request. Vendors add what selects its tickets."""

    action: ActionSource
    subject: FieldSource
    reason: FieldSource | None = None

    @property
    def selector(self) -> tuple[str, ...]:
        """What selects the tickets of this request, for telling two of them apart."""
        raise NotImplementedError


# ---------------------------------------------------------------- approval, statuses, timing


class ApproverRules(Section):
    """Who may approve, and how many of them must: `listed`, `psa`, or `{who: listed, minimum: 2}`.

    Attributes:
        who: `listed`: only those under `tenants.<name>.approvers`; `psa`: whoever the PSA's own approval names.
        minimum: How many different people must have said yes, whatever the PSA itself is content with.
    """

    who: Literal["listed", "psa"] = "listed"
    minimum: Annotated[int, Field(ge=1, le=10)] = 1

    @model_validator(mode="before")
    @classmethod
    def _word(cls, data: object) -> object:
        return {"who": data} if isinstance(data, str) else data


class ApprovalRules(Section):
    """What counts as a yes."""

    approved_statuses: tuple[Name, ...] = ()
    rejected_statuses: tuple[Name, ...] = ()
    approvers: ApproverRules = ApproverRules()

    @model_validator(mode="after")
    def _not_both(self) -> ApprovalRules:
        rejected = {_fold(name) for name in self.rejected_statuses}
        both = [name for name in self.approved_statuses if _fold(name) in rejected]
        if both:
            raise ValueError(f"{', '.join(both)} cannot mean approved and rejected: leave it in one of the two lists")
        return self


class Statuses(Section):
    """The PSA's status for each of our targets; `None` leaves the ticket where it is.

    Attributes:
        retry: Where an agent moves a ticket to have it tried again.
        alarm: Where a ticket goes when somebody said "this was not me", also out of `closed`; `None`: `hand_off`.
    """

    working: Name | None = None
    closed: Name | None = None
    hand_off: Name | None = None
    retry: Name | None = None
    alarm: Name | None = None

    @model_validator(mode="after")
    def _apart(self) -> Statuses:
        # A ticket that we move to hand_off must not read as an agent's wish to try again: that would never end.
        ours = {_fold(name) for name in (self.working, self.closed, self.hand_off, self.alarm) if name}
        if self.retry and _fold(self.retry) in ours:
            raise ValueError("retry must be a status of its own: otherwise our own move would ask for a retry")
        if self.alarm and _fold(self.alarm) in {_fold(name) for name in (self.working, self.closed) if name}:
            raise ValueError("alarm must not be the status of working or closed: nobody would look at the ticket there")
        return self

    def target(self, target: StatusTarget) -> str | None:
        """The status that the file names for `target`, or `None` for "leave it" (for `ALARM`: "as a hand-off")."""
        return {
            StatusTarget.WORKING: self.working,
            StatusTarget.CLOSED: self.closed,
            StatusTarget.HAND_OFF: self.hand_off,
            StatusTarget.ALARM: self.alarm,
        }[target]


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class BusinessHoursRules(Section):
    """`timing.business_hours`: when reminders are counted and sent."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS[:5]
    start: time = time(8)
    end: time = time(17)
    time_zone: Zone
    holidays: tuple[date, ...] = ()

    @field_validator("start", "end", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        # A plain 8 would be eight seconds after midnight.
        if not isinstance(value, str | time):
            raise ValueError('write a time of day in quotes, such as "08:00"')
        return value

    @model_validator(mode="after")
    def _in_order(self) -> BusinessHoursRules:
        if self.start >= self.end:
            raise ValueError("end must be later in the day than start")
        return self

    def as_hours(self) -> BusinessHours:
        return BusinessHours(
            days=frozenset(WEEKDAYS.index(day) for day in self.days),
            start=self.start,
            end=self.end,
            zone=ZoneInfo(self.time_zone),
            holidays=frozenset(self.holidays),
        )


class TimingRules(Section):
    """`timing`: every key optional; the defaults are those of `connector.core.ports.Timing`.

    Attributes:
        business_hours: Without it reminders are counted and sent around the clock.
        approver_reminders: `psa`: the PSA reminds its approvers itself, so only the requester hears from us.
    """

    remind_after: Wait = Timing.remind_after
    remind_every: Wait = Timing.remind_every
    reminders: Annotated[int, Field(ge=0, le=50)] = Timing.reminders
    give_up_after: Wait = Timing.give_up_after
    approval_valid: Wait = Timing.approval_valid
    business_hours: BusinessHoursRules | None = None
    approver_reminders: Literal["connector", "psa"] = "connector"

    def as_timing(self) -> Timing:
        return Timing(
            remind_after=self.remind_after,
            remind_every=self.remind_every,
            reminders=self.reminders,
            give_up_after=self.give_up_after,
            approval_valid=self.approval_valid,
            hours=self.business_hours.as_hours() if self.business_hours else None,
            psa_reminds=self.approver_reminders == "psa",
        )


# ---------------------------------------------------------------- the agents' side


class NoteRules(Section):
    """`notes`: which of our notes the requester may see in the PSA; all others are for agents only."""

    public: tuple[str, ...] = ()

    @field_validator("public", mode="after")
    @classmethod
    def _known(cls, topics: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [topic for topic in topics if topic not in PUBLIC_TOPICS]
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)}: no such note, or one that only agents may see. "
                f"Those that may be public: {', '.join(sorted(PUBLIC_TOPICS))}"
            )
        return topics


class HandOff(Section):
    """`hand_off`: where a ticket goes besides its status when a person must take over."""

    team: Name | None = None
    owner: Name | None = None


class AlarmRules(HandOff):
    """`alarm`: what a ticket gets besides its status when somebody said "this was not me".

    Attributes:
        priority: Left as it is where none is named.
        team, owner: Where none is named, those of `hand_off`: an alarm is a hand-off that cannot wait.
    """

    priority: Name | None = None


class TimeEntry(Section):
    """`time_entry`: what is booked on a ticket when its reset is done."""

    minutes: Annotated[int, Field(ge=1, le=480)]


def _read_dry_run(value: object) -> object:
    # YAML reads `off` as false and `on` as true.
    return {False: DryRun.OFF, True: DryRun.NOTES}.get(value, value) if isinstance(value, bool) else value


# ---------------------------------------------------------------- whole files


class PsaMapping(Section):
    """What every mapping has."""

    requests: Annotated[tuple[Request, ...], Field(min_length=1)]
    approval: ApprovalRules
    statuses: Statuses
    timing: TimingRules = TimingRules()
    notes: NoteRules = NoteRules()
    hand_off: HandOff = HandOff()
    alarm: AlarmRules = AlarmRules()
    time_entry: TimeEntry | None = None
    dry_run: Annotated[DryRun, BeforeValidator(_read_dry_run)] = DryRun.OFF

    @property
    def rules(self) -> Rules:
        """What it says about all requests, in the core's words."""
        return Rules(
            actions=self.actions,
            timing=self.timing.as_timing(),
            approvers_listed=self.approval.approvers.who == "listed",
            approvers_minimum=self.approval.approvers.minimum,
            public_notes=frozenset(self.notes.public),
            dry_run=self.dry_run,
            time_spent=timedelta(minutes=self.time_entry.minutes) if self.time_entry else timedelta(0),
        )

    @property
    def actions(self) -> frozenset[Action]:
        """Every action that one of the requests can ask for."""
        return frozenset().union(*(request.action.possible for request in self.requests))

    @model_validator(mode="after")
    def _alarm_decides_nothing(self) -> Self:
        # A ticket that an alarm brings back must never read as approved, or rejected, once more.
        decisions = {_fold(name) for name in (*self.approval.approved_statuses, *self.approval.rejected_statuses)}
        if self.statuses.alarm and _fold(self.statuses.alarm) in decisions:
            raise ValueError("statuses.alarm is also a decision under approval: name another status")
        return self

    @field_validator("requests", mode="after")
    @classmethod
    def _selected_once(cls, requests: tuple[Request, ...]) -> tuple[Request, ...]:
        seen: set[tuple[str, ...]] = set()
        for request in requests:
            selector = tuple(_fold(part) for part in request.selector)
            if selector in seen:
                raise ValueError(
                    f"{' / '.join(request.selector)} is mapped twice: one ticket would have two meanings. "
                    "Merge the two into one with action: {field, values}"
                )
            seen.add(selector)
        return requests


Model = TypeVar("Model", bound=PsaMapping)


def read_mapping(model: type[Model], file: str, place: Place, *, key: str = "") -> Model:
    """Read and check a mapping.

    Args:
        model: Of the PSA's kind, such as `HaloMapping`.
        file: As written in `connector.yaml`; relative to that file's folder.
        key: Where `file` stands there, such as `psa.halo.mapping`: told where the file cannot be read.

    Raises:
        ConfigError: Every problem, each with its place in the file.
    """
    try:
        data = read_yaml(place.folder / Path(file))
    except ConfigError as failure:
        raise ConfigError([f"{key}: {problem}" if key else problem for problem in failure.problems]) from None
    return validate(model, data, place, where=file)


# ---------------------------------------------------------------- names of the PSA


@dataclass(frozen=True)
class Named:
    """Something that exists in the PSA.

    Attributes:
        name: What admins call it; the one that is shown in messages.
        aliases: Other texts by which it may be written, such as a label.
    """

    id: str
    name: str
    aliases: tuple[str, ...] = ()


def resolve(wanted: str, existing: Iterable[Named], *, what: str, where: str) -> Named:
    """The one thing that a mapping's name or id stands for.

    The exact name wins over a name that differs in capitals or blanks, that over an alias, and that over an id, so
    a status called "9" can be meant as well as the one with the id 9.

    Args:
        what: The kind of thing in messages: `ticket type`.
        where: The place of the name: `psa.halo mapping, statuses.closed`.

    Raises:
        ConfigError: Nothing or more than one thing answers; the sentence lists what exists.
    """
    everything = list(existing)
    for matches in (
        [one for one in everything if one.name == wanted],
        [one for one in everything if _fold(one.name) == _fold(wanted)],
        [one for one in everything if any(_fold(alias) == _fold(wanted) for alias in one.aliases)],
        [one for one in everything if one.id == wanted],
    ):
        distinct = {one.id: one for one in matches}
        if len(distinct) == 1:
            return matches[0]
        if distinct:
            raise ConfigError(
                f"{where}: more than one {what} is called {wanted!r} (ids {', '.join(sorted(distinct))}). "
                "Write the id instead of the name."
            )
    known = ", ".join(sorted(f"{one.name} ({one.id})" for one in everything)) or "none that we may see"
    raise ConfigError(f"{where}: there is no {what} {wanted!r}. There is: {known}.")


def resolve_all(
    wanted: Mapping[str, str], existing: Iterable[Named], *, what: str, where: str
) -> tuple[dict[str, Named], list[str]]:
    """Resolve many names at once: `wanted` maps a place such as `statuses.closed` to a name.

    Returns:
        What was found, by place, and a sentence for each name that was not.
    """
    everything = list(existing)
    found: dict[str, Named] = {}
    problems: list[str] = []
    for place, name in wanted.items():
        try:
            found[place] = resolve(name, everything, what=what, where=f"{where}{place}")
        except ConfigError as failure:
            problems.extend(failure.problems)
    return found, problems


def _fold(text: Any) -> str:
    return " ".join(str(text).split()).casefold()
