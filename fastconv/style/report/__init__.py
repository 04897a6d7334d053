"""What is kept of a run beside its picture: a film of the way, and a page about it."""
