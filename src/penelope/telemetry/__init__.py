"""What the server tells about itself: metrics and logs, their names and how they are written."""

from penelope.telemetry.logs import configure_logging
from penelope.telemetry.metrics import Telemetry
from penelope.telemetry.names import LOG_FIELDS, METRICS, MOST_LABEL_VALUES, Metric
from penelope.telemetry.shadow import ErrorsToBuffer, Shadow

__all__ = [
    "LOG_FIELDS",
    "METRICS",
    "MOST_LABEL_VALUES",
    "ErrorsToBuffer",
    "Metric",
    "Shadow",
    "Telemetry",
    "configure_logging",
]
