"""The reasons of failed inputs and of clips that are not kept: closed lists with their meanings.

A reason is a word that programs can group by; its sentence is what people read in the report.
Filter reasons of a score are declared by that score (`curation.scores`).
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
    "device_memory": "It needs more memory than the device has, where others do not.",
    "time_limit": "Decoding took longer than the limit allows.",
    "decoder_died": "The decoder process was killed or crashed, twice.",
    "changed": "The file's bytes are no longer those that were scanned or rendered.",
    "no_tokens": "The tokenizer refuses a window, its network gives NaN, or tail=drop leaves none.",
    "no_caption": "The captioner gave no text, or answers that cannot be parsed, each time.",
    "refused": "The captioner refuses this clip but accepts others.",
    "internal": "An unexpected error of a stage on this input; the detail says where.",
}
"""Reasons of a failed input, or of a clip whose render, captions or tokens failed."""

ADVICE: dict[str, str] = {
    "missing": "put the file back, then --retry missing",
    "unreadable": "check permissions and the disk, then --retry unreadable",
    "not_a_file": "name the file itself",
    "empty": "fetch the file again",
    "not_video": "fetch the file again if it should be a video (an LFS pointer?)",
    "playlist": "name the files that it lists",
    "container_not_allowed": "remux it, for example with ffmpeg -i FILE -c copy FILE.mkv",
    "codec_not_allowed": "encode it again with another codec",
    "no_video_stream": "nothing: it has no pictures",
    "no_frames": "fetch the file again",
    "corrupt": "fetch the file again, or keep what precedes the damage: scan.damage=salvage",
    "truncated": "fetch the file again, or keep what is there: scan.damage=salvage",
    "size_changes": "split it where the size changes",
    "colour_changes": "split it where the colour changes",
    "too_large_picture": "raise sandbox.max_pixels, then --retry too_large_picture",
    "too_many_frames": "split it, or raise sandbox.max_frames, then --retry too_many_frames",
    "memory_limit": "raise sandbox.memory_mb, then --retry memory_limit",
    "device_memory": "lower tokenize.short_side or the captioner's frames, then --retry"
    " device_memory",
    "time_limit": "raise sandbox.wall_s, then --retry time_limit",
    "decoder_died": "try once more with --retry decoder_died; `reelmill doctor` checks the decoder",
    "changed": "scan it again as it is now",
    "no_tokens": "try another tokenizer, another tokenize.short_side, or tokenize.tail=overlap",
    "no_caption": "try again with --retry no_caption, or another model",
    "refused": "try another model",
    "internal": "report the detail; --retry internal tries once more",
}
"""What to do about each reason of a failure."""

CLIP_REASONS: dict[str, str] = {
    "too_short": "The clip is shorter than the policy allows.",
    "too_long": "The clip is longer than the policy allows.",
    "too_small": "The picture's short side has fewer pixels than the policy allows.",
    "too_large": "The picture's short side has more pixels than the policy allows.",
    "low_rate": "Fewer frames per second than the policy allows.",
    "high_rate": "More frames per second than the policy allows.",
    "excluded": "The clip is on the policy's list of excluded clips, or was dropped by hand.",
    "unwanted_label": "The clip has an unwanted label, or none of the required ones.",
    "bad_session": "Something else of its session is left out, and the policy extends that to it.",
    "near_duplicate": "A better clip of the same footage is kept.",
    "semantic_duplicate": "A better clip of the same kind of scene is kept.",
}
"""Reasons that depend on the clip itself rather than on a score."""

EXCLUDED = "excluded"
UNWANTED_LABEL = "unwanted_label"
BAD_SESSION = "bad_session"
DUPLICATE_REASONS = ("near_duplicate", "semantic_duplicate")
"""Reasons of duplicates; the others are of filtered clips."""
