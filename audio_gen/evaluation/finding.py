"""A sentence of the verdict."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One sentence of the verdict.

    Attributes:
        name: Short and stable, for programs: "mode_collapse", "distance", ..
        text: The sentence.
        alarm: Whether something is broken.
    """

    name: str
    text: str
    alarm: bool = False

    def to_json(self) -> dict[str, Any]:
        """The form in JSON."""
        return {"name": self.name, "text": self.text, "alarm": self.alarm}
