import dataclasses
import functools
import json
import subprocess
import sys

import pytest

from curation.media.sandbox import Limits
from curation.scan.shots import ContentChange, FixedWindows, TransNetV2
from curation.scores import SCORES
from curation.select.policy import Range
from pipelines.config import ConfigError, Profile, known_keys, load, recorded_policy
from pipelines.run.executor import WorkerLimits
from tokenizer.tokenize.stage import Tokenize


@pytest.fixture
def overlay(tmp_path):
    def write(text: str) -> str:
        (tmp_path / "mine.yaml").write_text(text)
        return str(tmp_path / "mine.yaml")

    return write


def test_the_default_profile_says_what_the_code_says():
    found, code = load(), Profile()
    for name in ("scan", "render", "tokenize", "execution"):
        assert getattr(found, name) == getattr(code, name), name
    assert found.policy.near_duplicates == code.policy.near_duplicates
    assert found.policy.semantic == code.policy.semantic
    assert found.policy.limits


def test_every_field_of_every_setting_is_a_key():
    keys = set(known_keys(load().resolved))
    for record, at in ((Limits, "sandbox"), (TransNetV2, "scan.shots.TransNetV2")):
        assert {f"{at}.{field.name}" for field in dataclasses.fields(record)} <= keys
    fields = {field.name for field in dataclasses.fields(Tokenize)} - {"limits"}
    assert {f"tokenize.{name}" for name in fields} <= keys
    assert {"policy.limits.motion.min", "render.encoding.crf", "scan.scores"} <= keys


def test_the_resolved_profile_is_plain_data_with_the_changes():
    found = load(None, ["near_duplicates=0.9", "shots=FixedWindows"])
    data = json.loads(json.dumps(found.resolved))
    assert data["policy"]["near_duplicates"] == 0.9
    assert data["scan"]["shots"] == {"FixedWindows": {}}
    assert load().resolved["policy"]["near_duplicates"] == 0.75


@pytest.mark.parametrize(
    ("change", "read", "value"),
    [
        ("policy.limits.motion.min=0.3", lambda p: p.policy.limits["motion"], Range(0.3)),
        ("motion.min=0.3", lambda p: p.policy.limits["motion"], Range(0.3)),
        ("motion.max=1e-1", lambda p: p.policy.limits["motion"].max, 0.1),
        ("motion.min=null", lambda p: p.policy.limits["motion"], Range()),
        ("fps.min=12", lambda p: p.policy.limits["fps"], Range(12.0)),
        ("near_duplicates=null", lambda p: p.policy.near_duplicates, None),
        ("embedding=clip", lambda p: p.policy.semantic.embedding, "clip"),
        ("crf=30", lambda p: p.render.encoding.crf, 30),
        ("mode=span", lambda p: p.render.mode, "span"),
        ("encoding.fps=12.5", lambda p: p.render.encoding.fps, 12.5),
        ("sandbox.memory_mb=900", lambda p: p.scan.limits.memory_mb, 900),
        ("sandbox.memory_mb=900", lambda p: p.render.limits.memory_mb, 900),
        ("sandbox.memory_mb=900", lambda p: p.tokenize.limits.memory_mb, 900),
        ("scores=[Motion]", lambda p: p.scan.scores, (SCORES["Motion"](),)),
        ("threshold=0.5", lambda p: p.scan.shots, TransNetV2(threshold=0.5)),
        ("shots=ContentChange", lambda p: p.scan.shots, ContentChange()),
        ("shots={FixedWindows: {length_s: 3}}", lambda p: p.scan.shots, FixedWindows(3.0)),
        ("executor=in_process", lambda p: p.execution.executor, "in_process"),
        ("workers=3", lambda p: p.execution.worker_limits, WorkerLimits(0, 3)),
        ("min_workers=2", lambda p: p.execution.worker_limits, WorkerLimits(2, 0)),
    ],
)
def test_a_change_finds_its_key(change, read, value):
    assert read(load(None, [change])) == value


def test_no_more_workers_stay_than_there_may_be():
    with pytest.raises(ConfigError, match="execution: min_workers 3 is more than workers 2"):
        load(None, ["workers=2", "min_workers=3"])


