"""The search as tasks finds the pairs of the search in one process."""

import numpy as np
import pyarrow.compute as pc
import pytest
from pyarrow import fs

from curation import records
from curation.dedup import pair_search, tasks
from curation.dedup.neighbours import Embeddings, Signatures, find_neighbours
from curation.dedup.tasks import FOLDER, pairs_by_tasks
from curation.errors import InfrastructureError
from curation.records import Embedding, Neighbour, Signature
from curation.stage import Done, Failed, attempt
from curation.storage import Storage
from tests import rows, s3
from tests.curation.dedup.test_pairs import clustered
from tests.curation.dedup.test_selections import looks, shows


def embeddings(count: int = 600) -> Embeddings:
    vectors = clustered(1, count, 16, 40, 0.2).astype("<f2")
    each = [
        Embedding(f"{number:04}", "s", 16, vector.tobytes())
        for number, vector in enumerate(vectors)
    ]
    columns = ["clip_id", "dim", "vector"]
    return Embeddings(records.to_table(Embedding, each).select(columns))


def signatures() -> Signatures:
    """Of sources whose clips show one of six things, or nothing."""
    rng = np.random.default_rng(0)
    each = []
    for number in range(30):
        angles = rng.choice([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 3) + rng.normal(0, 0.03, 3)
        each += looks(f"{number}", *(shows(angle, int(rng.integers(0, 2))) for angle in angles))
    table = records.to_table(Signature, [rows.make_signature(look) for look in each])
    return Signatures(table.sort_by("clip_id"))


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def storage(request, tmp_path, monkeypatch) -> Storage:
    return Storage.at(tmp_path if request.param == "disk" else s3.bucket(monkeypatch) + "/out")


def run_in_turn(stage, items):
    """Each task by a worker of its own, the last first."""
    assert len(items) > 1
    for item in reversed(items):
        yield attempt(stage.setup(), item)


def searched(storage, content, known=()):
    def search(*arguments):
        return pairs_by_tasks(storage, run_in_turn, *arguments)

    return find_neighbours(content, set(known), set(known), search)


@pytest.mark.parametrize("kind", ["exact", "cells"])
@pytest.mark.parametrize("make", [embeddings, signatures])
def test_pairs_are_those_of_one_process(storage, monkeypatch, kind, make):
    content = make()
    monkeypatch.setattr(tasks, "_QUERIES", 10)
    monkeypatch.setattr(tasks, "_JUDGED_AT_ONCE", 7)
    if kind == "cells":
        monkeypatch.setattr(tasks, "EXACT_UP_TO", 0)
        monkeypatch.setattr(pair_search, "EXACT_UP_TO", 0)
    for known in ((), content.ids[::3]):
        expected = find_neighbours(content, set(known), set(known))
        found = searched(storage, content, known)
        assert found.schema == records.arrow_schema(Neighbour)
        assert found.equals(expected)
        assert pc.sum(pc.invert(expected["identical"])).as_py() > 10
    assert tasks_left(storage) == []


def tasks_left(storage: Storage) -> list[str]:
    selector = fs.FileSelector(storage.path(FOLDER), recursive=True, allow_not_found=True)
    infos = storage.filesystem.get_file_info(selector)
    return [info.path for info in infos if info.type == fs.FileType.File]


@pytest.mark.parametrize("ending", [Failed("a", "internal", "a bug"), None])
def test_a_task_without_a_result_stops_the_search(tmp_path, ending):
    storage = Storage.at(tmp_path)

    def run(stage, items):
        yield Done(items[0].key, stage.setup()(items[0]), 0.0)
        if ending is not None:
            yield ending

    content = embeddings(3000)
    everything = np.ones(3000, bool)
    with pytest.raises(InfrastructureError, match="a bug" if ending else "tasks have no outcome"):
        pairs_by_tasks(storage, run, content, everything, everything)
    assert tasks_left(storage) == []
