"""The configuration of a job: a profile in YAML, changes from the command line, nothing unknown.

Every key is a field of a dataclass in `curation` or `tokenizer`; there is no second list of knobs.
An unknown key is an error that names the nearest known one.
"""

from pipelines.config.merge import apply_override, profiles_folder, resolve_key
from pipelines.config.policy import recorded_policy
from pipelines.config.profile import Profile, load
from pipelines.config.schema import Execution, known_keys
from pipelines.config.validation import ConfigError

__all__ = [
    "ConfigError",
    "Execution",
    "Profile",
    "apply_override",
    "known_keys",
    "load",
    "profiles_folder",
    "recorded_policy",
    "resolve_key",
]
