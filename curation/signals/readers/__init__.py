"""Readers of recordings, by format. They run in a confined child: `curation.signals.read_child`."""
