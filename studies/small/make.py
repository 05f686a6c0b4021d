"""Make all tables and figures of docs/findings.md from the raw results.

    python studies/small/make.py [--form gpu]

Every block between `<!-- BEGIN name -->` and `<!-- END name -->` is written anew; the words around
them are the authors'. Figures go to docs/images. Nothing is trained or asked: a second runs it.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import figures
from forms import FORMS
from results import Raw
from tables import BLOCKS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMMAND = "python studies/small/run.py --form {form} --data PACKS --part {part}"


def main() -> None:
    """Write the blocks and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--form", help="by default the largest that has results")
    parser.add_argument("--raw", type=Path, default=HERE / "raw", help="the forms' folders")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "findings.md")
    options = parser.parse_args()
    form = options.form or next((f for f in FORMS if (options.raw / f).is_dir()), "cpu")
    raw = Raw(options.raw / form, FORMS[form].inits[0])
    drawn = figures.draw_all(raw, options.page.parent / "images")
    page = options.page.read_text("utf-8")
    for name, (table, part) in BLOCKS.items():
        command, text = COMMAND.format(form=form, part=part), table(raw)
        made = [text, f"*`{command}`*"] if text else [f"*Not run yet: `{command}`.*"]
        shown = [f"![{alt}](images/{path.name})" for path, alt in drawn.get(name, ())]
        page = _replaced(page, name, "\n\n".join([*made, *shown]))
    options.page.write_text(page, encoding="utf-8")
    print(f"wrote {options.page} from {raw.folder}")


def _replaced(page: str, name: str, text: str) -> str:
    begin, end = f"<!-- BEGIN {name} -->", f"<!-- END {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"the page has no block {name}: expected {begin} and {end}")
    return pattern.sub(lambda _: f"{begin}\n\n{text}\n\n{end}", page)


if __name__ == "__main__":
    main()
