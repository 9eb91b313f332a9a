"""What a column's declaration asks of its values besides their type.

Belongs here: each rule for one value, and as a condition of DuckDB. A row that breaks a rule is a
reject, so that no later stage meets such a value. Does not belong here: types (`pollux.types`), and
rules across rows or tables, which are models.
"""

from dataclasses import dataclass
from decimal import Decimal

from orchestration.scans import literal
from pollux.rules import spelled
from pollux.types import UnfitError, Value, visible

# A binary fraction is nearer than this to the decimal that it stands for.
_FRACTION_ERROR = 1e-6
_SEEN = r"[^\p{Z}\p{Cc}\p{Cf}]"


@dataclass(frozen=True)
class Rules:
    """The rules of a column; without any it takes every value of its type, and blank ones.

    `min_value` and `max_value` are allowed themselves, `values` are the only texts allowed. The
    fractions of a number may have so many `decimals`.
    """

    required: bool = False
    min_value: int | None = None
    max_value: int | None = None
    values: tuple[str, ...] = ()
    decimals: int | None = None

    def check(self, value: Value | None) -> None:
        """Raise `UnfitError` if the value, None for a blank one, breaks a rule."""
        if value is None or (isinstance(value, str) and not visible(value)):
            if self.required:
                raise UnfitError("blank, but a value is needed")
        elif isinstance(value, str):
            if self.values and spelled(value) not in self.values:
                raise UnfitError(f"not one of {', '.join(self.values)}")
        elif isinstance(value, int | float | Decimal):
            if self.min_value is not None and value < self.min_value:
                raise UnfitError(f"below {self.min_value:,}")
            if self.max_value is not None and value > self.max_value:
                raise UnfitError(f"above {self.max_value:,}")
            if self.decimals is not None and _has_more(float(value), self.decimals):
                raise UnfitError(f"more than {self.decimals} decimals")

    def conditions(self, field: str, *, is_text: bool) -> list[str]:
        """Conditions of DuckDB; a value that breaks a rule makes one of them false."""
        found = []
        if self.required:
            found.append(f"{field} IS NOT NULL")
            if is_text:
                found.append(f"regexp_matches({field}, '{_SEEN}')")
        if self.values:
            found.append(f"{field} IN ({', '.join(map(literal, self.values))})")
        if self.min_value is not None:
            found.append(f"{field} >= {self.min_value}")
        if self.max_value is not None:
            found.append(f"{field} <= {self.max_value}")
        if self.decimals is not None:
            found.append(f"abs({field} - round({field}, {self.decimals})) <= {_FRACTION_ERROR}")
        return found


def _has_more(value: float, decimals: int) -> bool:
    return abs(value - round(value, decimals)) > _FRACTION_ERROR
