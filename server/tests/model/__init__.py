"""A small model of what the server promises its clients about shared files, and the machine that compares the two."""
