"""Puts together what reads access tokens."""

from contextlib import AsyncExitStack
from datetime import timedelta

from penelope.adapters.identity.trust import Role, Terms, TokenObserver, Trust
from penelope.flow.keys import TokenReader
from penelope.kit.clock import Clock
from penelope.settings.tokens import Issuer, Tokens


def tokens_of(
    stack: AsyncExitStack, settings: Tokens, clock: Clock, observer: TokenObserver
) -> TokenReader | None:
    """What reads tokens until the stack is unwound; None where no issuer is trusted. Asks no issuer anything yet."""
    if not settings.issuers:
        return None
    from penelope.adapters.identity.tokens import AccessTokens  # noqa: PLC0415 - 50 ms of every start, for some

    tokens = AccessTokens(
        [_trust(name, issuer) for name, issuer in settings.issuers.items()],
        Terms(
            leeway=timedelta(seconds=settings.leeway_seconds),
            fresh=timedelta(seconds=settings.keys_seconds),
            kept=timedelta(seconds=settings.keys_kept_seconds),
            pause=timedelta(seconds=settings.pause_seconds),
            timeout_seconds=settings.timeout_seconds,
        ),
        clock,
        observer,
    )
    stack.push_async_callback(tokens.close)
    return tokens


def _trust(name: str, issuer: Issuer) -> Trust:
    return Trust(
        name=name,
        issuer=issuer.issuer,
        audience=issuer.audience,
        algorithms=frozenset(issuer.algorithms),
        types=frozenset(issuer.types),
        actor_claim=issuer.actor_claim,
        groups_claim=issuer.groups_claim,
        scopes={group: frozenset(scopes) for group, scopes in issuer.scopes.items()},
        roles={group: Role(role=each.role, region=each.region) for group, each in issuer.roles.items()},
        agents=frozenset(issuer.agents),
        key_hosts=frozenset(issuer.key_hosts),
        ca="" if issuer.ca_file is None else str(issuer.ca_file),
    )
