"""Optional sets of packages: how to install one, in the way that Reelmill was installed."""

from __future__ import annotations

import functools
import importlib.metadata
import json


def install_command(extra: str) -> str:
    """The command that installs an extra such as `clip`; for a working copy, in its folder."""
    if _is_working_copy():
        return f"pip install -e '.[{extra}]' -c constraints.txt"
    return f"pip install 'reelmill[{extra}]'"


@functools.cache
def _is_working_copy() -> bool:
    """Whether this is an editable install (PEP 610)."""
    try:
        text = importlib.metadata.distribution("reelmill").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return False
    return bool(json.loads(text or "{}").get("dir_info", {}).get("editable", False))
