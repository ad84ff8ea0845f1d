"""The score that docs/scores.md adds is short and works as it stands there."""

import re
import sys
import types
from pathlib import Path

import numpy as np

from curation.scores import columns

PAGE = Path(__file__).parents[3] / "docs" / "scores.md"


def test_the_score_in_the_documentation_is_short_and_scores(row, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(code.splitlines()) < 60
    module = types.ModuleType("colour")
    monkeypatch.setitem(sys.modules, "colour", module)
    exec(code, module.__dict__)
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    result = row(module.Colour(), [red, np.zeros_like(red)])
    assert result == {"colourfulness": 0.5}
    assert [column.name for column in columns(module.Colour)] == ["colourfulness"]
