"""Reads plain JSON several times as fast as pydantic does.

Belongs here: a reader made from a pydantic model, which takes what nearly every body consists of:
names of ASCII letters, numbers written as numbers. Does not belong here: what else a body may hold,
and what is said of a wrong one. There the reader returns None, and the model is asked.
"""

from collections.abc import Callable, Iterable
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import annotated_types
import msgspec
from pydantic import BaseModel, BeforeValidator, RootModel, WithJsonSchema
from pydantic.fields import FieldInfo

from pollux.types import INTEGER_DIGITS, LABEL_LENGTH, NUMBER_DIGITS

# What every type of `pollux.types` reads as it stands.
PLAIN: dict[object, dict[str, Any]] = {
    int: {"ge": 1 - 10**INTEGER_DIGITS, "le": 10**INTEGER_DIGITS - 1},
    float: {"ge": 1 - 10**NUMBER_DIGITS, "le": 10**NUMBER_DIGITS - 1},
    str: {"max_length": LABEL_LENGTH, "pattern": "^[A-Za-z0-9_]+$"},
}
NARROWER = {"ge": max, "le": min, "max_length": min}


def quick_reader(annotation: object, *, longest: int | None = None) -> Callable[[bytes], object]:
    """Reads JSON into objects with the attributes of a model, or into a list of them.

    A list holds at most `longest`. The reader returns None where the model must be asked.
    Validators of whole models are not run. Raises `TypeError` for a field of which it does not know
    what is plain.
    """
    metadata = [] if longest is None else [annotated_types.MaxLen(longest)]
    decoder = msgspec.json.Decoder(_plain(annotation, metadata))

    def read(body: bytes) -> object:
        try:
            return decoder.decode(body)
        except msgspec.MsgspecError:
            return None

    return read


def _plain(annotation: object, metadata: Iterable[object] = ()) -> Any:  # noqa: ANN401
    """What msgspec takes for it: no more than pydantic, and to the same values."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _plain(inner, [*more, *metadata])
    if origin in {Union, UnionType}:
        choices = [one for one in get_args(annotation) if one is not NoneType]
        if len(choices) != 1:
            raise TypeError(f"several choices: {annotation}")
        return _plain(choices[0], metadata) | None
    limits = _limits(metadata)
    if origin is list:
        (item,) = get_args(annotation)
        return Annotated[GenericAlias(list, (_plain(item),)), msgspec.Meta(**limits)]
    if annotation in PLAIN:
        return Annotated[annotation, msgspec.Meta(**_both(PLAIN[annotation], limits))]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _struct(annotation)
    raise TypeError(f"of this it is not known what is plain: {annotation}")


def _struct(model: type[BaseModel]) -> type[msgspec.Struct]:
    if issubclass(model, RootModel):
        raise TypeError(f"no fields of its own: {model}")
    fields = [(name, _plain(f.annotation, f.metadata)) for name, f in model.model_fields.items()]
    return msgspec.defstruct(model.__name__, fields, forbid_unknown_fields=True)


def _limits(metadata: Iterable[object]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in metadata:
        match one:
            case BeforeValidator() | WithJsonSchema():
                pass
            case FieldInfo():
                found |= _limits(one.metadata)
            case annotated_types.Ge():
                found["ge"] = one.ge
            case annotated_types.Le():
                found["le"] = one.le
            case annotated_types.MaxLen():
                found["max_length"] = one.max_length
            case _:
                raise TypeError(f"not known: {one}")
    return found


def _both(plain: dict[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    narrower = {name: NARROWER[name](plain[name], limit) for name, limit in limits.items()}
    return plain | narrower
