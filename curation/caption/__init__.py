"""Captions of clips, from measured facts or by a model, each captioner in a table of its own.

`FactsCaption` needs no model; `VlmCaption` loads one here; `ApiCaption` asks a server. The last two
can also rewrite another table's captions. To add a captioner: one file with a class as in
`curation.caption.base`, and a line in `CAPTIONERS`.
"""

from typing import Any

from curation.caption.api import ApiCaption
from curation.caption.facts import FactsCaption, clip_facts, facts_caption
from curation.caption.vlm import VlmCaption

CAPTIONERS: dict[str, type[Any]] = {
    "FactsCaption": FactsCaption,
    "VlmCaption": VlmCaption,
    "ApiCaption": ApiCaption,
}
"""Captioners by the name that a configuration uses."""

__all__ = [
    "CAPTIONERS",
    "ApiCaption",
    "FactsCaption",
    "VlmCaption",
    "clip_facts",
    "facts_caption",
]