def test_changes_apply_in_order_and_the_detector_first_chosen_can_be_set():
    found = load(
        None, ["shots=ContentChange", "ratio=2", "ratio=4", "motion.min=1", "motion.min=0"]
    )
    assert found.scan.shots == ContentChange(ratio=4.0)
    assert found.policy.limits["motion"] == Range(0.0)


def test_a_file_is_laid_over_the_default(overlay):
    found = load(overlay("policy: {limits: {motion: {max: 0.5}, fps: null}}\nrender:\n"))
    assert found.policy.limits["motion"] == Range(0.004, 0.5)
    assert found.policy.limits["fps"] == Range()
    assert found.policy.limits["duration_s"] == Range(1.0)
    assert found.render == load().render
    assert load(overlay("policy: {limits: null}")).policy.limits == {}
    assert load(
        overlay("policy: {limits: {motion: {max: 0.5}}}"), ["motion.max=0.6"]
    ).policy.limits["motion"] == Range(0.004, 0.6)


def test_another_detector_replaces_and_the_same_one_merges(overlay):
    same = load(overlay("scan: {shots: {TransNetV2: {threshold: 0.4}}}"))
    assert same.scan.shots == TransNetV2(threshold=0.4)
    for text in ("{FixedWindows: {length_s: 4}}", "{FixedWindows: null}", "FixedWindows"):
        shots = load(overlay(f"scan: {{shots: {text}}}")).scan.shots
        assert isinstance(shots, FixedWindows)
        assert shots.length_s == (4 if "4" in text else 10)


EXTREMES = ("1e-300", "1e-9", "1e300", str(2**63), "-1", ".inf", "-.inf", ".nan")


