"""Reelmill from Python: the steps, an output's tables, search, tokenizers and the training feed.

    import reelmill

    output = reelmill.curate("videos", "out", settings={"motion.min": 0.01})
    clips = output.clips("kept")  # an Arrow table, one row a clip
    hits = output.search("a dark clip with motion")
    for batch in reelmill.TokenFeed("out", batch_size=8):
        ...

An output is a folder or an address in a store (`s3://`, `gs://`, `az://`). Each function may be
called again: it resumes, and does what is new. Errors that say what to change are `ReelmillError`s.
Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from curation.errors import ReelmillError
from pipelines.reelmill.output import Output, open, pipeline_for

if TYPE_CHECKING:
    from curation.select.selection import Selection
    from pipelines.reelmill.tokenizers import FrameTokenizer, load_tokenizer
    from pipelines.run.pipeline import Pipeline
    from pipelines.run.step_runner import Progress
    from tokenizer.feed import TokenFeed

__all__ = [
    "FrameTokenizer", "Output", "ReelmillError", "TokenFeed", "caption", "curate", "load_tokenizer",
    "open", "render", "scan", "select", "tokenize",
]  # fmt: skip

Videos = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
OnProgress = Callable[[str, int, int], None]
"""Called with the step, items finished and items in all."""


def curate(
    videos: Videos,
    out: str | os.PathLike[str],
    *,
    profile: str | None = None,
    settings: Mapping[str, Any] | None = None,
    retry: str | Iterable[str] = (),
    give_up: bool = False,
    until: str | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> Output:
    """Runs the steps scan, select, render, caption, tokenize: all, or those up to `until`.

    `videos` are folders, files, lists (docs/lists.md) or addresses in a store. `profile` is a YAML
    file or a shipped profile laid over the default one, and `settings` single values over it, by
    the keys that `--set` takes. `retry` names reasons of failure to try again; with `give_up`
    unavailable sources fail as `missing`. Inputs that fail have a row with their reason in
    `Output.sources`; they raise nothing. Raises `ReelmillError`.

        output = reelmill.curate("videos", "out", settings={"execution.executor": "in_process"})
        output.sources()["outcome"].unique().to_pylist()  # ['scanned', 'failed']
    """
    from curation.steps import clip_steps, steps_until

    steps = steps_until(until)

    def work(pipeline: Pipeline) -> None:
        _scan(pipeline, videos, on_progress)
        if "select" in steps:
            pipeline.select()
        names = [step.name for step in clip_steps() if step.name in steps]
        pipeline.run_all(names, lambda name: _callback(name, on_progress))

    return _run(
        "curate", out, profile, settings, work, retry=retry, give_up=give_up, steps=steps
    )  # fmt: skip


def scan(
    videos: Videos,
    out: str | os.PathLike[str],
    *,
    profile: str | None = None,
    settings: Mapping[str, Any] | None = None,
    retry: str | Iterable[str] = (),
    give_up: bool = False,
    on_progress: OnProgress = lambda *_: None,
) -> Output:
    """Decodes each source once: shots, scores, thumbnails, embeddings. Parameters as `curate`."""

    def work(pipeline: Pipeline) -> None:
        _scan(pipeline, videos, on_progress)

    return _run("scan", out, profile, settings, work, retry=retry, give_up=give_up)


def select(
    out: str | os.PathLike[str],
    *,
    profile: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Selection:
    """Applies a policy to the stored scores; no video is read.

    The result has `selection_id` and `funnel`, the number of clips by verdict or reason. Parameters
    as `curate`.

        reelmill.select("out", settings={"motion.min": 0.3}).funnel["kept"]
    """
    return Output(out).select(profile=profile, settings=settings)


def render(out: str | os.PathLike[str], **options: Any) -> Output:
    """Writes the kept clips as files. Options as `caption`."""
    return _clip_step("render", out, **options)


def caption(out: str | os.PathLike[str], **options: Any) -> Output:
    """Describes the kept clips.

    Options are `profile`, `settings`, `retry`, `give_up` and `on_progress` of `curate`, and
    `selection`: the id of a selection or the name of a subset instead of the newest selection.
    """
    return _clip_step("caption", out, **options)


def tokenize(out: str | os.PathLike[str], **options: Any) -> Output:
    """Turns rendered clips into token shards. Options as `caption`."""
    return _clip_step("tokenize", out, **options)


def _clip_step(
    name: str,
    out: str | os.PathLike[str],
    *,
    profile: str | None = None,
    settings: Mapping[str, Any] | None = None,
    selection: str | None = None,
    retry: str | Iterable[str] = (),
    give_up: bool = False,
    on_progress: OnProgress = lambda *_: None,
) -> Output:
    def work(pipeline: Pipeline) -> None:
        pipeline.run(name, _callback(name, on_progress))

    return _run(name, out, profile, settings, work, selection, retry=retry, give_up=give_up)


def _run(  # noqa: PLR0917  what the functions above are given
    command: str,
    out: str | os.PathLike[str],
    profile: str | None,
    settings: Mapping[str, Any] | None,
    work: Callable[[Pipeline], None],
    selection: str | None = None,
    **options: Any,
) -> Output:
    with pipeline_for(command, out, profile, settings, selection, **options) as pipeline:
        work(pipeline)
        pipeline.check_available()
    return Output(out)


def _scan(pipeline: Pipeline, videos: Videos, on_progress: OnProgress) -> None:
    from curation.listing import list_videos

    listed = [videos] if isinstance(videos, str | os.PathLike) else videos
    places = [os.fspath(place) for place in listed]
    inputs = list_videos(places, exclude=pipeline.dataset.catalog.storage.root)
    pipeline.scan(inputs, _callback("scan", on_progress))


def _callback(step: str, on_progress: OnProgress) -> Callable[[int, int, Progress], None]:
    return lambda done, total, _: on_progress(step, done, total)


def __getattr__(name: str) -> Any:
    """Imports what needs torch when it is first asked for."""
    if name == "TokenFeed":
        from tokenizer.feed import TokenFeed

        return TokenFeed
    if name in ("FrameTokenizer", "load_tokenizer"):
        from pipelines.reelmill import tokenizers

        return getattr(tokenizers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
