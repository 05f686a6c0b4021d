"""`langmerge study`: a grid of projects over one store, a part at a time, with one report.

`config` reads the study file; `cells` makes a project of every cell; `run` does what is not done
yet; `crossing` merges over tasks as well as over languages; `report` writes it all up.
"""
