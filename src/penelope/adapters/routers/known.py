"""Every router there is, by the kind that a catalogue names."""

from penelope.adapters.routers.gateway import GatewayRouter
from penelope.adapters.routers.istio import IstioRouter
from penelope.adapters.routers.linkerd import LinkerdPolicyRouter, LinkerdRouter
from penelope.adapters.routers.noop import NoopRouter
from penelope.adapters.routers.traefik import TraefikRouter
from penelope.adapters.routers.traefik_http import KIND, TraefikHttpRouter
from penelope.rooms.rollout.ports import Router


def all_routers() -> dict[str, Router]:
    """One of each kind; they keep nothing but what the no-op one remembers."""
    return {
        "gateway": GatewayRouter(),
        "istio": IstioRouter(),
        "linkerd": LinkerdRouter(),
        "linkerd_policy": LinkerdPolicyRouter(),
        "noop": NoopRouter(),
        "traefik": TraefikRouter(),
        KIND: TraefikHttpRouter(),
    }
