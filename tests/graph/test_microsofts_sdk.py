"""Microsoft's own `msgraph-sdk` against the imitated Graph: it reads, writes and deletes there as it would at the real
one, and sees the same accounts as our adapter does.

The SDK is generated from Microsoft's description of Graph, so it is a second opinion on both sides: on the imitation,
which must answer in a form that the SDK can read, and on our client, whose addresses must be those of the SDK.
Afterwards every exchange is held against Microsoft's published description, where that lies beside the project.
"""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
import pytest
import requests

from connector.config import GraphSection
from connector.core.case import fold
from connector.core.ports import Account
from connector.core.secret import Secret
from connector.errors import NoSuchAccount, PermanentError
from connector.graph.client import GraphClient
from connector.graph.credential import read_credential
from connector.graph.methods import KINDS, Method, read_methods
from connector.graph.signin import SignIn
from connector.http import Http
from connector.passwords import new_password
from sandbox.server import Addresses, running
from sandbox.world import World
from tests.contract_check import check_all, load_spec
from tests.graph.test_against_sandbox import PEOPLE, SandboxPlace
from tests.graph.ticking import Ticking

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # its base library warns about itself when it is imported
    from kiota_abstractions.authentication import (
        AccessTokenProvider,
        AllowedHostsValidator,
        BaseBearerTokenAuthenticationProvider,
    )
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from msgraph import GraphServiceClient
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError
    from msgraph.generated.models.password_profile import PasswordProfile
    from msgraph.generated.models.user import User
    from msgraph.generated.users.item.check_member_groups.check_member_groups_post_request_body import (
        CheckMemberGroupsPostRequestBody,
    )
    from msgraph.generated.users.item.user_item_request_builder import UserItemRequestBuilder
    from msgraph.generated.users.users_request_builder import UsersRequestBuilder
    from msgraph.graph_request_adapter import GraphRequestAdapter
    from msgraph_core import GraphClientFactory

# Each of its request builders warns about a name that it defines itself for older callers.
pytestmark = pytest.mark.filterwarnings("ignore:This class is deprecated:DeprecationWarning")

T = TypeVar("T")
SELECTED = [
    "id", "userPrincipalName", "displayName", "accountEnabled", "userType", "onPremisesSyncEnabled", "mail",
    "otherMails", "proxyAddresses", "isManagementRestricted", "lastPasswordChangeDateTime",
    "signInSessionsValidFromDateTime",
]  # fmt: skip
KNOWN = (
    PEOPLE.plain, PEOPLE.apostrophe, PEOPLE.plus, PEOPLE.disabled, PEOPLE.guest, PEOPLE.synchronised, PEOPLE.federated,
    PEOPLE.admin, PEOPLE.role_group_member, PEOPLE.role_group_owner, PEOPLE.protected_user,
)  # fmt: skip
WITH_METHODS = ("dana@contoso.com", "farid@contoso.com", "quinn@contoso.com", "sam@contoso.com", "zoe@contoso.com")


