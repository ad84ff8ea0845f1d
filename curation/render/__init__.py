"""Render: what is kept becomes files, and reading such files."""
