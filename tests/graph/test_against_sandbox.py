"""The real adapter with real MSAL against the imitated Graph, over real sockets.

Afterwards every exchange is held against Microsoft's published description, where that lies beside the project.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from connector.config import GraphSection, ProtectedSection, TenantSection
from connector.core.secret import Secret
from connector.errors import AuthenticationError, ConfigError, PermanentError, TemporaryError
from connector.graph import GraphDirectory
from connector.http import Http
from connector.passwords import new_password
from sandbox.server import Addresses, running
from sandbox.world import World
from tests.contract_check import check_all, load_spec, specs_or_skip
from tests.contracts.directory import DirectoryContract, People, Place
from tests.graph.ticking import Ticking

PEOPLE = People(
    plain="dana@contoso.com",
    plain_alias="d.subject@contoso.com",
    plain_other="dana@home.example",
    manager="anna@contoso.com",
    apostrophe="oona.o'neil@contoso.com",
    plus="paul+sales@contoso.com",
    twins="shared@contoso.com",
    stranger="hana@fabrikam.com",
    disabled="jan@contoso.com",
    guest="ines@example.com",
    synchronised="grete@contoso.com",
    federated="henk@partners.contoso.com",
    admin="karin@contoso.com",
    role_group_member="lars@contoso.com",
    role_group_owner="nils@contoso.com",
    protected_user="anna@contoso.com",
    protected_group_member="mira@contoso.com",
)
WRITES = {"password": "PATCH /v1.0/users/", "method": "DELETE ", "sessions": "revokeSignInSessions"}


class SandboxPlace:
    """The adapter in front of a running sandbox; looks at accounts through the control port."""

    tenant = "contoso"
    people = PEOPLE

    def __init__(self, world: World, addresses: Addresses, time: Ticking) -> None:
        self.world, self.addresses, self.time = world, addresses, time
        self.control("PATCH", "accounts/paul+sales@contoso.com", properties={"otherMails": [PEOPLE.twins]})
        shared = ["SMTP:zoe@contoso.com", f"smtp:{PEOPLE.twins}"]
        self.control("PATCH", "accounts/zoe@contoso.com", properties={"proxyAddresses": shared})
        # What docs/entra.md asks for, and no more: this customer's mails go out from elsewhere.
        self.control(
            "PATCH",
            "tenants/contoso",
            grant=["GroupMember.Read.All", "RoleManagement.Read.Directory"],
            withdraw=["Mail.Send"],
        )
        self.directory = self.connect()

    def connect(self, *, refuse_sandbox: bool = False, tenant_id: str = "", **graph: Any) -> GraphDirectory:
        """A new adapter: nothing remembered, no token."""
        known = self.world.credentials
        if not {"client_secret", "certificate", "certificate_pfx", "federated"} & set(graph):
            graph["client_secret"] = Secret(known.graph_client_secret)
        groups = {group.name: group.id for group in self.world.directory.tenants["contoso"].groups.values()}
        protected = ProtectedSection(users=("Anna@Contoso.com",), groups=(groups["Do not reset"],))

        def http_for(*, system: str, scope: str) -> Http:
            return Http(
                system=system, scope=scope, ca_bundle=str(self.addresses.ca_bundle), refuse_sandbox=refuse_sandbox,
                sleep=self.time.sleep,
            )  # fmt: skip

        return GraphDirectory(
            GraphSection(client_id=known.graph_client_id, authority=self.addresses.authority,
                         url=self.addresses.graph, **graph),
            {
                name: TenantSection(tenant_id=(tenant_id or tenant.id), protected=protected)
                for name, tenant in self.world.directory.tenants.items()
            },
            http_for=http_for, clock=self.time.clock, now=self.time.now, sleep=self.time.sleep,
        )  # fmt: skip

    def control(self, method: str, path: str, **body: Any) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, f"{self.addresses.control}/control/{path}", json=body or None, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def account(self, upn: str) -> Any:
        return self.control("GET", f"accounts/{upn}")

    def opens(self, upn: str, password: Secret) -> bool:
        return bool(self.control("POST", f"accounts/{upn}/check-password", password=password.reveal())["opens"])

    def must_change(self, upn: str) -> bool:
        return bool(self.account(upn)["must_change"])

    def method_count(self, upn: str) -> int:
        return len(self.account(upn)["methods"])

    def signed_out(self, upn: str) -> bool:
        return self.account(upn)["sessions_revoked_at"] is not None

    def changed(self, upn: str) -> bool:
        return bool(self.account(upn)["writes"])

    def lose(self, what: Literal["password", "method", "sessions"], *, effect: bool) -> None:
        self.fault("cut_after" if effect else "cut_before", WRITES[what])

    def fault(self, kind: str, match: str, **more: Any) -> None:
        self.control("POST", "faults", system="graph", kind=kind, match=match, **more)

    def calls(self) -> list[str]:
        """What Graph was asked since the counts were cleared, oldest first."""
        return [
            f"{one['method']} {one['template']}" for one in self.control("GET", "exchanges") if one["system"] == "graph"
        ]

    def forget_calls(self) -> None:
        self.control("DELETE", "exchanges")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[World, Addresses, Ticking]]:
    """One sandbox for all tests of this file. Its clock is ours: it goes on only when the adapter sleeps."""
    time = Ticking()
    world = World(gentle=True, now=time.clock)
    with running(world) as addresses:
        yield world, addresses, time


@pytest.fixture
def place(servers: tuple[World, Addresses, Ticking]) -> Iterator[SandboxPlace]:
    world, addresses, time = servers
    time.slept.clear()
    with requests.Session() as session:
        session.trust_env = False
        session.post(f"{addresses.control}/control/reset", timeout=10)
    place = SandboxPlace(world, addresses, time)
    yield place
    keep_to_the_contract(place)


def keep_to_the_contract(place: SandboxPlace) -> None:
    """Every request that was sent, and every answer that it got, fits Microsoft's own description."""
    exchanges = [one for one in place.control("GET", "exchanges") if one["system"] == "graph"]
    try:
        spec = load_spec("graph")
    except FileNotFoundError:
        return  # said, and refused under REQUIRE_ALL, by the test below
    problems = check_all({"graph": spec}, [one for one in exchanges if not one["path"].startswith("/beta/")])
    assert problems == []


