"""The document: sections of blocks, as one HTML file that loads nothing.

A content security policy in the page allows no request at all, and no script but those that are
written here, by their hashes: text from users' files stays text.
"""

import base64
import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import ase
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

import molnet
from molnet.report.block import Block
from molnet.stored import write_whole

ASSETS = Path(__file__).parent / "assets"

LICENCES = {
    "d3.min.js": "d3.LICENSE",
    "plot.umd.min.js": "plot.LICENSE",
    "3Dmol-min.js": "3Dmol.LICENSE",
}
"""Of the libraries; a page that carries one of these carries its licence."""


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading.

    Args:
        title: the heading.
        blocks: in order; charts stand side by side where there is room.
        text: an introduction.
        folded: the section opens with a click.
    """

    title: str
    blocks: Sequence[Block]
    text: str = ""
    folded: bool = False


def write(
    path: str | Path,
    title: str,
    sections: Sequence[Section],
    headline: Mapping[str, str] | None = None,
    subtitle: str = "",
) -> Path:
    """Writes a page, in one step: a file that is there is whole.

    Args:
        path: the HTML file, which is replaced.
        title: of the page.
        sections: those without blocks are left out.
        headline: the few numbers that matter most, as texts with units, by what they are.
        subtitle: one line below the title, such as the names of the files.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    sections = [section for section in sections if section.blocks]
    names = dict.fromkeys(
        name for section in sections for block in section.blocks for name in block.scripts
    )
    # Viewers are drawn by the last script, and libraries come before what uses them.
    scripts = {name: _asset(name) for name in _ORDER if name in names}
    text = _template().render(
        title=title,
        subtitle=subtitle,
        headline=headline or {},
        sections=sections,
        style=Markup(_asset("page.css")),  # noqa: S704 - molnet's own
        scripts=[Markup(script) for script in scripts.values()],  # noqa: S704 - likewise
        licences=[_asset(LICENCES[name]) for name in scripts if name in LICENCES],
        hashes=" ".join(f"'{_hash(script)}'" for script in scripts.values()) or "'none'",
        written=f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
        versions=(
            f"molnet {molnet.__version__}, Python {platform.python_version()}, "
            f"NumPy {np.__version__}, ASE {ase.__version__}"
        ),
    )
    write_whole(path, text)
    return path


_ORDER = ("d3.min.js", "plot.umd.min.js", "3Dmol-min.js", "charts.js", "structures.js")


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def _hash(script: str) -> str:
    """Of a script, as a content security policy names it."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
