"""Images larger than memory through a network in tiles that give what the whole image would have given."""
