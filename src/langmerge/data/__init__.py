"""Data in the shapes people have, turned into one internal form."""
