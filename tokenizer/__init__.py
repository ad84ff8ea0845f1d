"""What turns a clip into tokens: tokenizers, windows, the shard format, the tokenize stage."""
