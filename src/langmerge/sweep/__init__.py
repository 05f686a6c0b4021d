"""`langmerge sweep`: recipes chosen on dev, with the evidence, and written into the project.

`ground` opens what is there; `run` goes through a grid or a search; `record` says what came out;
`project_file` writes the winner.
"""
