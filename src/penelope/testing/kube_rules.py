"""What the small API server demands of an object, and fills in: the official schemas, and a few rules beyond them."""

import functools
import re
from fractions import Fraction

import kubernetes_validate
from kubernetes_validate import utils

from penelope.kit.canonical import Json
from penelope.testing.kube_crds import check_custom, complete_custom
from penelope.testing.kube_kinds import Kind, Refused, invalid

VERSION = "1.37"
"""The version of Kubernetes whose schemas are held against every object."""

# The package reads its two megabytes of definitions anew for each object, and the controllers write often.
utils.schema_contents = functools.cache(utils.schema_contents)

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|)")
_BINARY = {name: Fraction(2 ** (10 * (at + 1))) for at, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"))}
_DECIMAL = {name: Fraction(1000) ** (at - 1) for at, name in enumerate(("m", "", "k", "M", "G", "T", "P"))}
_ANNOTATIONS_LIMIT_BYTES = 256 * 1024


def quantity(text: str | int) -> Fraction:
    """The amount that a quantity such as 512Mi or 500m stands for. Raises ValueError."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{str(text)[:20]!r} is no quantity")
    return Fraction(match[1]) * (_BINARY | _DECIMAL)[match[2]]


def _canonical(text: str | int) -> str:
    """A quantity as the real server writes it: 1024Mi comes back as 1Gi."""
    amount = quantity(text)
    scale = _BINARY if str(text).endswith("i") else _DECIMAL
    for name, size in sorted(scale.items(), key=lambda item: -item[1]):
        if amount and (amount / size).denominator == 1:
            return f"{amount / size}{name}"
    return str(text)


def template_of(item: Json) -> Json:
    """The pod template of an object, or an empty one."""
    spec = item.get("spec") or {}
    if item["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    return spec.get("template") or {}


_DEFAULTS: dict[str, tuple[tuple[str, Json], ...]] = {
    "CronJob": (("suspend", False), ("concurrencyPolicy", "Allow")),
    "Job": (("suspend", False), ("parallelism", 1), ("completions", 1), ("backoffLimit", 6)),
}


def complete(kind: Kind, item: Json) -> None:
    """Fills in what the real server does, so that what is read back is not letter by letter what was sent."""
    if kind.custom:
        complete_custom(kind, item)
    meta, spec = item["metadata"], item.get("spec")
    for name in ("annotations", "labels"):
        if not meta.get(name, True):
            del meta[name]
    if spec is None:
        return
    if kind.kind in {"Deployment", "ReplicaSet"}:
        spec.setdefault("replicas", 1)
    if kind.kind == "Deployment":
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
        spec.setdefault("strategy", rolling)
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)
    for name, value in _DEFAULTS.get(kind.kind, ()):
        spec.setdefault(name, value)
    pod = spec if kind.kind == "Pod" else template_of(item).get("spec")
    if pod:
        _complete_pod(pod)


def _complete_pod(pod: Json) -> None:
    for name, value in (("restartPolicy", "Always"), ("dnsPolicy", "ClusterFirst"), ("securityContext", {})):
        pod.setdefault(name, value)
    pod.setdefault("terminationGracePeriodSeconds", 30)
    for container in pod.get("containers") or ():
        container.setdefault("resources", {})
        container.setdefault("imagePullPolicy", "IfNotPresent")
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        for amounts in container["resources"].values():
            if isinstance(amounts, dict):
                amounts.update({name: _written(text) for name, text in amounts.items()})


def _written(text: Json) -> Json:
    try:
        return _canonical(text)
    except ValueError:
        return text


def check(kind: Kind, item: Json) -> None:
    """Raises Refused where the object does not follow its schema, or what the real server checks beyond it."""
    name = str(item.get("metadata", {}).get("name"))
    if (item.get("apiVersion"), item.get("kind")) != (kind.version, kind.kind):
        raise Refused(400, "BadRequest", "the object is of another kind than its path")
    _check_schema(kind, name, item)
    if not _NAME.fullmatch(name):
        raise invalid(kind.kind, name, "metadata.name: must be a lowercase RFC 1123 subdomain")
    annotations = item["metadata"].get("annotations") or {}
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT_BYTES:
        raise invalid(kind.kind, name, "metadata.annotations: Too long: must have at most 262144 bytes")
    spec = item.get("spec") or {}
    if (spec.get("replicas") or 0) < 0:
        raise invalid(kind.kind, name, "spec.replicas: must be greater than or equal to 0")
    template = template_of(item)
    if kind.kind in {"Deployment", "ReplicaSet"}:
        wanted = spec["selector"].get("matchLabels") or {}
        labels = (template.get("metadata") or {}).get("labels") or {}
        if not wanted or not wanted.items() <= labels.items():
            raise invalid(
                kind.kind, name, "spec.template.metadata.labels: `selector` does not match template `labels`"
            )
    pod = spec if kind.kind == "Pod" else template.get("spec")
    if pod is not None:
        _check_pod(kind, name, pod)


def _check_schema(kind: Kind, name: str, item: Json) -> None:
    if kind.custom:
        check_custom(kind, item)
        return
    try:
        kubernetes_validate.validate(item, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        where = ".".join(str(step) for step in error.absolute_path)
        raise invalid(kind.kind, name, f"{where}: {error.message[:300]}") from None


def _check_pod(kind: Kind, name: str, pod: Json) -> None:
    for container in pod["containers"]:
        if not container.get("image"):
            raise invalid(kind.kind, name, "containers.image: Required value")
        resources = container.get("resources") or {}
        try:
            limits = {key: quantity(text) for key, text in (resources.get("limits") or {}).items()}
            requests = {key: quantity(text) for key, text in (resources.get("requests") or {}).items()}
        except ValueError as error:
            raise invalid(kind.kind, name, f"containers.resources: {error}") from None
        for key, amount in requests.items():
            if amount > limits.get(key, amount):
                raise invalid(
                    kind.kind, name, f"resources.requests: must be less than or equal to {key} limit"
                )
    if not pod["containers"]:
        raise invalid(kind.kind, name, "spec.containers: Required value")
