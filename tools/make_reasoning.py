"""Write the embedded reasoning questions from the CLDR data that Babel ships.

The questions are short multiple-choice ones with four choices, in English, German,
French, Japanese and Chinese. Facts and names come from Unicode CLDR; the question
patterns, the country regions and the selection are ours. Every fact is chosen once and
then written in all languages, so row *n* of a split is the same question everywhere,
with the same choices in the same order.

Kinds of questions (the third part of an id):

``cur``     what the currency of a country is called
``cur2c``   in which of four countries the currency has a given name
``lang``    the official language of a country that has exactly one
``script``  the script in which a language is usually written
``day``     the weekday some days before or after a given one
``month``   the month some months before or after a given one

The split follows the entity that is asked about (``group``): a country, a language, a
weekday or a month belongs to one split in all languages and kinds, and the wrong
countries of ``cur2c`` come from the same split. A fact is left out where spelling gives
it away in any of the languages (Poland - Polish), and where CLDR has no name of its own
in one of them.

Usage, from the root of the repository (needs Babel; the checked-in files are from 2.18)::

    python tools/make_reasoning.py [--out DIRECTORY] [--seed NUMBER]

The output depends only on Babel's CLDR version and on the seed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from babel import Locale
from babel.core import get_global

LANGUAGES = ("en", "de", "fr", "ja", "zh")
LOCALES = {code: Locale.parse("zh_Hans" if code == "zh" else code) for code in LANGUAGES}
DEFAULT_OUT = Path(__file__).parents[1] / "src/langmerge/quickstart/data/reasoning"

# Rows of each kind in each split. `update` is written for UPDATED only: new rows for the
# language whose data changes in the quickstart.
PLAN = {
    "train": {"cur": 10, "cur2c": 8, "lang": 10, "script": 8, "day": 6, "month": 6},
    "dev": {"cur": 5, "cur2c": 4, "lang": 5, "script": 4, "day": 3, "month": 3},
    "test": {"cur": 10, "cur2c": 8, "lang": 10, "script": 8, "day": 6, "month": 6},
    "update": {"cur": 5, "cur2c": 4, "lang": 5, "script": 4, "day": 3, "month": 3},
}
UPDATED = ("de",)
# One split per entity, dealt out in this order within a stratum.
DEAL = ("train", "test", "dev", "train", "test", "update")

# Countries by continent and region (Babel does not ship CLDR's containment data).
# Left out: territories of contested status, names that read badly in a question
# ("Congo - Kinshasa", "Trinidad & Tobago", "Myanmar (Burma)"), and Bulgaria, whose change
# to the euro in 2026 is not in every CLDR version.
REGIONS = {
    "Europe": {
        "north": "DK EE FI GB IE IS LT LV NO SE",
        "west": "AD AT BE CH DE FR LI LU MC NL",
        "south": "AL CY ES GR HR IT ME MK MT PT RS SI SM",
        "east": "BY CZ HU MD PL RO RU SK UA",
    },
    "Asia": {
        "west": "AM AZ BH GE IL IQ IR JO KW LB OM QA SA SY TR YE",
        "inner": "AF BD BT IN KG KZ LK MN MV NP PK TJ TM UZ",
        "east": "BN CN JP KH KR LA MY PH SG TH TL VN",
    },
    "Africa": {
        "north": "DZ EG LY MA MR SD TN",
        "west": "BF BJ CI CM CV GA GH GM GN GW LR ML NE NG SN TD TG",
        "east": "BI DJ ER ET KE KM MG MU RW SC SO SS TZ UG",
        "south": "AO BW LS MW MZ NA SZ ZA ZM",
    },
    "America": {
        "middle": "BZ CA CR GT HN MX NI PA SV US",
        "islands": "BB BS CU DM DO GD HT JM LC",
        "south": "AR BO BR CL CO EC GY PE PY SR UY VE",
    },
    "Oceania": {"all": "AU FJ FM KI MH NR NZ PG PW SB TO TV VU WS"},
}
REGION = {
    country: (continent, region)
    for continent, regions in REGIONS.items()
    for region, members in regions.items()
    for country in members.split()
}

# Currencies whose bare name CLDR does not give cleanly in all five languages, or gives
# differently from common use.
AWKWARD_CURRENCIES = {"AFN", "BOB", "ERN", "IDR", "ILS", "MKD", "NIO", "TMT", "TOP", "UZS", "VUV"}
# Chinese names that hold no country name to cut off.
ZH_UNITS = {"XOF": "法郎", "XAF": "法郎", "XCD": "元"}

# The constitution or its practice changed, or is more intricate than CLDR's table says.
INTRICATE_LANGUAGES = {"BF", "ET", "IL", "IQ", "ME", "ML", "NE"}

# Languages with one script in general use, by the region that the wrong scripts come from.
SCRIPT_LANGUAGES = {
    "europe": "be bg cv fi hr hu mt mk os pl ro ru tt uk yi ba ce sq",
    "middle east": "fa ps tg tr ug",
    "south asia": "as bho dv dz hi mai mr ne ur",
    "southeast asia": "id vi",
    "africa": "am so sw ti yo zu",
}
SCRIPTS = {
    "europe": "Latn Cyrl Grek Armn Geor Hebr",
    "middle east": "Arab Cyrl Latn Hebr Armn Geor",
    "south asia": "Deva Arab Beng Taml Tibt Telu Thaa Latn",
    "southeast asia": "Latn Khmr Laoo Mymr Arab Taml",
    "africa": "Latn Arab Ethi Tfng Hebr",
}

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
OFFSETS = (2, 3, -2)

# "in Poland", as each language says it; the rules are in `place`.
EN_ARTICLE = {"BS", "DO", "GB", "GM", "KM", "MH", "MV", "NL", "PH", "SB", "SC", "US"}
DE_PLACES = {
    "BB": "auf Barbados",
    "BS": "auf den Bahamas",
    "CH": "in der Schweiz",
    "CU": "auf Kuba",
    "CY": "auf Zypern",
    "DM": "auf Dominica",
    "DO": "in der Dominikanischen Republik",
    "FJ": "auf Fidschi",
    "GB": "im Vereinigten Königreich",
    "GD": "auf Grenada",
    "IQ": "im Irak",
    "IR": "im Iran",
    "JM": "auf Jamaika",
    "KM": "auf den Komoren",
    "LB": "im Libanon",
    "LC": "auf St. Lucia",
    "MD": "in der Republik Moldau",
    "MG": "auf Madagaskar",
    "MH": "auf den Marshallinseln",
    "MN": "in der Mongolei",
    "MT": "auf Malta",
    "MU": "auf Mauritius",
    "MV": "auf den Malediven",
    "NE": "im Niger",
    "NL": "in den Niederlanden",
    "NR": "auf Nauru",
    "PH": "auf den Philippinen",
    "SB": "auf den Salomonen",
    "SC": "auf den Seychellen",
    "SD": "im Sudan",
    "SK": "in der Slowakei",
    "SS": "im Südsudan",
    "TD": "im Tschad",
    "TR": "in der Türkei",
    "UA": "in der Ukraine",
    "US": "in den Vereinigten Staaten",
    "WS": "auf Samoa",
    "YE": "im Jemen",
}
FR_PLACES = {
    "BB": "à la Barbade",
    "BH": "à Bahreïn",
    "BS": "aux Bahamas",
    "BZ": "au Belize",
    "CU": "à Cuba",
    "CY": "à Chypre",
    "DJ": "à Djibouti",
    "DM": "à la Dominique",
    "FJ": "aux Fidji",
    "GD": "à la Grenade",
    "HT": "en Haïti",
    "KH": "au Cambodge",
    "KI": "aux Kiribati",
    "KM": "aux Comores",
    "LC": "à Sainte-Lucie",
    "MC": "à Monaco",
    "MG": "à Madagascar",
    "MH": "aux îles Marshall",
    "MT": "à Malte",
    "MU": "à Maurice",
    "MV": "aux Maldives",
    "MX": "au Mexique",
    "MZ": "au Mozambique",
    "NL": "aux Pays-Bas",
    "NR": "à Nauru",
    "OM": "à Oman",
    "PH": "aux Philippines",
    "PW": "aux Palaos",
    "SB": "aux îles Salomon",
    "SC": "aux Seychelles",
    "SG": "à Singapour",
    "SM": "à Saint-Marin",
    "SR": "au Suriname",
    "TO": "aux Tonga",
    "TV": "aux Tuvalu",
    "US": "aux États-Unis",
    "WS": "aux Samoa",
}

# Question patterns. {x} is the entity, for `cur` and `lang` in en, de and fr the place
# ("in Poland"); {n} is a number word; "day-" asks for a day in the past.
PATTERNS = {
    "en": {
        "cur": "What is the currency called {x}?",
        "cur2c": "In which of these countries is the currency called the {x}?",
        "lang": "Which language is official {x}?",
        "script": "Which script is {x} usually written in?",
        "day+": "Today is {x}. What day will it be in {n} days?",
        "day-": "Today is {x}. What day was it {n} days ago?",
        "month+": "It is {x} now. What month will it be in {n} months?",
        "month-": "It is {x} now. What month was it {n} months ago?",
    },
    "de": {
        "cur": "Wie heißt die Währung {x}?",
        "cur2c": "In welchem dieser Länder heißt die Währung „{x}“?",
        "lang": "Welche Sprache ist {x} Amtssprache?",
        "script": "In welcher Schrift wird {x} üblicherweise geschrieben?",
        "day+": "Heute ist {x}. Welcher Wochentag ist in {n} Tagen?",
        "day-": "Heute ist {x}. Welcher Wochentag war vor {n} Tagen?",
        "month+": "Es ist {x}. Welcher Monat ist in {n} Monaten?",
        "month-": "Es ist {x}. Welcher Monat war vor {n} Monaten?",
    },
    "fr": {
        "cur": "Comment s’appelle la monnaie {x}\u00a0?",
        "cur2c": "Dans lequel de ces pays la monnaie s’appelle-t-elle «\u00a0{x}\u00a0»\u00a0?",
        "lang": "Quelle est la langue officielle {x}\u00a0?",
        "script": "Quel système d’écriture utilise-t-on d’habitude pour {x}\u00a0?",
        "day+": "Nous sommes {x}. Quel jour serons-nous dans {n} jours\u00a0?",
        "day-": "Nous sommes {x}. Quel jour étions-nous il y a {n} jours\u00a0?",
        "month+": "Nous sommes en {x}. En quel mois serons-nous dans {n} mois\u00a0?",
        "month-": "Nous sommes en {x}. En quel mois étions-nous il y a {n} mois\u00a0?",
    },
    "ja": {
        "cur": "{x}の通貨単位は何ですか。",
        "cur2c": "次のうち、通貨単位が「{x}」の国はどれですか。",
        "lang": "{x}の公用語は何語ですか。",
        "script": "{x}はふつう、どの文字で書かれますか。",
        "day+": "今日は{x}です。{n}日後は何曜日ですか。",
        "day-": "今日は{x}です。{n}日前は何曜日でしたか。",
        "month+": "今は{x}です。{n}か月後は何月ですか。",
        "month-": "今は{x}です。{n}か月前は何月でしたか。",
    },
    "zh": {
        "cur": "{x}的货币单位是什么？",
        "cur2c": "下列哪个国家的货币单位是“{x}”？",
        "lang": "{x}的官方语言是什么？",
        "script": "{x}通常用哪种文字书写？",
        "day+": "今天是{x}，{n}天后是星期几？",
        "day-": "今天是{x}，{n}天前是星期几？",
        "month+": "现在是{x}，{n}个月后是几月？",
        "month-": "现在是{x}，{n}个月前是几月？",
    },
}
NUMBERS = {
    "en": {2: "two", 3: "three"},
    "de": {2: "zwei", 3: "drei"},
    "fr": {2: "deux", 3: "trois"},
    "ja": {2: "2", 3: "3"},
    "zh": {2: "两", 3: "三"},
}


@dataclass(frozen=True)
class Fact:
    """One question before it is put into words; `choices[0]` is the right choice."""

    kind: str
    group: str
    choices: tuple[str, ...]  # codes: currency, country, language, script, day or month
    offset: int = 0

    @property
    def key(self) -> str:
        """What sets the question apart, the id without the language."""
        if not self.offset:
            return f"{self.kind}-{self.group}"
        return f"{self.group}{self.offset:+d}"


# --- names --------------------------------------------------------------------------


def country_name(lang: str, country: str) -> str:
    """The CLDR name of a country."""
    return str(LOCALES[lang].territories[country])


def language_name(lang: str, code: str) -> str:
    """The CLDR name of a language."""
    return str(LOCALES[lang].languages[code])


def script_name(lang: str, code: str) -> str:
    """The CLDR name of a script."""
    return str(LOCALES[lang].scripts[code])


def currency_unit(lang: str, code: str) -> str:
    """The currency's name without its country: zloty, not Polish zloty."""
    name = re.sub(r"\s*\(.*\)", "", str(LOCALES[lang].currencies[code]))
    if lang == "zh":
        return ZH_UNITS.get(code) or without_country(lang, name, code)
    if lang == "ja":
        name = name.split()[-1] if " " in name else without_country(lang, name, code)
        return re.sub(r"^[一-鿿]+(?=[ァ-ヶ])", "", name)
    if lang == "fr":
        return name.split()[0]
    last = re.split(r"[ -]", name)[-1]
    return last.lower() if lang == "en" else last


