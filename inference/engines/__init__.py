"""A network as something that computes fast: in fewer bits, compiled, or by another library."""
