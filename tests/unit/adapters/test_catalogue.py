import copy
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from penelope.adapters.catalogue.load import load_services
from penelope.adapters.catalogue.schema import services_schema
from penelope.domain.service import (
    CounterQuery,
    ErrorSelector,
    HistogramQuery,
    MetricQueries,
    Objective,
    RouterReference,
    Service,
    Target,
)
from penelope.errors import InvalidCatalogue

SCHEMA = Draft202012Validator(services_schema())

SHOP = """\
apiVersion: penelope.dev/v1
kind: Services
services:
  shop:
    owner: team-shop
    tier: 2
    dependencies: [shop-db, mail.example/smtp]
    slos: [{name: availability, metric: error_ratio, at_most: 0.02}]
    metrics:
      source: scrape
      instances: {a: "http://127.0.0.1:9001/metrics", b: "http://127.0.0.1:9002/metrics"}
      requests: {counter: shop_requests_total, match: {job: shop}}
      errors: {label: code, pattern: "5.."}
      latency: {histogram: shop_request_duration_seconds}
      gauges: {config_valid: shop_config_valid}
    router:
      kind: traefik
      options: {file: dynamic.yaml, service: shop, api: "http://127.0.0.1:9003"}
      arms: {a: shop-a, b: shop-b}
    targets:
      instance-b:
        adapter: process
        options:
          supervisor: "http://user:${env:SUPERVISOR_PASSWORD}@127.0.0.1:9001/RPC2"
          release_link: b/current
          releases: /srv/releases
          note: [1, {cost: "$${5}"}]
      config: {adapter: git_patch, options: {repository: ../config}}
      traffic: {adapter: traffic}
  shop-db: {owner: team-data, tier: 1}
"""
PASSWORD = {"SUPERVISOR_PASSWORD": "s3cret"}


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "services.yaml"

    def run(old="", new="", environment=PASSWORD):
        assert old in SHOP
        path.write_text(SHOP.replace(old, new, 1))
        return load_services(path, environment)

    return run


@pytest.fixture
def mistakes(load, tmp_path):
    def run(old="", new="", environment=PASSWORD):
        with pytest.raises(InvalidCatalogue) as refused:
            load(old, new, environment)
        return str(refused.value).replace(f"{tmp_path}/services.yaml:", "").splitlines()

    return run


def test_a_catalogue_becomes_services(load, tmp_path):
    services = load()

    assert services["shop-db"] == Service(name="shop-db", owner="team-data", tier=1)
    shop = services["shop"]
    assert list(services) == ["shop", "shop-db"]
    assert (shop.owner, shop.tier, shop.dependencies) == ("team-shop", 2, ("shop-db", "mail.example/smtp"))
    assert shop.objectives == (Objective(name="availability", metric="error_ratio", at_most=0.02),)
    assert shop.metrics == MetricQueries(
        source="scrape",
        instances={"a": "http://127.0.0.1:9001/metrics", "b": "http://127.0.0.1:9002/metrics"},
        requests=CounterQuery(counter="shop_requests_total", match={"job": "shop"}),
        errors=ErrorSelector(label="code", pattern="5.."),
        latency=HistogramQuery(histogram="shop_request_duration_seconds"),
        gauges={"config_valid": "shop_config_valid"},
    )
    assert shop.router == RouterReference(
        kind="traefik",
        options={"file": f"{tmp_path}/dynamic.yaml", "service": "shop", "api": "http://127.0.0.1:9003"},
        arms={"a": "shop-a", "b": "shop-b"},
    )
    assert shop.targets == {
        "instance-b": Target(
            name="instance-b",
            service="shop",
            adapter="process",
            options={
                "supervisor": "http://user:s3cret@127.0.0.1:9001/RPC2",
                "release_link": f"{tmp_path}/b/current",
                "releases": "/srv/releases",
                "note": [1, {"cost": "${5}"}],
            },
        ),
        "config": Target(
            name="config",
            service="shop",
            adapter="git_patch",
            options={"repository": f"{tmp_path}/../config"},
        ),
        "traffic": Target(name="traffic", service="shop", adapter="traffic"),
    }


def test_the_environment_is_the_processs_unless_told_otherwise(tmp_path, monkeypatch):
    path = tmp_path / "services.yaml"
    path.write_text(SHOP)
    monkeypatch.setenv("SUPERVISOR_PASSWORD", "from-outside")

    options = load_services(path)["shop"].targets["instance-b"].options

    assert options["supervisor"] == "http://user:from-outside@127.0.0.1:9001/RPC2"


def test_a_secret_is_never_read_as_a_template(load):
    shop = load(environment={"SUPERVISOR_PASSWORD": "${env:HOME}$${"})["shop"]

    assert (
        shop.targets["instance-b"].options["supervisor"] == "http://user:${env:HOME}$${@127.0.0.1:9001/RPC2"
    )


