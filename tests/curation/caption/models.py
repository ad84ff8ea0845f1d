"""Tiny models of real architectures with random weights, written as transformers writes them."""

from pathlib import Path

import torch

from curation.torchvision_ops import declare_missing_ops

declare_missing_ops()

import transformers  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402
from transformers.models.clip import CLIPImageProcessorPil  # noqa: E402

PICTURE = "<image>"
PARTS = (
    "{% for m in messages %}{{ m['role'] }}: {% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% else %}"
    "{{ c['text'] }}{% endif %}{% endfor %}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] + '' }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""A template of a text model, which takes no list of parts."""


def tokenizer(*pictures: str) -> transformers.PreTrainedTokenizerFast:
    """A token a byte, and whole words for yes and no."""
    special = ["<pad>", "<s>", "</s>", *pictures]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*special, *letters])}
    byte_tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    byte_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=list(pictures),
    )  # fmt: skip


def llama(size: int) -> transformers.LlamaConfig:
    return transformers.LlamaConfig(
        vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=4096,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip


def wild(model: torch.nn.Module) -> torch.nn.Module:
    """Weights so large that every token and pixel changes the output."""
    for weights in model.parameters():
        if weights.ndim > 1:
            weights.data *= 15
    return model


def write_llava(folder: Path) -> Path:
    """LLaVA: a CLIP vision tower of 32 × 32 pixels before a Llama."""
    torch.manual_seed(0)
    words = tokenizer(PICTURE)
    vision = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        image_size=32, patch_size=8, projection_dim=16,
    )  # fmt: skip
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=llama(len(words)),
        image_token_index=words.convert_tokens_to_ids(PICTURE),
    )  # fmt: skip
    wild(transformers.LlavaForConditionalGeneration(config)).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size)
    transformers.LlavaProcessor(
        pictures, words, patch_size=8, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=PARTS,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def write_llama(folder: Path) -> Path:
    """A language model without pictures."""
    torch.manual_seed(0)
    words = tokenizer()
    words.chat_template = PLAIN
    wild(transformers.LlamaForCausalLM(llama(len(words)))).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def write_qwen(folder: Path) -> Path:
    """Qwen2-VL: pictures of any size, and a processor that could read videos too."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    torch.manual_seed(0)
    marks = ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>")
    words = tokenizer(*marks)
    start, picture, end, video = words.convert_tokens_to_ids(list(marks))
    config = transformers.Qwen2VLConfig(
        text_config={
            "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "max_position_embeddings": 4096, "pad_token_id": 0, "bos_token_id": 1,
            "eos_token_id": 2, "rope_parameters": {
                "rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0,
            },
        },
        vision_config={
            "depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2,
            "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2,
        },
        image_token_id=picture, video_token_id=video,
        vision_start_token_id=start, vision_end_token_id=end,
    )  # fmt: skip
    wild(transformers.Qwen2VLForConditionalGeneration(config)).save_pretrained(folder)
    sizes = {"patch_size": 4, "merge_size": 2, "min_pixels": 256, "max_pixels": 1024}
    transformers.Qwen2VLProcessor(
        Qwen2VLImageProcessorPil(**sizes), words, transformers.Qwen2VLVideoProcessor(**sizes),
        chat_template=PARTS.replace(PICTURE, "<|vision_start|><|image_pad|><|vision_end|>"),
    ).save_pretrained(folder)  # fmt: skip
    return folder
