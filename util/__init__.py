"""Small things without a better home; imports nothing else of this project."""
