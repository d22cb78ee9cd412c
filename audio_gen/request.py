"""The request of an operation: typed, frozen, and checked before any work starts."""

from typing import Any

from pydantic import ValidationError, field_validator

from audio_gen.config import Settings, problems_in
from audio_gen.errors import ConfigError
from audio_gen.files import all_at_home


class Request(Settings):
    """Base of all requests; the fields of a subclass are the options of its operation. Paths may begin with ~."""

    command: str | None = None
    """Command line to write into sidecars; None writes the request itself."""

    def __init__(self, **values: Any) -> None:
        """Check the values.

        Raises:
            ConfigError: One line with every wrong value, and the nearest name for each unknown field.
        """
        try:
            super().__init__(**values)
        except ValidationError as e:
            raise ConfigError(problems_in(type(self), e)) from None

    @field_validator("*")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        return all_at_home(value)

    @property
    def origin(self) -> str:
        """The command line, or the request as Python code."""
        if self.command is not None:
            return self.command
        given = self.model_dump(exclude_defaults=True, mode="json")
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"
