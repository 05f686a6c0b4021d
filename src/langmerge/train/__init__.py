"""Encoded rows in, adapter out; the pieces are imported from their modules."""