def without_country(lang: str, name: str, code: str) -> str:
    """Cut off what the names of the currency and of its country begin with."""
    # ISO 4217 codes start with the code of the country.
    home = country_name(lang, code[:2]) if code[:2] in REGION else ""
    shared = 0
    while shared < min(len(name), len(home)) and name[shared] == home[shared]:
        shared += 1
    return name[shared:] if shared > 1 else name


def place(lang: str, country: str) -> str:
    """The country with its preposition and article, where the language needs them."""
    name = country_name(lang, country)
    if lang == "en":
        return f"in the {name}" if country in EN_ARTICLE else f"in {name}"
    if lang == "de":
        return DE_PLACES.get(country, f"in {name}")
    if lang == "fr":
        feminine = name.endswith("e") or name.startswith(("République", "Nouvelle", "Corée"))
        feminine = feminine or country in {"CI", "GW", "MK", "ZA"}
        vowel = plain(name)[0] in "aeiou"
        return FR_PLACES.get(country, f"{'en' if feminine or vowel else 'au'} {name}")
    return name


def choice_name(lang: str, kind: str, code: str) -> str:
    """What a choice of a question of this kind is called."""
    locale = LOCALES[lang]
    if kind == "cur":
        return currency_unit(lang, code)
    if kind == "cur2c":
        return country_name(lang, code)
    if kind == "lang":
        return language_name(lang, code)
    if kind == "script":
        return script_name(lang, code)
    if kind == "day":
        return str(locale.days["format"]["wide"][DAYS.index(code)])
    return str(locale.months["format"]["wide"][MONTHS.index(code) + 1])


