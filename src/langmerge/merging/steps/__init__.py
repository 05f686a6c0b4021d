"""The steps of a composition, one file each; every step is made by a function of its parameters."""
