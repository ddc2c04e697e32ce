"""The little English that wordings need: agreement, pronouns of who speaks, base forms of verbs.

Rules and short lists, no parser. A wording is written for a third person singular ("Where does {s}
live?") and turned from there into "Where do I live?".
"""

from __future__ import annotations

import re
from typing import Literal

Person = Literal["he", "they", "I", "we", "you"]

# a subject after one of these is not what the verb after it agrees with: "the home of {s} is"
PREPOSITIONS = (
    "of in for to with about at from on by near behind under after before as than like without "
    "into over against through"
).split()
_OBJECT = re.compile(rf"\b({'|'.join(PREPOSITIONS)}) \{{s\}}", re.IGNORECASE)
_OWN = re.compile(r"\bthe ((?:\w+ )?\w+|\{r\}) of \{s\}", re.IGNORECASE)  # "my home", for "of me"
_AUXILIARIES = {
    "they": {"does": "do", "is": "are", "was": "were", "has": "have"},
    "we": {"does": "do", "is": "are", "was": "were", "has": "have"},
    "you": {"does": "do", "is": "are", "was": "were", "has": "have"},
    "I": {"does": "do", "is": "am", "was": "was", "has": "have"},
}
_SWAP = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "we": "you",
    "us": "you", "our": "your", "ours": "yours", "your": "my", "yours": "mine", "you": "me",
    "yourself": "myself",
}  # fmt: skip
_SWAPPED = re.compile(rf"\b({'|'.join(_SWAP)})\b", re.IGNORECASE)
_DETERMINERS = frozenset(
    "the a an my your our his her their its this that these those each every all some".split()
)
IRREGULAR_PAST = {
    "built": "build", "wrote": "write", "made": "make", "won": "win", "bought": "buy",
    "sold": "sell", "found": "find", "led": "lead", "taught": "teach", "went": "go", "ate": "eat",
    "drank": "drink", "drove": "drive", "gave": "give", "got": "get", "had": "have",
    "held": "hold", "kept": "keep", "knew": "know", "learnt": "learn", "lost": "lose",
    "met": "meet", "paid": "pay", "ran": "run", "saw": "see", "sang": "sing", "sent": "send",
    "slept": "sleep", "spoke": "speak", "spent": "spend", "stole": "steal", "swam": "swim",
    "told": "tell", "took": "take", "thought": "think", "threw": "throw", "wore": "wear",
    "brought": "bring", "caught": "catch", "chose": "choose", "broke": "break", "drew": "draw",
    "flew": "fly", "grew": "grow", "hid": "hide", "heard": "hear", "left": "leave", "lent": "lend",
    "rode": "ride", "rose": "rise", "sat": "sit", "stood": "stand", "stuck": "stick",
    "swept": "sweep", "beat": "beat", "began": "begin", "fell": "fall", "fed": "feed",
    "felt": "feel", "fought": "fight", "forgot": "forget", "shot": "shoot", "woke": "wake",
    "became": "become", "put": "put", "set": "set", "cut": "cut",
}  # fmt: skip
VERBS = frozenset(
    """accept add admire adopt allow answer arrange attend avoid bake ban begin believe belong bring
    build burn buy call carry catch celebrate change chase check choose clean climb close coach
    collect command complete connect consist contain control cook copy cost count cover create cross
    cure cut dance deliver depend design destroy develop direct discover dislike draw drink drive
    earn eat enjoy enter explain export fear feed feel fight fill find finish fish fix flow fly
    follow forbid forget gather give go grow guard hate have hear heat help hide hire hold host hunt
    ignore import improve include inspect install invent invite join keep know last lead learn leave
    lend like listen live load lock look lose love maintain make manage measure meet melt miss move
    name need offer open order organise organize own paint park pay perform plant play practice
    practise prefer prepare print produce protect prove provide publish pull push raise reach read
    receive record recycle remove rent repair replace report represent require rescue rest ride ring
    run save say see sell send serve share shine show sing sit sleep smell solve speak spend sponsor
    start stay steal stop store study support swim take taste teach tell test think throw touch
    train translate travel treat trust turn understand use visit wait wake walk want warn wash watch
    water wear weigh win wish work write""".split()
)


