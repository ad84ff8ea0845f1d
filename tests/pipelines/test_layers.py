"""Who may import what, read from the source: `curation ← tokenizer ← pipelines`."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("curation", "tokenizer", "pipelines")
OUTER = {"ray", "typer", "fastapi", "uvicorn", "rich"}
MEDIA = {"av", "decord", "ffmpeg", "imageio_ffmpeg"}


def imported(folder: str) -> Iterator[tuple[str, str]]:
    """Each file under a folder, and each top-level package that it imports anywhere."""
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files, folder
    for file in files:
        name = str(file.relative_to(ROOT))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from ((name, alias.name.split(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name}: relative import"
                yield name, str(node.module).split(".")[0]


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("curation", {"tokenizer", "pipelines", "tests", *OUTER}),
        ("tokenizer", {"pipelines", "tests", *OUTER}),
        ("pipelines", {"tests", *MEDIA}),
    ],
)
def test_imports_point_inwards(folder, forbidden):
    assert [pair for pair in imported(folder) if pair[1] in forbidden] == []


def modules() -> dict[str, Path]:
    """Files of the project by the names that they are imported by."""
    files = [file for folder in LAYERS for file in (ROOT / folder).rglob("*.py")]
    named = (file.relative_to(ROOT).with_suffix("").parts for file in files)
    return {
        ".".join(parts[:-1] if parts[-1] == "__init__" else parts): file
        for parts, file in zip(named, files, strict=True)
    }


def test_no_modules_import_each_other_in_a_circle():
    """Nor inside functions, nor for types alone."""
    known, graph = modules(), {}
    for name, file in known.items():
        found = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                each = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {name if name in known else node.module for name in each}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        graph[name] = found & known.keys()
    assert len(graph["pipelines.run.pipeline"]) > 3
    list(TopologicalSorter(graph).static_order())


def test_video_is_opened_in_one_place():
    """The sample writes its sources with ffmpeg; nothing else outside `curation.media` may."""
    outside = [
        (file, package)
        for file, package in (*imported("curation"), *imported("tokenizer"))
        if package in MEDIA and not file.startswith("curation/media/")
    ]
    assert [(f, p) for f, p in outside if not f.startswith("curation/sample/")] == []
    assert {package for _, package in outside} <= {"ffmpeg"}


def test_tables_are_committed_in_one_place():
    every = [*imported("curation"), *imported("tokenizer"), *imported("pipelines")]
    assert {file for file, package in every if package == "deltalake"} == {
        "curation/catalog.py", "curation/commit_log.py", "curation/delta_table.py",
        "curation/table_writer.py",
    }  # fmt: skip


def test_open_clip_is_imported_in_one_place():
    every = [*imported("curation"), *imported("tokenizer"), *imported("pipelines")]
    assert {file for file, package in every if package == "open_clip"} == {
        "curation/embed/open_clip.py"
    }
