"""The last act of the demo: everything that was done is proven, and an altered copy of the database is found out."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.panel import Panel
from rich.text import Text

from shop.control import ControlPlane


@dataclass(frozen=True, kw_only=True)
class Proofs:
    """What of the ledger was checked, and how."""

    checkpoint: str
    receipts: int
    entries: int
    found: str

    @property
    def good(self) -> bool:
        return bool(self.checkpoint and self.entries and self.found)


def prove(penelope: ControlPlane, incidents: Sequence[str]) -> Proofs:
    """Verifies the whole ledger against a checkpoint that was kept elsewhere, checks each incident's receipt without
    server and database, and sees a copy of the database that was tampered with found out.
    """
    elsewhere = penelope.directory / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    note, key = elsewhere / "checkpoint", elsewhere / "log.vkey"
    receipts = [elsewhere / f"{incident}.json" for incident in incidents]
    for incident, receipt in zip(incidents, receipts, strict=True):
        penelope.penelope("ledger", "prove", incident, "-o", str(receipt))
    penelope.penelope("ledger", "checkpoint", "-o", str(note))
    key.write_text(penelope.penelope("ledger", "key"))
    penelope.penelope("ledger", "verify", "--checkpoint", str(note))
    for receipt in receipts:
        penelope.penelope("ledger", "check", str(receipt), "--key", str(key))
    return Proofs(
        checkpoint=note.read_text(),
        receipts=len(receipts),
        entries=sum(len(json.loads(receipt.read_text())["entries"]) for receipt in receipts),
        found=_tampered(penelope, elsewhere, note),
    )


def _tampered(penelope: ControlPlane, elsewhere: Path, note: Path) -> str:
    """What verification says of a copy in which one approval was given to somebody else, its guards dropped first."""
    copy = elsewhere / "tampered.db"
    with (
        closing(sqlite3.connect(penelope.directory / "penelope.db")) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        for (name,) in target.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            target.execute(f"DROP TRIGGER {name}")
        target.execute(
            "UPDATE history_payloads SET body = replace(body, 'key:demo', 'key:eve') WHERE body LIKE '%key:demo%' "
            "AND unit IN (SELECT id FROM units_of_work WHERE kind = 'approval')"
        )
        target.commit()
    tampered = ("--set", f"database.url=sqlite:///{copy}", "ledger", "verify", "--offline", "--json")
    try:
        penelope.penelope(*tampered, "--checkpoint", str(note))
    except RuntimeError as error:
        told = str(error)
        flaws = json.loads(told[told.index("{") : told.rindex("}") + 1])["flaws"]
        return next(
            (
                f"{flaw['unit']}, version {flaw['version']}, {flaw['problem']}"
                for flaw in flaws
                if flaw["seq"]
            ),
            "",
        )
    return ""


def evidence(proofs: Proofs) -> Panel:
    """The signed checkpoint, and what was checked against it."""
    if not proofs.good:
        return Panel("[bold red]The ledger could not be proven.[/]", title="ledger")
    text = Text(proofs.checkpoint.strip(), style="dim", overflow="fold")
    text.append(
        f"\n\n{proofs.receipts} receipts with {proofs.entries} entries checked without server and database.\n"
        "A copy of the database in which an approval was given to somebody else is found out:\n",
        style="default",
    )
    return Panel(
        text.append(proofs.found, style="red"), title="the ledger verifies against its signed checkpoint"
    )
