"""OpenAPI schemas of the configuration's structs, in the form that Kubernetes takes, and specs turned back into the
configuration's own keys. Keys are kebab-case there and camelCase here; a secret is a place in a Secret here.
"""

from collections.abc import Collection, Iterable
from typing import Any

from msgspec import inspect

from gateway.settings.secret import Secret

Schema = dict[str, Any]

# Kubernetes adds up what all rules of a schema may cost; so texts and lists have an end.
LONGEST_TEXT = 4096
MOST_ITEMS = 1024
SECRET_PLACE: Schema = {
    "type": "object",
    "description": "A key of a Secret in this namespace.",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "description": "Of the Secret.", "minLength": 1, "maxLength": 253},
        "key": {"type": "string", "description": "In the Secret.", "maxLength": 253},
    },
}


def camel(key: str) -> str:
    first, *others = key.split("-")
    return first + "".join(word.capitalize() for word in others)


def schema_of(struct: type, description: str, without: Collection[str] = ()) -> Schema:
    """Of a struct, whose keys `without` are left out."""
    kind = inspect.type_info(struct)
    assert isinstance(kind, inspect.StructType)
    return {"description": description} | _object(kind, without)


def _object(kind: inspect.StructType, without: Collection[str]) -> Schema:
    kept = [field for field in kind.fields if field.encode_name not in without]
    schema: Schema = {"type": "object", "properties": {camel(one.encode_name): _schema(one.type) for one in kept}}
    required = [camel(one.encode_name) for one in kept if one.required]
    return schema | ({"required": required} if required else {})


def _schema(kind: inspect.Type) -> Schema:
    match kind:
        case inspect.StructType():
            return _object(kind, ())
        case inspect.VarTupleType() | inspect.ListType():
            return {"type": "array", "maxItems": MOST_ITEMS, "items": _schema(kind.item_type)}
        case inspect.DictType():
            return {"type": "object", "additionalProperties": _schema(kind.value_type)}
        case inspect.UnionType():
            return _union(list(kind.types))
        case inspect.LiteralType():
            return {"type": "string", "enum": [*kind.values]}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            return {"type": "integer", "format": "int64"} | _range(kind.ge, kind.le)
        case inspect.FloatType():
            return {"type": "number"} | _range(kind.ge, kind.le)
        case inspect.StrType():
            return {"type": "string"} | _text(kind)
        case inspect.CustomType():
            return SECRET_PLACE if kind.cls is Secret else {"type": "string", "maxLength": LONGEST_TEXT}
    raise NotImplementedError(kind)


def _union(kinds: list[inspect.Type]) -> Schema:
    """Kubernetes has one type for each place, or any value at all, which the operator looks at then."""
    kinds = [kind for kind in kinds if not isinstance(kind, inspect.NoneType)]
    return _schema(kinds[0]) if len(kinds) == 1 else {"x-kubernetes-preserve-unknown-fields": True}


def _range(least: float | None, most: float | None) -> Schema:
    found = {"minimum": least, "maximum": most}
    return {key: value for key, value in found.items() if value is not None}


def _text(kind: inspect.StrType) -> Schema:
    found = {
        "pattern": kind.pattern,
        "minLength": kind.min_length,
        "maxLength": kind.max_length or LONGEST_TEXT,
    }
    return {key: value for key, value in found.items() if value is not None}


def configured(struct: type, spec: Any, secrets: "Secrets") -> Any:
    """The part of a configuration that a spec of such a struct's schema stands for.

    Raises SpecError for keys that there are not, and for what `secrets` does not find.
    """
    return _turned(inspect.type_info(struct), spec, secrets)


class SpecError(ValueError):
    """A spec that cannot become a configuration; a sentence for who wrote it."""


class Secrets:
    """Finds a secret's value and keeps it as a file beside the configuration."""

    def file_of(self, place: Any) -> str:
        """The path of the file with the value of a place (see SECRET_PLACE). Raises SpecError."""
        raise NotImplementedError


def _turned(kind: inspect.Type, value: Any, secrets: Secrets) -> Any:
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        fields = {camel(one.encode_name): one for one in kind.fields}
        unknown = next((key for key in value if key not in fields), None)
        if unknown is not None:
            raise SpecError(f"unknown key {unknown}")
        return {
            fields[key].encode_name: _turned(fields[key].type, part, secrets)
            for key, part in value.items()
            if part is not None
        }
    if isinstance(kind, inspect.VarTupleType | inspect.ListType) and isinstance(value, list):
        return [_turned(kind.item_type, part, secrets) for part in value]
    if isinstance(kind, inspect.DictType) and isinstance(value, dict):
        return {key: _turned(kind.value_type, part, secrets) for key, part in value.items()}
    if isinstance(kind, inspect.UnionType):
        return _turned(_meant(kind.types, value), value, secrets)
    if isinstance(kind, inspect.CustomType) and kind.cls is Secret:
        return {"file": secrets.file_of(value)}
    return value


def _meant(kinds: Iterable[inspect.Type], value: Any) -> inspect.Type:
    """Which of several a value is; one of them where none fits: the gateway says what is wrong."""
    shape: dict[type, tuple[type, ...]] = {
        dict: (inspect.StructType, inspect.DictType),
        list: (inspect.VarTupleType, inspect.ListType),
    }
    wanted = shape.get(type(value), (inspect.StrType, inspect.BoolType, inspect.CustomType, inspect.LiteralType))
    found = [kind for kind in kinds if not isinstance(kind, inspect.NoneType)]
    return next((kind for kind in found if isinstance(kind, wanted)), found[0])
