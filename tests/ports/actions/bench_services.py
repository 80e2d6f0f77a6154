"""Benches of the adapters for webhooks and feature flags."""

import json
from pathlib import Path
from typing import Any

import pytest
from benching import Bench, an_action, with_options
from receiving import SECRET, receive

from penelope.adapters.actions.feature_flag import FeatureFlagAdapter
from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.webhook import WebhookAdapter

FLAGS = """{
  "$schema": "https://flagd.dev/schema/v0/flags.json",
  "flags": {
    "new-checkout" : {"state":"ENABLED", "variants": {"on": true, "off": false},
       "defaultVariant":   "on"},
    "other": {"state": "DISABLED", "variants": {"a": 1.50, "b": 2e0}, "defaultVariant": "a",
      "targeting": {"if": [{"==": [{"var": "email"}, "ü@example.org"]}, "b", null]}}
  }
}
"""


def webhook(request: pytest.FixtureRequest) -> Bench:
    receiver = receive(request)
    options = {
        "url": f"{receiver.url}/hook",
        "secret": SECRET,
        "status_url": receiver.url + "/events/{id}",
        "reverts": True,
    }
    action = an_action("webhook", "send", options, {"type": "cache.flushed", "data": {"cache": "prices"}})
    nowhere = "http://penny:s3cret@127.0.0.1:9"
    return Bench(
        adapter=WebhookAdapter(),
        action=action,
        effects=lambda: len(receiver.taken),
        shown=("event",),
        unreachable=(
            WebhookAdapter(),
            with_options(action, url=nowhere + "/hook", status_url=nowhere + "/{id}"),
        ),
        snapshot_asks=False,
    )


def _flag(operation: str, params: dict[str, Any], request: pytest.FixtureRequest) -> Bench:
    folder: Path = request.getfixturevalue("tmp_path")
    file = folder / "flags.json"
    file.write_text(FLAGS)
    before = file.stat().st_ino
    adapter = FeatureFlagAdapter(Keep(folder / "keep"))
    options = {"file": str(file), "flags": ["new-checkout"]}
    action = an_action("feature_flag", operation, options, params)

    def effects() -> int:
        return int(file.stat().st_ino != before and json.loads(file.read_text()) != json.loads(FLAGS))

    return Bench(
        adapter=adapter,
        action=action,
        effects=effects,
        shown=("enabled", "default_variant"),
        unreachable=(adapter, with_options(action, file=str(folder / "nowhere" / "flags.json"))),
    )


def flag_variant(request: pytest.FixtureRequest) -> Bench:
    return _flag("set_default_variant", {"flag": "new-checkout", "variant": "off"}, request)


def flag_disable(request: pytest.FixtureRequest) -> Bench:
    return _flag("disable", {"flag": "new-checkout"}, request)


BENCHES = [webhook, flag_variant, flag_disable]
HALVED: list[Any] = []
