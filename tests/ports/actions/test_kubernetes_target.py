"""What is special about Kubernetes: bounds that the target sets, others who change the same objects, budgets, and secrets."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benching import an_action, with_options
from kube_ground import TOKEN, WEAK_TOKEN, Ground, eventually, ground

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.kube_api import Cluster, Reference
from penelope.adapters.actions.kube_changes import MARK, mark_of
from penelope.adapters.actions.kubernetes import KubernetesAdapter
from penelope.domain.action import Action, Progress, Snapshot
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InputError,
    InvalidCatalogue,
    InvalidPlaybook,
    Unavailable,
)
from penelope.kit.canonical import canonical, content_hash
from penelope.kit.codec import to_data
from penelope.rooms.act.run import perform, undo
from penelope.testing.kube import cronjob, deployment, path

BAD = "registry.example/shop:bad"


@pytest.fixture
def on(request: pytest.FixtureRequest) -> Iterator[Ground]:
    return ground(request)


@pytest.fixture
def web(on: Ground) -> Ground:
    on.create("deployments", deployment("web"))
    return on


def acting(on: Ground, operation: str, params: dict[str, Any] | None = None, **options: Any) -> Action:
    return an_action("kubernetes", operation, on.options("Deployment", "web", **options), params or {})


def snapshot(on: Ground, action: Action) -> Snapshot:
    return asyncio.run(on.adapter.snapshot(action))


def do(on: Ground, action: Action, before: Snapshot) -> bool:
    return asyncio.run(perform(on.adapter, action, before, first_attempt=True)).repeated


def take_back(on: Ground, action: Action, before: Snapshot) -> None:
    asyncio.run(undo(on.adapter, action, before))


def probe(on: Ground, action: Action, before: Snapshot) -> Progress:
    return asyncio.run(on.adapter.probe(action, before))


def differing(on: Ground, action: Action, before: Snapshot) -> list[str]:
    return [each.subject for each in asyncio.run(on.adapter.differences(action, before))]


def _nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"a": 1}
    for _ in range(depth):
        inner = {"spec": inner}
    return inner


# --- what is refused before anything is asked -------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("rollout_restart", {"force": True}),
        ("rollout_undo", {"to_revision": -1}),
        ("scale", {}),
        ("scale", {"replicas": 2, "by": 1}),
        ("scale", {"replicas": -1}),
        ("scale", {"replicas": 10**9}),
        ("scale", {"by": 0}),
        ("scale", {"by": -2}),
        ("scale", {"replicas": True}),
        ("set_resources", {}),
        ("set_resources", {"memory": "lots"}),
        ("set_resources", {"memory": "0"}),
        ("set_resources", {"memory": "9" * 400 + "Mi"}),
        ("set_resources", {"factor": 1}),
        ("set_resources", {"factor": 1000}),
        ("set_resources", {"factor": 2, "memory": "1Gi"}),
        ("delete_pod", {"pod": "../../api/v1/namespaces/kube-system"}),
        ("delete_pod", {"pod": ""}),
        ("delete_pod", {"pod": "web-1\n"}),
        ("patch", {"patch": {}}),
        ("patch", {"patch": {"spec": {}}}),
        ("patch", {"patch": {"spec": {"replicas": 1, "strategy": {}}}}),
        ("patch", {"patch": {"status": {"replicas": 1}}}),
        ("patch", {"patch": {"metadata": {"finalizers": []}}}),
        ("patch", {"patch": {"metadata": {"ownerReferences": None}}}),
        ("patch", {"patch": {"metadata": {"namespace": "kube-system"}}}),
        ("patch", {"patch": {"kind": "Secret"}}),
        ("patch", {"patch": {"spec": {f"field{number}": 1 for number in range(51)}}}),
        ("patch", {"patch": {"data": {"a": "x" * 40_000}}}),
        ("patch", {"patch": ["spec"]}),
        ("patch", {"patch": {"spec": {"replicas": float("nan")}}}),
        ("patch", {"patch": _nested(4000)}),
    ],
)
def test_parameters_that_cannot_work_are_refused(on: Ground, operation: str, params: dict[str, Any]) -> None:
    with pytest.raises(InvalidPlaybook) as caught:
        on.adapter.validate(operation, params)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "Secret"},
        {"kind": "ClusterRoleBinding"},
        {"kind": "Pod"},
        {"name": "../secrets/x"},
        {"name": "web?dryRun=All"},
        {"namespace": "shop/secrets"},
        {"namespaces": ["a/b"]},
        {"server": "http://kube.example"},
        {"server": "ftp://127.0.0.1"},
        {"server": "https://kube.example?x=1"},
        {"server": None},
        {"token_file": "/etc/passwd"},
        {"in_cluster": True},
        {"insecure": True},
        {"kind": "Node"},
    ],
)
def test_a_target_that_cannot_be_is_refused(web: Ground, options: dict[str, Any]) -> None:
    action = with_options(acting(web, "scale", {"replicas": 1}), **options)
    with pytest.raises(InvalidCatalogue) as caught:
        snapshot(web, action)
    assert TOKEN not in str(caught.value) + caught.value.advice
    assert web.count() == 0


def test_a_token_may_lie_in_a_file(web: Ground, tmp_path: Any) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    action = acting(web, "scale", {"replicas": 1}, token=None, token_file=str(tmp_path / "token"))
    assert do(web, action, snapshot(web, action)) is False
    (tmp_path / "token").unlink()
    with pytest.raises(Unavailable):
        snapshot(web, action)


def test_a_server_with_another_certificate_is_not_told_the_token(web: Ground) -> None:
    with pytest.raises(Unavailable):
        snapshot(web, acting(web, "scale", {"replicas": 1}, ca=None))


@pytest.mark.parametrize(("token", "kind"), [(WEAK_TOKEN, ActionFailed), ("wrong-s3cret", Unavailable)])
def test_who_may_not_is_told_what_is_missing_before_anything_is_done(
    web: Ground, token: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=r"40[13]") as caught:
        snapshot(web, acting(web, "scale", {"replicas": 1}, token=token))
    assert "s3cret" not in str(caught.value)


# --- bounds of the target ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "params", "options"),
    [
        ("scale", {"replicas": 6}, {"replicas_at_most": 5}),
        ("scale", {"replicas": 5}, {"replicas_at_most": 5} | {"replicas_at_least": 1}),
        ("scale", {"replicas": 3}, {}),
        ("scale", {"by": 1}, {}),
        ("scale", {"by": 1}, {"replicas_at_most": 2}),
        ("scale", {"replicas": 0}, {}),
        ("set_resources", {"memory": "2Gi"}, {"memory_at_most": "1Gi"}),
        ("set_resources", {"memory": "512Mi"}, {}),
        ("set_resources", {"factor": 2}, {"memory_at_most": "256Mi"}),
        ("set_resources", {"memory": "128Mi"}, {"memory_at_most": "1Gi"}),
        ("set_resources", {"factor": 2, "container": "other"}, {"memory_at_most": "1Gi"}),
        ("patch", {"patch": {"spec": {"replicas": 9}}}, {}),
        ("patch", {"patch": {"spec": {"replicasX": 9}}}, {"patchable": ["/spec/replicas"]}),
        (
            "patch",
            {"patch": {"metadata": {"annotations": {MARK: "x"}}}},
            {"patchable": ["/metadata/annotations"]},
        ),
        ("rollout_undo", {}, {}),
        ("cordon", {}, {}),
        ("suspend", {}, {}),
        ("drain", {}, {}),
    ],
)
def test_what_the_target_does_not_allow_is_not_done(
    web: Ground, operation: str, params: dict[str, Any], options: dict[str, Any]
) -> None:
    if params == {"replicas": 5}:
        params = {**params, "at_most": 4}
    web.ready("web", 2)
    before = web.get("deployments", "web")["spec"]
    with pytest.raises((ActionFailed, InputError)):
        snapshot(web, acting(web, operation, params, **options))
    assert web.count() == 0
    assert web.get("deployments", "web")["spec"] == before


@pytest.mark.parametrize(
    "template",
    [
        {"spec": {"hostNetwork": True}},
        {"spec": {"serviceAccountName": "admin"}},
        {"spec": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}},
        {"spec": {"containers": [{"name": "app", "image": "x", "securityContext": {"privileged": True}}]}},
        {
            "spec": {
                "containers": [{"name": "app", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {}}}]}]
            }
        },
    ],
)
def test_a_patch_does_not_change_what_pods_may_do(web: Ground, template: dict[str, Any]) -> None:
    action = acting(web, "patch", {"patch": {"spec": {"template": template}}}, patchable=["/spec/template"])
    with pytest.raises(InvalidPlaybook, match="pods may do"):
        snapshot(web, action)
    assert web.count() == 0


def test_an_unknown_field_is_refused_by_the_server_and_named(web: Ground) -> None:
    action = acting(web, "patch", {"patch": {"spec": {"replicasss": 9}}}, patchable=["/spec"])
    with pytest.raises(ActionFailed, match=r"422 Invalid \(spec\)"):
        snapshot(web, action)


def test_a_factor_stops_at_the_bound_of_the_target(web: Ground) -> None:
    action = acting(web, "set_resources", {"factor": 10}, memory_at_most="1Gi")
    assert do(web, action, snapshot(web, action)) is False
    state = asyncio.run(web.adapter.observe(action))
    assert state["memory_limit_bytes"] == 2**30


def test_zero_replicas_need_a_target_that_allows_it(web: Ground) -> None:
    action = acting(web, "scale", {"replicas": 0}, replicas_at_least=0)
    before = snapshot(web, action)
    assert do(web, action, before) is False
    web.ready("web", 0)
    take_back(web, action, before)
    web.ready("web", 2)


# --- others, who change the same object -------------------------------------------------------------------


class _Racing(KubernetesAdapter):
    """Somebody changes the object after each of the first reads of it."""

    def __init__(self, on: Ground, patch: dict[str, Any], times: int) -> None:
        super().__init__(on.adapter._keep)
        self.race = (on, patch, times)

    def _cluster(self, action: Action) -> Cluster:
        on, patch, _ = self.race
        super()._cluster(action)
        racing = self

        class Raced(Cluster):
            async def get(self, at: Reference) -> dict[str, Any] | None:
                item = await super().get(at)
                if racing.race[2] > 0:
                    racing.race = (on, patch, racing.race[2] - 1)
                    left = {"metadata": {"annotations": {"left": str(racing.race[2])}}}
                    await asyncio.to_thread(on.patch, "deployments", "web", {**left, **patch})
                return item

        return Raced(action.target, action.timeout_seconds)


def test_a_change_of_something_else_meanwhile_is_kept(web: Ground) -> None:
    action = acting(web, "scale", {"by": 1}, replicas_at_most=5)
    before = snapshot(web, action)
    effect = asyncio.run(_Racing(web, {}, 3).execute(action, before))
    assert "scale" in effect.summary
    assert web.count() == 1
    asyncio.run(_Racing(web, {"spec": {"minReadySeconds": 1}}, 2).compensate(action, before))
    item = web.get("deployments", "web")
    assert (item["spec"]["replicas"], item["spec"]["minReadySeconds"]) == (2, 1)
    assert item["metadata"]["annotations"]["left"] == "0"
    assert MARK not in item["metadata"]["annotations"]


def test_an_object_that_never_rests_is_left_alone(web: Ground) -> None:
    action = acting(web, "scale", {"by": 1}, replicas_at_most=5)
    before = snapshot(web, action)
    with pytest.raises(ActionFailed, match="keeps being changed"):
        asyncio.run(_Racing(web, {}, 100).execute(action, before))
    assert web.get("deployments", "web")["spec"]["replicas"] == 2


def test_a_field_that_somebody_changed_before_us_is_left_alone(web: Ground) -> None:
    action = acting(web, "scale", {"by": 1}, replicas_at_most=9)
    before = snapshot(web, action)
    web.patch("deployments", "web", {"spec": {"replicas": 7}})
    assert probe(web, action, before) is Progress.NOT_APPLIED
    with pytest.raises(ActionFailed, match=r"somebody else has changed spec\.replicas"):
        do(web, action, before)
    with pytest.raises(CompensationFailed, match=r"somebody else has changed spec\.replicas"):
        take_back(web, action, before)
    assert web.get("deployments", "web")["spec"]["replicas"] == 7
    assert web.count() == 0


def test_a_field_that_somebody_changed_after_us_is_left_alone(web: Ground) -> None:
    action = acting(web, "scale", {"by": 1}, replicas_at_most=9)
    before = snapshot(web, action)
    do(web, action, before)
    web.patch("deployments", "web", {"spec": {"replicas": 7}})
    assert probe(web, action, before) is Progress.APPLIED, "it did happen"
    with pytest.raises(CompensationFailed, match=r"spec\.replicas"):
        take_back(web, action, before)
    assert web.get("deployments", "web")["spec"]["replicas"] == 7
    assert differing(web, action, before)


def test_a_field_that_somebody_put_back_needs_no_more(web: Ground) -> None:
    action = acting(web, "scale", {"by": 1}, replicas_at_most=9)
    before = snapshot(web, action)
    do(web, action, before)
    web.patch("deployments", "web", {"spec": {"replicas": 2}})
    take_back(web, action, before)
    assert differing(web, action, before) == []


def test_another_object_of_the_same_name_is_not_touched(web: Ground) -> None:
    action = acting(web, "scale", {"by": 1}, replicas_at_most=9)
    before = snapshot(web, action)
    web.server.do("DELETE", path("deployments", "web"))
    assert probe(web, action, before) is Progress.UNKNOWN
    web.create("deployments", deployment("web"))
    assert probe(web, action, before) is Progress.UNKNOWN
    with pytest.raises(ActionFailed, match="no longer there"):
        do(web, action, before)
    with pytest.raises(CompensationFailed, match="replaced"):
        take_back(web, action, before)
    assert differing(web, action, before)
    assert web.count() == 0


def test_two_actions_of_ours_are_told_apart_and_taken_back_in_turn(web: Ground) -> None:
    first = acting(web, "scale", {"by": 1}, replicas_at_most=9)
    second = replace(acting(web, "rollout_restart"), key="inc_1/plan_1/" + "k" * 300)
    start = snapshot(web, first)
    do(web, first, start)
    middle = snapshot(web, second)
    do(web, second, middle)
    assert web.get("deployments", "web")["metadata"]["annotations"][MARK] == mark_of(second)
    assert [probe(web, first, start), probe(web, second, middle)] == [Progress.APPLIED] * 2
    take_back(web, second, middle)
    assert web.get("deployments", "web")["metadata"]["annotations"][MARK] == first.key
    take_back(web, first, start)
    assert [differing(web, first, start), differing(web, second, middle)] == [[], []]


def test_what_was_so_already_is_told_from_what_we_did(on: Ground) -> None:
    on.patch("nodes", "n1", {"spec": {"unschedulable": True}})
    action = an_action("kubernetes", "cordon", on.options("Node", "n1"), {})
    before = snapshot(on, action)
    assert probe(on, action, before) is Progress.NOT_APPLIED
    assert do(on, action, before) is False
    assert probe(on, action, before) is Progress.APPLIED
    take_back(on, action, before)
    assert on.get("nodes", "n1")["spec"] == {"unschedulable": True}
    assert differing(on, action, before) == []


# --- answers that are lost, and secrets -------------------------------------------------------------------


class _Deaf(KubernetesAdapter):
    """Hears no answer to what it did."""

    async def _apply(self, *args: Any, **options: Any) -> None:
        await super()._apply(*args, **options)
        raise Unavailable("the answer was lost")


def test_an_action_whose_answer_was_lost_is_found(web: Ground) -> None:
    action = acting(web, "scale", {"by": 1}, replicas_at_most=5)
    before = snapshot(web, action)
    effect = asyncio.run(perform(_Deaf(web.adapter._keep), action, before, first_attempt=True))
    assert effect.repeated
    assert web.count() == 1


def test_no_value_of_a_patch_is_shown_anywhere(on: Ground) -> None:
    data = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "flags"},
        "data": {"A": "old-s3cret"},
    }
    on.create("configmaps", data)
    options = on.options("ConfigMap", "flags", patchable=["/data"])
    action = an_action(
        "kubernetes", "patch", options, {"patch": {"data": {"A": "new-s3cret", "B": "s3cret"}}}
    )
    before = snapshot(on, action)
    shown = [canonical(to_data(before)).decode()]
    shown.append(str(asyncio.run(on.adapter.dry_run(action, before))))
    effect = asyncio.run(perform(on.adapter, action, before, first_attempt=True))
    shown += [str(effect), str(asyncio.run(on.adapter.differences(action, before)))]
    assert [text for text in shown if "s3cret" in text] == []
    assert on.get("configmaps", "flags")["data"] == {"A": "new-s3cret", "B": "s3cret"}
    take_back(on, action, before)
    assert on.get("configmaps", "flags")["data"] == {"A": "old-s3cret"}


def test_values_that_are_no_longer_kept_cannot_be_put_back(web: Ground) -> None:
    action = acting(web, "patch", {"patch": {"spec": {"replicas": 3}}}, patchable=["/spec/replicas"])
    before = snapshot(web, action)
    do(web, action, before)
    for file in web.keep.iterdir():
        file.unlink()
    with pytest.raises(CompensationFailed, match="no longer kept"):
        take_back(web, action, before)


# --- rollouts ---------------------------------------------------------------------------------------------


def _release(on: Ground, image: str) -> None:
    item = deployment("web", image)
    on.patch("deployments", "web", {"spec": {"template": item["spec"]["template"]}})


def test_an_undo_that_comes_again_does_not_bring_the_bad_release_back(web: Ground) -> None:
    web.ready("web", 2)
    _release(web, BAD)
    action = acting(web, "rollout_undo")
    do(web, action, snapshot(web, action))
    eventually(lambda: bool(asyncio.run(web.adapter.observe(action))["rolled_out"]))
    again = replace(action, key="inc_2/plan_1/undo")
    with pytest.raises(ActionFailed, match="nothing to undo"):
        snapshot(web, again)
    forced = replace(again, params={"stuck_only": False})
    assert snapshot(web, forced).state


def test_an_undo_can_name_its_revision(web: Ground) -> None:
    web.ready("web", 2)
    for image in ("registry.example/shop:2.0", BAD):
        _release(web, image)
        eventually(lambda: bool(web.pods("web")))
    with pytest.raises(ActionFailed, match="no earlier revision 9"):
        snapshot(web, acting(web, "rollout_undo", {"to_revision": 9}))
    action = acting(web, "rollout_undo", {"to_revision": 1})
    before = snapshot(web, action)
    do(web, action, before)
    assert asyncio.run(web.adapter.observe(action))["image"] == "registry.example/shop:1.0"
    take_back(web, action, before)
    assert asyncio.run(web.adapter.observe(action))["image"] == BAD


@pytest.mark.parametrize("operation", ["rollout_restart", "rollout_undo"])
def test_a_paused_rollout_is_left_alone(web: Ground, operation: str) -> None:
    web.patch("deployments", "web", {"spec": {"paused": True}})
    with pytest.raises(ActionFailed, match="paused"):
        snapshot(web, acting(web, operation))


def test_the_state_of_a_workload_is_seen(web: Ground) -> None:
    web.ready("web", 2)
    action = acting(web, "rollout_restart")
    state = asyncio.run(web.adapter.observe(action))
    assert state == {
        "replicas": 2,
        "ready_replicas": 2,
        "available": 2,
        "updated": 2,
        "pods": 2,
        "restarts": 0,
        "rolled_out": True,
        "generation_observed": True,
        "image": "registry.example/shop:1.0",
        "memory_limit_bytes": 256 * 2**20,
    }
    _release(web, BAD)
    eventually(lambda: asyncio.run(web.adapter.observe(action))["restarts"] > 1)
    assert asyncio.run(web.adapter.observe(action))["rolled_out"] is False
    web.server.do("DELETE", path("deployments", "web"))
    with pytest.raises(Unavailable, match="no deployment"):
        asyncio.run(web.adapter.observe(action))


# --- pods -------------------------------------------------------------------------------------------------


def draining(on: Ground, **options: Any) -> Action:
    return an_action("kubernetes", "drain", on.options("Node", "n1", **options), {})


@pytest.fixture
def full(on: Ground) -> Ground:
    """n1 is cordoned and holds three pods of `web`."""
    on.patch("nodes", "n2", {"spec": {"unschedulable": True}})
    on.create("deployments", deployment("web", replicas=3))
    on.ready("web", 3)
    on.patch("nodes", "n2", {"spec": {"unschedulable": None}})
    on.patch("nodes", "n1", {"spec": {"unschedulable": True}})
    return on


def _budget(on: Ground, least: int) -> None:
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": "web"}}}
    item = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": spec,
    }
    on.create("poddisruptionbudgets", item)


def _pod(name: str, **meta: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "nodeName": "n1",
        "containers": [{"name": "app", "image": "registry.example/x:1"}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **meta}, "spec": spec}


def test_a_node_that_takes_pods_is_not_drained(on: Ground) -> None:
    with pytest.raises(ActionFailed, match="cordon it first"):
        snapshot(on, draining(on))


def test_pods_leave_a_node_one_after_the_other_within_their_budget(full: Ground) -> None:
    _budget(full, 2)
    action = draining(full)
    before = snapshot(full, action)
    assert do(full, action, before) is False
    assert full.count("pods/eviction") == 3
    eventually(lambda: {pod["spec"].get("nodeName") for pod in full.pods("web")} == {"n2"})
    assert do(full, action, before) is True
    assert full.count("pods/eviction") == 3


def test_a_budget_that_allows_none_stops_a_drain_without_harm(full: Ground) -> None:
    _budget(full, 3)
    action = replace(draining(full), timeout_seconds=1.0)
    with pytest.raises(ActionFailed, match="has not ended"):
        do(full, action, snapshot(full, action))
    assert len(full.pods("web")) == 3


def test_a_drain_that_was_interrupted_goes_on_with_those_pods_only(full: Ground) -> None:
    action = draining(full)
    before = snapshot(full, action)
    name = full.pods("web")[0]["metadata"]["name"]
    full.server.do("DELETE", path("pods", name))
    assert probe(full, action, before) is Progress.PARTIAL
    assert do(full, action, before) is False
    assert probe(full, action, before) is Progress.APPLIED
    assert full.count("pods/eviction") == 2
    take_back(full, action, before)
    assert differing(full, action, before) == []


def test_pods_that_would_not_come_back_stop_a_drain(full: Ground) -> None:
    full.create("pods", _pod("alone"))
    try:
        with pytest.raises(ActionFailed, match="'alone' has no controller"):
            snapshot(full, draining(full))
    finally:
        full.server.do("DELETE", path("pods", "alone"))


def test_pods_that_keep_data_stop_a_drain_unless_the_target_allows_it(on: Ground) -> None:
    item = deployment("web", replicas=1)
    item["spec"]["template"]["spec"]["volumes"] = [{"name": "cache", "emptyDir": {}}]
    on.create("deployments", item)
    eventually(lambda: bool(on.pods("web")) and "nodeName" in on.pods("web")[0]["spec"])
    where = on.pods("web")[0]["spec"]["nodeName"]
    on.patch("nodes", where, {"spec": {"unschedulable": True}})
    with pytest.raises(ActionFailed, match="keeps data"):
        snapshot(on, with_options(draining(on), name=where))
    assert snapshot(on, with_options(draining(on), name=where, delete_local_data=True)).state


def test_more_pods_than_the_target_allows_stop_a_drain_and_those_of_the_node_stay(full: Ground) -> None:
    with pytest.raises(ActionFailed, match="not more than 2"):
        snapshot(full, draining(full, pods_at_most=2))
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "log", "uid": "u", "controller": True}
    full.create("pods", _pod("log-1", ownerReferences=[owner]))
    try:
        assert len(snapshot(full, draining(full, pods_at_most=3)).state["pods"]) == 3
    finally:
        full.server.do("DELETE", path("pods", "log-1"))


def test_only_that_very_pod_of_the_workload_is_deleted(web: Ground) -> None:
    web.ready("web", 2)
    web.create("deployments", deployment("other", replicas=1))
    web.ready("other", 1)
    stranger = web.pods("other")[0]["metadata"]["name"]
    with pytest.raises(ActionFailed, match="is none of"):
        snapshot(web, acting(web, "delete_pod", {"pod": stranger}))
    mine = web.pods("web")[0]["metadata"]
    with pytest.raises(ActionFailed, match="another one"):
        snapshot(web, acting(web, "delete_pod", {"pod": mine["name"], "uid": "x"}))
    _budget(web, 2)
    action = acting(web, "delete_pod", {"pod": mine["name"], "uid": mine["uid"]})
    before = snapshot(web, action)
    with pytest.raises(ActionFailed, match="budget"):
        do(web, action, before)
    web.server.do("DELETE", path("poddisruptionbudgets", "web"))
    assert do(web, action, before) is False
    web.ready("web", 2)


# --- jobs -------------------------------------------------------------------------------------------------


def test_a_job_that_has_gone_by_itself_is_no_matter(on: Ground) -> None:
    on.create("cronjobs", cronjob("report", "registry.example/report:bad"))
    eventually(lambda: bool(on.get("cronjobs", "report").get("status", {}).get("active")))
    action = an_action("kubernetes", "suspend", on.options("CronJob", "report"), {})
    before = snapshot(on, action)
    assert len(before.state["changes"]) == 2
    assert do(on, action, before) is False
    (job,) = on.server.do("GET", path("jobs"))["items"]
    assert job["spec"]["suspend"] is True
    on.server.do("DELETE", path("jobs", job["metadata"]["name"]))
    assert probe(on, action, before) is Progress.APPLIED
    take_back(on, action, before)
    assert differing(on, action, before) == []
    assert on.get("cronjobs", "report")["spec"]["suspend"] is False


def test_jobs_may_be_left_to_end(on: Ground) -> None:
    on.create("cronjobs", cronjob("report", "registry.example/report:bad"))
    eventually(lambda: bool(on.get("cronjobs", "report").get("status", {}).get("active")))
    action = an_action("kubernetes", "suspend", on.options("CronJob", "report"), {"jobs": False})
    do(on, action, snapshot(on, action))
    (job,) = on.server.do("GET", path("jobs"))["items"]
    assert job["spec"]["suspend"] is False


def test_the_annotation_of_a_very_long_key_is_short() -> None:
    key = "k" * 5000
    action = replace(an_action("kubernetes", "cordon", {}, {}), key=key)
    assert mark_of(action) == f"sha256:{content_hash(key)}"


GARBAGE = [
    b"",
    b"<html>",
    b"[]",
    b"{}",
    b"null",
    b'{"metadata": {}}',
    b'{"metadata": {"name": 1, "uid": "u", "resourceVersion": "1"}}',
    b'{"metadata": {"name": "web", "uid": "u", "resourceVersion": "1"}, "spec": []}',
    b'{"metadata": [], "items": []}',
    b"[" * 100_000,
    b'{"metadata": {"name": "web", "uid": "u", "resourceVersion": "1", "annotations": {"a": {}}}, "spec": {}}',
]


@pytest.mark.parametrize("answer", GARBAGE, ids=range(len(GARBAGE)))
def test_an_answer_that_is_no_object_is_a_target_that_does_not_answer(endpoint: Any, answer: bytes) -> None:
    """A proxy on the way may answer anything."""
    endpoint.answers = {"/apis/apps/v1/namespaces/shop/deployments/web": answer}
    options = {"server": endpoint.url, "kind": "Deployment", "name": "web", "namespace": "shop"}
    action = an_action("kubernetes", "scale", {**options, "replicas_at_most": 5}, {"by": 1})
    adapter = KubernetesAdapter(Keep(Path("nowhere")))
    for attempt in (adapter.snapshot, adapter.observe):
        with pytest.raises(Unavailable):
            asyncio.run(attempt(action))
