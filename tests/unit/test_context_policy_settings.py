"""Settings of access and of the guards fit together."""

from typing import Any

import pytest
from pydantic import ValidationError

from penelope.kit.guard import Patience
from penelope.settings.context_policy import ContextGuard, ContextPolicy


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kind": "opa"}, "context_policy.url should be set"),
        ({"kind": "opa", "url": "http://127.0.0.1:8181", "paths": ["a"]}, "load them on the OPA server"),
        ({"url": "http://user:geheim@127.0.0.1"}, "no user name and no password"),
        ({"kind": "cedar"}, "'embedded' or 'opa'"),
        ({"timeout_seconds": 0}, "greater than 0"),
    ],
)
def test_what_does_not_fit_is_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ContextPolicy.model_validate(given)
    assert told in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_waits_grow() -> None:
    with pytest.raises(ValidationError, match="should not exceed"):
        ContextGuard.model_validate({"first_wait_seconds": 11.0})


def test_the_settings_of_a_guard_are_its_patience_and_begin_as_it_does() -> None:
    assert Patience(**ContextGuard().model_dump()) == Patience()
