"""JSON Schema of what writers send, generated from the models: `python -m data_access.schema`.

`docs/schema/` holds its output; a test checks that it is current.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from data_access.records import Annotation, Feedback, Prediction

FOLDER = Path(__file__).parent.parent / "docs" / "schema"
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """File name and schema of each kind of event, in the nested form of docs/log.md."""
    feedback_properties = _plain(Feedback)
    feedback = {
        "$schema": DRAFT,
        "title": "Feedback",
        "description": "A user's judgement of one output. Without a feedback_key, one is made "
        "from the content.",
        "type": "object",
        "properties": feedback_properties,
        "required": ["record_key", "timestamp"],
        "anyOf": [
            {"required": [name], "properties": {name: {"type": "string"}}}
            for name in ("flag", "ground_truth_string", "comment")
        ],
    }
    properties: dict[str, Any] = {}
    for name, declared in _plain(Prediction).items():
        group, _, inner = name.partition(".")
        if inner:
            nested = properties.setdefault(group, {"type": "object", "properties": {}})
            nested["properties"][inner] = declared
        else:
            properties[name] = declared
    properties["feedback"] = {
        "description": "What is known of the output already.",
        "type": "object",
        "properties": feedback_properties,
    }
    prediction = {
        "$schema": DRAFT,
        "title": "Prediction",
        "description": "One image read by the recognizer. Dotted names such as inputs.image mean "
        "the same as nested ones; names that are not known are kept as tags.",
        "type": "object",
        "properties": properties,
        "required": [name for name, row in Prediction.model_fields.items() if row.is_required()],
    }
    annotation = {
        "$schema": DRAFT,
        "title": "Annotation",
        "description": "How something that people keep beside the records is from now on. Of the "
        "events of one kind and name the newest counts; without a payload, the thing is removed.",
        "type": "object",
        "properties": _plain(Annotation),
        "required": [name for name, row in Annotation.model_fields.items() if row.is_required()],
    }
    return {"prediction.json": prediction, "feedback.json": feedback, "annotation.json": annotation}


def _plain(model: type[BaseModel]) -> dict[str, Any]:
    """Properties by the names that the log uses, without the titles that pydantic makes up."""
    properties: dict[str, Any] = model.model_json_schema(by_alias=True)["properties"]
    for declared in properties.values():
        declared.pop("title", None)
        if declared.get("default", ...) is None:
            del declared["default"]
    return properties


def text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    for name, schema in schemas().items():
        (FOLDER / name).write_text(text(schema), encoding="utf-8")
