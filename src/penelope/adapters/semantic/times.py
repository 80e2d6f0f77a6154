"""Days and moments of a query, in its time zone."""

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from penelope.domain.semantics import Granularity
from penelope.errors import InvalidQuery

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}")
# As in Cube, to the millisecond: the last one of a day is the end of it.
_END = time(23, 59, 59, 999000)


def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name. Raises InvalidQuery."""
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise InvalidQuery("there is no such time zone", hint="Write an IANA name such as Europe/Berlin.")


def bound(text: str, where: ZoneInfo, *, end: bool = False) -> datetime:
    """The beginning, or the end, of a day; or a moment as it is. In UTC, without a zone. Raises InvalidQuery."""
    try:
        if _DAY.fullmatch(text):
            local = datetime.combine(datetime.fromisoformat(text), _END if end else time())
        elif _MOMENT.fullmatch(text):
            local = datetime.fromisoformat(text)
        else:
            raise _no_date()
        if local.year in {1, 9999}:
            raise _no_date()
    except ValueError:
        raise _no_date() from None
    kept = timedelta(microseconds=local.microsecond % 1000)
    return (local - kept).replace(tzinfo=where).astimezone(UTC).replace(tzinfo=None)


def _no_date() -> InvalidQuery:
    return InvalidQuery(
        "a date is no day and no moment",
        hint="Write 2026-07-01, or 2026-07-01T15:00:00 in the query's time zone.",
    )


def rounded(sql: str, granularity: Granularity, zone_parameter: str | None) -> str:
    """SQL for a moment rounded down, in the zone of a parameter or in UTC."""
    local = f"CAST({sql} AS TIMESTAMP)"
    if zone_parameter is not None:
        local = f"timezone({zone_parameter}, CAST({sql} AS TIMESTAMPTZ))"
    return f"date_trunc('{granularity.value}', {local})"
