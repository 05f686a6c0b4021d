"""The guided first run: a real base model, embedded data in five languages, and one update."""
