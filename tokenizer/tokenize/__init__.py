"""The tokenize step: rendered clips in, shards of token windows out."""
