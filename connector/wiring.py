"""The composition root: the only file that knows every part, and finds the adapters by kind.

Nothing here talks to another system: an outfit can be built, and the configuration checked, without a network. What
only a running service needs is imported where it is used: `connector check --offline` answers within a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, cast
from zoneinfo import ZoneInfo

from connector.adapter import Surroundings
from connector.config import ConnectorSettings, LinksSection, Place
from connector.core.brake import Limits
from connector.core.case import Case, fold
from connector.core.notice import NotifySubject
from connector.core.ports import Capabilities, Clock, DryRun, LinkService, Mailer, Psa
from connector.core.steps import Policy
from connector.errors import ConfigError
from connector.graph.facade import GraphDirectory
from connector.mail.render import Brand, Renderer
from connector.passwords import new_password
from connector.secretlink.fitness import Wanted
from connector.secretlink.fitness import problems as problems_of
from connector.telemetry import report

if TYPE_CHECKING:
    from connector.intake import Polls
    from connector.reconciler import Reconciler
    from connector.rehearsal import Rehearsal
    from connector.runner import Runner
    from connector.store import SqlCaseStore


class SendingMailer(Mailer, Protocol):
    """A mailer that knows whom its mails come from: Message-IDs need the domain, the guard the addresses."""

    @property
    def sender_domain(self) -> str: ...

    @property
    def own_addresses(self) -> frozenset[str]: ...


def present() -> datetime:
    """The clock of the real world."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Adapters:
    """Everything outside, ready to be talked to."""

    psas: Mapping[str, Psa]
    directory: GraphDirectory
    links: LinkService
    mailer: SendingMailer
    letters: Renderer


@dataclass(frozen=True)
class Outfit:
    """One connector, put together."""

    settings: ConnectorSettings
    adapters: Adapters
    store: SqlCaseStore
    reconciler: Reconciler
    polls: Polls
    clock: Clock

    def rehearsal(self, **how: Any) -> Rehearsal:
        """For `connector rehearse`; `how` as `Rehearsal` takes it (`progress`, `sleep`)."""
        from connector.rehearsal import Rehearsal

        senders = self.adapters.mailer.own_addresses
        return Rehearsal(
            directory=self.adapters.directory,
            policy_for=policies(self.settings, senders=senders),
            limits=limits_of(self.settings),
            **how,
        )

    def runner(self) -> Runner:
        from connector.runner import Runner

        return Runner(
            store=self.store,
            psas=self.adapters.psas,
            links=self.adapters.links,
            polls=self.polls,
            reconciler=self.reconciler,
            clock=self.clock,
            workers=self.settings.workers,
            counts=self.store.counts,
        )


def build_adapters(settings: ConnectorSettings, place: Place, *, clock: Clock = present) -> Adapters:
    """Build every adapter of a configuration.

    Raises:
        ConfigError: With every problem of every section.
    """
    surroundings = Surroundings(
        place=place, http=settings.http, clock=clock, graph=settings.graph, tenants=settings.tenants
    )
    problems: list[str] = []

    def attempt(build: Callable[[], Any]) -> Any:
        try:
            return build()
        except ConfigError as failure:
            problems.extend(failure.problems)
            return None

    psas = {
        name: attempt(partial(_adapter, "psa", name, f"psa.{name}", section, surroundings))
        for name, section in settings.psa.items()
    }
    links_section = {"kind": settings.links.kind, **settings.links.rest}
    links = attempt(lambda: _adapter("links", "links", "links", links_section, surroundings))
    if links is not None:
        problems.extend(unfit_links(settings, links.capabilities))
    mailer = attempt(lambda: _adapter("mail", "mail", "mail", {"kind": "smtp", **settings.mail}, surroundings))
    directory = attempt(
        lambda: GraphDirectory.from_settings(settings.graph, settings.tenants, surroundings, keep=settings.mfa.keep)
    )
    brand = attempt(lambda: brand_of(settings))
    if problems:
        raise ConfigError(problems)
    sender = cast(SendingMailer, mailer)
    return Adapters(
        psas=psas,
        directory=directory,
        links=links,
        mailer=sender,
        letters=Renderer(
            brand,
            zone=lambda tenant: ZoneInfo(zone_of(settings, tenant)),
            sender_domain=sender.sender_domain,
            own_page=settings.links.kind == "builtin",
        ),
    )


def assemble(settings: ConnectorSettings, place: Place, *, clock: Clock = present, dry_run: bool = False) -> Outfit:
    """Put a connector together. Its database is brought up to date by `connector.migrations.upgrade` before.

    Args:
        dry_run: Whatever the mappings say, nothing is changed outside.

    Raises:
        ConfigError: With every problem.
    """
    from connector.intake import Polls
    from connector.reconciler import Reconciler
    from connector.store import open_store

    adapters = build_adapters(settings, place, clock=clock)
    store = open_store(settings.database)
    polls = Polls(store=store, links=adapters.links, clock=clock, every=settings.poll_every)
    reconciler = Reconciler(
        store=store,
        psas=adapters.psas,
        directory=adapters.directory,
        links=adapters.links,
        letters=adapters.letters,
        mailer=adapters.mailer,
        limits=limits_of(settings),
        policy_for=policies(settings, senders=adapters.mailer.own_addresses, dry_run=dry_run),
        link_events=polls.read_links_now,
        new_password=partial(new_password, settings.passwords.policy),
        clock=clock,
        zone_name=lambda tenant: zone_of(settings, tenant),
        report_bug=_report_bug,
    )
    return Outfit(settings, adapters, store, reconciler, polls, clock)


