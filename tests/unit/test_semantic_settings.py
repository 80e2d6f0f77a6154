"""Settings of the semantic layer fit together, and tell no secret."""

from typing import Any

import pytest
from pydantic import ValidationError

from penelope.adapters.semantic.cube import CubeLayer
from penelope.bootstrap.context import open_semantic
from penelope.settings.semantic import Semantic

URL = "https://cube.example.com"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kind": "cube"}, "semantic.url should be set"),
        ({"kind": "dbt"}, "'embedded' or 'cube'"),
        ({"kind": "cube", "url": "cube.example.com"}, "should begin with https://"),
        ({"kind": "cube", "url": "https://ann:geheim@cube.example.com"}, "no user name and no password"),
        ({"kind": "cube", "url": f"{URL}?token=geheim"}, "nothing behind host, port and path"),
        ({"kind": "cube", "url": f"{URL}#geheim"}, "nothing behind host, port and path"),
        ({"kind": "cube", "url": f"{URL}/a b"}, "nothing behind host, port and path"),
        ({"kind": "cube", "url": URL, "api_secret": "geheim"}, "at least 16 characters"),
        (
            {"kind": "cube", "url": URL, "api_secret": "geheim" * 5, "token_file": "token"},
            "should not both be set",
        ),
        ({"kind": "cube", "url": URL, "models": ["models"]}, "give them to the Cube server"),
        ({"kind": "cube", "url": URL, "timeout_seconds": 601}, "should not exceed 600"),
    ],
)
def test_what_does_not_fit_is_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Semantic.model_validate(given)
    assert told in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "more", [{}, {"api_secret": "geheim" * 5}, {"token_file": "token"}, {"timeout_seconds": 600}]
)
def test_what_the_settings_take_cube_is_made_of(more: dict[str, Any]) -> None:
    given = Semantic.model_validate({"kind": "cube", "url": f"{URL}/base", **more})
    with open_semantic(given, example=True) as layer:
        assert isinstance(layer, CubeLayer)
    assert "geheim" not in repr(given)
