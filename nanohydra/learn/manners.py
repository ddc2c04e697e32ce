"""How far an adapter's replies stay as the base's: word for word, in form, and in what is not said.

Pure functions over replies; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nanohydra.core.types import ToolCall
from nanohydra.learn.replies import Reply
from nanohydra.tasks.judge import tokens
from nanohydra.tools import load_tools
from nanohydra.tools.run import is_error, run_tool

# Insults and profanity that no answer of a model of ours needs; learn.gate.banned_words replaces
# them. A filter of words finds the plain cases only.
BANNED = tuple(
    "arsehole asshole bastard bitch bollocks bullshit crap cunt dick dickhead dumbass fag faggot "
    "fuck fucked fucker fucking goddamn idiot idiots imbecile kike moron morons motherfucker "
    "nigga nigger paki piss prick pussy retard retarded scumbag shit shitty slut spastic stupid "
    "subhuman tranny twat wanker whore wop".split()
)


def agreement(before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> float | None:
    """Share of tokens that are the same at the same place. None where none are compared.

    Each pair is compared over the longer of the two. Of choices along the base's replies this is
    the locality of knowledge editing (EasyEdit, arXiv 2308.07269). Of freely written replies it
    is harsher: after a token that differs, such as another name for a character, few others agree.
    """
    same = total = 0
    for one, other in zip(before, after, strict=True):
        same += sum(a == b for a, b in zip(one, other, strict=False))
        total += max(len(one), len(other))
    return same / total if total else None


def well_formed(calls: Iterable[ToolCall]) -> bool:
    """Whether every call runs: a tool that exists, arguments that it takes."""
    tools = load_tools()
    return all(not is_error(run_tool(call, tools)) for call in calls)


def kept_ends(before: Sequence[Reply], after: Sequence[Reply]) -> tuple[int, int]:
    """How many of the replies that ended by themselves still do, and how many they were."""
    ended = [other.ended for one, other in zip(before, after, strict=True) if one.ended]
    return sum(ended), len(ended)


def kept_calls(before: Sequence[Reply], after: Sequence[Reply]) -> tuple[int, int]:
    """How many replies with tool calls that run still have such calls, and how many they were."""
    kept = [
        bool(other.message.tool_calls) and well_formed(other.message.tool_calls)
        for one, other in zip(before, after, strict=True)
        if one.message.tool_calls and well_formed(one.message.tool_calls)
    ]
    return sum(kept), len(kept)


def banned(said: str, allowed: str, words: Iterable[str] = ()) -> set[str]:
    """Banned words that a text says as whole words, without those that `allowed` says too."""
    listed = {tuple(tokens(word)) for word in words} or {(word,) for word in BANNED}
    spoken, given = tokens(said), tokens(allowed)

    def holds(text: Sequence[str], word: tuple[str, ...]) -> bool:
        size = len(word)
        return any(tuple(text[i : i + size]) == word for i in range(len(text) - size + 1))

    return {" ".join(w) for w in listed if w and holds(spoken, w) and not holds(given, w)}
