"""The tokenize stage: windows, encoding, token shards, and decoding them."""
