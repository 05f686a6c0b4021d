"""Questions made from Unicode CLDR: facts of countries, and counting with days and months.

Babel brings CLDR's names in hundreds of languages, so nothing is downloaded. A question names its
parts and leaves the last one open (`Country: Kenya. Currency:`), so that no grammar is needed and
every language's wording rests on a handful of nouns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from langmerge.errors import MissingExtraError
from langmerge.recipes.recipe import Fetched, Origin, Recipe

_CHOICES = 4

# Members of the United Nations by ISO 3166 code.
_CODES = (
    "AD AE AF AG AL AM AO AR AT AU AZ BA BB BD BE BF BG BH BI BJ BN BO BR BS BT BW BY BZ CA CD CF "
    "CG CH CI CL CM CN CO CR CU CV CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FM FR GA GB GD "
    "GE GH GM GN GQ GR GT GW GY HN HR HT HU ID IE IL IN IQ IR IS IT JM JO JP KE KG KH KI KM KN KP "
    "KR KW KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MG MH MK ML MM MN MR MT MU MV MW MX MY "
    "MZ NA NE NG NI NL NO NP NR NZ OM PA PE PG PH PK PL PT PW PY QA RO RS RU RW SA SB SC SD SE SG "
    "SI SK SL SM SN SO SR SS ST SV SY SZ TD TG TH TJ TL TM TN TO TR TT TV TZ UA UG US UY UZ VC "
    "VE VN VU WS YE ZA ZM ZW"
)
_COUNTRIES = tuple(_CODES.split())

_CONTINENTS = {"Africa": "002", "America": "019", "Asia": "142", "Europe": "150", "Pacific": "009"}
"""The beginning of a country's time zones -> its continent's code, where they all agree."""
_CONTINENT_UNCLEAR = {"AM", "AU", "AZ", "CY", "EG", "GE", "KZ", "RU", "TR"}
"""Countries that are counted to two continents, or whose zones have a name of their own."""
_CURRENCY_CHANGES = {"BF", "BG", "ML", "NE", "VE", "ZW"}
"""Countries whose money changed, or is about to: CLDR may be behind."""


class _Nouns(NamedTuple):
    country: str
    currency: str
    language: str
    continent: str


_NOUNS: Mapping[str, _Nouns] = {
    "ar": _Nouns("البلد", "العملة", "اللغة الرسمية", "القارة"),
    "cs": _Nouns("Stát", "Měna", "Úřední jazyk", "Kontinent"),
    "da": _Nouns("Land", "Valuta", "Officielt sprog", "Verdensdel"),
    "de": _Nouns("Land", "Währung", "Amtssprache", "Kontinent"),
    "en": _Nouns("Country", "Currency", "Official language", "Continent"),
    "es": _Nouns("País", "Moneda", "Idioma oficial", "Continente"),
    "fi": _Nouns("Maa", "Valuutta", "Virallinen kieli", "Maanosa"),
    "fr": _Nouns("Pays", "Monnaie", "Langue officielle", "Continent"),
    "hi": _Nouns("देश", "मुद्रा", "राजभाषा", "महाद्वीप"),
    "hu": _Nouns("Ország", "Pénznem", "Hivatalos nyelv", "Földrész"),
    "id": _Nouns("Negara", "Mata uang", "Bahasa resmi", "Benua"),
    "it": _Nouns("Paese", "Valuta", "Lingua ufficiale", "Continente"),
    "ja": _Nouns("国", "通貨", "公用語", "大陸"),
    "ko": _Nouns("나라", "통화", "공용어", "대륙"),
    "nl": _Nouns("Land", "Munteenheid", "Officiële taal", "Werelddeel"),
    "pl": _Nouns("Państwo", "Waluta", "Język urzędowy", "Kontynent"),
    "pt": _Nouns("País", "Moeda", "Língua oficial", "Continente"),
    "ro": _Nouns("Țară", "Monedă", "Limbă oficială", "Continent"),
    "ru": _Nouns("Страна", "Валюта", "Официальный язык", "Часть света"),
    "sk": _Nouns("Štát", "Mena", "Úradný jazyk", "Kontinent"),
    "sv": _Nouns("Land", "Valuta", "Officiellt språk", "Världsdel"),
    "sw": _Nouns("Nchi", "Sarafu", "Lugha rasmi", "Bara"),
    "tr": _Nouns("Ülke", "Para birimi", "Resmî dil", "Kıta"),
    "uk": _Nouns("Країна", "Валюта", "Офіційна мова", "Частина світу"),
    "vi": _Nouns("Quốc gia", "Tiền tệ", "Ngôn ngữ chính thức", "Châu lục"),
    "zh": _Nouns("国家", "货币", "官方语言", "大洲"),
}


def questions(recipe: Recipe, language: str, origin: Origin) -> Iterator[Fetched]:
    """Yield the questions of a language, the same facts in every language that has names for them.

    Raises:
        MissingExtraError: if Babel is not installed.
    """
    try:
        from babel import Locale, localedata
    except ImportError as error:
        raise MissingExtraError("babel", "recipes", "The recipe cldr-questions") from error
    # Babel 2.18 writes what an alias of the root locale stands for in one language into the root
    # that all languages share: the next one would get the last one's days.
    getattr(localedata, "_cache", {}).clear()
    locale = Locale.parse(language)
    facts = _Facts()
    for country in _COUNTRIES:
        yield from _of_country(country, locale, _NOUNS[language], facts)
    days = {str(index): locale.days["stand-alone"]["wide"][index] for index in range(7)}
    months = {str(index): locale.months["stand-alone"]["wide"][index + 1] for index in range(12)}
    yield from _counting("day", days, range(1, 31))
    yield from _counting("month", months, range(1, 24))


def _of_country(country: str, locale: Any, nouns: _Nouns, facts: _Facts) -> Iterator[Fetched]:
    continents = locale.territories
    asked = (
        (nouns.currency, facts.currency(country), facts.wrong_currencies, locale.currencies),
        (nouns.language, facts.language(country), facts.wrong_languages, locale.languages),
        (nouns.continent, facts.continent(country), facts.wrong_continents, continents),
    )
    for kind, (noun, right, wrong, names) in enumerate(asked):
        if right is None or country not in locale.territories:
            continue
        question = f"{nouns.country}: {locale.territories[country]}. {noun}:"
        row = _row(question, right, wrong(country), names, f"{kind} {country}")
        if row is not None:
            yield Fetched("all", f"country-{country}", row)


def _counting(kind: str, names: Mapping[str, str], steps: range) -> Iterator[Fetched]:
    """Yield `Monday + 10 =`: the name so many steps on; whole rounds ask nothing."""
    for start, name in names.items():
        for step in steps:
            right = str((int(start) + step) % len(names))
            group = f"{kind}-{start}-{step}"
            wrong = [code for code in names if code != right]
            if right != start and (row := _row(f"{name} + {step} =", right, wrong, names, group)):
                yield Fetched("all", group, row)


def _row(
    question: str, right: str, wrong: Sequence[str], names: Mapping[str, str], salt: str
) -> dict[str, Any] | None:
    """Return a question with its choices; None if a language has too few names for them.

    Which codes are wrong choices, and their order, is drawn by a hash: the same in every language.
    """
    if right not in names:
        return None
    chosen = {names[right].casefold(): right}
    for code in sorted(wrong, key=lambda code: _hash(salt, code)):
        if code in names and len(chosen) < _CHOICES:
            chosen.setdefault(names[code].casefold(), code)
    if len(chosen) < _CHOICES:
        return None
    codes = sorted(chosen.values(), key=lambda code: _hash("order", salt, code))
    return {
        "question": question,
        "choices": [names[code] for code in codes],
        "answer": codes.index(right),
    }


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class _Facts:
    """What CLDR says of countries, without what has two answers."""

    def __init__(self) -> None:
        from babel.core import get_global

        self._currencies = get_global("territory_currencies")
        self._languages = get_global("territory_languages")
        self._zones = get_global("territory_zones")

    def currency(self, country: str) -> str | None:
        """Return the one currency in use."""
        found = self._tenders(country)
        return found[0] if len(found) == 1 and country not in _CURRENCY_CHANGES else None

    def wrong_currencies(self, country: str) -> list[str]:
        """Return currencies of the same continent that are not used here, or else of any."""
        own = set(self._tenders(country))
        alike = [c for c in _COUNTRIES if self.continent(c) == self.continent(country)]
        found = {self.currency(other) for other in alike} - own - {None}
        if len(found) < _CHOICES - 1:
            found = {self.currency(other) for other in _COUNTRIES} - own - {None}
        return sorted(each for each in found if each is not None)

    def language(self, country: str) -> str | None:
        """Return the one official language."""
        spoken = self._languages.get(country, {})
        official = [
            code
            for code, of in spoken.items()
            if of["official_status"] in ("official", "de_facto_official")
        ]
        return official[0] if len(official) == 1 and "_" not in official[0] else None

    def wrong_languages(self, country: str) -> list[str]:
        """Return official languages of other countries that are not spoken in this one."""
        spoken = {code.partition("_")[0] for code in self._languages.get(country, {})}
        found = {self.language(other) for other in _COUNTRIES} - {None}
        return sorted(each for each in found if each is not None and each not in spoken)

    def continent(self, country: str) -> str | None:
        """Return the code of the one continent."""
        begins = {zone.partition("/")[0] for zone in self._zones.get(country, ())}
        if country in _CONTINENT_UNCLEAR or len(begins) != 1:
            return None
        return _CONTINENTS.get(begins.pop())

    def wrong_continents(self, country: str) -> list[str]:
        """Return the other continents."""
        return [code for code in _CONTINENTS.values() if code != self.continent(country)]

    def _tenders(self, country: str) -> list[str]:
        return [
            code
            for code, _, until, is_tender in self._currencies.get(country, ())
            if until is None and is_tender
        ]


RECIPE = Recipe(
    name="cldr-questions",
    title="CLDR questions: currency, language and continent of countries, counting days and months",
    task="multiple_choice",
    task_name="reasoning",
    prompt="{question}",
    max_length=128,
    languages={language: language for language in _NOUNS},
    licence="Unicode-3.0 (facts and names of Unicode CLDR)",
    size="about 700 to 900 questions a language; made on this machine, nothing is downloaded",
    page="https://cldr.unicode.org",
    schema="made here, from the names in the installed Babel; the version of CLDR is Babel's",
    leakage="a group is a country (with all its questions, in every language), or one sum of days "
    "or months; countries with two answers, and languages that are spoken there, are left out",
    parts={"all": {"train": 0.72, "dev": 0.1, "test": 0.18}},
    fetch=questions,
    attribution="Unicode CLDR, copyright Unicode, Inc., under the Unicode License v3.",
)
