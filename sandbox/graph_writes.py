"""Writing in the imitated Graph: the password and the sessions."""

from __future__ import annotations

from sandbox.directory import Account, Password, Tenant, complies_with_policy, graph_time
from sandbox.graph_call import CONTEXT, Call, GraphError, Handler, Reply, account_of
from sandbox.world import World

SYNCED = (
    "Unable to update the specified properties for on-premises mastered Directory Sync objects or objects currently"
    " undergoing migration."
)
TOO_SIMPLE = (
    "The specified password does not comply with password complexity requirements. Please provide a different password."
)


class Writes:
    """The handlers that change an account."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self, user: str) -> list[tuple[str, str, Handler]]:
        return [
            ("PATCH", user, self.patch_user),
            ("POST", rf"{user}/(?:microsoft\.graph\.)?revokeSignInSessions", self.revoke_sessions),
        ]

    def patch_user(self, call: Call, user: str) -> Reply:
        """Set the password; other properties need permissions that a reset does not."""
        # Microsoft's own SDK sends `@odata.type` along.
        body = {name: value for name, value in call.object_body().items() if not name.startswith("@odata.")}
        if set(body) != {"passwordProfile"}:
            call.require("User.ReadWrite.All", "Directory.ReadWrite.All")
            raise GraphError(400, "Request_BadRequest", "The sandbox updates nothing but passwordProfile.")
        call.require("User-PasswordProfile.ReadWrite.All")
        account = account_of(call, user)
        profile = body["passwordProfile"]
        if not isinstance(profile, dict):
            raise GraphError(400, "Request_BadRequest", "Invalid value specified for property 'passwordProfile'.")
        self.require_reachable(call, account)
        self._refuse_foreign_passwords(call.tenant, account)
        password = profile.get("password")
        if password is not None:
            if not isinstance(password, str) or not complies_with_policy(password, tenant=call.tenant):
                raise GraphError(400, "Request_BadRequest", TOO_SIMPLE)
            account.password = Password(password)
            account.password_set_at = self.world.now()
            changed_at = graph_time(self.world.microsofts_now())
            account.write("lastPasswordChangeDateTime", changed_at, shown_from=self.world.shown_from())
            account.writes.append("password")
        # A password without the flag must be changed too. Source: learn.microsoft.com passwordProfile, read 2026-11-22.
        account.must_change = bool(
            profile.get("forceChangePasswordNextSignIn", password is not None)
            or profile.get("forceChangePasswordNextSignInWithMfa", False)
        )
        return Reply(204)

    def require_reachable(self, call: Call, account: Account) -> None:
        if not call.tenant.may_be_reset(account, call.caller.enrolment):
            raise GraphError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")

    def _refuse_foreign_passwords(self, tenant: Tenant, account: Account) -> None:
        """The password does not live here. The texts for federated users and guests are not documented: ours."""
        if account.properties.get("onPremisesSyncEnabled"):
            raise GraphError(400, "Request_BadRequest", SYNCED)
        if tenant.is_federated(account):
            raise GraphError(400, "Request_BadRequest", "Unable to set a password for users of a federated domain.")
        if account.properties.get("creationType") == "Invitation":
            raise GraphError(400, "Request_BadRequest", "Unable to set a password for users of another directory.")

    def revoke_sessions(self, call: Call, user: str) -> Reply:
        call.require("User.RevokeSessions.All", "User.ReadWrite.All", "Directory.ReadWrite.All")
        account = account_of(call, user)
        self.require_reachable(call, account)
        account.sessions_revoked_at = self.world.now()
        valid_from = graph_time(self.world.microsofts_now())
        account.write("signInSessionsValidFromDateTime", valid_from, shown_from=self.world.shown_from())
        account.writes.append("revoke")
        return Reply(200, {"@odata.context": f"{CONTEXT}Edm.Boolean", "value": True})
