"""Stage: captions by a vision-language model of a real architecture, tiny and with random weights.

Says how batching pays and what memory it takes, and whether a caption depends on its batch.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.gpu.stage import Stage
from curation.caption.vlm_model import VisionLanguageModel, VlmPrompt
from tests.curation.caption.models import write_llava

TOKENS = 32


def measure(stage: Stage) -> None:
    folder = write_llava(stage.work / "llava")
    precision = "bf16" if stage.on_gpu else "fp32"
    model = VisionLanguageModel(str(folder), device=stage.device, precision=precision)
    [window] = stage.kit.windows("train", 64, 9, 1)
    prompts = [VlmPrompt(window[i % 9][None], f"What is in frame {i % 9}?") for i in range(64)]
    alone = [text.text for text in model.generate(prompts[:1], TOKENS)]
    for batch in (1, 4) if stage.quick else (1, 8, 64):
        if stage.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        group = prompts[:batch]
        seconds = stage.seconds_of(lambda some=group: model.generate(some, TOKENS))
        texts = [text.text for text in model.generate(group, TOKENS)]
        figures: dict[str, Any] = {
            "captions/s": round(batch / seconds, 2), "first caption as alone": texts[:1] == alone,
        }  # fmt: skip
        if stage.on_gpu:
            figures["peak memory, MB"] = round(torch.cuda.max_memory_allocated() / 1e6)
        stage.report(**{f"batch {batch}": figures})
