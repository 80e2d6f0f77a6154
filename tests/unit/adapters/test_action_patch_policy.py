"""Which diffs are let near a repository, and what is said of the others."""

from pathlib import Path

import pytest

from penelope.adapters.actions.patch_policy import MAX_BYTES, check, check_path, refuse_symlinks
from penelope.errors import InvalidPatch

HUNK = "@@ -1 +1 @@\n-a\n+b\n"


def changed(old: str, new: str | None = None) -> str:
    return f"--- {old}\n+++ {new or old.replace('a/', 'b/', 1)}\n{HUNK}"


def git(name: str, *header: str) -> str:
    return "\n".join([f"diff --git a/{name} b/{name}", *header]) + "\n"


@pytest.mark.parametrize(
    ("diff", "paths"),
    [
        (changed("a/config.ini"), ("config.ini",)),
        (changed("a/z/y.txt") + changed("a/b.txt"), ("b.txt", "z/y.txt")),
        ("--- /dev/null\n+++ b/new file.txt\n@@ -0,0 +1 @@\n+a\n", ("new file.txt",)),
        (git("x", "old mode 100644", "new mode 100755"), ("x",)),
        (git("x", "new file mode 100644", "index 0000000..e69de29"), ("x",)),
        (git("x", "index 7898192..6178079 100644") + changed("a/x"), ("x",)),
        (
            git("x", "deleted file mode 100644", "index 7898192..0000000")
            + "--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
            ("x",),
        ),
        (
            "diff --git a/old b/new\nsimilarity index 100%\nrename from old\nrename to new\n",
            ("new", "old"),
        ),
        (changed('"a/caf\\303\\251.txt"', '"b/caf\\303\\251.txt"'), ("café.txt",)),
        (changed('"a/with \\"quotes\\".txt"', '"b/with \\"quotes\\".txt"'), ('with "quotes".txt',)),
        (changed("a/.gitignore"), (".gitignore",)),
        (changed("a/dots...txt"), ("dots...txt",)),
        (changed("a/x").replace("-a\n+b\n", "--- a/etc\n+++ b/../up\n"), ("x",)),
    ],
)
def test_a_diff_that_stays_inside_names_its_paths(diff: str, paths: tuple[str, ...]) -> None:
    assert check(diff) == paths


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../up", "leaves"),
        ("sub/../../up", "leaves"),
        ("sub/./x", "leaves"),
        ("/etc/passwd", "leaves"),
        ("sub//x", "leaves"),
        ("sub/", "leaves"),
        ("", "leaves"),
        (".. /x", "leaves"),
        ("C:/windows", "Windows"),
        ("c:x", "Windows"),
        ("sub\\..\\up", "Windows"),
        (".git/hooks/pre-commit", "git's own folder"),
        ("sub/.GIT/config", "git's own folder"),
        (".git /config", "git's own folder"),
        (".git./config", "git's own folder"),
        ("git~1/config", "git's own folder"),
        (".git::$INDEX_ALLOCATION/config", "git's own folder"),
        (".g\u200cit/config", "invisible"),
        ("a\nb", "control"),
        ("a\x7f", "control"),
        ("\udcff", "control"),
    ],
)
def test_a_path_that_leaves_is_refused(path: str, said: str) -> None:
    with pytest.raises(InvalidPatch, match=said):
        check_path(path)


@pytest.mark.parametrize(
    ("diff", "said"),
    [
        ("", "no file"),
        ("hello\n", "no file"),
        (HUNK, "does not parse"),
        (changed("a/x") + "@@ -9,9 +9,9 @@\n", "does not parse"),
        (changed("a/x").replace("-1 +1", "-" + "9" * 5000 + " +1"), "does not parse"),
        (changed("x", "y"), "does not begin with a/"),
        (changed("a/x", "x"), "does not begin with b/"),
        (changed("/etc/passwd", "/etc/passwd"), "does not begin with a/"),
        (changed("a/../../etc/passwd"), "leaves"),
        (changed("a//etc/passwd"), "leaves"),
        (changed("a/x", "b/../x"), "leaves"),
        (changed("a/.git/config"), "git's own folder"),
        (changed('"a/\\056\\056/x"', '"b/\\056\\056/x"'), "leaves"),
        (changed('"a/\\056git/x"', '"b/\\056git/x"'), "git's own folder"),
        (changed('"a/\\012"', '"b/\\012"'), "control"),
        (changed('"a/\\377"', '"b/\\377"'), "not UTF-8"),
        (changed('"a/\\q"', '"b/\\q"'), "quoted wrongly"),
        (changed('"a/x', '"b/x'), "quoted wrongly"),
        (changed('"a/x"y"', '"b/x"y"'), "quoted wrongly"),
        (changed("a/x\r"), "control"),
        (git("x", "new file mode 120000", "index 0000000..e69de29"), "link or a submodule"),
        (git("x", "new file mode 160000", "index 0000000..e69de29"), "link or a submodule"),
        (git("x", "old mode 100644", "new mode 120000"), "link or a submodule"),
        (git("x", "index 7898192..6178079 120000") + changed("a/x"), "link or a submodule"),
        (git("x", "new file mode 100777", "index 0000000..e69de29"), "link or a submodule"),
        ("diff --git a/x b/y\nsimilarity index 100%\nrename from ../up\nrename to y\n", "leaves"),
        ("diff --git a/x b/y\nsimilarity index 100%\ncopy from x\ncopy to .git/y\n", "git's own folder"),
        (git("x", "index 0000000..e69de29", "GIT binary patch", "literal 0"), "binary"),
        (git("x") + "Binary files a/x and b/x differ\n", "binary"),
        ("Binary files a and " + "a and " * 100_000 + "\n", "binary"),
        (git("x", "Subject: hello", "old mode 100644", "new mode 100755"), "none of a diff"),
        ("Index: x\n" + changed("a/x"), "none of a diff"),
        (git("x", "new file mode 100644 ", "index 0000000..e69de29"), "none of a diff"),
        (changed("a/x") + "\0", "not text"),
        (changed("a/x") + "\ud800", "not text"),
        ("x" * (MAX_BYTES + 1), "bytes"),
        ("".join(changed(f"a/{number}") for number in range(201)), "201 files"),
    ],
)
def test_a_diff_that_leaves_or_hides_something_is_refused(diff: str, said: str) -> None:
    with pytest.raises(InvalidPatch, match=said) as caught:
        check(diff)
    assert caught.value.advice
    assert len(caught.value.message) < 400


def test_links_in_the_repository_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").touch()
    (tmp_path / "link").symlink_to("/tmp")
    (tmp_path / "real" / "file-link").symlink_to("file")
    refuse_symlinks(tmp_path, ["real/file", "real/new", "new/x"])
    for path in ("link/x", "link", "real/file-link"):
        with pytest.raises(InvalidPatch, match="symbolic link"):
            refuse_symlinks(tmp_path, [path])