def limits_of(settings: ConnectorSettings) -> Limits:
    """The brake's limits."""
    return Limits(
        per_subject=settings.brake.per_subject,
        per_requester=settings.brake.per_requester,
        per_approver=settings.brake.per_approver,
        per_tenant=settings.brake.per_tenant,
        overall=settings.brake.overall,
    )


def policies(
    settings: ConnectorSettings, *, senders: frozenset[str], dry_run: bool = False
) -> Callable[[Psa, str], Policy]:
    """Which rules apply to a client of a PSA.

    Args:
        senders: Folded addresses of the accounts that our mails come from.
        dry_run: Nothing is changed outside; a mapping decides only whether notes say so.
    """
    tenants = {
        (psa, client): name
        for name, section in settings.tenants.items()
        for psa, clients in section.clients.items()
        for client in clients
        if client.strip()  # a ticket without a customer has the empty id, and belongs to nobody
    }

    def policy_for(psa: Psa, client_id: str) -> Policy:
        tenant = tenants.get((psa.name, client_id), "")
        listed = frozenset(fold(address) for address in settings.tenants[tenant].approvers) if tenant else frozenset()
        links = links_of(settings, tenant)
        return Policy(
            tenant=tenant,
            approvers=listed if psa.rules.approvers_listed else None,
            timing=psa.rules.timing,
            lifetime=links.lifetime,
            views=links.views,
            link_mode=links.mode,
            human_check=links.human_check,
            locale=links.locale,
            alarm_lifetime=links.not_me_lifetime,
            zone=ZoneInfo(zone_of(settings, tenant)),
            senders=senders,
            minimum=psa.rules.approvers_minimum,
            pair_rule=settings.pair_rule,
            notify_subject=notify_subject_of(settings, tenant),
            public_notes=psa.rules.public_notes,
            dry_run=_dry(psa.rules.dry_run) if dry_run else psa.rules.dry_run,
            everything_is_dry=dry_run,
        )

    return policy_for


def _dry(mapped: DryRun) -> DryRun:
    return DryRun.SILENT if mapped is DryRun.OFF else mapped


def links_of(settings: ConnectorSettings, tenant: str) -> LinksSection:
    """What applies to the links of a tenant: the top-level `links`, with what the tenant has of its own over it."""
    section = settings.tenants.get(tenant)
    return settings.links.model_copy(update=section.links.model_dump(exclude_none=True) if section else {})


def unfit_links(settings: ConnectorSettings, can: Capabilities) -> list[str]:
    """What the configuration wants of links that their service cannot do, each where it is written."""
    top = settings.links
    wanted = [
        Wanted(where="links", views=top.views, lifetime=top.lifetime, mode=top.mode, human_check=top.human_check),
        *(
            Wanted(where=f"tenants.{name}.links", mode=section.links.mode, human_check=section.links.human_check)
            for name, section in settings.tenants.items()
        ),
    ]
    return list(problems_of(top.kind, can, wanted))


def notify_subject_of(settings: ConnectorSettings, tenant: str) -> NotifySubject:
    """How the owners of a tenant's accounts are told of a reset."""
    section = settings.tenants.get(tenant)
    own = section.notify_subject if section else None
    return settings.notify_subject if own is None else own


def zone_of(settings: ConnectorSettings, tenant: str) -> str:
    """The IANA name of the zone in which people of a tenant read times."""
    section = settings.tenants.get(tenant)
    return (section.time_zone if section else None) or settings.support.time_zone


def brand_of(settings: ConnectorSettings) -> Brand:
    """How the MSP shows itself.

    Raises:
        ConfigError: Something of `support` cannot be used.
    """
    support = settings.support
    try:
        return Brand(name=support.name, phone=support.phone, url=support.url, colour=support.colour)
    except ValueError as failure:
        raise ConfigError(f"support: {failure}. Correct it.") from None


def _adapter(group: str, name: str, where: str, section: Mapping[str, object], surroundings: Surroundings) -> Any:
    kind = section.get("kind")
    known = entry_points(group=f"connector.{group}")
    if not kind:
        raise ConfigError(f"{where}.kind: missing. Known kinds: {', '.join(sorted(known.names))}.")
    if kind not in known.names:
        raise ConfigError(f"{where}.kind: {kind!r} is not known. Known kinds: {', '.join(sorted(known.names))}.")
    return known[str(kind)].load().from_config(name, section, surroundings)


def _report_bug(error: BaseException, case: Case) -> None:
    report(error, state=case.state.value, psa=case.psa)
