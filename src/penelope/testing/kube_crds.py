"""Custom resources of the small API server, held against their official definitions where somebody has given it those.

Beside the schema it checks what the real server does beyond it: unknown fields are refused (as with
``fieldValidation=Strict``), defaults are filled in, and then the rules in CEL must hold.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cel_expr_python import cel
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from penelope.kit.canonical import Json
from penelope.testing.kube_kinds import KINDS, Kind, invalid

_SCHEMAS: dict[tuple[str, str], Json] = {}
_RULES: dict[str, Any] = {}
_CEL = cel.NewEnv(variables={"self": cel.Type.DYN})
_OF_OTHERS = ("oldSelf", "quantity(", "url(", "isURL(", "isIP(", "ip(", "cidr(", "format.")
"""What rules may use that CEL itself does not know; such rules are passed over."""


def install(folder: Path) -> None:
    """Reads the definitions in a folder of the kinds that the server knows, each version of them."""
    names = tuple(f"  name: {kind.key}\n" for kind in KINDS if kind.custom)
    for file in sorted(folder.glob("*.yaml")):
        for text in file.read_text(encoding="utf-8").split("\n---\n"):
            # To read all of them takes ten seconds.
            if "kind: CustomResourceDefinition\n" in text and any(name in text for name in names):
                spec = YAML(typ="safe").load(text)["spec"]
                for version in spec["versions"]:
                    schema = version["schema"]["openAPIV3Schema"]
                    _SCHEMAS[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = _closed(schema)


def complete_custom(kind: Kind, item: Json) -> None:
    """Fills in the defaults of the definition."""
    schema = _SCHEMAS.get((kind.version, kind.kind))
    if schema is not None:
        _fill(schema, item)


def check_custom(kind: Kind, item: Json) -> None:
    """Raises Refused where the object does not follow its definition."""
    schema = _SCHEMAS.get((kind.version, kind.kind))
    if schema is None:
        return
    name = str(item["metadata"].get("name"))
    for error in Draft7Validator(schema).iter_errors(item):
        where = ".".join(map(str, error.absolute_path))
        raise invalid(kind.kind, name, f"{where}: {error.message[:300]}")
    for where, rule, value in _rules(schema, item, ""):
        if not _holds(rule["rule"], value):
            raise invalid(kind.kind, name, f"{where}: {rule.get('message', rule['rule'])[:300]}")


def _closed(schema: Json, *, top: bool = True) -> Json:
    """A schema in which an object has the fields that are named and no other, but for its metadata."""
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    if "properties" in made:
        made["properties"] = {key: _closed(each, top=False) for key, each in made["properties"].items()}
        open_ended = made.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in made
        if not open_ended:
            made["additionalProperties"] = False
        if top:
            made["properties"]["metadata"] = {"type": "object"}
            made["properties"].setdefault("apiVersion", {"type": "string"})
            made["properties"].setdefault("kind", {"type": "string"})
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _closed(made[key], top=False)
    return made


def _fill(schema: Json, value: Json) -> None:
    if isinstance(value, dict):
        for name, each in schema.get("properties", {}).items():
            if name not in value and "default" in each:
                value[name] = copy.deepcopy(each["default"])
            if name in value:
                _fill(each, value[name])
    elif isinstance(value, list):
        for item in value:
            _fill(schema.get("items", {}), item)


def _rules(schema: Json, value: Json, where: str) -> Iterator[tuple[str, Json, Json]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if not any(word in rule["rule"] for word in _OF_OTHERS):
            yield where, rule, value
    if isinstance(value, dict):
        for name, each in schema.get("properties", {}).items():
            if name in value:
                yield from _rules(each, value[name], f"{where}.{name}".lstrip("."))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _rules(schema.get("items", {}), item, f"{where}[{at}]")


def _holds(source: str, value: Json) -> bool:
    if source not in _RULES:
        _RULES[source] = _CEL.compile(source)
    return _RULES[source].eval(_CEL.Activation({"self": value})).plain_value() is True
