"""JSON Schemas of jobs and spaces, for editors."""

from typing import Any, Literal

from trainyard.spec.job import Job
from trainyard.spec.section import Section
from trainyard.spec.space import Space


def json_schema(kind: Literal["job", "space"]) -> dict[str, Any]:
    """The schema (draft 2020-12) that yaml-language-server completes and checks a file with."""
    root: type[Section] = Job if kind == "job" else Space
    schema = root.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": f"trainyard {kind}"}
