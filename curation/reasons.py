"""Why an input failed or a clip was left out: the closed lists, and what each word means.

A reason is one word that programs can group by; the sentence beside it is what people read in the
report. Filter reasons that belong to a score are declared by that score (`curation.scores`).
"""

from __future__ import annotations

INPUT_REASONS: dict[str, str] = {
    "missing": "The listed file does not exist.",
    "unreadable": "The file exists but cannot be read.",
    "not_a_file": "The listed path is a directory or a device, not a file.",
    "empty": "The file has no bytes.",
    "not_video": "The bytes are not a video container (text, an image, a download pointer, noise).",
    "playlist": "The file is a playlist that points at other files; those are never opened.",
    "container_not_allowed": "The container format is not on the allow-list.",
    "codec_not_allowed": "The video codec is not on the allow-list.",
    "no_video_stream": "The container holds no video stream (audio only, or cover art).",
    "no_frames": "The video stream holds no frame that decodes.",
    "corrupt": "Decoding met damaged data.",
    "truncated": "The file ends before the video does.",
    "size_changes": "The picture size changes midway, so that no clip of it has one size.",
    "colour_changes": "It changes between HDR (PQ, HLG) and SDR midway.",
    "too_large_picture": "A frame has more pixels than the limit allows.",
    "too_many_frames": "The stream has more frames than the limit allows.",
    "memory_limit": "Decoding needed more memory than the limit allows.",
    "time_limit": "Decoding took longer than the limit allows.",
    "decoder_died": "The decoder process was killed or crashed, twice.",
    "changed": "The file's bytes are no longer those that were scanned.",
    "no_tokens": "The tokenizer refuses a window, or its network gives NaN or infinity.",
    "no_caption": "The captioner gave no words, or answers that cannot be read, each time.",
    "refused": "The captioner refuses this clip, though it takes others.",
    "internal": "A stage failed on this input for a reason of its own; the detail says where.",
}
"""Reasons of a failed input or of a clip whose render, captions or tokens failed."""

CLIP_REASONS: dict[str, str] = {
    "too_short": "The clip is shorter than the policy's shortest.",
    "too_long": "The clip is longer than the policy's longest.",
    "too_small": "The picture's short side has fewer pixels than the policy asks for.",
    "too_large": "The picture's short side has more pixels than the policy allows.",
    "low_rate": "Fewer frames a second than the policy asks for.",
    "high_rate": "More frames a second than the policy allows.",
    "excluded": "The clip is on the policy's list of clips to leave out.",
    "unwanted_label": "A label that is not wanted holds, or none of those that are asked for.",
    "near_duplicate": "A better clip of the same footage is kept.",
    "semantic_duplicate": "A better clip of the same kind of scene is kept.",
}
"""Reasons that come from the clip itself rather than from a score."""

EXCLUDED = "excluded"
UNWANTED_LABEL = "unwanted_label"
DUPLICATE_REASONS = ("near_duplicate", "semantic_duplicate")
"""Those of duplicates; the others are for what is filtered."""
