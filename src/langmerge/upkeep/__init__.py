"""Keeping a project up: releases, the bill, and a store that stays clean and whole."""
