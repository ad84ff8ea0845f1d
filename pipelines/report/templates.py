"""The templates of the report's files, and writing such a file atomically."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from curation.storage import Storage
from pipelines.report import formatting

_FILTERS = ("thousands", "share", "duration", "number", "large", "size", "base_name")


def template(name: str) -> Template:
    """A template of this package; what is put into it is escaped."""
    environment = Environment(
        loader=PackageLoader("pipelines", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(formatting, name) for name in _FILTERS}
    return environment.get_template(name)


def write_text(path: Path, text: str) -> Path:
    """Writes a file, complete or not at all, and returns its absolute path."""
    target = path.expanduser().absolute()
    with Storage.at(target.parent).atomic_write(target.name) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    return target
