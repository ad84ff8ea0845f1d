"""A model of Hugging Face's transformers that turns pictures and text into text.

Loaded from a folder, or from the hub by name, as safetensors; no code that comes with a model is
run. Pictures go in as single images, which every such model takes. Prompts of one batch are padded
on the left, and the next token is the likeliest one, so that the same batch gives the same words.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from curation.errors import InfrastructureError
from curation.media.decode import Frames
from curation.storage import file_sha256
from curation.torchvision_ops import mend_torchvision

_FETCHED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model")
_DECIDES = frozenset((".json", ".safetensors", ".jinja", ".txt", ".model"))
_YES, _NO = ("yes", "Yes", " yes", " Yes", "YES"), ("no", "No", " no", " No", "NO")


@dataclass(frozen=True, eq=False, slots=True)
class Asked:
    """One prompt."""

    pictures: Frames
    """RGB uint8 [n, height, width, 3]; n may be 0."""
    words: str
    """The text after the pictures."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the model made of one prompt."""

    text: str
    tokens_in: int
    tokens_out: int
    cut_short: bool
    """Whether it was stopped by the limit on tokens."""


class VisionLanguageModel:
    """A model in memory. Raises `ValueError` for what is not there or cannot be loaded."""

    def __init__(
        self, path_or_id: str, *, device: str, precision: str, vision: bool = True
    ) -> None:
        import torch

        if device != "cpu" and not torch.cuda.is_available():
            raise ValueError(
                f"device {device} is not there: torch {torch.__version__} sees no CUDA device; use"
                " device: cpu, or install a CUDA build of torch"
            )
        self._torch = torch
        self._device = device
        folder = str(model_folder(path_or_id))
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        transformers = _transformers()
        transformers.utils.logging.disable_progress_bar()
        try:
            self._processor = transformers.AutoProcessor.from_pretrained(
                folder, local_files_only=True
            )
            kind = _kind(transformers, folder, vision)
            loaded, report = kind.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, local_files_only=True,
                output_loading_info=True,
            )  # fmt: skip
        except (OSError, ValueError, ImportError, KeyError, RuntimeError, AttributeError) as error:
            words = " ".join(str(error).split())
            raise ValueError(f"{path_or_id} cannot be loaded: {words[:400]}") from error
        _refuse_gaps(path_or_id, report)
        self._model = loaded.eval().requires_grad_(False).to(device)
        self._tokenizer = getattr(self._processor, "tokenizer", self._processor)
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        if getattr(self._processor, "chat_template", None) is None:
            raise ValueError(f"{path_or_id} has no chat template: take one tuned on instructions")

    def say(self, asked: Sequence[Asked], max_tokens: int) -> list[Said]:
        """The likeliest words after each prompt."""
        inputs = self._inputs(asked)
        length = inputs["input_ids"].shape[1]
        with self._computing():
            made = self._model.generate(
                **inputs, max_new_tokens=max_tokens, do_sample=False, num_beams=1,
                pad_token_id=self._tokenizer.pad_token_id,
                temperature=None, top_p=None, top_k=None,
            )[:, length:]  # fmt: skip
        read = inputs["attention_mask"].sum(dim=1).tolist()
        return [self._said(tokens, tokens_in) for tokens, tokens_in in zip(made, read, strict=True)]

    def sureness(self, asked: Sequence[Asked]) -> list[tuple[float, int]]:
        """How probable `yes` is against `no` as the next word, 0–1; and the tokens read."""
        torch = self._torch
        inputs = self._inputs(asked)
        with self._computing():
            logits = self._model(**inputs).logits[:, -1].float().softmax(dim=-1)
        yes, no = (logits[:, list(self._first(words))].sum(dim=1) for words in (_YES, _NO))
        sure = torch.where(yes + no > 0, yes / (yes + no), torch.full_like(yes, 0.5))
        read = inputs["attention_mask"].sum(dim=1)
        return [(round(s, 6), n) for s, n in zip(sure.tolist(), read.tolist(), strict=True)]

    def _said(self, tokens: Any, tokens_in: int) -> Said:
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        found = tokens.tolist()
        written = next((at + 1 for at, token in enumerate(found) if token in ends), len(found))
        text = self._tokenizer.decode(found[:written], skip_special_tokens=True)
        return Said(text, tokens_in, written, found[written - 1] not in ends)

    def _inputs(self, asked: Sequence[Asked]) -> Mapping[str, Any]:
        from PIL import Image

        talks: list[Any] = []
        for each in asked:
            if self._tokenizer is self._processor:  # templates of text models take no parts
                talks.append([{"role": "user", "content": each.words}])
                continue
            pictures = [Image.fromarray(picture) for picture in each.pictures]
            content = [{"type": "image", "image": picture} for picture in pictures]
            content.append({"type": "text", "text": each.words})
            talks.append([{"role": "user", "content": content}])
        inputs = self._processor.apply_chat_template(
            talks, add_generation_prompt=True, tokenize=True, return_dict=True,
            return_tensors="pt", **self._padding,
        )  # fmt: skip
        return {name: self._placed(held) for name, held in inputs.items()}

    def _placed(self, held: Any) -> Any:
        """A tensor where the model is; pixels in its type."""
        kind = self._model.dtype if held.is_floating_point() else held.dtype
        return held.to(self._device, kind)

    @property
    def _padding(self) -> dict[str, Any]:
        """Processors of pictures and plain tokenizers want to be told in different ways."""
        if self._tokenizer is self._processor:
            return {"padding": True}
        return {"processor_kwargs": {"padding": True}}

    def _first(self, words: Sequence[str]) -> set[int]:
        """The tokens that the words begin with."""
        encoded = (self._tokenizer.encode(word, add_special_tokens=False) for word in words)
        return {tokens[0] for tokens in encoded if tokens}

    def _computing(self) -> Any:
        return _Computing(self._torch)


