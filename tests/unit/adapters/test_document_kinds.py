"""Files are recognised by what is in them, and hostile ones are left out with a reason."""

import itertools
import os
import time
from pathlib import Path, PurePath

import orjson
import pytest

from penelope.adapters.documents import recognise
from penelope.adapters.documents.parsed import LeftOut, Parsed, Section
from penelope.adapters.documents.pieces import cut
from penelope.adapters.documents.walk import Found, count, files
from penelope.domain.access import Classification


def read(text: str, name: str = "docs/page.md") -> Parsed:
    return recognise.read(text.encode(), PurePath(name))


def sections(parsed: Parsed) -> dict[str, str]:
    return {section.heading: section.text for section in parsed.sections}


RUNBOOK = """\
---
title: The till is slow
owner: team-till
services: [till, payments]
classification: confidential
---
# The till is slow

Look at the *queue* first.

## Steps
1. Restart it.

```
# not a heading
```
### If that fails ###
Call somebody.
"""


def test_markdown_with_front_matter() -> None:
    parsed = read(RUNBOOK, "ops/runbooks/till.md")
    assert (parsed.kind, parsed.title, parsed.owner) == ("runbook", "The till is slow", "team-till")
    assert parsed.services == ("till", "payments")
    assert parsed.classification is Classification.CONFIDENTIAL
    assert sections(parsed) == {
        "": "Look at the *queue* first.",
        "Steps": "1. Restart it.\n\n```\n# not a heading\n```",
        "Steps > If that fails": "Call somebody.",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("---\nclassification: secrett\n---\nText", "none of public"),
        ("---\nclassification: [public\n---\nText", "front matter cannot be read"),
        ("---\na: &x 1\nb: *x\n---\nText", "anchors and aliases"),
        ("---\n- a\n---\nText", "no mapping"),
        ("---\nclassification: restricted\nText that goes on", "has no end"),
        ("", "empty"),
        ("---\ntitle: Only a head\n---\n", "empty"),
    ],
)
def test_what_may_say_who_may_see_it_is_not_guessed(text: str, reason: str) -> None:
    with pytest.raises(LeftOut, match=reason):
        read(text)


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    assert sections(read("---\n\nText after a rule.\n"))[""].endswith("Text after a rule.")


def test_html() -> None:
    page = """<!DOCTYPE html><html><head><title>A page</title><meta name="owner" content="team-web">
    <meta name="classification" content="restricted"><style>p {}</style></head><body><nav>Menu</nav>
    <h1>Returns</h1><p>First   <b>bold</b> text.</p><script>alert(1)</script><h2>How</h2><ul><li>One<li>Two</ul></body>"""
    parsed = read(page, "x.unknown")
    assert (parsed.title, parsed.owner, parsed.classification) == (
        "Returns",
        "team-web",
        Classification.RESTRICTED,
    )
    assert sections(parsed) == {"": "First bold text.", "How": "One\nTwo"}


OPENAPI = """
openapi: 3.1.0
info: {title: Till API, x-classification: public, x-services: [till]}
paths:
  /bills/{id}:
    get:
      operationId: getBill
      summary: One bill
      parameters: [{$ref: '#/components/parameters/Id'}]
      responses:
        '200': {description: The bill, content: {application/json: {schema: {$ref: '#/components/schemas/Bill'}}}}
    delete: {summary: Cancel a bill, responses: {'204': {description: Gone}}}
components:
  parameters: {Id: {name: id, in: path, description: number of the bill}}
  schemas: {Bill: {type: object, properties: {total: {}, currency: {}}}}
"""


def test_openapi_has_a_section_an_operation() -> None:
    parsed = read(OPENAPI, "api.yaml")
    assert (parsed.kind, parsed.classification, parsed.services) == ("api", Classification.PUBLIC, ("till",))
    found = sections(parsed)
    assert set(found) == {"", "GET /bills/{id}", "DELETE /bills/{id}"}
    for word in ("getBill", "number of the bill", "total, currency"):
        assert word in found["GET /bills/{id}"]
    assert "Cancel a bill" in found["DELETE /bills/{id}"]


