"""The training feed: token shards into PyTorch, every sample once, on any number of machines."""

from tokenizer.feed.choice import Choice
from tokenizer.feed.cut import Cut
from tokenizer.feed.feed import TokenFeed
from tokenizer.feed.map_style import TokenDataset
from tokenizer.feed.mixture import Mixture
from tokenizer.feed.order import Shuffle
from tokenizer.feed.share import Consumer
from tokenizer.feed.source import Retry
from tokenizer.feed.state import OtherFeedError
from tokenizer.feed.survey import BadShardError
from tokenizer.feed.tokens import Reading, Tokens

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
