import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from penelope.adapters.sources.cloudevents import read
from penelope.domain.signal import Severity, SignalStatus, problem_fingerprint
from penelope.errors import InputError, InvalidRequest, InvalidSignal

NOW = datetime(2026, 11, 21, 2, 5, tzinfo=UTC)
CORPUS = Path(__file__).parents[2] / "corpus" / "cloudevents"
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
REFUSED = json.loads((CORPUS / "refused.json").read_text())
BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "T", "ce-subject": "shop"}
MINIMAL = {"specversion": "1.0", "id": "1", "source": "/s", "type": "T", "subject": "shop"}


def structured(**changes):
    return read(STRUCTURED, json.dumps({**MINIMAL, **changes}).encode(), NOW)


def test_a_structured_event_becomes_a_signal():
    [signal] = read(STRUCTURED, (CORPUS / "structured.json").read_bytes(), NOW)

    assert (signal.source, signal.id) == ("https://ci.example.org/shop/pipelines/812", "A234-1234-1234")
    assert (signal.service, signal.name) == ("shop", "HighErrorRate")
    assert signal.fingerprint == problem_fingerprint("shop", "HighErrorRate")
    assert (signal.severity, signal.status) == (Severity.CRITICAL, SignalStatus.FIRING)
    assert signal.starts_at == datetime(2026, 11, 21, 2, 1, 55, 256000, tzinfo=UTC)
    assert (signal.ends_at, signal.received_at) == (None, NOW)
    assert signal.labels == {"cluster": "test"}
    assert signal.annotations == {"summary": "shop error ratio 43 %"}


def test_a_batch_becomes_a_signal_for_each_event():
    firing, resolved = read(BATCH, (CORPUS / "batch.json").read_bytes(), NOW)

    assert firing.starts_at == NOW
    assert (firing.status, firing.severity) == (SignalStatus.FIRING, Severity.WARNING)
    assert resolved.status is SignalStatus.RESOLVED
    assert resolved.ends_at == datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
    assert resolved.ends_at.tzinfo is UTC
    assert firing.fingerprint == resolved.fingerprint
    assert read(BATCH, b"[]", NOW) == []


def test_a_binary_event_becomes_a_signal():
    headers = {**BINARY, "Content-Type": "application/json", "CE-Time": "2026-11-21T02:00:00Z"}

    [signal] = read(headers, b'{"severity": "error", "service": "cart"}', NOW)

    assert (signal.service, signal.name, signal.severity) == ("cart", "T", Severity.ERROR)
    assert signal.starts_at == datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


def test_a_binary_event_may_go_without_a_body():
    [signal] = read(BINARY, b"", NOW)

    assert (signal.service, signal.name) == ("shop", "T")


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        ("caf%C3%A9%20one", "café one"),
        ("a%2525", "a%25"),
        ('"a \\"b\\" c"', 'a "b" c'),
        ('"', '"'),
        ("100%", "100%"),
    ],
)
def test_headers_are_decoded_once(value, decoded):
    [signal] = read({**BINARY, "ce-subject": value}, b"", NOW)

    assert signal.service == decoded


@pytest.mark.parametrize("convert", [to_binary_event, to_structured_event])
def test_what_the_official_library_sends_is_understood(convert):
    sent = convert(
        CloudEvent(
            attributes={
                "type": "com.example.schöne",
                "source": "https://example.org/a?b=c#d",
                "id": "ä 1",
                "subject": "shop",
                "time": datetime(2026, 11, 21, 2, 0, tzinfo=UTC),
                "datacontenttype": "application/json",
                "traceid": "77",
            },
            data={"severity": "info", "starts_at": "2026-11-21T01:00:00+01:00"},
        )
    )

    [signal] = read(sent.headers, sent.body, NOW)

    assert (signal.name, signal.id, signal.severity) == ("com.example.schöne", "ä 1", Severity.INFO)
    assert signal.starts_at == datetime(2026, 11, 21, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("case", REFUSED, ids=[case["why"] for case in REFUSED])
def test_events_that_are_refused(case):
    body = json.dumps(case["event"]).encode()

    with pytest.raises((InvalidSignal, InvalidRequest)) as refused:
        read(STRUCTURED, body, NOW)

    assert str(refused.value).startswith(f"{case['says']}: ")
    assert refused.value.advice


@pytest.mark.parametrize("case", REFUSED, ids=[case["why"] for case in REFUSED])
def test_one_event_that_is_refused_refuses_its_batch(case):
    body = json.dumps([MINIMAL, case["event"]]).encode()

    with pytest.raises((InvalidSignal, InvalidRequest)) as refused:
        read(BATCH, body, NOW)

    assert str(refused.value).startswith("[1]")


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({}, b"{}", "neither the Content-Type nor ce- headers"),
        ({"Content-Type": "application/json"}, b"{}", "neither the Content-Type nor ce- headers"),
        ({"Content-Type": "application/cloudevents+avro"}, b"", "the event format application/cloudevents+avro"),
        (BATCH, b"{}", "the body: a batch is a JSON array"),
        (STRUCTURED, b"{", "the body: not JSON that can be used"),
        (STRUCTURED, b'{"id": "1", "id": "2"}', "the body: not JSON that can be used: the key 'id' occurs twice"),
        ({**BINARY, "Content-Type": "text/plain"}, b"x", "datacontenttype: the data must be JSON"),
        ({**BINARY, "Content-Type": "application/json"}, b"x", "the body: not JSON that can be used"),
        ({**BINARY, "ce-subject": "%FF"}, b"", "header ce-subject: its percent-encoding is not UTF-8"),
        ({**BINARY, "ce-subject": "a%00b"}, b"", "subject: must have at most 1024 characters"),
        ({**BINARY, "ce-subject": "x" * 1025}, b"", "subject: must have at most 1024 characters"),
        ({**BINARY, "ce-id": ""}, b"", "id: "),
        ({**BINARY, "ce-my_ext": "1"}, b"", "my_ext: "),
        ({**BINARY, "ce-data": "1"}, b"", "data: "),
    ],
)  # fmt: skip
def test_requests_that_are_refused(headers, body, said):
    with pytest.raises(InputError) as refused:
        read(headers, body, NOW)

    assert str(refused.value).startswith(said)
    assert refused.value.advice


@pytest.mark.parametrize("extension", ["x", 5, True, -(2**31)])
def test_extensions_may_be_texts_numbers_and_booleans(extension):
    assert structured(myext1=extension)[0].id == "1"


@pytest.mark.parametrize("data", ["a text", 5, [1], {"unknown": {"deep": [1]}}])
def test_data_that_says_nothing_to_us_leaves_the_attributes(data):
    [signal] = structured(data=data)

    assert (signal.service, signal.name, signal.labels) == ("shop", "T", {})


def test_any_json_media_type_is_json():
    assert structured(datacontenttype="application/vnd.acme+json", data={"name": "N"})[0].name == "N"
    encoded = base64.b64encode(b'{"name": "N"}').decode()
    assert structured(datacontenttype="text/json;charset=utf-8", data_base64=encoded)[0].name == "N"