class GivenToken(AccessTokenProvider):
    """A token that is there already, for addresses on this machine only."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    async def get_authorization_token(self, uri: str, additional_authentication_context: Any = None) -> str:
        assert self.get_allowed_hosts_validator().is_url_host_valid(uri)
        return self._token.reveal()

    def get_allowed_hosts_validator(self) -> AllowedHostsValidator:
        return AllowedHostsValidator(["127.0.0.1", "localhost"])


class Judge:
    """The SDK in front of the sandbox's Graph, and our adapter beside it."""

    def __init__(self, place: SandboxPlace) -> None:
        self.place = place
        self.tenant = place.world.directory.tenants["contoso"]
        self._token = self._sign_in()
        self._client = self._our_client()

    def _our_client(self) -> GraphClient:
        known, addresses = self.place.world.credentials, self.place.addresses
        app = GraphSection(
            client_id=known.graph_client_id,
            client_secret=Secret(known.graph_client_secret),
            authority=addresses.authority,
            url=addresses.graph,
        )

        def http(system: str) -> Http:
            return Http(system=system, scope="tenant.contoso", ca_bundle=str(addresses.ca_bundle), refuse_sandbox=False)

        sign_in = SignIn(tenant="contoso", tenant_id=self.tenant.id, settings=app, credential=read_credential(app),
                         http=http("Microsoft sign-in"), clock=self.place.time.clock)  # fmt: skip
        return GraphClient(url=app.url, sign_in=sign_in, http=http("Microsoft Graph"))

    def _sign_in(self) -> Secret:
        known = self.place.world.credentials
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                f"{self.place.addresses.authority}/{self.tenant.id}/oauth2/v2.0/token",
                data={
                    "grant_type": "client_credentials",
                    "client_id": known.graph_client_id,
                    "client_secret": known.graph_client_secret,
                    "scope": f"{self.place.addresses.graph}/.default",
                },
                verify=str(self.place.addresses.ca_bundle),
                timeout=10,
            )
        return Secret(answer.json()["access_token"])

    def ask(self, question: Callable[[GraphServiceClient], Awaitable[T]]) -> T:
        """What the SDK answers."""

        async def asking() -> T:
            transport = httpx.AsyncHTTPTransport()
            inner = httpx.AsyncClient(transport=transport, trust_env=False, timeout=30)
            try:
                client = GraphClientFactory.create_with_default_middleware(client=inner)
                adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(GivenToken(self._token)), client)
                adapter.base_url = f"{self.place.addresses.graph}/v1.0"
                return await question(GraphServiceClient(request_adapter=adapter))
            finally:
                await transport.aclose()  # the SDK wraps it and does not pass the closing on

        return asyncio.run(asking())

    def refusal(self, question: Callable[[GraphServiceClient], Awaitable[object]]) -> tuple[int, str]:
        """Status and code of Graph's refusal, as the SDK reads them."""
        with pytest.raises(ODataError) as refused:
            self.ask(question)
        failure = refused.value
        assert failure.error is not None
        assert failure.error.message
        return failure.response_status_code, failure.error.code

    def id_of(self, upn: str) -> str:
        wanted = fold(upn)
        [found] = [
            id_
            for id_, known in self.tenant.accounts.items()
            if wanted in (fold(known.upn), fold(known.properties.get("mail") or ""))
        ]
        return found

    def user(self, upn: str) -> User:
        wanted = UserItemRequestBuilder.UserItemRequestBuilderGetQueryParameters(select=SELECTED)
        configuration = RequestConfiguration(query_parameters=wanted)
        found = self.ask(lambda graph: graph.users.by_user_id(self.id_of(upn)).get(configuration))
        assert found is not None
        return found

    def account(self, upn: str) -> Account:
        return self.place.directory.read("contoso", self.id_of(upn))

    def sdk_methods(self, upn: str) -> set[tuple[str, str]]:
        """Type and id of each method, by the SDK."""
        rows = self.ask(lambda graph: graph.users.by_user_id(self.id_of(upn)).authentication.methods.get())
        assert rows is not None
        return {(str(row.odata_type), str(row.id)) for row in rows.value or []}

    def our_methods(self, upn: str) -> list[Method]:
        """What our client lists, read by our reader."""
        return read_methods(self._client.call("GET", f"/users/{self.id_of(upn)}/authentication/methods").body)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[World, Addresses, Ticking]]:
    time = Ticking()
    world = World(gentle=True, now=time.clock)
    with running(world) as addresses:
        yield world, addresses, time


@pytest.fixture
def judge(servers: tuple[World, Addresses, Ticking]) -> Iterator[Judge]:
    world, addresses, time = servers
    with requests.Session() as session:
        session.trust_env = False
        session.post(f"{addresses.control}/control/reset", timeout=10)
    judge = Judge(SandboxPlace(world, addresses, time))
    yield judge
    exchanges = [one for one in judge.place.control("GET", "exchanges") if one["system"] == "graph"]
    try:
        spec = load_spec("graph")
    except FileNotFoundError:
        return  # said, and refused under REQUIRE_ALL, beside the adapter's own tests
    assert check_all({"graph": spec}, exchanges) == []


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("upn", KNOWN)
def test_an_account_is_the_same_to_both(judge: Judge, upn: str) -> None:
    user, account = judge.user(upn), judge.account(upn)
    assert (user.id, user.user_principal_name, user.display_name) == (account.id, account.upn, account.display_name)
    assert user.account_enabled is account.enabled
    assert bool(user.on_premises_sync_enabled) is account.synchronised
    assert bool(user.is_management_restricted) is account.restricted
    assert user.last_password_change_date_time == account.password_set_at
    assert user.sign_in_sessions_valid_from_date_time == account.sessions_valid_from
    if user.user_type == "Guest":
        assert account.guest
    sdk_addresses = {user.user_principal_name, user.mail, *(user.other_mails or [])} | {
        address.partition(":")[2] for address in user.proxy_addresses or []
    }
    assert {fold(address) for address in sdk_addresses if address} <= account.addresses


