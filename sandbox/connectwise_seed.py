"""ConnectWise on its first day: boards, statuses, fields, members, and the same customers under other numbers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sandbox.connectwise_desk import Announce, ConnectWiseDesk
from sandbox.connectwise_records import (
    Board,
    BoardStatus,
    BoardType,
    Company,
    Contact,
    CustomField,
    Member,
    Named,
    Priority,
    SubType,
    Team,
)
from sandbox.directory import Directory, Tenant

BOARDS = (Board(1, "Service Desk"), Board(2, "Professional Services"), Board(3, "Old Service Desk", inactive=True))
STATUS_NAMES = (
    "New",
    "In Progress",
    "Waiting Approval",
    "Approved",
    "Denied",
    "Needs technician",
    "Retry reset",
    "Closed",
    "Security alarm",
)
TYPES = (
    BoardType(11, "Password Reset", 1),
    BoardType(12, "MFA Reset", 1),
    BoardType(13, "Account Reset", 1),
    BoardType(14, "Incident", 1),
    BoardType(21, "Password Reset", 2),
    BoardType(22, "Change", 2),
)
SUBTYPES = (SubType(51, "Office", 1, (11, 12, 13, 14)), SubType(52, "Remote", 1, (11, 12, 13)))
TEAMS = (Team(31, "Service Desk Team", 1), Team(32, "Escalations", 1), Team(41, "Projects Team", 2))
FIELDS = (
    CustomField(41, "Reset account"),
    CustomField(42, "Reset what", ("Password", "MFA", "Both")),
    CustomField(43, "Approval", ("Pending", "Approved", "Denied")),
    # A caption with a blank at its end, as in a real answer.
    CustomField(44, "Cost centre "),
)
CONTACT_TYPES = (Named(1, "End User"), Named(2, "Approver"), Named(3, "VIP"))
PRIORITIES = (
    Priority(6, "Priority 1 - Emergency Response", "Critical", 1),
    Priority(8, "Priority 3 - Normal Response", "Medium", 4),
)
MEMBERS = (
    Member(150, "ResetConnector", "Reset Connector", None, licence="A"),
    Member(151, "TinaT", "Tina Technician", "tina@msp.example"),
    Member(152, "OlgaO", "Olga Owner", "olga@msp.example"),
    # Co-managed customers have members of their own, who may be approvers.
    Member(153, "AnnaA", "Anna Approver", "anna@contoso.com"),
    Member(154, "SamS", "Sam Security", "sam@contoso.com"),
    Member(155, "FatimaA", "Fatima Approver", "fatima@fabrikam.com"),
    Member(156, "BenR", "Ben Requester", "ben@contoso.com"),
    Member(1, "zAdmin", "System Administrator", None),
)
FIRST_CUSTOMER = 1000


def statuses() -> list[BoardStatus]:
    """The same names on every board, each with an id of its own: 501 to 509 on the first, from 601 on the second."""
    return [
        BoardStatus(400 + board.id * 100 + place, name, board.id, place, closed=name == "Closed", default=place == 1)
        for board in BOARDS
        for place, name in enumerate(STATUS_NAMES, start=1)
    ]


def connectwise(directory: Directory, *, now: Callable[[], datetime], announce: Announce) -> ConnectWiseDesk:
    """The desk with its configuration, companies and people; no tickets yet."""
    desk = ConnectWiseDesk(now=now, announce=announce)
    desk.boards = {one.id: one for one in BOARDS}
    desk.statuses = {one.id: one for one in statuses()}
    desk.types = {one.id: one for one in TYPES}
    desk.subtypes = {one.id: one for one in SUBTYPES}
    desk.teams = {one.id: one for one in TEAMS}
    desk.fields = {one.id: one for one in FIELDS}
    desk.contact_types = {one.id: one for one in CONTACT_TYPES}
    desk.priorities = {one.id: one for one in PRIORITIES}
    desk.sources = {1: Named(1, "Email Connector"), 2: Named(2, "Portal"), 3: Named(3, "Phone")}
    desk.members = {one.id: Member(**vars(one)) for one in MEMBERS}
    desk.companies = {
        one.id: one
        for one in (
            Company(2, "MSP", "Our own company", None),
            Company(250, "Contoso", "Contoso", "contoso"),
            Company(251, "ContosoRetail", "Contoso Retail", "contoso"),
            Company(260, "Fabrikam", "Fabrikam", "fabrikam"),
            Company(270, "Northwind", "Northwind", None),
        )
    }
    _people(desk, 250, directory.tenants["contoso"], approver="anna@contoso.com")
    _people(desk, 260, directory.tenants["fabrikam"], approver="fatima@fabrikam.com")
    add_contact(desk, 251, "Rita Retail", "rita@contoso.com")
    add_contact(desk, 270, "Nora Approver", "nora@northwind.example", approver=True)
    add_contact(desk, 270, "Otis Requester", "otis@northwind.example")
    add_contact(desk, 270, "Reception", None)
    follow(desk, directory)
    return desk


def follow(desk: ConnectWiseDesk, directory: Directory) -> None:
    """Add a company, with its people, for every customer that the desk does not know yet."""
    known = {company.tenant for company in desk.companies.values()}
    for tenant in directory.tenants.values():
        if tenant.key not in known:
            number = max(FIRST_CUSTOMER, *desk.companies) + 1
            desk.companies[number] = Company(number, tenant.key, tenant.name, tenant.key)
            _people(desk, number, tenant, approver=f"approver@{tenant.domains[0].name}")


def _people(desk: ConnectWiseDesk, company_id: int, tenant: Tenant, *, approver: str) -> None:
    by_account: dict[str, Contact] = {}
    for account in tenant.accounts.values():
        mail = account.properties["mail"]
        if mail is None:
            continue
        contact = by_account[account.id] = add_contact(
            desk,
            company_id,
            str(account.properties["displayName"]),
            str(mail),
            approver=mail == approver,
            phone="5550100" if account.methods[1:] else None,
        )
        contact.other_emails = tuple(account.properties["otherMails"])
    for account in tenant.accounts.values():
        if account.manager in by_account and account.id in by_account:
            by_account[account.id].manager_id = by_account[account.manager].id


def add_contact(
    desk: ConnectWiseDesk,
    company_id: int,
    name: str,
    email: str | None,
    *,
    approver: bool = False,
    phone: str | None = None,
) -> Contact:
    number = 800 + len(desk.contacts)
    contact = Contact(number, company_id, name, email, [2] if approver else [1], phone=phone)
    desk.contacts[number] = contact
    return contact
