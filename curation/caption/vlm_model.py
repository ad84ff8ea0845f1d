"""A model of Hugging Face's transformers that turns images and text into text.

Loaded from a folder, or from the hub by name, as safetensors; code that comes with a model is never
run. Frames go in as single images, which every such model takes. Prompts of one batch are padded on
the left, and decoding is greedy, so that the same batch gives the same text.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from curation.caption.base import CaptionerError
from curation.device_memory import DeviceMemory
from curation.extras import install_command
from curation.media.decode import Frames
from curation.storage import file_sha256
from curation.torchvision_ops import declare_missing_ops

_SUFFIXES = frozenset((".json", ".safetensors", ".jinja", ".txt", ".model"))
"""Of the files that decide what a model writes."""
_YES, _NO = ("yes", "Yes", " yes", " Yes", "YES"), ("no", "No", " no", " No", "NO")


@dataclass(frozen=True, eq=False, slots=True)
class VlmPrompt:
    """One prompt."""

    images: Frames
    """RGB uint8 [n, height, width, 3]; n may be 0."""
    text: str
    """Follows the images."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The model's output for one prompt."""

    text: str
    tokens_in: int
    tokens_out: int
    truncated: bool
    """Whether the limit on tokens stopped it."""


class VisionLanguageModel:
    """A model in memory. Raises `CaptionerError` for one that cannot be loaded."""

    def __init__(
        self, path_or_id: str, *, device: str, precision: str, vision: bool = True
    ) -> None:
        import torch

        if device != "cpu" and not torch.cuda.is_available():
            raise CaptionerError(
                f"device {device} is unavailable: torch {torch.__version__} sees no CUDA device;"
                " use device: cpu, or install a CUDA build of torch"
            )
        self._torch = torch
        self._device = device
        self._memory = DeviceMemory()
        folder = str(model_folder(path_or_id))
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        transformers = _transformers()
        try:
            self._processor = transformers.AutoProcessor.from_pretrained(
                folder, local_files_only=True
            )
            model, report = _model_class(transformers, folder, vision).from_pretrained(
                folder, dtype=dtype, use_safetensors=True, local_files_only=True,
                output_loading_info=True,
            )  # fmt: skip
        except (OSError, ValueError, ImportError, KeyError, RuntimeError, AttributeError) as error:
            message = " ".join(str(error).split())
            raise CaptionerError(f"{path_or_id} cannot be loaded: {message[:400]}") from error
        _check_complete(path_or_id, report)
        self._model = model.eval().requires_grad_(False).to(device)
        self._tokenizer = getattr(self._processor, "tokenizer", self._processor)
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        if getattr(self._processor, "chat_template", None) is None:
            raise CaptionerError(
                f"{path_or_id} has no chat template: take an instruction-tuned model"
            )

    def generate(self, prompts: Sequence[VlmPrompt], max_tokens: int) -> list[Generation]:
        """The most likely text after each prompt; raises as `DeviceMemory.run` does."""
        return self._memory.run(partial(self._generate, max_tokens), prompts)

    def _generate(self, max_tokens: int, prompts: Sequence[VlmPrompt]) -> list[Generation]:
        inputs = self._inputs(prompts)
        prompt_length = inputs["input_ids"].shape[1]
        with self._torch.inference_mode():
            outputs = self._model.generate(
                **inputs, max_new_tokens=max_tokens, do_sample=False, num_beams=1,
                pad_token_id=self._tokenizer.pad_token_id,
                temperature=None, top_p=None, top_k=None,
            )[:, prompt_length:]  # fmt: skip
        tokens_in = inputs["attention_mask"].sum(dim=1).tolist()
        return [
            self._generation(tokens.tolist(), count)
            for tokens, count in zip(outputs, tokens_in, strict=True)
        ]

    def yes_confidence(self, prompts: Sequence[VlmPrompt]) -> list[tuple[float, int]]:
        """The probability of `yes` against `no` as the next word, 0–1; and the tokens read.

        Raises as `DeviceMemory.run` does.
        """
        return self._memory.run(self._confidences, prompts)

    def _confidences(self, prompts: Sequence[VlmPrompt]) -> list[tuple[float, int]]:
        torch = self._torch
        inputs = self._inputs(prompts)
        with torch.inference_mode():
            probabilities = self._model(**inputs).logits[:, -1].float().softmax(dim=-1)
        yes, no = (
            probabilities[:, list(self._first_tokens(words))].sum(dim=1) for words in (_YES, _NO)
        )
        confidence = torch.where(yes + no > 0, yes / (yes + no), torch.full_like(yes, 0.5))
        tokens_in = inputs["attention_mask"].sum(dim=1).tolist()
        return [(round(c, 6), n) for c, n in zip(confidence.tolist(), tokens_in, strict=True)]

    def _generation(self, tokens: list[int], tokens_in: int) -> Generation:
        eos = self._model.generation_config.eos_token_id
        eos = set(eos if isinstance(eos, list) else [eos])
        count = next((i + 1 for i, token in enumerate(tokens) if token in eos), len(tokens))
        text = self._tokenizer.decode(tokens[:count], skip_special_tokens=True)
        return Generation(text, tokens_in, count, tokens[count - 1] not in eos)

    def _inputs(self, prompts: Sequence[VlmPrompt]) -> Mapping[str, Any]:
        """Tensors on the model's device, pixels in its type."""
        from PIL import Image

        chats: list[Any] = []
        text_only = self._tokenizer is self._processor
        for prompt in prompts:
            if text_only:  # templates of text models take no parts
                chats.append([{"role": "user", "content": prompt.text}])
                continue
            images = [Image.fromarray(image) for image in prompt.images]
            content = [{"type": "image", "image": image} for image in images]
            content.append({"type": "text", "text": prompt.text})
            chats.append([{"role": "user", "content": content}])
        padding: dict[str, Any] = {"padding": True}
        inputs = self._processor.apply_chat_template(
            chats, add_generation_prompt=True, tokenize=True, return_dict=True,
            return_tensors="pt", **(padding if text_only else {"processor_kwargs": padding}),
        )  # fmt: skip
        return {
            name: tensor.to(
                self._device, self._model.dtype if tensor.is_floating_point() else tensor.dtype
            )
            for name, tensor in inputs.items()
        }

    def _first_tokens(self, words: Sequence[str]) -> set[int]:
        encoded = (self._tokenizer.encode(word, add_special_tokens=False) for word in words)
        return {tokens[0] for tokens in encoded if tokens}