def test_the_description_to_check_against_is_there() -> None:
    assert "graph" in specs_or_skip()


class TestGraphDirectory(DirectoryContract):
    @pytest.fixture
    def place(self, place: SandboxPlace) -> Place:
        return place


# ---------------------------------------------------------------- how many calls


def test_a_warm_password_reset_costs_three_calls(place: SandboxPlace) -> None:
    account = place.directory.find("contoso", PEOPLE.plain)
    place.forget_calls()
    place.directory.read("contoso", account.id)
    place.directory.set_password("contoso", account.id, new_password())
    place.directory.revoke_sessions("contoso", account.id)
    assert [call.partition(" ")[0] for call in place.calls()] == ["POST", "PATCH", "POST"]


def test_whom_to_tell_costs_nothing_or_one_call(place: SandboxPlace) -> None:
    account = place.directory.find("contoso", PEOPLE.plain)
    place.forget_calls()
    assert place.directory.read("contoso", account.id).alternate_mails == (PEOPLE.plain_other,)
    assert len(place.calls()) == 1, "the look-up that a reset makes anyhow"
    place.directory.manager_of("contoso", account.id)
    assert place.calls()[1:] == ["GET /v1.0/users/{id}/manager"]


def test_removing_three_methods_costs_one_call_each_and_two_listings(place: SandboxPlace) -> None:
    account = place.directory.find("contoso", PEOPLE.plain)
    place.forget_calls()
    report = place.directory.remove_methods("contoso", account.id)
    assert [call.partition(" ")[0] for call in place.calls()] == ["GET", "DELETE", "DELETE", "DELETE", "GET"]
    assert report.removed[-1] == "Microsoft Authenticator"  # the default of this account
    assert place.time.slept == []  # five calls fit into Microsoft's window


def test_an_account_is_found_in_two_calls(place: SandboxPlace) -> None:
    place.directory.find("contoso", PEOPLE.plus)
    place.forget_calls()
    place.directory.find("contoso", PEOPLE.plain)
    assert len(place.calls()) == 2


# ---------------------------------------------------------------- methods