def test_a_reference_to_a_secret_stays_in_the_options_of_a_target(load, mistakes):
    reference = "${secret://env/SECRET_SUPERVISOR}"
    shop = load("${env:SUPERVISOR_PASSWORD}", reference)["shop"]

    assert shop.targets["instance-b"].options["supervisor"] == f"http://user:{reference}@127.0.0.1:9001/RPC2"
    # Nothing would fill it in elsewhere.
    refused = mistakes("file: dynamic.yaml", f'file: dynamic.yaml, url: "{reference}"')
    assert refused == ["18:42: '${' must begin ${env:NAME}; write $${ for a literal ${"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: Services", "kind: Playbook", "2:7: must be 'Services'"),
        ("owner: team-shop", "ownr: team-shop", "5:5: unknown key 'ownr'; did you mean 'owner'?"),
        ("owner: team-shop", "ownr: team-shop", "4:3: the key 'owner' is missing"),
        ("    tier: 2", "    tier: 0", "6:11: must be greater than or equal to 1"),
        ("owner: team-shop", "owner: 5", "5:12: must be a text; put it in quotes"),
        ("  shop:", "  'shop one':", "4:3: must be a name of letters, digits, hyphens, underscores, dots and slashes"),
        ("at_most: 0.02", "at_mst: 0.02", "8:54: unknown key 'at_mst'; did you mean 'at_most'?"),
        ("at_most: 0.02", "at_most: low", "8:63: must be a number"),
        ('a: "http://127.0.0.1:9001/metrics"', "a: shop", "11:22: must be an http or https URL"),
        ("counter: shop_requests_total", "counter: shop-requests", "12:27: must be the name of a Prometheus metric"),
        ('"5.."', '"5["', "13:38: is no regular expression: unterminated character set"),
        ("gauges:", "gauge:", "15:7: unknown key 'gauge'; did you mean 'gauges'?"),
        ("arms: {a: shop-a, b: shop-b}", "arms: {}", "19:13: must have at least 1 item"),
        ("adapter: git_patch", "adaptr: git_patch", "28:16: unknown key 'adaptr'; did you mean 'adapter'?"),
        ("file: dynamic.yaml", "file: 5", "18:23: must be a path"),
        ("${env:SUPERVISOR_PASSWORD}", "${SUPERVISOR_PASSWORD}", "24:23: '${' must begin ${env:NAME}; write $${ for a literal ${"),
        ('"$${5}"', '"${env:NO_SUCH}"', "27:28: the environment variable NO_SUCH is not set"),
        ("shop-db: {owner: team-data, tier: 1}", "shop-db: {owner: d, tier: 1, dependencies: [x, shop]}", "7:20: the dependencies go in a circle: shop -> shop-db -> shop"),
        ("shop-db: {owner: team-data, tier: 1}", "shop-db: {owner: d, tier: 1, dependencies: [shop-db]}", "30:47: the dependencies go in a circle: shop-db -> shop-db"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_place(mistakes, old, new, said):
    assert said in mistakes(old, new)


def test_all_mistakes_come_at_once_in_the_order_of_the_file(mistakes):
    found = mistakes("file: dynamic.yaml", "file: [1]", environment={})

    assert found == [
        "18:23: must be a path",
        "24:23: the environment variable SUPERVISOR_PASSWORD is not set",
    ]


def test_no_message_holds_the_value_of_an_option(mistakes):
    found = mistakes("file: dynamic.yaml", 'file: 5, password: "hunter2${oops}"')

    assert len(found) == 2
    assert "hunter2" not in "".join(found)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidCatalogue, match=r"missing\.yaml:1:1: no such file"):
        load_services(tmp_path / "missing.yaml")


CHANGES = [
    (("services", "shop", "tier"), 5),
    (("services", "shop", "tier"), True),
    (("services", "shop", "owner"), ""),
    (("services", "shop", "surprise"), 1),
    (("services", "bad name"), {"owner": "x", "tier": 1}),
    (("services", "other"), {"owner": "x", "tier": 1}),
    (("services", "shop", "slos", 0, "at_most"), "1"),
    (("services", "shop", "slos", 0, "at_most"), 1),
    (("services", "shop", "metrics", "instances"), {}),
    (("services", "shop", "metrics", "instances", "a"), "ftp://x"),
    (("services", "shop", "metrics", "gauges", "bad-name"), "x"),
    (("services", "shop", "metrics", "gauges", "fine"), "x:y"),
    (("services", "shop", "metrics", "errors", "pattern"), ""),
    (("services", "shop", "router", "arms", "c"), "shop-c"),
    (("services", "shop", "router", "options"), []),
    (("services", "shop", "targets", "x"), {}),
    (("services", "shop", "targets", "x"), {"adapter": "http"}),
    (("services",), {}),
    (("services",), []),
]


@pytest.mark.parametrize(("where", "value"), CHANGES, ids=str)
def test_schema_and_loader_agree(tmp_path, where, value):
    document = copy.deepcopy(YAML(typ="safe").load(SHOP))
    part = document
    for step in where[:-1]:
        part = part[step]
    part[where[-1]] = value
    path: Path = tmp_path / "services.yaml"
    with path.open("w") as stream:
        YAML(typ="safe").dump(document, stream)

    try:
        load_services(path, PASSWORD)
        accepted = True
    except InvalidCatalogue:
        accepted = False

    assert SCHEMA.is_valid(document) == accepted


def test_the_schema_describes_every_key():
    schema = services_schema()
    Draft202012Validator.check_schema(schema)

    assert schema["$id"].endswith("services.schema.json")
    for part in (schema, *schema["$defs"].values()):
        assert part["additionalProperties"] is False
        assert all(item["description"] for item in part["properties"].values())
