"""Writes decisions of each kind as this version of the judgement records them: once for each version, never again."""

from pathlib import Path
from random import Random

from penelope.domain.decision import Judgement
from penelope.flow.recording import of_decision
from penelope.kit.canonical import canonical
from penelope.rooms.decide.facts import SCHEMA
from penelope.rooms.decide.run import Limits, decide
from penelope.testing.cases import BEGINNING, drawn_case

LIMITS = Limits(risk_limit=0.7, confidence_floor=0.5, observe_seconds=60, recheck_seconds=10)
OF_EACH = 5


def main() -> None:
    random = Random(4)
    lines: dict[Judgement, list[bytes]] = {judgement: [] for judgement in Judgement}
    while any(len(of_one) < OF_EACH for of_one in lines.values()):
        case = drawn_case(random, "inc_1")
        decision = decide(case, LIMITS, BEGINNING)
        lines[decision.judgement].append(canonical(of_decision(decision, case, LIMITS).attributes))
    recorded = [line for of_one in lines.values() for line in of_one[:OF_EACH]]
    file = Path(__file__).with_name(f"version-{SCHEMA}.jsonl")
    with file.open("xb") as stream:
        stream.write(b"\n".join(recorded) + b"\n")


if __name__ == "__main__":
    main()
