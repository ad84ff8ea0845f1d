"""Render: writes kept clips to files, and reads them back."""
