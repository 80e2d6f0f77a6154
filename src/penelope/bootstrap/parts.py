"""Puts together what the story works with."""

from contextlib import AsyncExitStack

from penelope.adapters.actions.guarded import Guarded
from penelope.adapters.actions.installed import Surroundings, installed, operations
from penelope.adapters.catalogue.load import load_services
from penelope.adapters.changes.by_adapter import Changes
from penelope.adapters.metrics.guarded import counter_of
from penelope.adapters.metrics.scrape import ScrapedMetrics
from penelope.adapters.playbooks.load import load as load_playbooks
from penelope.adapters.policy.load import load_expressions
from penelope.adapters.policy.rego import load_rego
from penelope.adapters.probes.installed import probers
from penelope.adapters.routers.known import all_routers
from penelope.adapters.scanners.scan import ThoroughScanner
from penelope.bootstrap.autonomy import policy_of
from penelope.bootstrap.background import background
from penelope.bootstrap.benchmarks import benching_of
from penelope.bootstrap.brakes import brake_rules, brakes_of
from penelope.bootstrap.constitution import constitution_of
from penelope.bootstrap.resting import calendars_of
from penelope.bootstrap.secrets import secrets_of
from penelope.bootstrap.twin import twin_of
from penelope.bootstrap.words import asking_of, expect_voters
from penelope.domain.action import Tier
from penelope.flow.parts import Parts, Timing
from penelope.kit.clock import Clock
from penelope.rooms.decide.run import Limits as DecideLimits
from penelope.rooms.decide.survival import Waiting
from penelope.rooms.gate.approval import ApprovalRule
from penelope.rooms.gate.autonomy import AutonomyRule
from penelope.rooms.gate.dependency import Dependency
from penelope.rooms.gate.policy import PolicyRule
from penelope.rooms.gate.ports import Calendars
from penelope.rooms.gate.rest import Rest
from penelope.rooms.gate.rules import Rule
from penelope.rooms.gate.scanner import ScannerRule
from penelope.settings import Settings


async def parts_of(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Parts:
    """Raises BadSettings, InvalidCatalogue or InvalidPlaybook before anything is started."""
    services = load_services(settings.catalogue.path)
    playbooks = load_playbooks(settings.playbooks.paths, settings.playbooks.shipped, operations())
    metrics = ScrapedMetrics(
        services,
        interval_seconds=settings.metrics.interval_seconds,
        timeout_seconds=settings.metrics.timeout_seconds,
        retention_seconds=settings.metrics.retention_seconds,
        clock=clock,
    )
    stack.push_async_callback(metrics.close)
    await background(stack, metrics.run())
    routers = all_routers()
    secrets = secrets_of(settings.secrets)
    surroundings = Surroundings(services=services, routers=routers, keep=settings.act.keep)
    return Parts(
        services=services,
        playbooks=playbooks,
        metrics=metrics,
        changes=Changes(),
        adapters={name: Guarded(kind.made(surroundings), secrets) for name, kind in installed().items()},
        routers=routers,
        clock=clock,
        decide=DecideLimits(
            **settings.decide.model_dump(),
            waiting=Waiting(**settings.waiting.model_dump()),
            constitution=constitution_of(settings.constitution),
        ),
        gate=rules_of(settings, await calendars_of(stack, settings, services, clock)),
        timing=Timing(
            window_seconds=settings.metrics.window_seconds,
            verify_poll_seconds=settings.verify.poll_seconds,
            approval_expires_seconds=settings.approval.expires_seconds,
            heartbeat_seconds=settings.act.heartbeat_seconds,
        ),
        autonomy=policy_of(settings.autonomy, services, [item.name for item in playbooks.playbooks()]),
        brakes=brakes_of(settings),
        asking=asking_of(settings),
        probers=probers(services.values(), metrics),
        benching=benching_of(settings.benchmark),
        twin=twin_of(settings.twin, secrets),
        counter=counter_of(clock, settings.metrics.timeout_seconds),
    )


def rules_of(settings: Settings, calendars: Calendars) -> tuple[Rule, ...]:
    """In the order in which they speak; the first refusal ends it. Raises BadSettings, InvalidPolicy."""
    rules = (
        *brake_rules(settings),
        Rest(calendars=calendars, cooldown_seconds=settings.rest.cooldown_seconds),
        PolicyRule(name="policy", policies=load_expressions(settings.policy.paths)),
        PolicyRule(name="rego", policies=load_rego(settings.policy.rego)),
        ScannerRule(
            scanner=ThoroughScanner(settings.scanner.seconds), ask_on_warning=settings.scanner.ask_on_warning
        ),
        Dependency(**settings.dependency.model_dump()),
        AutonomyRule(low_risk=settings.autonomy.low_risk),
        ApprovalRule(tier=Tier(settings.gate.approval_tier), asking=asking_of(settings)),
    )
    expect_voters(settings, {rule.name for rule in rules})
    return rules
