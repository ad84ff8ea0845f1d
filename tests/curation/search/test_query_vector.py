"""Words among the vectors of captions: what means the same is found in other words."""

from types import SimpleNamespace

import pytest

from curation.embed import CAPTION_VECTORS, embed_captions, table_name
from curation.embed.queries import THINGS_PREFIX
from curation.embed.things import Things
from curation.search import Search, SearchError
from curation.search.query import Query
from curation.search.query_vector import choose_tables
from tests.curation.search.conftest import CAPTIONS, looks_of

TABLE = f"{CAPTION_VECTORS}-{CAPTIONS.removeprefix('captions/')}"


@pytest.fixture
def caption_search(search):
    assert embed_captions(search.dataset) == TABLE
    search.update()
    return search


@pytest.mark.parametrize(
    ("words", "caption"),
    [
        ("people on foot in an unlit lane at night", "A dark street with walkers"),
        ("hikers among sunny trees", "A bright forest with walkers"),
    ],
)
def test_other_words_of_the_same_meaning_find_captions(caption_search, words, caption):
    hits = caption_search.query(words, by="vectors", k=4)
    assert set(hits["caption"].to_pylist()) == {caption}
    assert hits["score"][0].as_py() > 0.4
    both = caption_search.query(words, k=4)
    assert set(both["caption"].to_pylist()) == {caption}


def test_clips_whose_captions_mean_the_same_are_near(caption_search):
    clip = looks_of(1)[1].clip.clip_id
    hits = caption_search.query(like=clip, embeddings=TABLE.removeprefix("embeddings/"), k=3)
    assert set(hits["caption"].to_pylist()) == {"A dark street with walkers"}


def test_captions_cannot_be_asked_by_a_picture(caption_search, tmp_path):
    from PIL import Image

    picture = tmp_path / "street.png"
    Image.new("RGB", (32, 32)).save(picture)
    with pytest.raises(SearchError, match="not pictures"):
        caption_search.query(like=picture, embeddings=TABLE)


def test_without_them_words_are_looked_up_in_captions_alone(search):
    assert len(search.query("hikers among sunny trees")) == 0
    assert len(Search(search.dataset.catalog.storage.root).query("forests", k=3)) == 3


def test_of_several_tables_that_of_the_installed_weights_and_of_model_captions_is_searched():
    current, model = table_name(Things()), f"{CAPTION_VECTORS}-vlm-2"
    names = [f"{THINGS_PREFIX}0000", current, f"{CAPTION_VECTORS}-facts-1", model]
    manifest = SimpleNamespace(vectors={name: SimpleNamespace(count=1) for name in names})
    assert choose_tables(Query(text="a dog"), manifest) == [current, model]
