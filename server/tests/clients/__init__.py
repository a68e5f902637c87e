"""Real clients against a server these tests start; each is skipped, and says so, where its program is missing."""
