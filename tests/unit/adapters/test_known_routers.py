"""Every router and every source of counts is on its page, and a catalogue can name them."""

import re
from pathlib import Path

import msgspec
import pytest

from penelope.adapters.catalogue.load import load_services
from penelope.adapters.metrics.guarded import counter_of
from penelope.adapters.metrics.prometheus import PrometheusOptions
from penelope.adapters.metrics.scrape_counts import TraefikCountsOptions
from penelope.adapters.routers.gateway import GatewayOptions
from penelope.adapters.routers.istio import IstioOptions
from penelope.adapters.routers.known import all_routers
from penelope.adapters.routers.linkerd import LinkerdOptions
from penelope.adapters.routers.traefik import TraefikOptions
from penelope.adapters.routers.traefik_http import TraefikHttpOptions
from penelope.domain.traffic import Feature
from penelope.errors import InvalidCatalogue
from penelope.kit.clock import SystemClock

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_every_router_is_on_the_page_with_what_it_can_do() -> None:
    rows = re.findall(
        r"^\| `([a-z_]+)` \| [^|]+ \| (yes|no) \| (yes|no) \| (yes|no) \|",
        (DOCS / "routers.md").read_text(),
        re.MULTILINE,
    )
    able = (Feature.MIRROR, Feature.PIN, Feature.AFFINITY)
    assert {kind: tuple(words) for kind, *words in rows} == {
        kind: tuple("yes" if feature in router.features else "no" for feature in able)
        for kind, router in all_routers().items()
    }


@pytest.mark.parametrize(
    ("page", "shape"),
    [
        ("routers.md", TraefikOptions),
        ("routers.md", TraefikHttpOptions),
        ("routers.md", GatewayOptions),
        ("routers.md", IstioOptions),
        ("routers.md", LinkerdOptions),
        ("metric-sources.md", TraefikCountsOptions),
        ("metric-sources.md", PrometheusOptions),
    ],
)
def test_every_option_is_on_the_page(page: str, shape: type[msgspec.Struct]) -> None:
    text = (DOCS / page).read_text()
    names = [field.name for field in msgspec.structs.fields(shape)]
    assert names
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_source_of_counts_is_on_the_page() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \|", (DOCS / "metric-sources.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(counter_of(SystemClock(), 1.0)._counters)


def test_a_catalogue_names_a_source_of_counts_with_its_secrets(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    file.write_text(
        "apiVersion: penelope.dev/v1\nkind: Services\nservices:\n  shop:\n    owner: team\n    tier: 2\n"
        "    counts: {source: prometheus, options: {url: 'http://p:9090', token: '${env:TOKEN}'}}\n"
    )
    counts = load_services(file, {"TOKEN": "secret"})["shop"].counts
    assert counts is not None
    assert (counts.source, dict(counts.options)) == (
        "prometheus",
        {"url": "http://p:9090", "token": "secret"},
    )
    with pytest.raises(InvalidCatalogue, match="TOKEN"):
        load_services(file, {})
