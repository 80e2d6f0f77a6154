"""The published JSON schema of playbooks, for completion and checks in an editor."""

from typing import Any

from penelope.adapters.playbooks.file import PlaybookFile
from penelope.adapters.yaml_model import json_schema


def playbook_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12. What it refuses the loader refuses too; the loader also checks what no
    schema can say, such as parameters that nobody declared.
    """
    return json_schema(PlaybookFile, "https://penelope.dev/v1/playbook.schema.json")