def agree(template: str, person: Person) -> str:
    """The wording with its verbs in agreement with the subject {s}.

    "{s}'s" becomes the slot {p}; after a preposition a pronoun takes its other form, the slot {m}.
    """
    text = template.replace("{s}'s", "{p}")
    if person in ("I", "we", "you"):
        text = _OWN.sub("{p} \\1", text)
    text = _OBJECT.sub(r"\1 {m}", text)
    if person == "he":
        return text
    forms = _AUXILIARIES[person]

    def before(match: re.Match[str]) -> str:
        form = forms[match[1].lower()]
        return (form.capitalize() if match[1][0].isupper() else form) + match[2] + "{s}"

    text = re.sub(r"\b(does|is|was|has)\b( now | )\{s\}", before, text, flags=re.IGNORECASE)

    def after(match: re.Match[str]) -> str:
        adverb, verb = match[1] or "", match[2]
        if verb in ("is", "was", "has"):
            return "{s} " + adverb + forms[verb]
        return "{s} " + adverb + (base_form(verb) if verb.endswith("s") else verb)

    if re.search(r"\b(do|are|am|were|did|can|have) (?:now )?\{s\}", text, re.IGNORECASE):
        return text  # an inverted question: the verb has agreed already
    return re.sub(r"\{s\} (always |never |often |now )?([a-z]+)\b", after, text)


def base_form(verb: str) -> str:
    """The base form of a verb in the third person singular: "studies" -> "study"."""
    special = {"is": "be", "has": "have", "does": "do", "goes": "go", "vs": "v"}
    if verb in special:
        return special[verb]
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "y"
    if verb.endswith(("sses", "shes", "ches", "xes", "zes", "oes")):
        return verb[:-2]
    return verb[:-1] if verb.endswith("s") and not verb.endswith("ss") else verb


def third_form(verb: str) -> str:
    """The third person singular of a base form: "study" -> "studies"."""
    if verb == "have":
        return "has"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("ss", "sh", "ch", "x", "z", "o")) else "s")


def base_of_past(verb: str) -> str | None:
    """The base form of a known verb in the past: "repaired" -> "repair"; None if unknown."""
    if verb in IRREGULAR_PAST:
        return IRREGULAR_PAST[verb]
    if not verb.endswith("ed"):
        return None
    stems = [verb[:-2], verb[:-1]]
    if len(verb) > 4 and verb[-3] == verb[-4]:
        stems.append(verb[:-3])
    if verb.endswith("ied"):
        stems.append(verb[:-3] + "y")
    return next((stem for stem in stems if stem in VERBS), None)


def swap_speaker(text: str) -> str:
    """A phrase as the other one says it: "my dog" -> "your dog"."""

    def other(match: re.Match[str]) -> str:
        word = _SWAP[match[1].lower()]
        return word.capitalize() if match[1][0].isupper() and match[1] != "I" else word

    return _SWAPPED.sub(other, text)


def inside(phrase: str) -> str:
    """A phrase that began a sentence, as it stands within one: "The printer" -> "the printer"."""
    first = phrase.partition(" ")[0]
    return phrase[0].lower() + phrase[1:] if first.lower() in _DETERMINERS else phrase


def bare(phrase: str) -> str:
    """A phrase without its article or possessive: "the red bike" -> "red bike"."""
    return re.sub(r"^(?:the|a|an|my|your|our|his|her|their|its)\s+", "", phrase, flags=re.I)


def possessive(phrase: str) -> str:
    """The possessive of a noun phrase: "Mara" -> "Mara's"."""
    return f"{phrase}'" if phrase.endswith("s") and not phrase[0].isupper() else f"{phrase}'s"


def sentence(text: str) -> str:
    """The text with a capital at its start and an end."""
    text = " ".join(text.split())
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
