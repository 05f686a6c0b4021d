"""Ready data recipes: public data sets as projects, one file each; add a file and name it here."""

from __future__ import annotations

from langmerge.errors import UserError, did_you_mean
from langmerge.recipes import (
    afrisenti,
    belebele,
    cldr_questions,
    debian_descriptions,
    masakhanews,
    mcsqa,
    multilingual_sentiment,
    multilingual_sentiments,
    tweet_sentiment_multilingual,
    wiki_lingua,
    xcopa,
    xlsum,
    xstory_cloze,
)
from langmerge.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    module.RECIPE.name: module.RECIPE
    for module in (
        cldr_questions,
        debian_descriptions,
        wiki_lingua,
        xlsum,
        mcsqa,
        xcopa,
        xstory_cloze,
        belebele,
        multilingual_sentiment,
        multilingual_sentiments,
        tweet_sentiment_multilingual,
        afrisenti,
        masakhanews,
    )
}
"""By name; those that need no hub come first."""


def recipe_named(name: str) -> Recipe:
    """Return a recipe.

    Raises:
        UserError: if there is none of that name.
    """
    if name not in RECIPES:
        raise UserError(
            f"recipe '{name}': not known{did_you_mean(name, RECIPES)} "
            f"(there are {', '.join(RECIPES)})"
        )
    return RECIPES[name]
