"""The services that a service depends on: through others, never itself, and no matter what the catalogue lacks."""

import pytest

from penelope.domain.service import Service
from penelope.flow.upstream import dependencies


def catalogue(**depends: str) -> dict[str, Service]:
    return {
        name: Service(name=name, owner="", tier=4, dependencies=tuple(others.split()))
        for name, others in depends.items()
    }


@pytest.mark.parametrize(
    ("services", "found"),
    [
        (catalogue(shop=""), set()),
        (catalogue(), set()),
        (
            catalogue(shop="orders", orders="database cache", cache="database"),
            {"orders", "database", "cache"},
        ),
        (catalogue(shop="elsewhere"), {"elsewhere"}),
        (catalogue(shop="orders", orders="shop"), {"orders"}),
        (catalogue(orders="shop"), set()),
    ],
)
def test_they_are_followed(services: dict[str, Service], found: set[str]) -> None:
    assert dependencies(services, "shop") == found
