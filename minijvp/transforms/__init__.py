"""One transformation in each file, all of one shape."""
