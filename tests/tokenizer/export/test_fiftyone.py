"""A folder for FiftyOne, and its tags on the way back."""

import json
import re

import pytest

from curation.listing import list_videos
from tokenizer.export.clip_rows import ExportError, ExportRows, ExportTables
from tokenizer.export.export import export
from tokenizer.export.fiftyone import _sample, read_decisions


@pytest.fixture
def exported(output, tmp_path):
    rows = ExportRows(output.place, None, ExportTables())
    export(rows, str(tmp_path / "fo"), "fiftyone", 1_000_000)
    return rows, tmp_path / "fo"


def test_every_clip_is_a_sample_with_its_row_and_its_file(exported):
    rows, folder = exported
    samples = json.loads((folder / "samples.json").read_text())["samples"]
    assert [sample["clip_id"] for sample in samples] == rows.table["clip_id"].to_pylist()
    for index, sample in enumerate(samples):
        assert (folder / sample["filepath"]).read_bytes() == rows.read_media(index)
        assert json.loads((folder / sample["frames"]).read_text()) == {"frames": {}}
        assert sample["num_frames"] == sample["metadata"]["total_frame_count"]
        assert sample["metadata"]["frame_width"] == sample["width"]
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["media_type"] == "video"
    assert "version" not in metadata, "or the importer takes it for a dump of its database"


def test_tags_come_back_as_decisions_and_samples_as_inputs(exported):
    rows, folder = exported
    file = folder / "samples.json"
    content = json.loads(file.read_text())
    first, *others = content["samples"]
    first["tags"] = ["drop", "logo"]
    first["_id"] = {"$oid": "0" * 24}
    for sample in others:
        sample["tags"] = ["keep"]
    content["samples"].append({"filepath": "/else/x.mp4", "tags": ["keep"]})
    file.write_text(json.dumps(content))
    ids = rows.table["clip_id"].to_pylist()
    assert read_decisions(folder) == {ids[0]: "drop", **dict.fromkeys(ids[1:], "keep")}
    entries = {entry.uri: entry for entry in list_videos([str(file)]).entries}
    entry = entries[str(folder / first["filepath"])]
    assert (entry.extra["clip_id"], entry.extra["tags"]) == (ids[0], "drop,logo")
    assert "/else/x.mp4" in entries


def test_fields_of_the_input_list_have_names_that_fiftyone_takes(exported):
    rows, _ = exported
    row = rows.table.to_pylist()[0] | {"extra": {"gps.lat": "1", "Ort der Fahrt": "Köln"}}
    sample = _sample(row)
    assert (sample["extra_gps_lat"], sample["extra_Ort_der_Fahrt"]) == ("1", "Köln")
    assert all(re.fullmatch(r"[^\W_]\w*", name) for name in sample)


@pytest.mark.parametrize("text", ["", "[]", '{"samples": 3}', '{"samples": ["x"]}'])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "samples.json").write_text(text)
    with pytest.raises(ExportError, match=r"samples\.json is no samples\.json of FiftyOne"):
        read_decisions(tmp_path)