def plain(text: str) -> str:
    """Lower case without accents."""
    decomposed = unicodedata.normalize("NFD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def given_away(lang: str, entity: str, answer: str) -> bool:
    """Whether the spelling of the entity points to the answer."""
    # Endings that nearly all names of languages and scripts share say nothing.
    left, right = (re.sub(r"(isch|ique|ー)", "-", plain(text)) for text in (entity, answer))
    size = 2 if lang in ("ja", "zh") else 4
    pieces = (left[i : i + size] for i in range(len(left) - size + 1))
    if any(piece in right for piece in pieces if "-" not in piece):
        return True
    if lang in ("ja", "zh"):
        return False
    starts = {word[:3] for word in re.findall(r"\w{3,}", left)}
    return any(word[:3] in starts for word in re.findall(r"\w{3,}", right))


# --- facts --------------------------------------------------------------------------


def tenders(country: str) -> list[str]:
    """The currencies that are legal tender in the country now."""
    rows = get_global("territory_currencies").get(country, [])
    return [code for code, _, end, legal in rows if legal and end is None]


def spoken(country: str) -> dict[str, tuple[float, str | None]]:
    """Languages of the country: share of the population in percent, official status."""
    table: dict[str, tuple[float, str | None]] = {}
    for tag, entry in get_global("territory_languages").get(country, {}).items():
        code = tag.split("_")[0]
        share, status = table.get(code, (0.0, None))
        share = max(share, float(entry["population_percent"]))
        table[code] = (share, status or entry["official_status"])
    return table


def official_language(country: str) -> str | None:
    """The country's official language, if it has exactly one (also in its regions)."""
    found = []
    for code, (share, status) in spoken(country).items():
        if status in ("official", "de_facto_official"):
            found.append(code)
        elif status == "official_regional" and share >= 3:
            return None
    return found[0] if len(found) == 1 and country not in INTRICATE_LANGUAGES else None


def usual_script(language: str) -> str:
    """The script that CLDR takes for granted in this language."""
    return str(get_global("likely_subtags")[language]).split("_")[1]


def order(seed: int, purpose: str, items: Iterable[str]) -> list[str]:
    """The items in an order that depends on nothing but themselves, purpose and seed."""
    return sorted(
        items, key=lambda item: hashlib.sha256(f"{seed}/{purpose}/{item}".encode()).hexdigest()
    )


def deal(seed: int, strata: dict[str, list[str]]) -> dict[str, str]:
    """Entity -> split; every stratum is spread over the splits."""
    splits: dict[str, str] = {}
    position = 0
    for name, members in strata.items():
        for entity in order(seed, f"split {name}", members):
            splits[entity] = DEAL[position % len(DEAL)]
            position += 1
    return splits


def distinct(kind: str, codes: Sequence[str]) -> bool:
    """Whether the choices differ from each other in every language."""
    return all(
        len({plain(choice_name(lang, kind, code)) for code in codes}) == len(codes)
        for lang in LANGUAGES
    )


def draw(kind: str, answer: str, tiers: Iterable[Iterable[str]]) -> tuple[str, ...] | None:
    """The answer and three wrong choices, those of the earlier tiers first."""
    chosen = [answer]
    for tier in tiers:
        for code in tier:
            if len(chosen) < 4 and code not in chosen and distinct(kind, [*chosen, code]):
                chosen.append(code)
    return tuple(chosen) if len(chosen) == 4 else None


def near(country: str, others: Iterable[str]) -> list[list[str]]:
    """Other countries in tiers: same region, same continent, anywhere."""
    continent, region = REGION[country]
    tiers: list[list[str]] = [[], [], []]
    for other in others:
        if other != country:
            same = REGION[other] == (continent, region)
            tiers[0 if same else 1 if REGION[other][0] == continent else 2].append(other)
    return tiers


def currency_of(country: str) -> str | None:
    """The country's currency, if it is the only one and has clean names."""
    codes = tenders(country)
    return codes[0] if len(codes) == 1 and codes[0] not in AWKWARD_CURRENCIES else None


def fact_cur(seed: int, country: str) -> Fact | None:
    """The question for the currency of a country, unless spelling answers it."""
    answer = currency_of(country)
    if answer is None or any(
        given_away(lang, country_name(lang, country), currency_unit(lang, answer))
        for lang in LANGUAGES
    ):
        return None
    tiers = [
        [code for other in tier if (code := currency_of(other))]
        for tier in near(country, order(seed, f"cur {country}", REGION))
    ]
    choices = draw("cur", answer, tiers)
    return Fact("cur", country, choices) if choices else None


def fact_cur2c(seed: int, country: str, splits: dict[str, str]) -> Fact | None:
    """The question for the country whose currency has this name."""
    asked = fact_cur(seed, country)
    if asked is None:
        return None
    answer = asked.choices[0]

    def uses(other: str) -> bool:
        return not all(distinct("cur", [answer, code]) for code in tenders(other))

    same_split = [c for c in REGION if splits[c] == splits[country] and not uses(c)]
    tiers = near(country, order(seed, f"cur2c {country}", same_split))
    choices = draw("cur2c", country, tiers)
    return Fact("cur2c", country, choices) if choices else None


def well_named(language: str) -> bool:
    """Whether the language has a name of its own in Japanese and Chinese."""
    return all(
        not str(LOCALES[lang].languages.get(language, "A")).isascii() for lang in ("ja", "zh")
    )


def fact_lang(seed: int, country: str) -> Fact | None:
    """The question for the official language of a country."""
    answer = official_language(country)
    if answer is None or any(
        given_away(lang, country_name(lang, country), language_name(lang, answer))
        for lang in LANGUAGES
    ):
        return None
    here = spoken(country)
    banned = {code for code, (share, status) in here.items() if status or share >= 20}
    others = near(country, order(seed, f"lang {country}", REGION))
    sole = [[code for other in tier if (code := official_language(other))] for tier in others]
    official = [
        [
            code
            for other in tier
            for code, (_, status) in spoken(other).items()
            if status == "official"
        ]
        for tier in others
    ]
    tiers = [
        [code for code in tier if code not in banned and well_named(code)]
        for tier in (sole[0], sole[1], official[0], official[1], sole[2])
    ]
    choices = draw("lang", answer, tiers)
    return Fact("lang", country, choices) if choices else None


def fact_script(seed: int, language: str) -> Fact | None:
    """The question for the script of a language."""
    answer = usual_script(language)
    if any(
        given_away(lang, language_name(lang, language), script_name(lang, answer))
        for lang in LANGUAGES
    ):
        return None
    area = next(a for a, members in SCRIPT_LANGUAGES.items() if language in members.split())
    everywhere = sorted({code for codes in SCRIPTS.values() for code in codes.split()})
    tiers = [
        order(seed, f"script {language}", SCRIPTS[area].split()),
        order(seed, f"script {language}", everywhere),
    ]
    choices = draw("script", answer, tiers)
    return Fact("script", language, choices) if choices else None


def calendar_facts(seed: int, kind: str, names: Sequence[str], start: str) -> list[Fact]:
    """The questions that start from one weekday or month."""
    facts = []
    for offset in OFFSETS:
        at = names.index(start)
        answer = names[(at + offset) % len(names)]
        # The neighbours of the answer, and where the wrong direction leads.
        wrong = {names[(at + offset + step) % len(names)] for step in (-2, -1, 1, 2)}
        wrong = (wrong | {names[(at - offset) % len(names)]}) - {answer, start}
        choices = draw(kind, answer, [order(seed, f"{kind} {start} {offset}", sorted(wrong))])
        if choices is None:
            raise AssertionError(f"{kind} {start} {offset:+d}: fewer than three wrong choices")
        facts.append(Fact(kind, f"{kind}-{start}", choices, offset))
    return facts


# --- selection ----------------------------------------------------------------------


def spread(facts: Sequence[Fact], count: int, used: Counter[str]) -> list[Fact]:
    """`count` facts: fresh entities first, then answers taken least often so far."""
    pool = list(facts)
    answers: Counter[str] = Counter()
    chosen: list[Fact] = []
    while len(chosen) < count:
        if not pool:
            raise ValueError(f"only {len(chosen)} of {count} {facts[0].kind} questions found")
        best = min(pool, key=lambda f: (used[f.group], answers[f.choices[0]], pool.index(f)))
        pool.remove(best)
        chosen.append(best)
        used[best.group] += 1
        answers[best.choices[0]] += 1
    return chosen


def select(seed: int) -> dict[str, list[Fact]]:
    """The facts of every split, in order."""
    by_region: dict[str, list[str]] = {}
    for country, where in REGION.items():
        by_region.setdefault(" ".join(where), []).append(country)
    countries = deal(seed, by_region)

    by_script: dict[str, list[str]] = {}
    for members in SCRIPT_LANGUAGES.values():
        for language in members.split():
            if fact_script(seed, language):
                by_script.setdefault(usual_script(language), []).append(language)
    languages = deal(seed, by_script)
    days = deal(seed, {"days": list(DAYS)})
    months = deal(seed, {"months": list(MONTHS)})

    selected: dict[str, list[Fact]] = {}
    for split, plan in PLAN.items():
        used: Counter[str] = Counter()
        here = order(seed, "pick", [c for c, s in countries.items() if s == split])
        candidates: dict[str, list[Fact | None]] = {
            "lang": [fact_lang(seed, c) for c in here],
            "cur": [fact_cur(seed, c) for c in here],
            "cur2c": [fact_cur2c(seed, c, countries) for c in here],
            "script": [
                fact_script(seed, code)
                for code in order(seed, "pick", [c for c, s in languages.items() if s == split])
            ],
        }
        for kind, names, splits in (("day", DAYS, days), ("month", MONTHS, months)):
            facts = {
                fact.key: fact
                for start in names
                if splits[start] == split
                for fact in calendar_facts(seed, kind, names, start)
            }
            candidates[kind] = [facts[key] for key in order(seed, "pick", facts)]
        rows: list[Fact] = []
        for kind, found in candidates.items():
            rows += spread([fact for fact in found if fact], plan[kind], used)
        by_key = {fact.key: fact for fact in rows}
        selected[split] = [by_key[key] for key in order(seed, "rows", by_key)]
    return selected


def positions(seed: int, split: str, facts: Sequence[Fact]) -> dict[str, int]:
    """Place of the right choice: each place equally often over the split and kinds."""
    rng = random.Random(f"{seed}/positions/{split}")
    places: dict[str, int] = {}
    waiting: list[int] = []
    for kind in PLAN[split]:
        for fact in facts:
            if fact.kind == kind:
                if not waiting:
                    waiting = [0, 1, 2, 3]
                    rng.shuffle(waiting)
                places[fact.key] = waiting.pop()
    return places


def question(lang: str, fact: Fact) -> str:
    """The question in words."""
    patterns = PATTERNS[lang]
    if fact.kind in ("day", "month"):
        start = choice_name(lang, fact.kind, fact.group.split("-")[1])
        pattern = patterns[fact.kind + ("+" if fact.offset > 0 else "-")]
        return pattern.format(x=start, n=NUMBERS[lang][abs(fact.offset)])
    if fact.kind == "cur2c":
        unit = currency_unit(lang, tenders(fact.group)[0])
        return patterns["cur2c"].format(x=unit)
    if fact.kind == "script":
        name = language_name(lang, fact.group)
        if lang == "fr":
            # Languages are masculine; "le" loses its vowel before one (not before h).
            name = f"l’{name}" if plain(name)[0] in "aeiou" else f"le {name}"
        return patterns["script"].format(x=name)
    return patterns[fact.kind].format(x=place(lang, fact.group))


def row(lang: str, fact: Fact, at: int, seed: int) -> dict[str, object]:
    """One line of a data file, with the right choice at place `at`."""
    answer, *wrong = fact.choices
    wrong = order(seed, f"wrong {fact.key}", wrong)
    codes = [*wrong[:at], answer, *wrong[at:]]
    return {
        "id": f"rea-{lang}-{fact.key}",
        "group": fact.group,
        "question": unicodedata.normalize("NFC", question(lang, fact)),
        "choices": [
            unicodedata.normalize("NFC", choice_name(lang, fact.kind, code)) for code in codes
        ],
        "answer": at,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(
        description="Write the embedded reasoning questions from Babel's CLDR data."
    )
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another selection")
    options = parser.parse_args(arguments)
    selected = select(options.seed)
    for lang in LANGUAGES:
        folder = options.out / lang
        folder.mkdir(parents=True, exist_ok=True)
        for split, facts in selected.items():
            if split == "update" and lang not in UPDATED:
                continue
            at = positions(options.seed, split, facts)
            lines = [
                json.dumps(row(lang, fact, at[fact.key], options.seed), ensure_ascii=False)
                for fact in facts
            ]
            text = "".join(line + "\n" for line in lines)
            (folder / f"{split}.jsonl").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
