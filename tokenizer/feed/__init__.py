"""The training feed: token shards into PyTorch, every sample once, on any number of machines.

A name is imported when it is used, so that what only checks shards loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizer.feed.clip_query import ClipQuery
    from tokenizer.feed.distributed import Consumer
    from tokenizer.feed.errors import BadShardError, FeedError, StateMismatchError
    from tokenizer.feed.feed import TokenFeed
    from tokenizer.feed.map_style import TokenDataset
    from tokenizer.feed.order import Shuffle
    from tokenizer.feed.sequence_window import SequenceWindow
    from tokenizer.feed.shard_reader import Retry
    from tokenizer.feed.steps import Mixture
    from tokenizer.feed.token_table import ReadOptions, TokenTable

_MODULES = {
    "BadShardError": "errors",
    "ClipQuery": "clip_query",
    "Consumer": "distributed",
    "FeedError": "errors",
    "Mixture": "steps",
    "ReadOptions": "token_table",
    "Retry": "shard_reader",
    "SequenceWindow": "sequence_window",
    "Shuffle": "order",
    "StateMismatchError": "errors",
    "TokenDataset": "map_style",
    "TokenFeed": "feed",
    "TokenTable": "token_table",
}

__all__ = [
    "BadShardError",
    "ClipQuery",
    "Consumer",
    "FeedError",
    "Mixture",
    "ReadOptions",
    "Retry",
    "SequenceWindow",
    "Shuffle",
    "StateMismatchError",
    "TokenDataset",
    "TokenFeed",
    "TokenTable",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