@pytest.mark.parametrize("value", EXTREMES)
def test_an_extreme_number_is_refused_by_name_or_harmless(value):
    """What may be endless or empty is bounded; thresholds are only compared."""
    data = load(None, opens_files=False).resolved
    compared = (
        "policy.",
        "scan.signals",
        "scan.shots.TransNetV2.threshold",
        "scan.shots.TransNetV2.still",
    )
    for key in known_keys(data):
        kind = type(functools.reduce(lambda d, part: (d or {}).get(part), key.split("."), data))
        may_be_null = ("render.encoding.fps", "scan.stream")
        if key.startswith(compared) or (kind not in (int, float) and key not in may_be_null):
            continue
        with pytest.raises(ConfigError, match=key.rsplit(".", 1)[-1]):
            load(None, [f"{key}={value}"], opens_files=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("motion.min", "--set motion.min: write it as KEY=VALUE"),
        ("motoin.min=1", "there is no key 'motoin.min'; did you mean 'motion.min'"),
        ("sacn.max_clip_s=1", "did you mean 'scan.max_clip_s'"),
        ("fps=1", "'fps' could be scan.sampling.fps or render.encoding.fps"),
        ("max_frames=9", "'max_frames' could be tokenize.max_frames or sandbox.max_frames"),
        ("crf={", "--set crf={: '{' is not YAML"),
        ("near_duplicates=high", "policy.near_duplicates: .* number, not 'high'"),
        ("near_duplicates=true", "policy.near_duplicates: .* number, not True"),
        ("near_duplicates=0.5", "near_duplicates is 0.5; pairs are known from 0.6 to 1"),
        ("semantic.similarity=0.5", "semantic.similarity is 0.5; pairs are known from 0.8 to 1"),
        ("motion.min=few", "policy.limits.motion.min: .* number, not 'few'"),
        ("motion.max=0.001", "policy: motion has min 0.004 above max 0.001"),
        ("mode=fast", "render.mode: input should be 'encode', 'copy' or 'span', not 'fast'"),
        ("crf=1.5", "render.encoding.crf: .* integer, not 1.5"),
        ("crf=52", "render.encoding: .*crf goes from 0 to 51, it is 52"),
        ("preset=quick", "render.encoding.preset: input should be .*not 'quick'"),
        ("max_clip_s=0", "scan.max_clip_s: has to be from 0.1 to 1,000,000, not 0"),
        ("sampling.fps=.nan", "scan.sampling.fps: has to be from 0.01|valid number"),
        ("workers=-1", "execution.workers: has to be from 0 to 10,000, not -1"),
        ("scores=Motion", "scan.scores: needs a list of names, not 'Motion'"),
        ("scores=[Motoin]", "unknown key 'Motoin' in scan.scores; did you mean 'Motion'"),
        ("shots=TransNet", "unknown key 'TransNet' in scan.shots; did you mean 'TransNetV2'"),
        ("shots=7", "scan.shots: name one of TransNetV2, ContentChange, FixedWindows, not 7"),
        ("TransNetV2.precision=int8", "scan.shots.TransNetV2.precision: .* not 'int8'"),
        ("tokenizer=pca-9", "tokenize.tokenizer: unknown tokenizer .pca-9.: give one of causal"),
        ("tokenizer=/no.safetensors", "tokenize.tokenizer: no tokenizer weights at /no.safet"),
        ("tokenize.max_frames=48", "tokenize: max_frames 48 is not .* the nearest is 49"),
        ("shape=49x256", "tokenize: shape '49x256' is not FRAMESx.*, such as 49x256x448$"),
        ("fit=crop", "tokenize: fit: crop needs a shape, such as 49x256x448$"),
        ("tokenize.precision=fp16", "tokenize.precision: input should be 'fp32' or 'bf16'"),
        ("tokenize.device=gpu", "tokenize: .*device 'gpu' is neither cpu nor cuda"),
        ("windows=stream tokenizer=pca-8x8x8", "windows: pca-8x8x8 cannot carry its state"),
        ("windows=none", "tokenize.windows: input should be 'independent' or 'stream'"),
        ("batch=0", "tokenize: .*a batch holds at least one window, not 0$"),
        ("readers=0", "tokenize: readers: clips need at least one, not 0$"),
        ("compile=1", "tokenize.compile: .* boolean, not 1"),
        ("executor=slurm", "execution.executor: .* not 'slurm'"),
    ],
)
def test_a_change_that_cannot_be_used_says_which_and_why(change, words):
    with pytest.raises(ConfigError, match=words):
        load(None, change.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("polcy: {}", "unknown key 'polcy' in the profile; did you mean 'policy'"),
        ("policy: {limit: {}}", "unknown key 'limit' in policy; did you mean 'limits'"),
        ("policy: {limits: {moton: {}}}", "'moton' in policy.limits; did you mean 'motion'"),
        (
            "policy: {limits: {motion: {mim: 1}}}",
            "'mim' in policy.limits.motion; did you mean 'min'",
        ),
        ("render: {encoding: {crff: 1}}", "'crff' in render.encoding; did you mean 'crf'"),
        ("tokenize: {limits: {}}", "unknown key 'limits' in tokenize"),
        ("sandbox: {memory: 1}", "'memory' in sandbox; did you mean 'memory_mb'"),
        ("scan: {shots: {FixedWindows: {lengths: 1}}}", "'lengths' in scan.shots.FixedWindows"),
        ("scan: {shots: {FixedWindows: {}, ContentChange: {}}}", "scan.shots: name one of"),
        ("scan: {shots: null}", "scan.shots: name one of"),
        ("scan: {sampling: null}", "scan.sampling: needs keys, not None"),
        ("scan: {max_clip_s: 2020-01-01}", "scan.max_clip_s: .* not '2020-01-01'"),
        ("policy: 3", "policy: needs keys, not 3"),
        ("", "needs sections such as scan, policy"),
        ("- 1", "needs sections such as scan, policy"),
        ("a: [", "mine.yaml: while parsing"),
    ],
)
def test_a_file_that_cannot_be_used_says_which_key_and_why(overlay, text, words):
    with pytest.raises(ConfigError, match=words):
        load(overlay(text), ["crf=20"])


def test_profiles_are_found_by_name_or_path(tmp_path):
    assert load("default") == load()
    with pytest.raises(ConfigError, match=r"no profile 'nope': give the path of .* default"):
        load("nope")
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml: 'utf-8'"):
        load(str(tmp_path / "latin.yaml"))


def test_a_command_loads_no_tokenizer_that_it_does_not_use():
    words = (
        "import sys; import pipelines.cli.app; from pipelines import config;"
        "config.load(command='select'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_policy_recorded_by_an_earlier_version_is_read():
    """Then `near_duplicates` was called `copies`."""
    recorded = {"policy": {"limits": {"motion": {"min": 0.1}}, "copies": 0.9}}
    assert recorded_policy(recorded).near_duplicates == 0.9
