"""A pytest plugin for tests of playbooks. It does nothing where no test uses the kit.

A world that cannot be had here is a skip that says why; what the kit has opened is closed at the end of the session;
what is noted rather than held is listed at the end, never passed over in silence.
"""

import sys
from collections.abc import Generator
from types import ModuleType
from typing import Any

import pytest

_SESSION = "penelope.testing.kit_session"


def _kit() -> ModuleType | None:
    """The kit, if any test has loaded it. Loading it here would slow down every other run."""
    return sys.modules.get(_SESSION)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, None]:
    """Makes a skip of a trial whose world cannot be had here."""
    outcome = yield
    kit = _kit()
    if kit is None or outcome.excinfo is None or not _is_trial(item, kit):
        return
    error = outcome.excinfo[1]
    if isinstance(error, kit.Unavailable):
        outcome.force_exception(pytest.skip.Exception(f"{error.message}", _use_item_location=True))


def _is_trial(item: pytest.Item, kit: ModuleType) -> bool:
    """Whether one of the values that the test is parametrized with is a trial."""
    call = getattr(item, "callspec", None)
    return call is not None and any(isinstance(value, kit.Trial) for value in call.params.values())


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Shows what a person should know, which is neither held nor broken."""
    kit = _kit()
    if kit is None or not kit.NOTED:
        return
    terminalreporter.section("trials of playbooks that are noted")
    for result in kit.NOTED:
        terminalreporter.write_line(f"{result.trial.subject.playbook}: {result.trial}: {result.why}")


def pytest_unconfigure() -> None:
    """Closes the world that is still open, and ends what it was tried with."""
    kit = _kit()
    if kit is not None:
        kit.close()
