"""Which fields of a job request become which arguments of a command line."""

import sys

import pytest

from pipelines.config import ConfigError
from pipelines.service.api_keys import LOCAL
from pipelines.service.jobs.commands import JobRequestError, format_override, selection_arguments
from pipelines.service.schemas import JobRequest


@pytest.mark.parametrize(
    ("fields", "arguments"),
    [
        ({"kind": "render", "selection": "good"}, ["--selection", "good"]),
        ({"kind": "caption", "retry": ["refused"]}, ["--retry", "refused"]),
        ({"kind": "verify"}, []),
    ],
)
def test_arguments_that_narrow_the_work(fields, arguments):
    assert selection_arguments(JobRequest(collection="a", **fields)) == arguments


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"kind": "verify", "selection": "x"}, "selection"),
        ({"kind": "select", "retry": ["corrupt"]}, "retry"),
    ],
)
def test_what_a_kind_does_not_take_is_refused(fields, name):
    with pytest.raises(JobRequestError, match=f"takes no {name}"):
        selection_arguments(JobRequest(collection="a", **fields))


def test_settings_are_written_so_that_yaml_reads_the_same():
    settings = {"a": 0.1, "b": None, "c": True, "d": "x: y", "e": ["ä", "1"]}
    assert [format_override(*pair) for pair in settings.items()] == [
        "a=0.1", "b=null", "c=true", 'd="x: y"', 'e=["ä", "1"]',
    ]  # fmt: skip


def test_on_a_cluster_the_command_is_run_by_the_python_that_is_there(serve):
    job_request = JobRequest(kind="select", collection="drive")
    local, cluster = (
        serve().service.commands,
        serve(ray_address="http://head:8265").service.commands,
    )
    assert local.command(job_request, LOCAL)[:3] == [sys.executable, "-m", "pipelines"]
    words = cluster.command(job_request, LOCAL)
    assert words[:3] == ["python", "-m", "pipelines"]
    assert {"execution.executor=ray", "execution.address=auto"} <= set(words)


def test_a_setting_that_a_kind_does_not_read_is_refused(serve):
    commands = serve().service.commands
    job_request = JobRequest(kind="select", collection="drive", settings={"crf": 20})
    with pytest.raises(ConfigError, match=r"select does not read render\.encoding\.crf"):
        commands.profile(job_request, LOCAL)
    commands.profile(JobRequest(kind="render", collection="drive", settings={"crf": 20}), LOCAL)


def test_inputs_of_the_web_lie_below_a_source(serve):
    commands = serve(sources={"web": "https://host/raw"}).service.commands

    def uris(*inputs):
        return commands.input_uris(JobRequest(kind="scan", collection="drive", inputs=list(inputs)))

    assert uris("web/a/b.mp4?x=1") == ["https://host/raw/a/b.mp4?x=1"]
    for refused in ("web/../b.mp4", "web/list.csv?x=1", "https://host/raw/a.mp4"):
        with pytest.raises(JobRequestError, match="inputs: "):
            uris(refused)