@pytest.mark.parametrize("upn", [PEOPLE.plain, PEOPLE.apostrophe, PEOPLE.plus])
def test_an_address_is_resolved_to_the_same_account(judge: Judge, upn: str) -> None:
    wanted = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(
        filter=f"userPrincipalName eq '{upn.replace(chr(39), chr(39) * 2)}'", select=["id"], top=5
    )
    found = judge.ask(lambda graph: graph.users.get(RequestConfiguration(query_parameters=wanted)))
    assert found is not None
    assert [user.id for user in found.value or []] == [judge.place.directory.find("contoso", upn).id]


def test_nobody_is_nobody_to_both(judge: Judge) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    assert judge.refusal(lambda graph: graph.users.by_user_id(nobody).get()) == (404, "Request_ResourceNotFound")
    with pytest.raises(NoSuchAccount):
        judge.place.directory.read("contoso", nobody)


@pytest.mark.parametrize("upn", [PEOPLE.plain, PEOPLE.admin, PEOPLE.role_group_member])
def test_roles_are_the_same_to_both(judge: Judge, upn: str) -> None:
    user = judge.id_of(upn)
    roles = judge.ask(lambda graph: graph.users.by_user_id(user).transitive_member_of.graph_directory_role.get())
    assert roles is not None
    # Without a permission to read roles their names come back empty, and our adapter calls them by what it has.
    named = [
        role.display_name or f"administrator role {role.role_template_id or role.id}" for role in roles.value or []
    ]
    assert sorted(named) == sorted(judge.account(upn).admin_roles)


def test_somebody_has_a_role_so_that_the_comparison_means_something(judge: Judge) -> None:
    assert judge.account(PEOPLE.admin).admin_roles


def test_protected_groups_are_the_same_to_both(judge: Judge) -> None:
    protected = next(group.id for group in judge.tenant.groups.values() if group.name == "Do not reset")

    def held(upn: str) -> bool:
        body = CheckMemberGroupsPostRequestBody(group_ids=[protected])
        user = judge.id_of(upn)
        answer = judge.ask(lambda graph: graph.users.by_user_id(user).check_member_groups.post(body))
        assert answer is not None
        return answer.value == [protected]

    for upn, expected in ((PEOPLE.protected_group_member, True), (PEOPLE.plain, False)):
        assert held(upn) is expected
        assert bool(judge.account(upn).protected_by) is expected


def test_domains_are_the_same_in_both_places_and_to_both(judge: Judge) -> None:
    domains = judge.ask(lambda graph: graph.domains.get())
    organization = judge.ask(lambda graph: graph.organization.get())
    assert domains is not None
    assert organization is not None
    verified = {str(one.id): one.authentication_type for one in domains.value or [] if one.is_verified}
    [home] = organization.value or []
    assert home.id == judge.tenant.id
    assert {str(one.name): one.type for one in home.verified_domains or []} == verified
    for upn in (PEOPLE.plain, PEOPLE.federated):
        account = judge.account(upn)
        assert account.domain_verified
        assert account.federated is (verified[upn.rpartition("@")[2]] == "Federated")


# ---------------------------------------------------------------- writing


def test_a_password_that_the_sdk_sets_opens_and_our_adapter_sees_when(judge: Judge) -> None:
    password, upn = new_password(), PEOPLE.plain
    before = judge.account(upn).password_set_at
    judge.place.time.sleep(5)
    profile = PasswordProfile(password=password.reveal(), force_change_password_next_sign_in=True)
    user = judge.id_of(upn)
    judge.ask(lambda graph: graph.users.by_user_id(user).patch(User(password_profile=profile)))
    assert judge.place.opens(upn, password)
    assert judge.place.must_change(upn)
    after = judge.account(upn).password_set_at
    assert after is not None
    assert before is None or after > before


def test_a_password_that_our_adapter_sets_is_seen_by_the_sdk(judge: Judge) -> None:
    upn = PEOPLE.plain
    before = judge.user(upn).last_password_change_date_time
    judge.place.time.sleep(5)
    judge.place.directory.set_password("contoso", judge.id_of(upn), new_password())
    after = judge.user(upn).last_password_change_date_time
    assert after is not None
    assert after != before
    assert abs(after - judge.place.time.clock()) < timedelta(seconds=5)


def test_a_synchronised_account_is_refused_to_both_and_nothing_has_changed(judge: Judge) -> None:
    upn = PEOPLE.synchronised
    profile = PasswordProfile(password=new_password().reveal(), force_change_password_next_sign_in=True)
    user = judge.id_of(upn)
    refused = judge.refusal(lambda graph: graph.users.by_user_id(user).patch(User(password_profile=profile)))
    assert refused == (400, "Request_BadRequest")
    with pytest.raises(PermanentError, match="synchronised"):
        judge.place.directory.set_password("contoso", user, new_password())
    assert not judge.place.changed(upn)