def test_references_in_a_circle_end() -> None:
    schema = {"$ref": "#/components/schemas/A"}
    data = {
        "openapi": "3.0.0",
        "info": {"title": "T"},
        "paths": {"/a": {"post": {"requestBody": {"content": {"x": {"schema": schema}}}}}},
        "components": {"schemas": {"A": schema}},
    }
    assert "POST /a" in sections(recognise.read(orjson.dumps(data), PurePath("a.json")))


def test_cube_and_dbt_have_a_section_a_model_and_a_measure() -> None:
    cube = """
cubes:
  - name: orders
    description: All orders
    meta: {owner: team-data, classification: confidential}
    dimensions: [{name: region, description: where it was placed}]
    measures: [{name: revenue, type: sum, title: Net revenue, meta: {synonyms: [turnover, sales]}}]
"""
    found = read(cube, "model/orders.yml")
    assert (found.kind, found.owner, found.classification) == (
        "model",
        "team-data",
        Classification.CONFIDENTIAL,
    )
    assert "turnover, sales" in sections(found)["measure orders.revenue"]
    assert "region: where it was placed" in sections(found)["cube orders"]
    dbt = "version: 2\nmodels:\n  - name: fct\n    description: Facts\n    columns: [{name: id, description: a key}]\n"
    assert sections(read(dbt, "schema.yml")) == {"model fct": "model fct\nFacts\nid: a key"}


def test_manifests_say_no_secret() -> None:
    text = """
apiVersion: v1
kind: Secret
metadata: {name: till}
stringData: {PASSWORD: hunter2}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: till, labels: {app.kubernetes.io/name: till}}
spec:
  replicas: 3
  template: {spec: {containers: [{name: app, image: till:7, env: [{name: TOKEN, value: hunter3}], args: [--key=hunter4]}]}}
"""
    parsed = read(text, "deploy.yaml")
    assert (parsed.kind, parsed.services) == ("manifest", ("till",))
    whole = "\n".join(sections(parsed).values())
    assert "PASSWORD" in whole
    assert "till:7" in whole
    assert "TOKEN" in whole
    assert "hunter" not in whole


def test_ownership() -> None:
    owners = read("# who\n/src/till/ @shop/team-till alice@shop.test\n*.md\n", ".github/CODEOWNERS")
    assert (
        sections(owners)[""]
        == "/src/till/ is owned by @shop/team-till alice@shop.test\n*.md is owned by nobody"
    )
    entity = """
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: till, description: Where people pay}
spec: {type: service, owner: team-till, dependsOn: [component:payments]}
"""
    parsed = read(entity, "catalog-info.yaml")
    assert (parsed.kind, parsed.owner, parsed.services) == ("ownership", "team-till", ("till",))
    assert "depends on: component:payments" in sections(parsed)["Component till"]


LAUGHS = "a: &a [x,x]\n" + "".join(
    f"{c}: &{c} [*{p},*{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "laughs": (LAUGHS, "x.yaml", "anchors and aliases"),
    "deep yaml": ("[" * 5000, "x.yaml", "nested more than"),
    "yaml tag": ("!!python/object/apply:os.system [x]", "x.yaml", "tags are refused"),
    "large yaml": ("a: 1\n" * 200_000, "x.yaml", "more than 512 KiB"),
    "deep json": ("[" * 300_000, "x.json", "not JSON"),
    "other yaml": ("a: 1", "x.yaml", "no kind"),
    "scalar yaml": ("just a text", "x.yaml", "no kind"),
    "nested html": ("<html>" + "<div>" * 200_000, "x.html", "elements"),
    "long tag": (
        "<html><a " + " ".join(f"x{n}=1" for n in range(100_000)) + ">",
        "x.html",
        "tag of more than",
    ),
    "no text": ("<html><body></body></html>", "x.html", "empty"),
    "nul": ("a\x00b", "x.md", "binary"),
    "code": ("import os", "x.py", "no kind"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_left_out_soon(name: str) -> None:
    text, path, reason = HOSTILE[name]
    began = time.monotonic()
    with pytest.raises(LeftOut, match=reason):
        read(text, path)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        "# a\n" * 20_000,
        ">" * 200_000,
        "- " * 100_000,
        "[" * 300_000,
        "```\n" * 50_000,
        "*a " * 100_000,
        "\r" * 1000 + "x",
    ],
    ids=range(7),
)
def test_hostile_markdown_takes_no_long_time(text: str) -> None:
    began = time.monotonic()
    assert read(text).sections
    assert time.monotonic() - began < 10


