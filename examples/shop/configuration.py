"""Reads shop.toml, the file in the git repository that says what the shop sells and for how much."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_NAME = "shop.toml"


class ConfigurationInvalid(ValueError):
    """The file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Prices are in cents. With `coupons` on, an order keeps its coupon, which needs schema 2."""

    currency: str
    prices: Mapping[str, int]
    coupons: bool

    @property
    def schema_wanted(self) -> int:
        return 2 if self.coupons else 1


def read_configuration(path: Path) -> Configuration:
    """The configuration in the file. Raises ConfigurationInvalid."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationInvalid(f"{path.name} cannot be read: {error}") from error
    currency, prices = document.get("currency"), document.get("prices")
    flags = document.get("flags", {})
    if not isinstance(currency, str) or len(currency) != 3:
        raise ConfigurationInvalid("currency must be a code of three letters")
    if not isinstance(prices, dict) or not prices:
        raise ConfigurationInvalid("prices must name at least one product")
    for product, price in prices.items():
        if not _is_price(price):
            raise ConfigurationInvalid(
                f"the price of {product} must be a whole number of cents, not {price!r}"
            )
    coupons = flags.get("coupons", False) if isinstance(flags, dict) else None
    if not isinstance(coupons, bool):
        raise ConfigurationInvalid("flags.coupons must be true or false")
    return Configuration(currency, prices, coupons)


def _is_price(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
