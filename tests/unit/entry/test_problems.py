import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from penelope import errors
from penelope.entry.api import problems


def classes(base: type[errors.PenelopeError] = errors.PenelopeError) -> list[type[errors.PenelopeError]]:
    shipped = [item for item in base.__subclasses__() if item.__module__.startswith("penelope.errors.")]
    return [base, *(found for item in shipped for found in classes(item))]


LEAVES = [kind for kind in classes() if not any(kind in other.__mro__[1:] for other in classes())]


@pytest.mark.parametrize("kind", LEAVES)
def test_every_leaf_of_the_error_tree_has_a_status_of_its_own(kind: type[errors.PenelopeError]) -> None:
    problem = problems.problem_of(kind("what happened", hint="what to do"))
    assert kind in problems.STATUS
    assert problem.status == problems.STATUS[kind]
    assert (problem.code, problem.detail, problem.hint) == (kind.code, "what happened", "what to do")
    assert problem.retryable == kind.retryable
    assert problem.urn == f"urn:penelope:problem:{kind.code}"


def test_only_leaves_have_a_status() -> None:
    assert set(problems.STATUS) == set(LEAVES)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.InvalidRequest, 400),
        (errors.Unauthenticated, 401),
        (errors.Forbidden, 403),
        (errors.UnknownIncident, 404),
        (errors.AlreadyDecided, 409),
        (errors.TooLarge, 413),
        (errors.InvalidPatch, 422),
        (errors.ChainBroken, 500),
        (errors.Unavailable, 503),
        (errors.Timeout, 504),
    ],
)
def test_statuses_are_those_of_http(kind: type[errors.PenelopeError], status: int) -> None:
    assert problems.problem_of(kind("x")).status == status


def test_what_the_caller_can_mend_is_a_4xx_and_all_else_a_5xx() -> None:
    for kind, status in problems.STATUS.items():
        assert (status < 500) == (issubclass(kind, errors.InputError) or kind is errors.AppendConflict)


def test_only_who_shows_nothing_good_is_challenged() -> None:
    challenged = [kind for kind in LEAVES if problems.problem_of(kind("x")).headers]
    assert challenged == [errors.Unauthenticated, errors.InvalidToken]


def test_a_class_without_a_status_is_an_error_of_the_server() -> None:
    assert problems.problem_of(errors.PenelopeError("x")).status == 500


def test_a_derived_class_takes_the_status_of_its_base() -> None:
    class StillUnavailable(errors.Unavailable):
        pass

    assert problems.problem_of(StillUnavailable("x")).status == 503


def test_invalid_parameters_are_told_without_their_values() -> None:
    mistakes = [
        {"loc": ("query", "limit"), "msg": "Input should be a number", "input": "s3cret"},
        {"loc": ("path", "id"), "msg": "String should match", "input": "s3cret"},
    ]
    problem = problems.problem_of(RequestValidationError(mistakes))
    assert (problem.status, problem.code) == (400, "invalid_request")
    assert problem.detail == "query limit: Input should be a number; path id: String should match"


def test_errors_of_routing_keep_their_status_and_headers() -> None:
    problem = problems.problem_of(HTTPException(405, headers={"Allow": "GET"}))
    assert (problem.status, problem.code, problem.headers) == (405, "method_not_allowed", {"Allow": "GET"})
    assert problems.problem_of(HTTPException(404)).code == "no_such_route"
    other = problems.problem_of(HTTPException(418, detail="short and stout"))
    assert (other.status, other.code, other.detail) == (418, "http_error", "short and stout")


def test_a_caller_that_hung_up_made_a_bad_request() -> None:
    assert problems.problem_of(ClientDisconnect()).status == 400


def test_an_error_that_nobody_expected_tells_nothing() -> None:
    problem = problems.problem_of(KeyError("password"))
    assert (problem.status, problem.code) == (500, "internal_error")
    assert "password" not in problem.detail + problem.hint


def test_codes_that_a_route_may_answer_are_documented_by_status() -> None:
    documented = problems.documented(errors.Unavailable, errors.AlreadyDecided, errors.AppendConflict)
    assert list(documented) == [409, 503]
    assert documented[409]["description"] == "A problem: `already_decided`, `append_conflict`"
    assert "application/problem+json" in documented[503]["content"]
