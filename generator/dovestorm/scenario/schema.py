"""The JSON Schema of scenario files and fragments, made from the grammar's tables and the catalog's names, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm import catalog
from dovestorm.scenario.distributions import PARAMETERS
from dovestorm.scenario.grammar import ARRIVALS, FLOW, FRAGMENT, LABEL_KINDS, PLANTED, POPULATION, PRIMITIVES, SCENARIO, SERVER, STATE, Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["schema"]

_Schema = dict[str, Any]


def schema() -> _Schema:
    """Give the schema: of a fragment for a file with the key ``fragment``, else of a scenario."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dovestorm scenario or fragment",
        "type": "object",
        "if": {"required": ["fragment"]},
        "then": {"$ref": "#/$defs/fragment file"},
        "else": {"$ref": "#/$defs/scenario file"},
        "$defs": {
            "scenario file": _object(SCENARIO),
            "fragment file": _object(FRAGMENT),
            **_plain(),
            **_head(),
            **_values(),
            **_steps(),
        },
    }


def _ref(shape: str) -> _Schema:
    return {"$ref": f"#/$defs/{shape}"}


def _object(keys: Mapping[str, Key], **more: Any) -> _Schema:
    found: _Schema = {
        "type": "object",
        "properties": {name: {**_ref(key.shape), "description": key.about} for name, key in keys.items()},
        "additionalProperties": False,
        **more,
    }
    if required := [name for name, key in keys.items() if key.required]:
        found["required"] = required
    return found


def _closed(required: Mapping[str, _Schema], optional: Mapping[str, _Schema] | None = None) -> _Schema:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required), "additionalProperties": False}


def _map(values: _Schema, *, keys: Iterable[str] | None = None, **more: Any) -> _Schema:
    found: _Schema = {"type": "object", "additionalProperties": values, **more}
    if keys is not None:
        found["propertyNames"] = {"enum": sorted(keys)}
    return found


def _list(items: _Schema, least: int = 0) -> _Schema:
    return {"type": "array", "items": items, "minItems": least} if least else {"type": "array", "items": items}


def _plain() -> _Schema:
    """Shapes of single values."""
    return {
        "text": {"type": ["string", "number"]},
        "label": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "name": {"type": "string", "pattern": "^[a-z][a-z0-9_-]*$"},
        "names": _list(_ref("name")),
        "categories": {"anyOf": [_ref("names"), _ref("variable")]},
        "count": {"type": "integer", "minimum": 1},
        "flag": {"type": "boolean"},
        "number": {"type": ["number", "string"], "pattern": r"^[-+]?[0-9]+(\.[0-9]+)? ?(us|ms|s|min|h|d|B|kB|MB|GB|KiB|MiB|GiB)?$"},
        "durations": _list({"type": ["integer", "string"]}, 1),
        "rate": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?/ ?(s|min|h|d)$"},
        "variable": {"type": "string", "pattern": r"^\$[A-Za-z_][A-Za-z0-9_-]*$"},
        "nothing": {"anyOf": [{"type": "null"}, {"type": "object", "maxProperties": 0}]},
        "factor": {"type": "number", "minimum": 0},
        "weight": {"anyOf": [_ref("factor"), _closed({"normal": _ref("factor"), "during": _map(_ref("factor"))})]},
        "following": {"anyOf": [_map(_ref("weight"), minProperties=1), _ref("variable")]},
        "popularity": {"anyOf": [{"const": "uniform"}, _closed({"zipf": {"type": "number", "minimum": 0, "maximum": 10}})]},
        "network": {"type": "string", "pattern": r"^[0-9.]+(/[0-9]+)?$"},
        "networks": {"anyOf": [_ref("network"), _list(_ref("network"), 1)]},
    }


