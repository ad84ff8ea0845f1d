"""The training feed: token shards into PyTorch, every sample once, on any number of machines."""

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
