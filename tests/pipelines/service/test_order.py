"""Which words of a wish become which words of a command line."""

import sys

import pytest

from pipelines.config import ConfigError
from pipelines.service.api_keys import LOCAL
from pipelines.service.jobs.commands import OrderError, _chosen, changes
from pipelines.service.schemas import Wish


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"kind": "render", "selection": "good"}, ["--selection", "good"]),
        ({"kind": "caption", "retry": ["refused"]}, ["--retry", "refused"]),
        ({"kind": "verify"}, []),
    ],
)
def test_what_narrows_the_work(wish, words):
    assert _chosen(Wish(collection="a", **wish)) == words


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ({"kind": "verify", "selection": "x"}, "selection"),
        ({"kind": "render", "retry": ["corrupt"]}, "retry"),
    ],
)
def test_what_a_kind_does_not_take_is_refused(wish, name):
    with pytest.raises(OrderError, match=f"takes no {name}"):
        _chosen(Wish(collection="a", **wish))


def test_settings_are_written_so_that_yaml_reads_the_same():
    settings = {"a": 0.1, "b": None, "c": True, "d": "x: y", "e": ["ä", "1"]}
    assert changes(settings) == (
        "a=0.1", "b=null", "c=true", 'd="x: y"', 'e=["ä", "1"]',
    )  # fmt: skip


def test_on_a_cluster_the_command_is_run_by_the_python_that_is_there(serve):
    wish = Wish(kind="select", collection="drive")
    here, there = serve().service.orders, serve(ray_address="http://head:8265").service.orders
    assert here.command(wish, LOCAL)[:3] == [sys.executable, "-m", "pipelines"]
    words = there.command(wish, LOCAL)
    assert words[:3] == ["python", "-m", "pipelines"]
    assert {"execution.executor=ray", "execution.address=auto"} <= set(words)


def test_a_setting_that_a_kind_does_not_read_is_refused(serve):
    orders = serve().service.orders
    wish = Wish(kind="select", collection="drive", settings={"crf": 20})
    with pytest.raises(ConfigError, match=r"select does not read render\.encoding\.crf"):
        orders.profile(wish, LOCAL)
    orders.profile(Wish(kind="render", collection="drive", settings={"crf": 20}), LOCAL)
