"""The JSON schema of a spec, by which editors complete and check it: what pydantic says of its models, and its arms.

It accepts what the reader accepts, but for a few forms that nobody writes, such as `flip: 1`. What one key says of
another, and what files there are, only the reader knows.
"""

import json
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from analysis.objectives import FITTED, MOST_OBJECTIVES, OBJECTIVE_FIGURES
from kd_core.config.trial import TrialConfig
from sweeps.config.arms import SHARED
from sweeps.config.search import RangeConfig
from sweeps.config.sweep import SweepSpec

Schema = dict[str, Any]
_NUMBER = r"^[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
_WHOLE = r"^[-+]?[0-9][0-9_]*$"
_TEACHER = {"type": ["string", "number", "null"]}  # named; YAML reads a name such as 1 as a number


def schema_text() -> str:
    """The JSON schema of a spec as text, without a last newline."""
    return json.dumps(spec_schema(), ensure_ascii=False, indent=1)


def spec_schema() -> Schema:
    """The JSON schema of a spec, draft 2020-12, with the docstrings of all fields as descriptions."""
    models = (SweepSpec, TrialConfig, RangeConfig)
    schema = models_json_schema([(model, "validation") for model in models], schema_generator=_Generator)[1]
    parts = schema["$defs"]
    spec = parts.pop(SweepSpec.__name__)
    settings = dict(_settings(parts, TrialConfig.__name__))
    spec["properties"]["arms"]["items"] = _object(settings) | {"required": ["method"]}
    spec["properties"]["objectives"] |= _objectives()
    return {"$schema": _Generator.schema_dialect} | spec | {"$defs": parts}


class _Generator(GenerateJsonSchema):
    """What pydantic says of a model, and the texts that it takes for numbers and for yes or no.

    Readers of YAML do not agree on what is text: 2e-1 is for ours, and yes for those of most editors.
    """

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        """A number, or a text such as 2e-1."""
        return {"anyOf": [super().float_schema(schema), {"type": "string", "pattern": _NUMBER}]}

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        """A whole number, or a text such as 1_000."""
        return {"anyOf": [super().int_schema(schema), {"type": "string", "pattern": _WHOLE}]}

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        """True or false, or a word for it."""
        return {"anyOf": [super().bool_schema(schema), {"enum": ["yes", "no", "on", "off"]}]}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """An object that has no other keys than its pattern allows."""
        said = super().dict_schema(schema)
        return said | {"additionalProperties": False} if "patternProperties" in said else said

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No field has a title beside its name."""
        return False


def _settings(parts: Schema, model: str, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """The keys that an arm may have, dotted, with what each may be: the fields of a model and of the models in it."""
    place, whole = f"#/$defs/{model}", parts[model]
    if "anyOf" in whole:  # or a word
        place, whole = f"{place}/anyOf/0", whole["anyOf"][0]
    for name, field in whole["properties"].items():
        key = f"{prefix}{name}"
        told, kinds = {"description": field["description"]}, list(_alternatives(field))
        if key == "teacher":
            yield key, told | _values(_TEACHER, set())
        elif key not in SHARED:
            yield key, told | _values({"$ref": f"{place}/properties/{name}"}, {kind.get("type") for kind in kinds})
            for kind in kinds:
                if "$ref" in kind:
                    yield from _settings(parts, kind["$ref"].rpartition("/")[2], f"{key}.")


def _values(one: Schema, kinds: set[str | None]) -> Schema:
    """What an arm may say of a key whose values are of these types: one, a list of them, or a range of numbers."""
    some = {"type": "array", "items": one, "minItems": 1}
    single = [] if "array" in kinds else [one]  # a list is always one of several values
    ranges = [{"$ref": f"#/$defs/{RangeConfig.__name__}"}] if kinds & {"number", "integer"} else []
    return {"anyOf": [*single, some, *ranges, _object({"choices": some}) | {"required": ["choices"]}]}


def _alternatives(schema: Schema) -> Iterator[Schema]:
    """The schemas of which a value must obey one."""
    if "anyOf" not in schema:
        yield schema
    for each in schema.get("anyOf", ()):
        yield from _alternatives(each)


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _objectives() -> Schema:
    """The objectives that a spec may name, and how many."""
    direction = {"enum": ["max", "min"]}
    figures = _object({figure: direction for figure in OBJECTIVE_FIGURES if figure != FITTED})
    return figures | {"minProperties": 1, "maxProperties": MOST_OBJECTIVES}