def _head() -> _Schema:
    texts = _list(_ref("text"), 1)
    rate = ("constant", "poisson")
    return {
        "server": _object(SERVER),
        "population": _object(POPULATION),
        "source": {"anyOf": [texts, _closed({"pool": _ref("name")})]},
        "arrivals": _object(ARRIVALS, oneOf=[{"required": [process]} for process in (*rate, "bursts", "trace")]),
        "bursts": _closed({"rate": _ref("rate"), "size": _ref("value")}, {"spread": _ref("number")}),
        "curve": _map(_ref("factor"), minProperties=1),
        "factors": _map(_ref("factor"), minProperties=1),
        "pools": _map({"anyOf": [texts, _closed({"file": _ref("label")})]}),
        "tables": _map(_closed({"columns": _list(_ref("name"), 1), "rows": _list(_list({"type": ["string", "number", "null"]}, 1), 1)})),
        "windows": _list(_closed({"fault": _ref("name"), "from": _ref("text"), "to": _ref("text")})),
        "label kind": {"enum": list(LABEL_KINDS)},
        "planted": _map(_object(PLANTED), minProperties=1),
        "flows": _list(_object(FLOW), 1),
        "parameters": _map({"anyOf": [_ref("value"), _closed({"required": {"const": True}})]}),
    }


def _values() -> _Schema:
    """Values: a scalar, a list of texts, or one of the operations."""
    number, value = _ref("number"), _ref("value")
    bounds = {"least": number, "most": number}
    shape = {"type": "number", "exclusiveMinimum": 0}
    named = {
        kind: _closed(
            {key: shape if key == "shape" else number for key in required},
            {**dict.fromkeys(one_of, number), **bounds},
        )
        for kind, (required, one_of) in PARAMETERS.items()
    }
    options = _list(_closed({"value": value}, {"weight": _ref("weight")}), 1)
    measured = {
        "type": "object",
        "properties": bounds,
        "patternProperties": {r"^[0-9]+(\.[0-9]+)?$": number},
        "additionalProperties": False,
        "minProperties": 2,
    }
    operations: _Schema = {
        "choose": _closed({"choose": {"anyOf": [_map(_ref("weight"), minProperties=1), options]}}),
        **{kind: _closed({kind: body}) for kind, body in named.items()},
        "uniform": _closed({"uniform": {**_list(number, 2), "maxItems": 2}}),
        "quantiles": _closed({"quantiles": {"anyOf": [_list(number, 2), measured]}}),
        "pool": _closed({"pool": {"anyOf": [_ref("name"), _list(_ref("text"), 1)]}}, {"zipf": {"type": "number", "minimum": 0, "maximum": 10}}),
        "counter": _closed({"counter": _ref("name")}, {"from": {"type": "integer", "minimum": 0}}),
        "text": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": value},
        "sum": _closed({"sum": _list(value, 1)}),
        "scale": _closed({"scale": value, "by": value}),
        "least": _closed({"least": _list(value, 1)}),
        "greatest": _closed({"greatest": _list(value, 1)}),
        "address": _closed({"address": _ref("networks")}),
        "user": _closed({"user": _ref("popularity")}),
        "normal": _closed({"normal": value, "during": _map(value)}),
        "table": _closed({"table": _ref("name"), "column": _ref("name"), "row": value}),
    }
    scalars: list[_Schema] = [{"type": ["string", "number", "null"]}, _list({"type": ["string", "number"]})]
    return {"value": {"anyOf": [*scalars, *operations.values()]}, "variables": _map(value)}


def _steps() -> _Schema:
    fields = {name for event in catalog.event_names() for name in catalog.canonical_fields(event)}
    alternative = _closed({"steps": _ref("steps")}, {"weight": _ref("weight")})
    guard = Key("text", 'Only for these editions, like "2.3.6" or ">=2.3.7 <2.4".')
    kinds = [
        _object({name: Key(primitive.shape, primitive.about, required=True), **primitive.options, "dovecot": guard})
        for name, primitive in PRIMITIVES.items()
    ]
    return {
        "event": {"enum": sorted(catalog.event_names())},
        "pair": {"enum": sorted(catalog.pairs())},
        "fields": _map(_ref("value"), keys=fields),
        "fragment": _ref("label"),
        "alternatives": _list(alternative, 1),
        "cases": _map(_ref("steps"), minProperties=1),
        "states": _map(_object(STATE), minProperties=1),
        "steps": _list({"anyOf": kinds}),
    }
