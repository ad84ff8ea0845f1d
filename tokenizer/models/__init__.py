"""Tokenizers behind one interface: the shipped ones and external ones."""
