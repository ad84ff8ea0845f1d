"""The tiny model of open_clip that embedders are tested with."""

from tests.curation.embed.conftest import checkpoint, folder, model

__all__ = ["checkpoint", "folder", "model"]