def model_folder(path_or_id: str) -> Path:
    """The local folder of a model, downloaded from the hub if there is none of that name.

    Raises `CaptionerError`.
    """
    folder = Path(path_or_id).expanduser()
    if path_or_id and folder.is_dir():
        return folder
    if not path_or_id or path_or_id.startswith((".", "/", "~")) or path_or_id.count("/") > 1:
        raise CaptionerError(f"no model at {path_or_id!r}: give a folder, or a name on the hub")
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise _missing_extra(error) from error
    patterns = [f"*{suffix}" for suffix in sorted(_SUFFIXES)]
    try:
        return Path(huggingface_hub.snapshot_download(path_or_id, allow_patterns=patterns))
    except Exception as error:  # each kind of failure of the hub is a class of its own
        message = " ".join(str(error).split())[:300]
        raise CaptionerError(
            f"{path_or_id} is no local folder and cannot be downloaded: {message}"
        ) from error


def model_digest(path_or_id: str) -> str:
    """sha256 over the names and bytes of the files that decide what a model writes."""
    digest = hashlib.sha256()
    for path in sorted(model_folder(path_or_id).iterdir()):
        if path.suffix in _SUFFIXES and path.is_file():
            stat = path.stat()
            file_digest = _file_digest(os.path.realpath(path), stat.st_size, stat.st_mtime_ns)
            digest.update(f"{path.name} {file_digest}\n".encode())
    return digest.hexdigest()


@cache
def _file_digest(path: str, _size_bytes: int, _mtime_ns: int) -> str:
    return file_sha256(path)


def _transformers() -> Any:
    declare_missing_ops()
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise _missing_extra(error) from error
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _missing_extra(error: ModuleNotFoundError) -> CaptionerError:
    return CaptionerError(f"{error.name} is not installed: {install_command('vlm')}")


def _model_class(transformers: Any, folder: str, vision: bool) -> Any:
    """The class to load with: a language model can still rewrite captions."""
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    image_text_model = transformers.AutoModelForImageTextToText
    if type(config) in image_text_model._model_mapping:
        return image_text_model
    if vision:
        raise CaptionerError(f"a {config.model_type} takes no images: it can only rewrite captions")
    return transformers.AutoModelForCausalLM


def _check_complete(name: str, report: Mapping[str, Any]) -> None:
    """Tensors that a file lacks transformers fills with random numbers and a warning."""
    missing = sorted(report["missing_keys"])
    if missing or report.get("mismatched_keys"):
        raise CaptionerError(
            f"{name}: weights do not fit config.json: {len(missing)} tensors are missing, such as"
            f" {', '.join(missing[:3]) or report['mismatched_keys']}"
        )
