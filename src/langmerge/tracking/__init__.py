"""Runs and releases recorded in an experiment tracker, which never stops them.

`recorder.recording` is for runs, `publishing.publishing` for releases; `tracker.Tracker` is what a
tracker must be able to do. The project file needs `config` alone, so nothing is imported here.
"""
