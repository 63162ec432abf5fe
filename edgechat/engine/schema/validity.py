"""Final validation of an answer against the original schema.

Uses jsonschema, in the schema's own draft, with one correction: multiples are exact. jsonschema divides floats, so that
0.07 is no multiple of 0.01, though JSON Schema defines decimal numbers. Imports jsonschema, so import this only to
validate.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import jsonschema

if TYPE_CHECKING:
    from collections.abc import Iterator


def violations(value: Any, schema: dict[str, Any]) -> Iterator[jsonschema.ValidationError]:
    """Every way in which a value breaks a schema that `prepare` accepted."""
    dialect = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    exact: type[jsonschema.protocols.Validator] = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        dialect, {"multipleOf": _multiple_of}
    )
    yield from exact(schema).iter_errors(value)


def _multiple_of(_: Any, step: Any, value: object, __: Any) -> Iterator[jsonschema.ValidationError]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if Fraction(Decimal(str(value))) % Fraction(Decimal(str(step))):
        yield jsonschema.ValidationError(f"{value!r} is not a multiple of {step!r}")
