"""How rare words and sentences are among a source's own records: what most of them say tells no two of them apart.

    every record of a source ─▶ Rarity ─ shared(one, other) ─▶ how much of what is rare in them they have in common
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, Self

from milepost.fields import FIELD, of_type
from milepost.records import Milestone
from milepost.same import fold

_TEXTS = tuple(name for name in of_type("line", "prose") if FIELD[name].likeness)
_WORD = re.compile(r"[^\W_]+(?:[.'-][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+")


class Shared(NamedTuple):
    """What two records have in common of what no other record of the source says."""

    share: float  # 0..1, of the weight of the one that says less
    weight: float  # of the words in common; a word that no other record has weighs 1
    titled: bool  # they have one title, and nobody else has it


class _Said(NamedTuple):
    """What one record says, as it is counted."""

    title: str
    sentences: frozenset[str]  # the title too
    words: frozenset[str]

    @classmethod
    def of(cls, record: Milestone) -> Self:
        texts = [fold(getattr(record, name)) for name in _TEXTS if name not in record.unknown]
        sentences = frozenset(part for text in texts for part in _SENTENCE_END.split(text) if part)
        title = "" if "title" in record.unknown else fold(record.title)
        return cls(title=title, sentences=sentences, words=_words(sentences))


class Rarity:
    """The words and sentences of a source's records, counted once a record."""

    def __init__(self, records: Iterable[Milestone]) -> None:
        self._records = 0
        self._sentences: Counter[str] = Counter()
        self._words: Counter[str] = Counter()
        self._said: dict[str, _Said] = {}  # of those that were compared, by key
        for record in records:
            said = _Said.of(record)
            self._records += 1
            self._sentences.update(said.sentences)
            self._words.update(said.words)

    def shared(self, one: Milestone, other: Milestone) -> Shared:
        """How much two of the records have in common that is their own; both must have been counted.

        A sentence that a third record has says nothing. A word of the rest weighs 1 when no third record has it, 0
        when all have it, and the less the more have it (inverse document frequency).
        """
        said = self._of(one), self._of(other)
        mine, theirs = (self._own(each, said) for each in said)
        weights = {word: self._weight(word, said) for word in mine | theirs}
        common = sum(weights[word] for word in mine & theirs)
        least = min(sum(weights[word] for word in words) for words in (mine, theirs))
        title = said[0].title
        titled = bool(title) and title == said[1].title and not self._elsewhere(title, said)
        return Shared(share=common / least if least else 0.0, weight=common, titled=titled)

    def _of(self, record: Milestone) -> _Said:
        if record.key not in self._said:
            self._said[record.key] = _Said.of(record)
        return self._said[record.key]

    def _own(self, said: _Said, pair: tuple[_Said, _Said]) -> frozenset[str]:
        """The words of those sentences that no third record has."""
        return _words(sentence for sentence in said.sentences if not self._elsewhere(sentence, pair))

    def _elsewhere(self, sentence: str, pair: tuple[_Said, _Said]) -> bool:
        """Whether a record besides these two has the sentence."""
        return self._sentences[sentence] > sum(sentence in said.sentences for said in pair)

    def _weight(self, word: str, pair: tuple[_Said, _Said]) -> float:
        thirds = self._records - len(pair)
        if thirds <= 0:
            return 1.0
        saying = max(0, self._words[word] - sum(word in said.words for said in pair))
        return max(0.0, 1.0 - math.log1p(saying) / math.log1p(thirds))


def _words(sentences: Iterable[str]) -> frozenset[str]:
    return frozenset(word for sentence in sentences for word in _WORD.findall(sentence))
