"""Small videos of many kinds, made anew, and whether the product reads each one right."""
