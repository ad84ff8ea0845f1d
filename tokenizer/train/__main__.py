"""`python -m tokenizer.train CROPS FOLDER`: training where nothing but torch is installed."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from tokenizer.train.crops import CropSet
from tokenizer.train.loop import Recipe, Trainer, export_tokenizer


def main() -> None:
    """Trains, or resumes training, and writes the weights."""
    parser = argparse.ArgumentParser(prog="python -m tokenizer.train", description=__doc__)
    parser.add_argument("crops", type=Path, help="file that `reelmill tokenizer pack` wrote")
    parser.add_argument("folder", type=Path, help="where checkpoint, log and weights go")
    for field in dataclasses.fields(Recipe):
        option = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, type=type(field.default), default=field.default)
    options = vars(parser.parse_args())
    crops, folder = options.pop("crops"), options.pop("folder")
    trainer = Trainer(CropSet.read(crops), folder, Recipe(**options))
    trainer.run(lambda row: print({k: round(v, 4) for k, v in row.items()}, flush=True))
    made = export_tokenizer(trainer, folder / "weights.safetensors")
    print(made.name, made.digest[:8])


if __name__ == "__main__":
    main()