def test_undecodable_bytes_are_left_out() -> None:
    with pytest.raises(LeftOut, match="not UTF-8: byte 1 "):
        recognise.read(b"a\xff", PurePath("x.md"))


def test_screens_obey_nothing_that_a_file_holds() -> None:
    parsed = read("# \x1b[31mred\n\n\x1b]0;title\x07 text \u202e", "x.md")
    assert "\x1b" not in parsed.title
    assert not any(character in parsed.sections[0].text for character in "\x1b\x07\u202e")


def test_pieces_stay_in_their_bound_overlap_and_lose_nothing() -> None:
    words = [f"word{number}" for number in range(700)]
    text = ". ".join(" ".join(words[at : at + 9]) for at in range(0, 700, 9))
    pieces = [item.text for item in cut((Section(heading="H", text=text),), tokens=100, overlap=20, most=100)]
    assert len(pieces) > 10
    for piece in pieces:
        assert len(cut((Section(heading="", text=piece),), tokens=100, overlap=20, most=10)) == 1
    found = [[word.strip(".") for word in piece.split()] for piece in pieces]
    assert list(dict.fromkeys(word for each in found for word in each)) == words
    for one, other in itertools.pairwise(found):
        assert set(one) & set(other)
    with pytest.raises(LeftOut, match="more than 3 passages"):
        cut((Section(heading="", text=text),), tokens=100, overlap=20, most=3)
    assert len(cut((Section(heading="", text="x" * 50_000),), tokens=100, overlap=20, most=10_000)) > 10


def walked(root: Path, largest: int = 1000) -> dict[str, Found]:
    return {str(found.path.relative_to(root)): found for found in files(root, largest)}


def test_the_walk_leaves_no_folder_and_reads_no_more_than_it_may(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "sub", root / ".git", root / ".github", outside):
        folder.mkdir(parents=True)
    (outside / "secret.md").write_text("secret")
    (root / "a.md").write_text("a")
    (root / "sub" / "b.md").write_text("b")
    (root / ".git" / "c.md").write_text("c")
    (root / ".github" / "CODEOWNERS").write_text("* @x")
    (root / "large.md").write_text("x" * 2000)
    (root / "leaves.md").symlink_to(outside / "secret.md")
    (root / "folder").symlink_to(outside)
    (root / "circle").symlink_to(root)
    (root / "within.md").symlink_to(root / "a.md")
    (root / "nowhere.md").symlink_to(root / "missing.md")
    os.mkfifo(root / "pipe.md")
    found = walked(root)
    assert {name for name, item in found.items() if item.content is not None} == {
        "a.md",
        "sub/b.md",
        ".github/CODEOWNERS",
    }
    assert {name: item.left_out for name, item in found.items() if item.left_out} == {
        "large.md": "it is larger than 1,000 bytes",
        "leaves.md": "it is a link that leaves the folder",
        "folder": "it is a link that leaves the folder",
        "circle": "it is a link to what is looked at itself",
        "within.md": "it is a link to what is looked at itself",
        "nowhere.md": "it is a link that leads nowhere",
        "pipe.md": "it is no ordinary file",
    }
    assert not any(item.unread for item in found.values())
    assert count([root], 1000) >= 3
    assert count([root], 2) == 3


def test_a_missing_root_is_unread(tmp_path: Path) -> None:
    (found,) = files(tmp_path / "missing", 10)
    assert found.unread == "No such file or directory"


def test_folders_without_end_are_not_followed_down(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(1500):
            os.mkdir("d", dir_fd=here)
            here, before = os.open("d", os.O_RDONLY, dir_fd=here), here
            os.close(before)
    finally:
        os.close(here)
    (found,) = files(tmp_path, 10)
    assert found.left_out == "its folder lies too deep"
    assert count([tmp_path], 10) == 0
    # What is this deep, rmtree of Python 3.11 cannot remove.
    import subprocess  # noqa: PLC0415 - for this alone

    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)
