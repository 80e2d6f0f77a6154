"""Settings: strength of the sources, refusal of everything unknown or out of range, and no secret shown."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from penelope.errors import BadSettings
from penelope.settings import Settings, describe, load, reference
from penelope.settings.known import SETTINGS

PEPPER = "# not: a comment, {but a} pepper"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "penelope.yaml"


def refusal(file: Path | None, environment: dict[str, str] | None = None, *overrides: str) -> list[str]:
    """The lines of the refusal, without the folder of the file."""
    with pytest.raises(BadSettings) as caught:
        load(file, environment or {}, overrides)
    assert "penelope config check" in caught.value.advice
    folder = f"{file.parent}/" if file else "\0"
    return [line.strip().replace(folder, "") for line in caught.value.message.splitlines()]


def refused_text(file: Path, text: str) -> list[str]:
    file.write_text(text, encoding="utf-8")
    return refusal(file)


# --- strength ---------------------------------------------------------------------------------------------


def test_each_source_is_stronger_than_the_one_before(file: Path) -> None:
    file.write_text("gate: {halt_failures: 4, halt_seconds: 40, rate_actions: 40}\n")
    environment = {"PENELOPE_GATE__HALT_SECONDS": "50", "PENELOPE_GATE__RATE_ACTIONS": "50"}

    settings = load(file, environment, ["gate.rate_actions=60"])

    assert settings.gate.approval_tier == 3
    assert settings.gate.halt_failures == 4
    assert settings.gate.halt_seconds == 50
    assert settings.gate.rate_actions == 60
    assert settings.origin("gate.approval_tier") == "default"
    assert settings.origin("gate.halt_failures") == f"{file}:1:8"
    assert settings.origin("gate.halt_seconds") == "environment variable PENELOPE_GATE__HALT_SECONDS"
    assert settings.origin("gate.rate_actions") == "command line, gate.rate_actions"


def test_the_last_override_wins() -> None:
    assert load(None, {}, ["api.port=1", "api.port=2"]).api.port == 2


def test_the_file_in_the_working_directory_is_read_when_none_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert load(None, {}, []).api.port == 8420
    file.write_text("api:\n  port: 99\n")
    settings = load(None, {}, [])
    assert settings.api.port == 99
    assert settings.origin("api.port") == "penelope.yaml:2:3"


@pytest.mark.parametrize("text", ["", "# nothing\n", "api:\n", "---\n"])
def test_a_file_may_say_nothing(file: Path, text: str) -> None:
    file.write_text(text)
    assert load(file, {}, []).api == Settings().api


def test_yaml_is_read_as_version_1_2(file: Path) -> None:
    file.write_text("engine: {executor_id: no}\n")
    assert load(file, {}, []).engine.executor_id == "no"


def test_merged_keys_are_attributed_to_their_section(file: Path) -> None:
    file.write_text("gate: &gate {halt_failures: 2}\n")
    assert load(file, {}, []).gate.halt_failures == 2
    assert refused_text(file, "gate: &gate {halt_failures: 2}\napi:\n  <<: *gate\n") == [
        'penelope.yaml:2:1: unknown setting "api.halt_failures"; did you mean "gate.halt_failures"?'
    ]


def test_environment_and_command_line_take_texts_as_they_are_and_yaml_elsewhere() -> None:
    environment = {
        "PENELOPE_KEYS__PEPPER": PEPPER,
        "PENELOPE_ENGINE__EXECUTOR_ID": "007",
        "PENELOPE_PLAYBOOKS__SHIPPED": "false",
        "PENELOPE_PLAYBOOKS__PATHS": "[/one, /two]",
    }
    settings = load(None, environment, ["log.level=debug", "decide.risk_limit=0.25", "api.host=::1"])
    assert settings.keys.pepper == SecretStr(PEPPER)
    assert settings.engine.executor_id == "007"
    assert settings.playbooks.shipped is False
    assert settings.playbooks.paths == (Path("/one"), Path("/two"))
    assert settings.log.level == "debug"
    assert settings.decide.risk_limit == 0.25
    assert settings.api.host == "::1"


def test_null_takes_an_optional_setting_back(file: Path) -> None:
    file.write_text("database: {engine_url: 'sqlite:////elsewhere.db'}\n")
    assert load(file, {}, []).database.engine_url == "sqlite:////elsewhere.db"
    assert load(file, {}, ["database.engine_url=null"]).database.engine_url is None


# --- mistakes ---------------------------------------------------------------------------------------------


def test_all_mistakes_of_all_sources_are_told_at_once(file: Path) -> None:
    file.write_text(
        "api:\n  port: eighty\n  prot: 1\ngates:\n  halt_failures: 3\nfoo: 2\nlog: 3\nweb: {port: 1}\n"
    )
    environment = {"PENELOPE_API__HOSTS": "a", "PENELOPE_API__MAX_BATCH": "[1"}
    assert refusal(file, environment, "nonsense", "gate.halt_failure=1", "log.level=loud") == [
        "11 mistakes in the settings:",
        'penelope.yaml:3:3: unknown setting "api.prot"; did you mean "api.port"?',
        'penelope.yaml:5:3: unknown setting "gates.halt_failures"; did you mean "gate.halt_failures"?',
        'penelope.yaml:6:1: unknown setting "foo"',
        'penelope.yaml:7:1: "log" should be a section',
        'penelope.yaml:8:7: unknown setting "web.port"',
        'environment: unknown setting "PENELOPE_API__HOSTS"; did you mean "PENELOPE_API__HOST"?',
        "environment variable PENELOPE_API__MAX_BATCH: not a YAML value",
        'command line: an override should look like "section.key=value"',
        'command line: unknown setting "gate.halt_failure"; did you mean "gate.halt_failures"?',
        "penelope.yaml:2:3: api.port should be a valid integer",
        "command line, log.level: log.level should be 'debug', 'info', 'warning' or 'error'",
    ]


def test_a_missing_underscore_in_a_variable_is_not_ignored() -> None:
    assert refusal(None, {"PENELOPE_GATE_HALT_FAILURES": "1"}) == [
        (
            'environment: unknown setting "PENELOPE_GATE_HALT_FAILURES"; '
            'did you mean "PENELOPE_GATE__HALT_FAILURES"?'
        )
    ]


def test_a_variable_in_small_letters_is_not_ignored() -> None:
    assert refusal(None, {"penelope_api__port": "1"}) == [
        'environment: unknown setting "penelope_api__port"; did you mean "PENELOPE_API__PORT"?'
    ]


def test_variables_of_others_are_left_alone() -> None:
    assert load(None, {"PENELOPE_URL": "http://x", "HOME": "/", "API__PORT": "x"}, []).api.port == 8420


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("api: [", "penelope.yaml:1:7: not YAML: expected the node content, but found '<stream end>'"),
        ("api:\n  port: 1\n  port: 2\n", "penelope.yaml:3:3: this key stands here for the second time"),
        ("api: {}\n---\napi: {}\n", "penelope.yaml:2:1: not YAML: but found another document"),
        ("api: {port: 2026-99-99}\n", "penelope.yaml: not YAML in UTF-8: ValueError"),
        ("api: {port: \x00}\n", "penelope.yaml: not YAML in UTF-8: ReaderError"),
        ("- api\n", "penelope.yaml:1:1: the file should hold sections, such as `api:`"),
        ("api.port: 3\n", 'penelope.yaml:1:1: write "api.port" as `port:` below `api:`'),
        ("api: {1: 2}\n", 'penelope.yaml:1:7: unknown setting "api.1"'),
        ("playbooks: {paths: [a, 3]}\n", "penelope.yaml:1:13: playbooks.paths is not a valid path"),
    ],
)
def test_a_mistake_in_the_file_names_its_place(file: Path, text: str, line: str) -> None:
    assert refused_text(file, text) == [line]


def test_a_file_that_is_named_must_exist(file: Path) -> None:
    assert refusal(file) == ["penelope.yaml: cannot be read: No such file or directory"]


def test_a_folder_or_latin_1_is_no_settings_file(file: Path) -> None:
    file.write_bytes("api: {host: ä}\n".encode("latin-1"))
    assert refusal(file) == ["penelope.yaml: not YAML in UTF-8: UnicodeDecodeError"]
    file.unlink()
    file.mkdir()
    assert refusal(file) == ["penelope.yaml: cannot be read: Is a directory"]


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("api.port", "65536", "should be less than or equal to 65535"),
        ("api.port", "true", "should be a valid integer"),
        ("api.max_batch", "0", "should be greater than 0"),
        ("engine.poll_seconds", ".nan", "should be a finite number"),
        ("engine.poll_seconds", ".inf", "should be a finite number"),
        ("engine.executor_id", "a b", "should match pattern '^[A-Za-z0-9_.-]{1,64}$'"),
        ("decide.risk_limit", "1.1", "should be less than or equal to 1"),
        ("gate.approval_tier", "5", "should be less than or equal to 4"),
        ("playbooks.shipped", "1", "should be a valid boolean"),
        ("metrics.window_seconds", "901", "should not exceed metrics.retention_seconds, which is 900"),
        ("buffer.batch", "10001", "should not exceed buffer.capacity, which is 10000"),
        ("buffer.overflow", "drop", "should be 'refuse' or 'spill'"),
        ("ledger.origin", "two words", "should match pattern"),
        ("ledger.origin", "a+b", "should match pattern"),
        ("ledger.sweep_seconds", "0", "should be greater than 0"),
        ("keys.pepper", "geheimnis", "should have at least 16 characters"),
        ("routers.traefik_token", "geheimnis", "should have 16 to 1024 characters"),
        ("routers.traefik_token", "a geheimnis with spaces", "should hold only ASCII characters"),
        ("routers.traefik_token", "ein-gr\u00f6\u00dferes-geheimnis", "should hold only ASCII characters"),
        ("database.url", "mysql://u:geheimnis@h/d", "should begin with sqlite:/// or postgresql://"),
        (
            "database.url",
            "postgresql://u:geheimnis@h",
            "should name a database: postgresql://user@host/database",
        ),
        ("database.url", "u:geheimnis@h", "should be a URL such as"),
        ("database.url", "sqlite://", "should name a file"),
        ("database.url", "sqlite:///:memory:", "should name a file"),
        ("database.url", "sqlite:///file:x?mode=memory", "should name a file"),
        ("secrets.vault_address", "https://u:geheimnis@vault", "should hold no user name and no password"),
        ("secrets.vault_address", "https://geheimnis@vault", "should hold no user name and no password"),
        ("secrets.vault_address", "https://[geheimnis/", "should be an address such as"),
        ("secrets.kubernetes_server", "http://u:geheimnis@k8s", "should hold no user name and no password"),
        ("secrets.kubernetes_server", "k8s", "should begin with https:// or http://"),
        ("notify.public_address", "https://u:geheimnis@here", "should match pattern"),
        ("approval.good_seconds", "1e300", "should be less than or equal to 1000000000"),
        ("rest.cooldown_seconds", "1e12", "should be less than or equal to 1000000000"),
        ("ledger.payload_days", "10001", "should be less than or equal to 10000"),
        ("wisdom.most_cases", str(2**63), "should not exceed 1000000000000000"),
        ("brakes.loop_heals", str(2**63), "should not exceed 1000000000000000"),
    ],
)
def test_values_out_of_range_are_refused_and_never_repeated(name: str, value: str, complaint: str) -> None:
    (line,) = refusal(None, {}, f"{name}={value}")
    assert line.startswith(f"command line, {name}: {name} {complaint}")
    assert "geheimnis" not in line


@pytest.mark.parametrize(
    "line",
    [
        "nothing http://u:geheimnis@h",
        "nothing http://geheimnis@h",
        "example.com/w+geheimnis",
        "k geheimnis://h",
        "k http://[geheimnis",
    ],
)
def test_a_witness_is_a_key_and_an_address_and_never_repeated(file: Path, line: str) -> None:
    (told,) = refused_text(file, f"ledger:\n  witnesses: ['{line}']\n")
    assert told.startswith(
        "penelope.yaml:2:3: ledger.witnesses should hold a verifier key, a space and a URL"
    )
    assert "geheimnis" not in told


def test_what_is_nested_beyond_reason_is_a_mistake_like_any_other(file: Path) -> None:
    deep = "[" * 20_000
    assert refused_text(file, f"api: {deep}") == ["penelope.yaml: not YAML in UTF-8: RecursionError"]
    wanted = ["environment variable PENELOPE_API__PORT: not a YAML value"]
    assert refusal(None, {"PENELOPE_API__PORT": deep}) == wanted
    assert refusal(None, {}, f"api.port={deep}") == ["command line, api.port: not a YAML value"]


def test_the_longest_time_can_be_added_to_the_present() -> None:
    settings = load(None, {}, ["approval.good_seconds=1e9", "ledger.payload_days=10000"])
    now = datetime.now(UTC)
    assert now + 2 * timedelta(seconds=settings.approval.good_seconds) > now
    assert now - timedelta(days=settings.ledger.payload_days) < now


def test_a_short_retention_alone_is_told_at_the_window_that_no_longer_fits() -> None:
    assert refusal(None, {}, "metrics.retention_seconds=10") == [
        "default: metrics.window_seconds should not exceed metrics.retention_seconds, which is 10"
    ]


def test_a_small_capacity_alone_is_told_at_the_batch_that_no_longer_fits() -> None:
    assert refusal(None, {}, "buffer.capacity=10") == [
        "default: buffer.batch should not exceed buffer.capacity, which is 10"
    ]


def test_a_duplicate_secret_is_not_repeated(file: Path) -> None:
    text = "keys:\n  pepper: first-geheimnis-value\n  pepper: other-geheimnis-value\n"
    assert "geheimnis" not in "".join(refused_text(file, text))


# --- paths and addresses ----------------------------------------------------------------------------------


def test_relative_paths_are_seen_from_the_folder_of_the_file(file: Path) -> None:
    file.write_text("playbooks: {paths: [mine, /theirs]}\n")
    settings = load(file, {"PENELOPE_CATALOGUE__PATH": "my.yaml"}, [])
    assert settings.playbooks.paths == (file.parent / "mine", Path("/theirs"))
    assert settings.catalogue.path == file.parent / "my.yaml"
    assert settings.keys.pepper_file == file.parent / "var/pepper"
    assert settings.ledger.keys == file.parent / "var/ledger-keys"
    assert settings.buffer.spill_file == file.parent / "var/spill.jsonl"
    assert settings.database.url == f"sqlite:///{file.parent}/var/penelope.db"
    assert settings.database.engine_address == f"sqlite:///{file.parent}/var/penelope-engine.db"


def test_without_a_file_they_are_seen_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ulysses")
    settings = load(None, {}, ["catalogue.path=~/services.yaml"])
    assert settings.keys.pepper_file == tmp_path / "var/pepper"
    assert settings.catalogue.path == Path("/home/ulysses/services.yaml")


def test_the_engine_lives_beside_the_store_unless_told_otherwise() -> None:
    shared = load(None, {}, ["database.url=postgresql://u:secret@h/d"]).database
    assert shared.engine_address == shared.url == "postgresql://u:secret@h/d"
    apart = load(None, {}, ["database.engine_url=sqlite:////e.db"]).database
    assert apart.engine_address == "sqlite:////e.db"


# --- what is shown ----------------------------------------------------------------------------------------


def test_description_hides_secrets_and_tells_origins(file: Path) -> None:
    file.write_text(f"keys:\n  pepper: '{PEPPER}'\ndatabase:\n  url: postgresql://u:geheimnis@h/d\n")
    settings = load(file, {}, ["playbooks.paths=[/p]", "log.format=json"])
    described = {name: (value, origin) for name, value, origin in describe(settings)}
    assert list(described) == list(SETTINGS)
    assert described["keys.pepper"] == ("**********", f"{file}:2:3")
    assert described["database.url"] == ("postgresql://u:***@h/d", f"{file}:4:3")
    assert described["database.engine_url"] == ("null", "default")
    assert described["playbooks.paths"] == ('["/p"]', "command line, playbooks.paths")
    assert described["playbooks.shipped"] == ("true", "default")
    assert described["metrics.interval_seconds"] == ("5", "default")
    assert described["log.format"][0] == "json"
    assert PEPPER not in repr(settings)
    assert "geheimnis" not in repr(settings)


@pytest.mark.parametrize("name", ["password", "sslpassword", "PassWord"])
def test_a_password_behind_a_question_mark_is_hidden_too(file: Path, name: str) -> None:
    url = f"postgresql://u@h/d?{name}=geheimnis&sslmode=require&{name}=geheimnis2"
    settings = load(
        file if file.exists() else None, {}, [f"database.url={url}", f"database.engine_url={url}"]
    )
    shown = {item.name: item.value for item in describe(settings)}
    for setting in ("database.url", "database.engine_url"):
        assert "geheimnis" not in shown[setting]
        assert shown[setting].startswith("postgresql://u@h/d?")
        assert "sslmode=require" in shown[setting]
    assert settings.database.url == url


def test_the_reference_tells_names_types_defaults_and_meanings() -> None:
    entries = dict(part.split("`", 1) for part in reference().split("\n### `")[1:])
    assert list(entries) == list(SETTINGS)
    assert entries["api.port"] == (
        "\n\nThe TCP port to listen on; 0 takes a free one.\n\n"
        "- Type: whole number ≥ 0 and ≤ 65535\n- Default: `8420`\n- Environment: `PENELOPE_API__PORT`\n"
    )
    assert "- Type: secret text or `null`\n- Default: `null`\n" in entries["keys.pepper"]
    assert "- Type: one of `debug`, `info`, `warning`, `error`\n" in entries["log.level"]
    assert "- Type: list of paths\n- Default: `[]`\n" in entries["playbooks.paths"]
    assert "- Type: number > 0 and ≤ 1e+09\n- Default: `15`\n" in entries["engine.reconcile_seconds"]


def test_the_example_of_the_reference_can_be_used(file: Path) -> None:
    file.write_text(reference().split("```yaml\n")[1].split("```")[0])
    assert load(file, {}, []).gate.halt_failures == 3


def test_settings_never_change_and_take_nothing_unknown() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.api.port = 1  # type: ignore[misc]  # that is what must not work
    with pytest.raises(ValidationError, match="Extra inputs"):
        Settings.model_validate({"ap": {}})


def test_traefik_has_one_token(file: Path) -> None:
    file.write_text("routers:\n  traefik_token: a-geheimnis-of-some-length\n  traefik_token_file: token\n")
    with pytest.raises(BadSettings) as caught:
        load(file, {}, [])
    assert "traefik_token or traefik_token_file, not both" in str(caught.value)
    assert "geheimnis" not in str(caught.value)
