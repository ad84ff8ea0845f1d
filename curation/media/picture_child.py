"""Run confined as its own program: decodes one still picture.

Usage: picture_child.py JSON with path, formats, max_pixels, longest_side. Prints a line with JSON
[height, width], or [] for a file of no such format, and then the RGB bytes.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from PIL import Image, UnidentifiedImageError


def main(request: dict[str, Any]) -> bytes:
    """The line and the bytes."""
    Image.MAX_IMAGE_PIXELS = None  # the limit below is ours
    try:
        image: Image.Image = Image.open(request["path"], formats=request["formats"])
    except UnidentifiedImageError:
        return b"[]\n"
    if image.width * image.height > request["max_pixels"]:
        sys.exit(f"it has {image.width} x {image.height} pixels; {request['max_pixels']:,} may be")
    image.draft("RGB", (request["longest_side"], request["longest_side"]))
    image = image.convert("RGB")
    image.thumbnail((request["longest_side"], request["longest_side"]), Image.Resampling.LANCZOS)
    return json.dumps([image.height, image.width]).encode() + b"\n" + image.tobytes()


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(main(json.loads(sys.argv[1])))
    except (OSError, SyntaxError, ValueError) as error:
        sys.exit(str(error))