def test_a_default_that_is_not_the_last_in_our_order_goes_in_a_second_pass(place: SandboxPlace) -> None:
    farid = place.directory.find("contoso", "farid@contoso.com")
    known = place.world.directory.tenants["contoso"].accounts[farid.id]
    known.default_method = next(method.id for method in known.methods if method.phone_type == "mobile")
    report = place.directory.remove_methods("contoso", farid.id)
    assert sorted(report.removed) == sorted(
        ["fido2", "Windows Hello for Business", "software OATH token", "Microsoft Authenticator", "phone (mobile)",
         "phone (alternate mobile)"]
    )  # fmt: skip
    assert report.removed[-1] == "phone (mobile)"
    assert report.left == ()
    assert place.method_count("farid@contoso.com") == 0


def test_every_kind_has_its_own_address(place: SandboxPlace) -> None:
    quinn = place.directory.find("contoso", "quinn@contoso.com")
    report = place.directory.remove_methods("contoso", quinn.id)
    assert sorted(report.removed) == ["QR code PIN", "external method", "platform credential", "resource account key"]
    assert report.left == ()


def test_microsofts_throttle_is_kept_without_a_single_refusal(place: SandboxPlace) -> None:
    place.control("POST", "limits", methods_requests=5, methods_window_seconds=10)
    farid = place.directory.find("contoso", "farid@contoso.com")
    place.forget_calls()
    place.directory.remove_methods("contoso", farid.id)
    assert len(place.calls()) == 8  # a listing, six methods, a listing
    assert 429 not in [one["status"] for one in place.control("GET", "exchanges")]
    assert place.time.slept == [pytest.approx(11)]


def test_two_tenants_do_not_share_a_pace(place: SandboxPlace) -> None:
    place.directory.remove_methods("contoso", place.directory.find("contoso", PEOPLE.plain).id)
    place.directory.remove_methods("fabrikam", place.directory.find("fabrikam", "ivo@fabrikam.com").id)
    assert place.time.slept == []


# ---------------------------------------------------------------- consent and refusals


def test_consent_given_a_moment_ago_is_noticed(place: SandboxPlace) -> None:
    permissions = sorted(place.world.directory.tenants["contoso"].permissions)
    place.control("PATCH", "tenants/contoso", permissions=[one for one in permissions if "PasswordProfile" not in one])
    account, password = place.directory.find("contoso", PEOPLE.plain), new_password()
    place.control("PATCH", "tenants/contoso", permissions=permissions)
    place.directory.set_password("contoso", account.id, password)
    assert place.opens(PEOPLE.plain, password)


def test_a_missing_permission_stops_the_tenant_and_names_itself(place: SandboxPlace) -> None:
    permissions = sorted(place.world.directory.tenants["contoso"].permissions)
    place.control("PATCH", "tenants/contoso", permissions=[one for one in permissions if "PasswordProfile" not in one])
    account = place.directory.find("contoso", PEOPLE.plain)
    with pytest.raises(AuthenticationError, match=r"User-PasswordProfile\.ReadWrite\.All") as refusal:
        place.directory.set_password("contoso", account.id, new_password())
    assert refusal.value.scope == "tenant.contoso"
    assert not place.changed(PEOPLE.plain)


def test_a_target_out_of_reach_stops_that_account_only(place: SandboxPlace) -> None:
    admin = place.directory.find("contoso", PEOPLE.admin)
    with pytest.raises(PermanentError, match="protected"):
        place.directory.set_password("contoso", admin.id, new_password())
    assert not place.changed(PEOPLE.admin)


def test_names_of_roles_and_groups_show_where_they_may_be_read(place: SandboxPlace) -> None:
    permissions = sorted(place.world.directory.tenants["contoso"].permissions)
    place.control("PATCH", "tenants/contoso", permissions=[*permissions, "Directory.Read.All"])
    lars = place.directory.find("contoso", PEOPLE.role_group_member)
    assert lars.admin_roles == ("Helpdesk Administrator",)
    assert lars.privileged_groups == ("Role: service desk",)


def test_without_the_right_to_read_domains_federation_is_still_told(place: SandboxPlace) -> None:
    permissions = sorted(place.world.directory.tenants["contoso"].permissions)
    place.control("PATCH", "tenants/contoso", permissions=[one for one in permissions if not one.startswith("Domain")])
    henk = place.directory.find("contoso", PEOPLE.federated)
    assert henk.federated
    assert henk.unknown == ()


