"""The world on its first day: two customers with a directory each, and a service desk for them.

Ids are derived from the seed, so that a test or a configuration file can rely on them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sandbox.builder import Builder, identifier
from sandbox.desk import Desk
from sandbox.desk_records import (
    Agent,
    Agreement,
    ApprovalProcess,
    ApprovalStep,
    Cab,
    Client,
    Contact,
    CustomField,
    Member,
    Outcome,
    Priority,
    Status,
    Team,
    TicketType,
    Workflow,
    WorkflowStep,
)
from sandbox.directory import Directory, Domain, Tenant, graph_time
from sandbox.methods import Method

NEW, IN_PROGRESS, CLOSED = 1, 2, 9
AWAITING, APPROVED, REJECTED, NEEDS_TECHNICIAN, RETRY = 31, 32, 33, 34, 35
WITH_MANAGER, MANAGER_SAID_YES, MANAGER_SAID_NO, WITH_SECURITY, SECURITY_SAID_NO = 41, 42, 43, 44, 45
WITH_CAB, NO_APPROVER = 46, 47
SECURITY_ALARM = 48

STATUSES = (
    Status(NEW, "New"),
    Status(IN_PROGRESS, "In Progress"),
    Status(3, "Action Required"),
    Status(4, "With User"),
    Status(CLOSED, "Closed"),
    Status(21, "Updated"),
    Status(28, "On Hold"),
    Status(AWAITING, "Awaiting Approval"),
    Status(APPROVED, "Approved"),
    Status(REJECTED, "Rejected"),
    Status(NEEDS_TECHNICIAN, "Needs technician"),
    Status(RETRY, "Retry reset"),
    Status(WITH_MANAGER, "Awaiting Manager"),
    Status(MANAGER_SAID_YES, "Manager Approved"),
    Status(MANAGER_SAID_NO, "Manager Rejected"),
    Status(WITH_SECURITY, "Awaiting Security"),
    Status(SECURITY_SAID_NO, "Security Rejected"),
    Status(WITH_CAB, "Awaiting CAB"),
    Status(NO_APPROVER, "No Approver Found"),
    Status(SECURITY_ALARM, "Security alarm"),
)
TYPES = (
    TicketType(1, "Incident"),
    TicketType(3, "Service Request"),
    TicketType(25, "Password Reset", fields=("CFSubject",), approval_process=5, workflow=10),
    TicketType(26, "MFA Reset", fields=("CFSubject",), approval_process=5, workflow=10),
    TicketType(27, "Account Reset", fields=("CFSubject", "CFResetWhat"), approval_process=5, workflow=10),
    TicketType(28, "Password Reset by User", fields=("CFSubjectUser",), approval_process=5, workflow=10),
    TicketType(30, "Change Request"),
)
OUTCOMES = (
    Outcome(1, "Email User"),
    Outcome(5, "Close", allowed=False),
    Outcome(7, "Private Note", hidden=True),
    Outcome(8, "Public Note"),
    Outcome(12, "Escalate", allowed=False),
)
FIELDS = (
    CustomField(201, "CFSubject", "Whose account"),
    CustomField(202, "CFResetWhat", "What to reset", ("Password", "MFA", "Both")),
    CustomField(203, "CFUrgency", "Urgency", ("Low", "Normal", "High")),
    CustomField(204, "CFSubjectUser", "Affected user", kind="user"),
    CustomField(205, "CFNeededBy", "Needed by", kind="date"),
    CustomField(206, "CFResetParts", "Parts to reset", ("Password", "MFA"), kind="choices"),
    CustomField(207, "CFSpokenTo", "Spoken to the user", kind="checkbox"),
    CustomField(208, "CFClosureNote", "How it ended", kind="memo"),
)
PROCESSES = (
    ApprovalProcess(5, "Reset approval", (ApprovalStep(51, "Manager", AWAITING, APPROVED, REJECTED),)),
    ApprovalProcess(
        6,
        "Two-step reset approval",
        (
            ApprovalStep(61, "Manager", AWAITING, APPROVED, REJECTED),
            ApprovalStep(62, "Security", AWAITING, APPROVED, REJECTED),
        ),
    ),
    ApprovalProcess(
        7,
        "Staged reset approval",
        (
            ApprovalStep(71, "Manager", WITH_MANAGER, MANAGER_SAID_YES, MANAGER_SAID_NO, NO_APPROVER, adhoc=True),
            ApprovalStep(
                72, "Security", WITH_SECURITY, APPROVED, SECURITY_SAID_NO, NO_APPROVER, approvers=("sam@contoso.com",)
            ),
        ),
    ),
    ApprovalProcess(
        8,
        "CAB reset approval",
        (
            ApprovalStep(
                81,
                "Change board",
                WITH_CAB,
                APPROVED,
                REJECTED,
                NO_APPROVER,
                cab=Cab(
                    4,
                    "Reset board",
                    (Member("anna@contoso.com", mandatory=True), Member("sam@contoso.com"), Member("mira@contoso.com")),
                ),
                votes_to_accept=2,
                votes_to_reject=2,
            ),
        ),
    ),
)
TEAMS = (Team(1, "Service Desk"), Team(2, "Security"), Team(3, "Second Line"), Team(4, "Night Watch", inactive=True))
AGREEMENTS = (Agreement(1, "Incident SLA", priority=4), Agreement(2, "Gold SLA", priority=1))
PRIORITIES = (
    *(Priority(1, number, name) for number, name in enumerate(("Critical", "High", "Medium", "Low"), start=1)),
    # Each agreement counts its own: the same number means something else here.
    *(Priority(2, number, name) for number, name in enumerate(("Low", "Normal", "Critical"), start=1)),
    Priority(2, 9, "Old emergency", hidden=True),
)
API_AGENT, ALEX, TONI, OLAF = 1, 2, 3, 4
AGENTS = (
    Agent(API_AGENT, "Reset Connector (API)", "", ("Service Desk",), api_only=True),
    Agent(ALEX, "Alex Agent", "alex@msp.example", ("Service Desk", "Security")),
    Agent(TONI, "Toni Technician", "toni@msp.example", ("Second Line",)),
    Agent(OLAF, "Olaf Gone", "olaf@msp.example", inactive=True),
)
WORKFLOWS = (Workflow(10, "Resets", (WorkflowStep(1, "Work"),), always=(1, 7, 8)),)


def _contoso(seed: int, now: datetime) -> Tenant:
    tenant = Tenant(
        "contoso",
        identifier(seed, "tenant:contoso"),
        "Contoso",
        [
            Domain("contoso.com", default=True),
            Domain("partners.contoso.com", federated=True),
            Domain("contoso.onmicrosoft.com", initial=True),
        ],
    )
    make = Builder(seed, tenant, now)
    anna = make.account("anna", "Anna Approver", jobTitle="Head of Operations", methods=[make.authenticator("anna")])
    sam = make.account("sam", "Sam Security", jobTitle="Security lead", methods=[make.authenticator("sam")])
    ben = make.account("ben", "Ben Requester", jobTitle="Team lead", methods=[make.authenticator("ben")])
    dana_app = make.authenticator("dana")
    dana = make.account(
        "dana",
        "Dana Subject",
        otherMails=["dana@home.example"],
        proxyAddresses=["SMTP:dana@contoso.com", "smtp:d.subject@contoso.com"],
        methods=[
            dana_app,
            make.phone("dana", "+44 5550100"),
            make.method("dana", "email", emailAddress="dana@home.example"),
        ],
    )
    dana.default_method = dana_app.id
    make.account("emil", "Emil Fresh")
    farid_app = make.authenticator("farid")
    farid = make.account(
        "farid",
        "Farid Manykeys",
        methods=[
            make.method(
                "farid",
                "fido2",
                displayName="Blue key",
                aaGuid=make.id_of("aaguid"),
                model="Key 5",
                attestationLevel="attested",
                attestationCertificates=[],
                passkeyType="deviceBound",
            ),
            make.method("farid", "windowsHelloForBusiness", displayName="LAPTOP-7", keyStrength="normal"),
            make.method("farid", "softwareOath", secretKey=None),
            farid_app,
            make.phone("farid", "+44 5550110"),
            make.phone("farid", "+44 5550111", "alternateMobile"),
        ],
    )
    farid.default_method = farid_app.id
    make.account(
        "grete", "Grete Synchronised", onPremisesSyncEnabled=True, onPremisesImmutableId="c2FuZGJveA==",
        onPremisesSamAccountName="grete", onPremisesDomainName="corp.contoso.com",
        methods=[make.phone("grete", "+44 5550120")],
    )  # fmt: skip
    make.account("henk", "Henk Federated", domain="partners.contoso.com", methods=[make.authenticator("henk")])
    make.account(
        "ines",
        "Ines Guest",
        userPrincipalName="ines_example.com#EXT#@contoso.onmicrosoft.com",
        mail="ines@example.com",
        userType="Guest",
        creationType="Invitation",
        externalUserState="Accepted",
    )
    make.account("jan", "Jan Disabled", accountEnabled=False)
    karin = make.account("karin", "Karin Admin", methods=[make.authenticator("karin")])
    tenant.direct_roles[karin.id] = ["Global Administrator"]
    lars = make.account("lars", "Lars Groupadmin", methods=[make.authenticator("lars")])
    nils = make.account("nils", "Nils Owner")
    mira = make.account("mira", "Mira Chief", jobTitle="Chief executive", methods=[make.authenticator("mira")])
    make.account("oona.o'neil", "Oona O'Neil", methods=[make.phone("oona", "+353 5550130")])
    make.account("paul+sales", "Paul Plus")
    make.account("zoe", "Zoë Müller")
    make.account(
        "quinn", "Quinn Room",
        methods=[
            make.method("quinn", "platformCredential", displayName="Mac", keyStrength="normal", platform="macOS"),
            make.method("quinn", "external", displayName="Other MFA", configurationId=make.id_of("external")),
            Method(make.id_of("qr"), "qrCodePinAuthenticationMethod", {"createdDateTime": graph_time(now)}),
            make.method("quinn", "resourceAccountKey", displayName="Room key"),
        ],
    )  # fmt: skip
    make.group("Role: service desk", [lars], role_assignable=True, owners=[nils.id], roles=["Helpdesk Administrator"])
    board = make.group("Board", [mira])
    make.group("Do not reset", [board])
    make.group("All staff", [anna, sam, ben, dana])
    for report in (ben, dana, farid):
        report.manager = anna.id
    return tenant


def _fabrikam(seed: int, now: datetime) -> Tenant:
    tenant = Tenant(
        "fabrikam",
        identifier(seed, "tenant:fabrikam"),
        "Fabrikam",
        [Domain("fabrikam.com", default=True), Domain("fabrikam.onmicrosoft.com", initial=True)],
    )
    make = Builder(seed, tenant, now)
    make.account("fatima", "Fatima Approver", methods=[make.authenticator("fatima")])
    make.account("gus", "Gus Requester", methods=[make.authenticator("gus")])
    hana_app = make.authenticator("hana")
    hana = make.account("hana", "Hana Subject", methods=[hana_app, make.phone("hana", "+1 5550140")])
    hana.default_method = hana_app.id
    make.account("ivo", "Ivo Subject", methods=[make.phone("ivo", "+1 5550141")])
    return tenant


def directory(seed: int, *, now: Callable[[], datetime]) -> Directory:
    """Both tenants with everybody in them."""
    tenants = (_contoso(seed, now()), _fabrikam(seed, now()))
    return Directory({tenant.key: tenant for tenant in tenants})


def desk(directory: Directory, *, now: Callable[[], datetime]) -> Desk:
    """The service desk: configuration, clients and their contacts; no tickets yet."""
    desk = Desk(now=now)
    desk.types = {record.id: record for record in TYPES}
    desk.statuses = {record.id: record for record in STATUSES}
    desk.outcomes = {record.id: record for record in OUTCOMES}
    desk.fields = {record.id: record for record in FIELDS}
    desk.processes = {record.id: record for record in PROCESSES}
    desk.teams = {record.id: record for record in TEAMS}
    desk.agents = {record.id: record for record in AGENTS}
    desk.workflows = {record.id: record for record in WORKFLOWS}
    desk.agreements = {record.id: record for record in AGREEMENTS}
    desk.priorities = list(PRIORITIES)
    desk.clients = {
        12: Client(12, "Contoso", 18, "contoso"),
        13: Client(13, "Contoso Retail", 19, "contoso"),
        21: Client(21, "Fabrikam", 27, "fabrikam", agreement=2),
        30: Client(30, "Northwind", 36, None),
    }
    desk.approvers = {
        12: ["anna@contoso.com"],
        13: ["anna@contoso.com"],
        21: ["fatima@fabrikam.com"],
        30: ["nora@northwind.example"],
    }
    for client_id, key in ((12, "contoso"), (21, "fabrikam")):
        for account in directory.tenants[key].accounts.values():
            contact(
                desk, client_id, str(account.properties["displayName"]), str(account.properties["mail"]), account.id
            )
    contact(desk, 13, "Rita Retail", "rita@contoso.com")
    contact(desk, 30, "Nora Approver", "nora@northwind.example")
    contact(desk, 30, "Otis Requester", "otis@northwind.example")
    return desk


def contact(desk: Desk, client_id: int, name: str, email: str, azure_id: str | None = None) -> None:
    number = 100 + len(desk.contacts)
    desk.contacts[number] = Contact(number, client_id, name, email, azure_id)
