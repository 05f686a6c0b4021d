"""Choosing a recipe on dev: candidates, measured by one base in memory, the hopeless stopped early.

```
candidates -> bench (merge in place, answer dev rows) -> objective -> contest (who is best)
```
"""
