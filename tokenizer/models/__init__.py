"""Tokenizers: the shipped ones and those published by others, behind one interface."""