class _Computing:
    """No gradients; a full GPU is a fault of the surroundings."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._mode = torch.inference_mode()

    def __enter__(self) -> None:
        self._mode.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._mode.__exit__(kind, error, trace)
        if isinstance(error, self._torch.OutOfMemoryError):
            raise InfrastructureError(
                f"the device ran out of memory: lower batch, frames or longest_side ({error})"
            ) from error


def model_folder(path_or_id: str) -> Path:
    """The local folder of a model, fetched from the hub if there is none of that name.

    Raises `ValueError`.
    """
    folder = Path(path_or_id).expanduser()
    if path_or_id and folder.is_dir():
        return folder
    if not path_or_id or path_or_id.startswith((".", "/", "~")) or path_or_id.count("/") > 1:
        raise ValueError(f"no model at {path_or_id!r}: give a folder, or a name on the hub")
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise ValueError(_not_installed(error)) from error
    try:
        fetched = huggingface_hub.snapshot_download(path_or_id, allow_patterns=list(_FETCHED))
    except Exception as error:  # each kind of failure of the hub is a class of its own
        words = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{path_or_id} is no folder here and cannot be fetched: {words}"
        ) from error
    return Path(fetched)


def model_digest(path_or_id: str) -> str:
    """sha256 over the names and bytes of the files that decide what a model says."""
    folder = model_folder(path_or_id)
    state = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in _DECIDES and path.is_file():
            stat = path.stat()
            found = _file_digest(os.path.realpath(path), stat.st_size, stat.st_mtime_ns)
            state.update(f"{path.name} {found}\n".encode())
    return state.hexdigest()


@cache
def _file_digest(path: str, _size: int, _modified: int) -> str:
    return file_sha256(path)


def _transformers() -> Any:
    mend_torchvision()
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise ValueError(_not_installed(error)) from error
    return transformers


def _not_installed(error: ModuleNotFoundError) -> str:
    return f"{error.name} is not installed: pip install 'reelmill[vlm]'"


def _kind(transformers: Any, folder: str, vision: bool) -> Any:
    """The class to load with: a model of text alone can still write captions anew."""
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    pictured = transformers.AutoModelForImageTextToText
    if type(config) in pictured._model_mapping:
        return pictured
    if vision:
        raise ValueError(f"a {config.model_type} takes no pictures: it can only rewrite captions")
    return transformers.AutoModelForCausalLM


def _refuse_gaps(name: str, report: Mapping[str, Any]) -> None:
    """What a file lacks transformers fills with random numbers and a warning."""
    missing = sorted(report["missing_keys"])
    if missing or report.get("mismatched_keys"):
        raise ValueError(
            f"{name}: weights do not fit config.json: {len(missing)} tensors are missing, such as"
            f" {', '.join(missing[:3]) or report['mismatched_keys']}"
        )