def test_sessions_that_the_sdk_ends_are_ended_for_our_adapter_too(judge: Judge) -> None:
    upn = PEOPLE.plain
    user = judge.id_of(upn)
    judge.place.time.sleep(5)
    answer = judge.ask(lambda graph: graph.users.by_user_id(user).revoke_sign_in_sessions.post())
    assert answer is not None
    assert answer.value is True
    assert judge.place.signed_out(upn)
    since = judge.account(upn).sessions_valid_from
    assert since is not None
    assert abs(since - judge.place.time.clock()) < timedelta(seconds=5)
    assert judge.user(upn).sign_in_sessions_valid_from_date_time == since


# ---------------------------------------------------------------- sign-in methods


@pytest.mark.parametrize("upn", WITH_METHODS)
def test_the_methods_of_an_account_are_the_same_to_both(judge: Judge, upn: str) -> None:
    ours = {(f"#microsoft.graph.{method.type_name}", method.id) for method in judge.our_methods(upn)}
    assert ours == judge.sdk_methods(upn)


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def by_id(graph: GraphServiceClient, user: str, type_name: str, method_id: str) -> Any:
    """The SDK's builder for one method of this type."""
    collection = getattr(graph.users.by_user_id(user).authentication, snake(KINDS[type_name].segment))
    return getattr(collection, f"by_{snake(type_name)}_id")(method_id)


# Learn puts the QR code PIN into v1.0, Microsoft's metadata, and so the SDK, does not; see `connector.graph.methods`.
TYPED = sorted(name for name, kind in KINDS.items() if kind.version == "v1.0" and kind.has_id)


@pytest.mark.parametrize("type_name", TYPED)
def test_each_kind_is_removed_at_the_address_that_the_sdk_uses(judge: Judge, type_name: str) -> None:
    user = judge.id_of(PEOPLE.plain)

    async def address(graph: GraphServiceClient) -> str:
        return str(by_id(graph, user, type_name, "an-id").to_delete_request_information().url)

    ours = Method(key="", kind="", type_name=type_name, id="an-id").path
    assert judge.ask(address) == f"/users/{user}/authentication/{ours}"


def test_the_sdk_knows_no_address_for_the_kinds_that_we_try_elsewhere(judge: Judge) -> None:
    user = judge.id_of(PEOPLE.plain)

    async def known(graph: GraphServiceClient) -> list[str]:
        builder = graph.users.by_user_id(user).authentication
        return [name for name in KINDS if name not in TYPED and hasattr(builder, snake(KINDS[name].segment))]

    assert judge.ask(known) == [], "then Method and its tests want another look"


def test_what_the_sdk_removes_is_gone_for_our_adapter(judge: Judge) -> None:
    upn, user = "farid@contoso.com", judge.id_of("farid@contoso.com")
    gone = next(method for method in judge.our_methods(upn) if method.type_name == "fido2AuthenticationMethod")
    judge.ask(lambda graph: by_id(graph, user, gone.type_name, gone.id).delete())
    assert gone.key not in {method.key for method in judge.our_methods(upn)}
    judge.place.time.sleep(11)  # Microsoft's window: five calls in ten seconds
    report = judge.place.directory.remove_methods("contoso", user)
    assert "fido2" not in report.removed
    assert report.left == ()


def test_what_our_adapter_removes_is_gone_for_the_sdk(judge: Judge) -> None:
    upn = "farid@contoso.com"
    assert len(judge.sdk_methods(upn)) > 5
    judge.place.time.sleep(11)
    judge.place.directory.remove_methods("contoso", judge.id_of(upn))
    judge.place.time.sleep(11)
    assert {kind for kind, _ in judge.sdk_methods(upn)} == {"#microsoft.graph.passwordAuthenticationMethod"}


def test_the_default_method_is_refused_to_the_sdk_while_others_are_there(judge: Judge) -> None:
    upn, user = "farid@contoso.com", judge.id_of("farid@contoso.com")
    default = judge.tenant.accounts[user].default_method
    [method] = [method for method in judge.our_methods(upn) if method.id == default]
    refused = judge.refusal(lambda graph: by_id(graph, user, method.type_name, method.id).delete())
    assert refused == (400, "badRequest")
    assert method.key in {left.key for left in judge.our_methods(upn)}
    assert not judge.place.changed(upn)


def test_the_sdk_reads_dates_that_are_dates(judge: Judge) -> None:
    made = judge.user(PEOPLE.plain).sign_in_sessions_valid_from_date_time
    assert isinstance(made, datetime)
    assert made.astimezone(UTC) == made
