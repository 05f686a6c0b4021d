"""Models out of a project: folders that other tools load, and repositories on the Hub."""
