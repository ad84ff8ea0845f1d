"""The only code that decodes or encodes.

Media bytes are hostile. A foreign file is opened only by a child process (`sandbox`; its own
programs are named `*_child.py`): with an allow-list of containers, codecs and protocols, an empty
environment, limits on memory, time, pixels and frames, and a signal that ends it when its parent
ends. decord reads only clips that Reelmill encoded.
"""
