from datetime import UTC, datetime

import pytest

from penelope.domain.analysis import Assessment
from penelope.domain.metrics import Sample
from penelope.domain.rollout import Step
from penelope.domain.signal import Severity, Signal, SignalStatus
from penelope.kit.canonical import canonical
from penelope.kit.codec import from_data, to_data

NOW = datetime(2026, 11, 21, 7, 0, 0, 123456, tzinfo=UTC)
VALUES = [
    Assessment(step=Step.HOLD, reasons=("too little traffic",), harm=0.5),
    Signal(
        source="test", id="1", service="shop", name="HighErrors", severity=Severity.ERROR,
        status=SignalStatus.FIRING, starts_at=NOW, received_at=NOW, fingerprint="f", labels={"a": "b"},
    ),
    Sample(at=NOW, requests=1.5, errors=0.0, buckets={0.5: 1.0}),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_come_back_as_they_were(value):
    data = to_data(value)
    assert canonical(data)
    assert from_data(type(value), data) == value


def test_what_does_not_fit_is_named_by_its_path():
    data = to_data(VALUES[0]) | {"harm": "ten"}
    with pytest.raises(ValueError, match=r"\$\.harm"):
        from_data(Assessment, data)
