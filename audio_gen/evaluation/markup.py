"""Text that a page can hold, whatever a file is called."""

import html

from audio_gen.text import one_line


def safe(text: str) -> str:
    """One line for HTML, in text or in an attribute: markup, control characters and broken bytes are escaped."""
    return html.escape(one_line(text), quote=True)
