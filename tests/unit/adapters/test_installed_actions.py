from importlib.metadata import EntryPoint

import pytest

from penelope.adapters.actions.installed import GROUP, load, operations
from penelope.errors import BadSettings


def point(name, value):
    return EntryPoint(name, f"penelope.adapters.actions.{value}", GROUP)


def test_what_ships_is_installed():
    assert {"process", "http", "git_patch", "traffic"} <= operations().keys()
    assert all(operation.summary for kind in operations().values() for operation in kind.values())


def test_a_name_is_there_once():
    with pytest.raises(BadSettings, match="'http'"):
        load([point("http", "http:HttpAdapter"), point("http", "http:HttpAdapter")])


def test_an_entry_point_bears_its_adapter_s_name():
    with pytest.raises(BadSettings, match="'web'"):
        load([point("web", "http:HttpAdapter")])


def test_an_adapter_that_cannot_be_loaded_is_named():
    with pytest.raises(BadSettings, match="'http' cannot be loaded") as caught:
        load([point("http", "http:Nothing")])
    assert "Mend or remove" in caught.value.advice
