from datetime import UTC, datetime, timedelta

from penelope.domain.evidence import Dossier, Evidence

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


def evidence(concept, value, confidence=1.0):
    return Evidence(concept=concept, value=value, source="test", observed_at=NOW, confidence=confidence)


def test_evidence_is_known_when_it_has_a_value_even_an_empty_one():
    assert evidence("x", 0).known
    assert evidence("x", "").known
    assert not evidence("x", None).known


def test_evidence_ages_and_is_never_younger_than_now():
    assert evidence("x", 1).age_seconds(NOW + timedelta(seconds=5)) == 5
    assert evidence("x", 1).age_seconds(NOW - timedelta(seconds=5)) == 0


def test_a_dossier_finds_concepts_and_is_as_sure_as_its_parts():
    parts = (evidence("a", 1), evidence("b", None, 0.0))
    dossier = Dossier(service="shop", gathered_at=NOW, evidence=parts)
    assert dossier.get("a") is parts[0]
    assert dossier.get("c") is None
    assert dossier.value("a") == 1
    assert dossier.value("b") is None
    assert dossier.value("c") is None
    assert dossier.confidence == 0.5


def test_an_empty_dossier_is_sure_of_nothing():
    assert Dossier(service="shop", gathered_at=NOW, evidence=()).confidence == 0.0
