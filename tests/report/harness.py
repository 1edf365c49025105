"""A page taken apart."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
"""Text that does harm where it is not escaped."""


class Page(HTMLParser):
    """The elements of a page, its text, and elements that were not closed in order."""

    VOID = ("meta", "link", "br", "img", "input")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.misplaced: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        self.misplaced += self._open

    @property
    def drawn(self) -> list[dict[str, Any]]:
        """What the scripts that draw charts and structures are given."""
        return [json.loads(script) for script in self.scripts if script.startswith('{"')]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.misplaced.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
        elif not (self._open and self._open[-1] == "style"):
            self.text += data
