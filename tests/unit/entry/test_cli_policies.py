"""`penelope policy`: what writers of policies are told, and with which exit code."""

from pathlib import Path

from typer.testing import CliRunner, Result

from penelope.entry.cli.main import app

POLICIES = Path(__file__).resolve().parents[3] / "policies"
CASES = """\
apiVersion: penelope.dev/v1
kind: PolicyTest
policies: [{policies}/examples.yaml]
cases:
  - name: an odd hope
    input: {{{given}}}
    expect: deny
"""


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["policy", *map(str, words)])


def cases(folder: Path, given: str) -> Path:
    file = folder / "cases.yaml"
    file.write_text(CASES.format(policies=POLICIES, given=given))
    return file


def test_the_shipped_policies_have_no_mistakes() -> None:
    done = run("lint", POLICIES)
    assert done.exit_code == 0
    assert "7 policies, no mistakes" in done.output
    done = run("test", POLICIES / "examples_test.yaml")
    assert done.exit_code == 0
    assert "all as expected" in done.output


def test_mistakes_are_told_with_their_places(tmp_path: Path) -> None:
    broken = tmp_path / "broken.rego"
    broken.write_text("package penelope.gate.x\nallow if")
    text = (POLICIES / "examples.yaml").read_text().replace("service.tier == 1", "service.teir == 1")
    (tmp_path / "broken.yaml").write_text(text)
    done = run("lint", tmp_path)
    assert done.exit_code == 1
    assert "broken.rego:2:" in done.output
    assert "broken.yaml:6:17" in done.output


def test_a_case_that_comes_out_otherwise_is_told(tmp_path: Path) -> None:
    done = run("test", cases(tmp_path, "plan.tier: 2"))
    assert done.exit_code == 1
    assert "cases.yaml:5:5: an odd hope: expected deny, but the verdict is pass" in done.output


def test_a_case_with_a_variable_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    done = run("test", cases(tmp_path, "plan.teir: 2"))
    assert done.exit_code == 1
    assert "did you mean 'plan.tier'" in done.output
    assert "must be of type int" in run("test", cases(tmp_path, "plan.tier: two")).output
