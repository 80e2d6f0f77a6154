"""The published JSON schema of services.yaml, for completion and checks in an editor."""

from typing import Any

from penelope.adapters.catalogue.model import ServicesFile
from penelope.adapters.yaml_model import json_schema


def services_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12. What it refuses the loader refuses too; the loader also checks what no
    schema can say, such as dependencies that go in a circle.
    """
    return json_schema(ServicesFile, "https://penelope.dev/v1/services.schema.json")
