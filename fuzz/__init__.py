"""Long hunts for bytes that a parser neither takes nor refuses as it should."""
