"""The training feed: token shards into PyTorch, every sample once, on any number of machines."""

from tokenizer.feed.clip_filter import Choice
from tokenizer.feed.distributed import Consumer
from tokenizer.feed.feed import TokenFeed
from tokenizer.feed.indexer import BadShardError
from tokenizer.feed.map_style import TokenDataset
from tokenizer.feed.mixture import Mixture
from tokenizer.feed.order import Shuffle
from tokenizer.feed.sequence_window import Cut
from tokenizer.feed.shard_reader import Retry
from tokenizer.feed.state import OtherFeedError
from tokenizer.feed.token_table import Reading, Tokens

__all__ = [
    "BadShardError",
    "Choice",
    "Consumer",
    "Cut",
    "Mixture",
    "OtherFeedError",
    "Reading",
    "Retry",
    "Shuffle",
    "TokenDataset",
    "TokenFeed",
    "Tokens",
]
