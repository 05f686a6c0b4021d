"""Figures, one family per file: values in, drawings with their content in words out."""
