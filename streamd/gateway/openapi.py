"""The API's document (OpenAPI 3.1), made from its operations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

import streamd
from streamd.access import Role
from streamd.gateway.operations import Operation, Problem

_REF = "#/components/schemas/{model}"
_NAMES: Mapping[str, Mapping[str, Any]] = {
    "id": {"type": "string", "minLength": 1, "maxLength": 128},
    "face": {"type": "string", "pattern": r"^[0-9]{1,18}$"},
    "crop": {"type": "string", "pattern": r"^[0-9]{1,18}$"},
    "day": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
}
_ANY_NAME = {"type": "string", "minLength": 1, "maxLength": 200}
_WORDS = {
    200: "done",
    201: "made",
    204: "done; there is nothing to say",
    400: "the request is not HTTP as it should be",
    401: "nobody is logged in, or the token is not known",
    403: "the role does not suffice, or the request comes from another site's page",
    404: "there is no such thing",
    406: "none of the formats that were offered can be used",
    408: "the body did not come in time",
    409: "it does not go with what is there",
    413: "it is too large",
    415: "the body is of another type than this takes",
    422: "the request is not as this document says",
    429: "too often; Retry-After says when",
    500: "a defect",
    503: "something that is needed does not answer",
}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole document, as plain values."""
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = re.sub(r"\{(\w+)(?::[^{}]*)?\}", r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas)
    schemas |= _model_schemas([Problem])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "streamd",
            "version": streamd.__version__,
            "description": "Who is seen by the cameras, and who they are known to be. Times are RFC 3339 in UTC.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(tag for o in operations for tag in o.tags if tag)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "streamd_session"},
            },
        },
        "security": [{"token": []}, {"session": []}],
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    least = operation.least
    found: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "summary": operation.summary,
        "tags": [tag for tag in operation.tags if tag],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation, schemas)],
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        found["requestBody"] = {
            "required": True,
            "content": {operation.takes: {"schema": _schema(operation.body, schemas)}},
        }
    elif operation.takes != "application/json":
        found["requestBody"] = {"required": True, "content": {operation.takes: {"schema": _raw(operation.takes)}}}
    if least is None:
        found["security"] = []
    elif least > Role.VIEWER:
        found["description"] = f"Takes the role {least.word}."
    return found


def _operation_id(operation: Operation) -> str:
    words = re.sub(r"\{(\w+)[^{}]*\}", r"by-\1", operation.path).replace("/api/v1/", "").strip("/")
    return re.sub(r"[^a-z0-9]+", "_", f"{operation.method} {words}".lower()).strip("_")


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": dict(_NAMES.get(name, _ANY_NAME))}
        for name in re.findall(r"\{(\w+)", operation.path)
    ]


def _query_parameters(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema(ref_template=_REF)
    schemas |= schema.pop("$defs", {})
    required = set(schema.get("required", ()))
    found = []
    for name, entry in schema["properties"].items():
        parameter = {"name": name, "in": "query", "required": name in required, "schema": _without_title(entry)}
        if description := entry.get("description"):
            parameter["description"] = description
        found.append(parameter)
    return found


def _without_title(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter is left out rather than null."""
    found = {key: value for key, value in entry.items() if key not in ("title", "description")}
    given = [option for option in found.get("anyOf", ()) if option != {"type": "null"}]
    if found.get("default", 0) is None:
        del found["default"]
    if len(given) == 1:
        del found["anyOf"]
        found |= given[0]
    return found


def _responses(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"description": _WORDS[operation.status]}
    if operation.answer is not None:
        told["content"] = {"application/json": {"schema": _schema(operation.answer, schemas)}}
    elif operation.status != 204:
        told["content"] = {operation.gives: {"schema": _raw(operation.gives)}}
    responses = {str(operation.status): told}
    usual = {500, 503}
    if operation.least is not None:
        usual |= {401, 403}
    if "{" in operation.path:
        usual |= {404}
    if operation.query is not None:
        usual |= {422}
    if operation.takes_body:
        usual |= {408, 413, 415, 422}
    if operation.method != "GET":
        usual |= {403}
    for status in sorted(usual | set(operation.refusals) | {400}):
        problem = {"application/json": {"schema": {"$ref": _REF.format(model="Problem")}}}
        responses[str(status)] = {"description": _WORDS[status], "content": problem}
    return responses


def _raw(media: str) -> dict[str, Any]:
    if media == "multipart/form-data":
        photos = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1, "maxItems": 50}
        return {"type": "object", "properties": {"photo": photos}, "required": ["photo"]}
    if media.startswith("text/") or media == "application/sdp":
        return {"type": "string"}
    if media == "application/json":
        return {}
    return {"type": "string", "format": "binary"}


def _schema(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = TypeAdapter(kind).json_schema(ref_template=_REF)
    schemas |= schema.pop("$defs", {})
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        schemas |= _model_schemas([kind])
        return {"$ref": _REF.format(model=kind.__name__)}
    return schema


def _model_schemas(models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    return dict(found.get("$defs", {}))
