"""Assert that a finished quickstart shows what it promises."""

import json
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Check `results.json` after the update step."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    averages = {a["model"]: a for a in results["averages"] if a["split"] == "test"}
    base, individual = averages["base"]["average"], averages["individual"]["average"]
    for model in ("merged:ties", "combined"):
        score = averages[model]["average"]
        assert score["low"] > base["high"], f"{model} {score} against base {base}: not apart"
    merged = averages["merged:ties"]["average"]
    assert merged["value"] >= 0.9 * individual["value"], f"merged {merged}, individual {individual}"
    outcomes = {job["id"]: job["outcome"] for job in results["jobs"] if job["kind"] == "train"}
    trained = [job for job, outcome in outcomes.items() if outcome == "ran"]
    assert trained == ["train/sentiment/de/seed0"], outcomes
    assert outcomes["train/sentiment/combined/seed0"] == "stale", outcomes
    print(f"quickstart: merged {merged['value']:.1f}, base {base['value']:.1f}; one retrained")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
