"""What the tables of a configuration have in common: kinds of numbers, and nothing unknown."""

from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tnprior_cli.toml import NONE

Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Purity = Annotated[float, Field(ge=0.5, le=1)]
Decay = Annotated[float, Field(gt=0, lt=1)]


def _listed(value: Any) -> Any:
    """`-s data.attributes=male,hat` and a TOML array mean the same."""
    if isinstance(value, str):
        return tuple(piece.strip() for piece in value.split(",") if piece.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Fractions = Annotated[tuple[Fraction, Fraction], BeforeValidator(_listed)]


class Section(BaseModel):
    """A table of settings: frozen, nothing unknown in it, and "none" where a setting may be absent."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _absent(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        optional = {
            name for name, field in cls.model_fields.items() if type(None) in get_args(field.annotation)
        }
        return {key: None if key in optional and value == NONE else value for key, value in values.items()}