def test_a_tenant_that_never_consented_is_explained(place: SandboxPlace) -> None:
    place.control("PATCH", "tenants/contoso", consented=False)
    with pytest.raises(AuthenticationError, match=r"AADSTS7000229.*adminconsent"):
        place.directory.find("contoso", PEOPLE.plain)
    place.control("PATCH", "tenants/contoso", consented=True)
    assert place.directory.find("contoso", PEOPLE.plain).upn == PEOPLE.plain  # at once, no replay from memory


def test_a_wrong_secret_is_explained_and_not_shown(place: SandboxPlace) -> None:
    wrong = Secret(secrets.token_urlsafe(12))
    directory = place.connect(client_secret=wrong)
    with pytest.raises(AuthenticationError, match=r"AADSTS7000215.*graph\.client_secret") as refusal:
        directory.find("contoso", PEOPLE.plain)
    assert wrong.reveal() not in str(refusal.value)


def test_a_wrong_tenant_id_is_named_by_its_place(place: SandboxPlace) -> None:
    directory = place.connect(tenant_id="00000000-0000-4000-8000-00000000dead")
    with pytest.raises(AuthenticationError, match=r"tenants\.contoso\.tenant_id"):
        directory.find("contoso", PEOPLE.plain)


def test_a_sandbox_is_refused_in_production(place: SandboxPlace) -> None:
    directory = place.connect(refuse_sandbox=True)
    with pytest.raises(ConfigError, match="sandbox"):
        directory.find("contoso", PEOPLE.plain)


def test_a_certificate_signs_the_app_in(place: SandboxPlace) -> None:
    pem, certificate = make_certificate()
    place.control("POST", "certificates", pem=certificate)
    directory = place.connect(certificate=Secret(pem))
    assert directory.find("contoso", PEOPLE.plain).upn == PEOPLE.plain


def test_a_certificate_that_is_not_uploaded_is_explained(place: SandboxPlace) -> None:
    pem, _ = make_certificate()
    with pytest.raises(AuthenticationError, match="AADSTS700027"):
        place.connect(certificate=Secret(pem)).find("contoso", PEOPLE.plain)


def test_a_throttled_item_of_a_batch_spoils_the_whole_reading(place: SandboxPlace) -> None:
    account = place.directory.find("contoso", PEOPLE.plain)
    place.fault("status", r"transitiveMemberOf.* in \$batch", status=429, headers={"Retry-After": "7"})
    with pytest.raises(TemporaryError) as failure:
        place.directory.read("contoso", account.id)
    assert failure.value.retry_after == timedelta(seconds=7)


def test_a_session_end_survives_a_lost_answer(place: SandboxPlace) -> None:
    account = place.directory.find("contoso", PEOPLE.plain)
    place.lose("sessions", effect=True)
    place.directory.revoke_sessions("contoso", account.id)
    assert place.signed_out(PEOPLE.plain)


def make_certificate(*, ends: timedelta = timedelta(days=365)) -> tuple[str, str]:
    """Key and certificate in one PEM, and the certificate alone; made at run time."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "connector")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + ends)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return plain + certificate, certificate


# ---------------------------------------------------------------- bad days


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_bad_days_cost_repeats_and_nothing_else(seed: int) -> None:
    time = Ticking()
    world = World(seed=seed, now=time.clock)  # throttles, refusals and lost answers, decided by the seed
    with running(world) as addresses:
        place = SandboxPlace(world, addresses, time)

        def until_done(step: Callable[[], Any]) -> Any:
            for _ in range(8):
                try:
                    return step()
                except TemporaryError as pause:
                    time.sleep((pause.retry_after or timedelta(seconds=1)).total_seconds())
            raise AssertionError("it never worked")

        for upn in (PEOPLE.plain, "farid@contoso.com", "quinn@contoso.com", PEOPLE.apostrophe):
            account = until_done(partial(place.directory.find, "contoso", upn))
            password = new_password()
            until_done(partial(place.directory.remove_methods, "contoso", account.id))
            until_done(partial(place.directory.set_password, "contoso", account.id, password))
            until_done(partial(place.directory.revoke_sessions, "contoso", account.id))
            assert place.method_count(upn) == 0
            assert place.opens(upn, password)
            assert place.signed_out(upn)
        assert any(exchange.fault for exchange in world.record.exchanges)  # the days were bad
