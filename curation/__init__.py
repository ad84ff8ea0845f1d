"""What happens to a video: scan, select, render. Plain Python: no Ray, no web framework."""
