"""Records what a true PSA answers to a fixed tour of its adapter that only reads; scrubbed by `tests.psa.scrub`.

For HaloPSA and ConnectWise PSA, of whom no server can be had here: whoever has a tenant records, looks through the
file, and gives it away. Request Tracker's recordings are made of our own test server (`requesttracker_cassettes`).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import vcr
from pydantic import TypeAdapter

from connector.adapter import Surroundings
from connector.config import Place, SecretValue, read_yaml
from connector.core.ports import Psa
from connector.errors import ConfigError, ConnectorError
from tests.psa.scrub import AllowList, Held, JsonFiles, NotRecorded, Scrubber, named

HALOPSA = AllowList(
    host="https://halopsa.example",
    # Those that the adapter reads, and the envelopes around them.
    keys=named(
        """
        access_token actionby_agent_id actionby_application_id actionnumber actions adhoc admin_overridden
        admin_override_id agent agent_id agent_name agents allowadhocapprovers allowall_actions allowall_status
        allowed_actions allowed_status allstatus always_allow_actions approval_inprogress approval_process_id approvals
        approver_note approvers approvers_history auto_approval_to_manager autoapproveforagentlogging
        autoapproveforapprovalrequestor autoapproveifalreadyapp autoapproveifnoapprovers azureoid buttonname cab_id
        client_id client_name count created_by customfields dateapproved datecreated dateoccured dateoccurred
        delegated_by_uid delegated_by_username deleted details display email emailaddress expires_in faultapprovalfailed
        field fieldinfo fields flastupdate hasbeenclosed hiddenfromuser id inactive is_mandatory ishidden label
        last_update lastactiondate linked_agent_id login merged_into_id minapprovers name newstatus note note_html
        object_id outcome outcome_id outcomes priorities priority_id priorityid reason record_count reopenedstatus
        reportedby requestor_agent_id requestor_name requestor_user_id requesttype result role_id sequence sla_id
        sla_name slaid status status_id status_name statusafteraccept statusafterreject statusawaitingapproval statuses
        statusifnoapproval step_id step_name steps subject summary team teams ticket_id tickets tickettype tickettype_id
        tickettypes timetaken type type_id updated user user_email user_id user_name users value values
        votes_required_to_accept votes_required_to_reject who who_agentid workflow_id
        """
    ),
    plain=named(
        """
        dateapproved datecreated dateoccurred flastupdate last_update lastactiondate requesttype result updated
        """
    ),
    segments=named(
        """
        Actions Agent ApprovalProcess Client FieldInfo Outcome Priority Status Team TicketApproval TicketType Tickets
        Users Webhook Workflow api auth me token
        """
    ),
    parameters=named(
        """
        action_id columns_id count datesearch domain enddate excludesys includedetails includehtmlnote includeinactive
        includelastaction lastactiondatefrom lastupdatefromdate open_only order orderdesc page_no page_size pageinate
        requesttype seq showall showhidden startdate status_id ticket_id ticketidonly tickettype_id type
        """
    ),
    tokens=frozenset({"/auth/token"}),
)

CONNECTWISE = AllowList(
    host="https://connectwise.example",
    keys=named(
        """
        Codebase IsCloud VersionCode _info actionType active actualHours agreement approved assignedFlag auditSource
        auditSubType auditType board boards caption chargeToId chargeToType closedDate closedFlag closedStatus code
        communicationItems communicationType company companyId companyName conditions contact contactEmailAddress
        contactId contactName count createdBy customFields customStatusIndicatorName dateCreated dateEntered
        dateResolved defaultFlag description detailDescriptionFlag email emailAddress enteredBy enteredDate entityTypeId
        errors externalFlag externalXRef field firstName flag id identifier impact inactive inactiveFlag
        initialDescription internalAnalysisFlag internalFlag isIssueFlag isSelfSuppressedFlag issueFlag item lastName
        lastUpdated level licenseClass member mergedParentTicket message name newValue newValueKey noteType
        numberOfDecimals objectId officeEmail oldValue oldValueKey owner parentTicketId payloadVersion poNumber
        primaryEmail priority recordType resolutionFlag resources severity source status subType summary team text
        ticket ticketId timeEnd timeStart type types updatedBy value
        """
    ),
    plain=named(
        """
        Codebase VersionCode auditSource auditSubType auditType communicationType dateCreated dateEntered enteredDate
        lastUpdated licenseClass recordType
        """
    ),
    segments=named(
        """
        3.0 allNotes apis audittrail boards callbacks communications companies company companyinfo contacts count
        entries info items login members myMembers notes priorities search service statuses subtypes system teams
        tickets time types userDefinedFields v4_6_release
        """
    ),
    parameters=named(
        """
        childConditions conditions customFieldConditions deviceIdentifier fields id orderBy page pageId pageSize type
        """
    ),
    # Of the audit trail: its wording is what nobody has published.
    worded=("text", "auditType"),
    named_after=frozenset({"companyinfo"}),
    received=frozenset({"content-type", "date", "retry-after", "api-current-version"}),
)

PEOPLE = frozenset({"members", "owner"})
"""Keys of a mapping under which people are named."""

LISTS: Mapping[str, AllowList] = {"halopsa": HALOPSA, "connectwise": CONNECTWISE}


def tour(psa: Psa, ticket: str) -> Iterator[str]:
    """Everything that an adapter reads, once. Yields a line for each part; a part that fails is told, too."""

    def step(what: str, call: Any) -> str:
        try:
            return f"{what}: {call()}"
        except NotRecorded:
            raise
        except ConnectorError as failure:
            return f"{what}: {type(failure).__name__}"

    yield step("check", lambda: f"{len(list(psa.check()))} findings")
    cursors: list[str] = []

    def changed(cursor: str | None) -> str:
        changes = psa.changed(cursor)
        cursors.append(changes.cursor)
        return f"{len(changes.tickets)} tickets"

    yield step("changed, all", lambda: changed(None))
    yield step("changed, since then", lambda: changed(cursors[-1] if cursors else None))
    yield step(f"read {ticket}", lambda: psa.read(ticket).approval.stance.value)
    yield step(f"read {ticket} again", lambda: psa.read(ticket).approval.stance.value)


def record(name: str, section: Mapping[str, object], around: Surroundings, *, ticket: str, file: Path) -> list[str]:
    """Record the tour of one PSA into `file`, which is only written when nothing is left in it.

    Args:
        name, section: As under `psa:` in `connector.yaml`.

    Returns:
        A line for each part of the tour.

    Raises:
        ConfigError: The section is wrong, or of a kind that is not recorded this way.
        NotRecorded: Something would be changed, is not on the list, or is left in the recording.
    """
    psa = adapter_of(name, section, around)
    kind = str(section["kind"])
    words = words_of(around.place.folder / str(section["mapping"]))
    allowed = replace(LISTS[kind], words=LISTS[kind].words | words)
    scrubber = Scrubber(allowed, set(secrets_of(section, around.place)), set(hosts_of(section)))
    with recorder(file, scrubber, recording=True):
        return list(tour(psa, ticket))


def adapter_of(name: str, section: Mapping[str, object], around: Surroundings) -> Psa:
    """The adapter of a section.

    Raises:
        ConfigError: The section is wrong, or of a kind that is not recorded this way.
    """
    kind = str(section.get("kind"))
    if kind not in LISTS:
        raise ConfigError(f"psa.{name}.kind: {kind} is not recorded this way. Those that are: {', '.join(LISTS)}.")
    psa: Psa = entry_points(group="connector.psa")[kind].load().from_config(name, section, around)
    return psa


@contextmanager
def recorder(file: Path, scrubber: Scrubber, *, recording: bool) -> Iterator[Any]:
    """Record into `file` anew, or play it: each answer once, in order, and nothing is sent."""

    held = Held()
    player = vcr.VCR(
        before_record_request=scrubber.request,
        before_record_response=scrubber.response,
        match_on=("method", "uri"),
        record_mode=vcr.mode.ALL if recording else vcr.mode.NONE,
    )
    player.register_serializer("json files", JsonFiles)
    player.register_persister(held)
    if recording:
        file.unlink(missing_ok=True)
    with player.use_cassette(str(file), serializer="json files") as playing:
        yield playing
    if recording and held.text is not None:
        scrubber.look_once_more(held.text)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(held.text, encoding="utf-8")


def secrets_of(section: Mapping[str, object], place: Place) -> Iterator[str]:
    """Every secret of a section, at any depth, and what is sent instead of it (HTTP Basic). Ids count, too."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            if set(value) <= {"file", "env"} and value:
                yield TypeAdapter(SecretValue).validate_python(value, context=place).reveal()
            else:
                yield from secrets_of(value, place)
        elif key in ("client_id", "public_key", "company") and isinstance(value, str):
            yield value
    company, public = section.get("company"), section.get("public_key")
    private = section.get("private_key")
    if isinstance(company, str) and isinstance(public, str) and isinstance(private, Mapping):
        (key,) = secrets_of({"private_key": private}, place)
        yield base64.b64encode(f"{company}+{public}:{key}".encode()).decode()


def hosts_of(section: Mapping[str, object]) -> Iterator[str]:
    for value in section.values():
        if isinstance(value, str) and "://" in value and (host := urlsplit(value).hostname):
            yield host


def words_of(mapping: Path) -> frozenset[str]:
    """Every name in a mapping: ticket types, statuses, fields. They are what a recording is about, so they survive.

    Not those of people (`PEOPLE`): a mapping that names some plays such a recording only without them.
    """

    def texts(value: object) -> Iterator[str]:
        match value:
            case Mapping():
                for key, inner in value.items():
                    yield str(key)
                    yield from texts(inner) if key not in PEOPLE else ()
            case list() | tuple():
                for inner in value:
                    yield from texts(inner)
            case str():
                yield value

    # An address in a mapping (an owner for hand-offs, say) is somebody's.
    return frozenset(text for text in texts(read_yaml(mapping)) if "@" not in text and "://" not in text)
