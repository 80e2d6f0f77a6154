import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from penelope.adapters.catalogue.load import load_services
from penelope.adapters.catalogue.schema import services_schema
from penelope.domain.benchmark import Probe, SuiteName, Tolerance, Worse
from penelope.domain.contract import Gravity
from penelope.errors import InvalidCatalogue

SCHEMA = Draft202012Validator(services_schema())
SERVICE = """\
apiVersion: penelope.dev/v1
kind: Services
services:
  shop:
    owner: team-shop
    tier: 2
    benchmarks:
      smoke:
        - {name: front-page, kind: http, options: {url: "http://a/?k=${env:KEY}"}, tolerance: 20%, timeout: 2s}
      regression:
        - {name: errors, kind: metric, options: {subject: metric.error_ratio}, tolerance: 0.01, worse: both}
        - {name: memory, kind: process_memory, options: {pid_file: run/shop.pid}, severity: minor}
"""


def load(tmp_path, old="", new=""):
    assert old in SERVICE
    path = tmp_path / "services.yaml"
    path.write_text(SERVICE.replace(old, new, 1))
    return load_services(path, {"KEY": "s3cret"})["shop"].benchmarks


def test_suites_become_values(tmp_path):
    assert load(tmp_path) == {
        SuiteName.SMOKE: (
            Probe(
                name="front-page",
                kind="http",
                options={"url": "http://a/?k=s3cret"},
                tolerance=Tolerance(size=0.2, relative=True),
                timeout_seconds=2,
            ),
        ),
        SuiteName.REGRESSION: (
            Probe(
                name="errors",
                kind="metric",
                options={"subject": "metric.error_ratio"},
                tolerance=Tolerance(size=0.01, relative=False),
                worse=Worse.BOTH,
            ),
            Probe(
                name="memory",
                kind="process_memory",
                options={"pid_file": str(tmp_path / "run/shop.pid")},
                severity=Gravity.MINOR,
            ),
        ),
    }


def test_the_same_probe_may_be_in_both_suites_but_a_name_stands_for_one(tmp_path):
    again = '{name: front-page, kind: http, options: {url: "http://a/?k=${env:KEY}"}, tolerance: 20%, timeout: 2s}'
    both = load(
        tmp_path,
        "{name: errors, kind: metric, options: {subject: metric.error_ratio}, tolerance: 0.01, worse: both}",
        again,
    )
    assert both[SuiteName.REGRESSION][0] == both[SuiteName.SMOKE][0]
    for name in ("front-page", "memory"):
        with pytest.raises(InvalidCatalogue, match=f"the benchmark '{name}' is there already"):
            load(tmp_path, "name: errors", f"name: {name}")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tolerance: 20%", "tolerance: much", "must be a share such as '10%'"),
        ("tolerance: 20%", "tolerance: -1", "must be a share such as '10%'"),
        ("tolerance: 20%", "tolerance: .nan", "NaN are not numbers"),
        ("tolerance: 20%", "tolerance: true", "must be a share such as '10%'"),
        ("timeout: 2s", "timeout: 2m", "must be at most 60s"),
        ("timeout: 2s", "timeout: 0s", "must be longer than nothing"),
        ("worse: both", "worse: never", "'higher', 'lower' or 'both'"),
        ("severity: minor", "severity: tiny", "'minor', 'major' or 'critical'"),
        ("name: errors", "name: 'a b'", "lower-case words"),
        ("name: errors", "nme: errors", "unknown key 'nme'"),
        ("regression:", "regresion:", "did you mean 'regression'"),
        ("smoke:", "quick:", "unknown key 'quick'"),
        ("pid_file: run/shop.pid", "pid_file: 7", "must be a path"),
        ("${env:KEY}", "${env:NONE}", "NONE is not set"),
    ],
)
def test_each_mistake_is_named_and_no_value_shown(tmp_path, old, new, said):
    with pytest.raises(InvalidCatalogue) as refused:
        load(tmp_path, old, new)
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("tolerance", ["20%", "0.5%", "much", "-1", "1%x", "true", "0", "3.5"])
def test_the_schema_says_the_same(tmp_path, tolerance):
    text = SERVICE.replace("tolerance: 20%", f"tolerance: {tolerance}")
    try:
        load(tmp_path, "tolerance: 20%", f"tolerance: {tolerance}")
        accepted = True
    except InvalidCatalogue:
        accepted = False
    assert SCHEMA.is_valid(YAML(typ="safe").load(text)) == accepted
