"""Signals: actions, poses and sensors of a source, on one clock with its frames."""
