"""Stages in a row: retrieve, merge, rank; one object from a request to an explained list."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from penchant.data.batch import Requests, moved
from penchant.data.interactions import Features, Interactions, check_numbering, require_log
from penchant.data.scan import Source
from penchant.errors import ArgumentError, nearest
from penchant.funnel.answers import contributions, recommendations, similar_items, strongest
from penchant.funnel.arguments import one, several, whole
from penchant.funnel.asking import Asker, Moment
from penchant.funnel.lists import RULES, Listed, arranged
from penchant.funnel.rules import Rules, Terms, terms_of
from penchant.protocols import Candidates, Explains, Ranker, Retriever, numbered, require_fitted, window_of
from penchant.retrieve.merge import RANK_OFFSET, check_weights, merge
from penchant.retrieve.popularity import Popularity

_FILLS_IN = 1e-4  # of any other weight: below what one rank more or less counts
_CELLS = 16_384  # user-candidate pairs that a ranker scores at once: bounds memory, not results
_PAIRS = 1_024  # user-item pairs explained at once, likewise: each has a history


class Funnel:
    """Retrievers, merged and filtered, then a ranker: a `Retriever` itself, so `evaluate` takes it whole.

    Args:
        retrieve: one fitted retriever or several, in order of trust. A `Popularity` among them also answers
            those requests that nobody else can (no history), and says so.
        rank: a fitted ranker; None to keep the retrievers' order.
        data: the log whose histories and titles `recommend` uses: a snapshot that `save` keeps.
        candidates: how many items go from the retrievers to the ranker; each retriever is asked for as many.
        weights: how much each retriever counts in the merge, 0 or more. By default all count alike, but a
            `Popularity` beside others only fills in: it breaks ties, and what it alone found comes last.
        blend: how much the ranker's order counts beside the retrievers' order, in [0, 1], by reciprocal
            ranks; 1 is the ranker alone. A value to choose on validation: rankers learn to tell what was
            chosen from what was not, and know little of how good retrievers' candidates differ.
        names: what to call the stages; their classes' names by default.
        rules: what holds for every list, whoever asks: what `recommend` says, and `evaluate` measures, since
            what is evaluated is what is served. `save` keeps them.

    Raises:
        ArgumentError: a stage lacks the methods of its protocol, a number is out of range, or rules
            contradict themselves or name an unknown item, category or value.
    """

    def __init__(
        self,
        *,
        retrieve: Retriever | Sequence[Retriever],
        rank: Ranker | None = None,
        data: Interactions,
        candidates: int = 200,
        weights: Sequence[float] | None = None,
        blend: float = 1.0,
        names: Sequence[str] | None = None,
        rules: Rules | None = None,
    ) -> None:
        require_log(data, "data")
        retrievers = list(retrieve) if isinstance(retrieve, Sequence) else [retrieve]
        if not retrievers:
            raise ArgumentError("retrieve", retrieve, expected="at least one retriever")
        for model in retrievers:
            _check(model, Retriever, "retrieve", "retrieve(requests, k)")
            check_numbering(model, data, argument="data")
        if rank is not None:
            _check(rank, Ranker, "rank", "encode_user(requests) and score(state, items)")
            check_numbering(rank, data, argument="data")
        names = list(names) if names is not None else numbered([type(model).__name__ for model in retrievers])
        if len(names) != len(retrievers) or len(set(names)) != len(names):
            raise ArgumentError(
                "names", names, expected=f"{len(retrievers)} different names, one a retriever"
            )
        self.retrievers: dict[str, Retriever] = dict(zip(names, retrievers, strict=True))
        if not 0 <= blend <= 1:
            raise ArgumentError("blend", blend, expected="a number in [0, 1]")
        self.ranker, self.data, self.blend = rank, data, blend
        self.candidates = whole("candidates", candidates)
        if weights is not None:
            check_weights(weights, names)
        self.weights = None if weights is None else list(weights)
        self._fallback = next(
            (name for name, m in self.retrievers.items() if isinstance(m, Popularity)), None
        )
        self._weights = self.weights or _filling_in(retrievers)
        self._asker = Asker(data)
        if rules is not None and not isinstance(rules, Rules):
            raise ArgumentError("rules", rules, expected="Rules", fix="pass rules=Rules(quota=..., ...)")
        self.rules = Rules() if rules is None else rules
        self._standing = terms_of(data, self.rules)

    def __repr__(self) -> str:
        rank = "" if self.ranker is None else f" -> rank {type(self.ranker).__name__}"
        rules = f" -> rules {self.rules}" if self.rules else ""
        return f"Funnel(retrieve {' + '.join(self.retrievers)} -> {self.candidates} candidates{rank}{rules})"

    @property
    def features(self) -> Features:
        """What its log holds: `evaluate` refuses a funnel whose log numbers items in another way."""
        return self.data.features

    @property
    def models(self) -> dict[str, Retriever | Ranker]:
        """The retrievers by name and, as "rank", the ranker."""
        return {**self.retrievers, **({} if self.ranker is None else {"rank": self.ranker})}

    @property
    def history(self) -> int | None:
        """Newest events that any stage reads, and at least one: who has none is answered by popularity."""
        models = self.models.values()
        windows = [window for model in models if (window := window_of(model)) is not None]
        return max(1, *windows) if len(windows) == len(models) else None

    # -- the stages ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def stages(self, requests: Requests, k: int, dials: Any = None) -> dict[str, Candidates]:
        """What every stage answers, in order; the last entry is the funnel's answer (at most k items each).

        Its standing rules hold. Where they pin items or set quotas, the last stage is "rules".

        Args:
            requests: what is asked.
            k: length of the final list.
            dials: the dials of one retriever, or a mapping from retriever names to theirs.
        """
        return self._ruled(requests, k, dials, self._standing)[0]

    def retrieve(self, requests: Requests, k: int, dials: Any = None) -> Candidates:
        """The funnel's answer: the best k items of the last stage, with the retriever each came from.

        Its standing rules hold; an item that they pin has the score NaN and comes from "rules".
        """
        return list(self.stages(requests, k, dials).values())[-1]

    @torch.no_grad()
    def _ruled(
        self, requests: Requests, k: int, dials: Any, terms: Terms
    ) -> tuple[dict[str, Candidates], Listed | None]:
        """What every stage answers under rules, and what quotas and pins did to the list."""
        dial = self._dials(dials)
        if terms.eligible is not None or terms.arrange:
            terms = moved(terms, requests.users.device)
        requests = _narrowed(requests, terms.eligible)
        depth = max(k + int((terms.pins != 0).sum()), self.candidates)
        answers = self._answers(requests, depth, dial)
        last, ranked = list(answers.items())[-1]
        if terms.arrange and len(requests):

            def more(rows: Tensor, eligible: Tensor) -> Candidates:
                again = self._answers(_narrowed(requests.rows(rows), eligible), depth, dial)
                return list(again.values())[-1]

            listed = arranged(ranked, requests, k, terms, more)
            if self.ranker is not None:
                answers[last] = _first(ranked, k)
            return {**answers, RULES: listed.answer}, listed
        answers[last] = _first(ranked, k)
        return answers, None

    def _answers(self, requests: Requests, depth: int, dial: Mapping[str, Any]) -> dict[str, Candidates]:
        """The stages' answers, before the last one is cut to the length of the list."""
        found = {name: m.retrieve(requests, depth, dial.get(name)) for name, m in self.retrievers.items()}
        popular = self._popular(requests)
        if popular is not None:
            found = self._only_popular(found, popular)
        answers = {f"retrieve:{name}": answer for name, answer in found.items()}
        merged = merge(found, depth, weights=self._weights)
        if popular is not None:
            merged = _replaced(merged, found, self._fallback, popular)
        answers["merge" if len(found) > 1 else next(iter(answers))] = merged
        if self.ranker is not None:
            ranked = self._rank(requests, merged)
            if popular is not None:
                ranked = _replaced(ranked, found, self._fallback, popular)
            answers[f"rank:{type(self.ranker).__name__}"] = ranked
        return answers

    def _popular(self, requests: Requests) -> Tensor | None:
        """[B, 1] the requests without any history, which popularity alone answers; None for nobody."""
        if self._fallback is None:
            return None
        empty = (requests.histories.lengths == 0).unsqueeze(1)
        return empty if bool(empty.any()) else None

    def _only_popular(self, found: dict[str, Candidates], popular: Tensor) -> dict[str, Candidates]:
        """What was found, but by nobody else where popularity alone answers."""
        return {
            name: answer
            if name == self._fallback
            else Candidates(
                answer.item.masked_fill(popular, 0), answer.score.masked_fill(popular, -torch.inf)
            )
            for name, answer in found.items()
        }

    def _rank(self, requests: Requests, merged: Candidates) -> Candidates:
        assert self.ranker is not None
        size = max(1, _CELLS // merged.item.shape[1])
        parts: list[Tensor] = []
        for begin in range(0, len(requests), size):
            index = torch.arange(begin, min(begin + size, len(requests)), device=merged.item.device)
            state = self.ranker.encode_user(requests.rows(index))
            parts.append(self.ranker.score(state, merged.item[index]))
        logits = torch.cat(parts).float().masked_fill(merged.item == 0, -torch.inf)
        score = logits if self.blend == 1 else self._blended(logits, merged)
        # among equal scores the retrievers' order stands: their lists already break ties at random
        score, order = score.sort(dim=1, descending=True, stable=True)
        assert merged.origin is not None
        item, origin = merged.item.gather(1, order), merged.origin.gather(1, order)
        return Candidates(item, score, origin, merged.origins)

    def _blended(self, logits: Tensor, merged: Candidates) -> Tensor:
        """Weighted reciprocal ranks of the ranker's order and of the retrievers' order, [B, C]."""
        place = torch.arange(logits.shape[1], device=logits.device).expand_as(logits)
        ranked = torch.empty_like(place)
        ranked.scatter_(1, logits.argsort(dim=1, descending=True, stable=True), place)
        score = self.blend / (RANK_OFFSET + 1 + ranked) + (1 - self.blend) / (RANK_OFFSET + 1 + place)
        return score.masked_fill(merged.item == 0, -torch.inf)

    def _dials(self, dials: Any) -> Mapping[str, Any]:
        if dials is None:
            return {}
        given: Mapping[str, Any] = (
            dials
            if isinstance(dials, Mapping)
            else {name: dials for name in self.retrievers if self._takes(name, dials)}
        )
        if not given:
            raise ArgumentError("dials", dials, expected="dials that one of the retrievers takes")
        for name, value in given.items():
            if name not in self.retrievers:
                raise ArgumentError(
                    "dials", name, expected=f"a retriever's name ({nearest(name, list(self.retrievers))})"
                )
            if not self._takes(name, value):
                raise ArgumentError(f"dials[{name!r}]", value, expected=f"dials that {name} takes")
        return given

    def _takes(self, name: str, dials: object) -> bool:
        kind = getattr(type(self.retrievers[name]), "Dials", None)
        return isinstance(kind, type) and isinstance(dials, kind)

    # -- what people ask -------------------------------------------------------------------------------------

    def recommend(
        self,
        *,
        users: Iterable[object] | None = None,
        histories: Iterable[Iterable[object]] | None = None,
        events: Source | None = None,
        at: Moment | None = None,
        k: int = 10,
        deny: Iterable[object] = (),
        available: Iterable[object] | None = None,
        pinned: Iterable[object] | Mapping[Any, int] = (),
        quota: Mapping[str, int | Mapping[Any, int]] | None = None,
        exclude_seen: bool | None = None,
        dials: Any = None,
        because: bool = False,
    ) -> pl.DataFrame:
        """The best k items for each user, with scores, the stage that gave them, and why.

        Args:
            users: ids of users of the log. Unknown ids get what is popular, and the reason says so.
            histories: item ids of people who are not in the log, one list each, oldest first. Items that the
                log does not know are left out, here and in `events`, and the reason says how many.
            events: what people just did: anything that `read_events` reads, with columns user, item and, if
                known, time and event; it is added to what the log knows of them. Times are understood as
                `read_events` understands them: numbers in s, ms, us or ns since 1970 (UTC), datetimes, dates
                or ISO 8601 text, all in one unit. Without times they came last, in their order. Other columns
                are not read, which a warning in the log of `penchant.funnel` tells.
            at: the time of asking, in any form that `events` may have; nothing later in the log is used, and
                later `events` are refused. By default just after the last event, of the log or of the user.
            k: items a user; fewer come back only where fewer may be answered.
            deny: item ids that must not be answered; this and the next three are the `Rules` of a request.
                They come on top of the funnel's own, the stricter counts, and a standing pin gives way.
            available: item ids that may be answered; None for all.
            pinned: item ids for the first places, or a mapping from item ids to places.
            quota: how many items of a category a list may hold, such as `{"genres": 3}`.
            exclude_seen: whether items of the history are left out; None: unless the log shows that people
                repeat.
            dials: see `stages`.
            because: whether reasons name the event of the history that speaks most for an item, by the
                stage that `explain` asks; it takes a pass of that stage for every item listed.

        Returns: a frame with columns user, rank, item, title (where the log has titles), score (null where
            pinned), stage, reason. Items that fill a list because a quota passed over others may come from
            behind all candidates: they stand last, whatever they score. With `histories` the first column is
            not user but history: their place, from 0.
        Raises: ArgumentError for anything that is not as said above; DataError for a bad `events` table.
        """
        k = whole("k", k)
        asked = self._asker.ask(users, histories, events, at=at, exclude_seen=exclude_seen)
        rules = Rules(deny, available, pinned, {} if quota is None else quota)
        for item, place in rules.places.items():
            if place > k:
                raise ArgumentError(f"pinned[{item!r}]", place, expected=f"a place up to k={k}")
        terms = terms_of(self.data, rules, self._standing)
        explainer = self._explainer()[1] if because else None
        if not len(asked.requests):
            nothing = torch.zeros(0, 1, dtype=torch.int64)
            final = Candidates(nothing, nothing.float(), nothing)
            return recommendations(self.data, asked, final, stage="", fallback=None)
        answers, listed = self._ruled(asked.requests, min(k, len(self.data.catalogue)), dials, terms)
        final = list(answers.values())[-1]
        stage = next(name for name in reversed(answers) if name != RULES)
        causes = None if explainer is None else self._causes(asked.requests, final, explainer)
        return recommendations(
            self.data, asked, final, stage=stage, fallback=self._fallback, terms=terms, listed=listed,
            causes=causes,
        )  # fmt: skip

    @torch.no_grad()
    def _causes(self, requests: Requests, answer: Candidates, explainer: Explains) -> Tensor:
        """[B, k] the item of the history that speaks most for each answer; 0 where none does."""
        causes = torch.zeros_like(answer.item)
        there = answer.item != 0
        b, item = there.nonzero(as_tuple=True)[0], answer.item[there]
        parts = zip(b.split(_PAIRS), item.split(_PAIRS), strict=True)
        found = [strongest(explainer.explain(requests.rows(rows), items)) for rows, items in parts]
        causes[there] = torch.cat(found) if found else item
        return causes

    def _explainer(self) -> tuple[str, Explains]:
        """The last stage that explains itself, and its name."""
        stages: dict[str, object] = {f"rank:{type(self.ranker).__name__}": self.ranker} if self.ranker else {}
        stages |= {f"retrieve:{name}": model for name, model in self.retrievers.items()}
        for stage, model in stages.items():
            if isinstance(model, Explains):
                return stage, model
        raise ArgumentError(
            "funnel", self, expected="a stage with an `explain` method (DIN and EASE have one)"
        )

    @torch.no_grad()
    def explain(
        self,
        item: object,
        *,
        user: object | None = None,
        history: Iterable[object] | None = None,
        events: Source | None = None,
        at: Moment | None = None,
    ) -> pl.DataFrame:
        """What in a history speaks for and against an item.

        Args:
            item: the id of the item.
            user: the id of a user of the log.
            history: or the item ids of somebody who is not in it, oldest first.
            events: what the user just did, as in `recommend`.
            at: the time of asking.

        Returns: a frame with columns item, title, value, kind, stage; the strongest event first.
        Raises: ArgumentError if the item is unknown or no stage explains itself.
        """
        if history is not None:
            history = several("history", history).to_list()
        asked = self._asker.ask(
            None if user is None else [one("user", user)],
            None if history is None else [history],
            events,
            at=at,
            exclude_seen=False,
        )
        index = self._asker.item(item)
        stage, model = self._explainer()
        return contributions(self.data, model.explain(asked.requests, torch.tensor([index]))[0], stage)

    def similar(self, items: Iterable[object], k: int = 10) -> pl.DataFrame:
        """The items most like each of `items`, by the first retriever that can tell.

        Returns: a frame with columns item, title, rank, similar, similar_title, score, stage.
        Raises: ArgumentError if an item is unknown or no retriever has a `similar` method.
        """
        given, k = several("items", items), whole("k", k)
        if not len(given):
            raise ArgumentError("items", items, expected="at least one item id")
        index = torch.tensor([self._asker.item(item) for item in given])
        for name, model in self.retrievers.items():
            if hasattr(model, "similar"):
                found: Candidates = model.similar(index, k)  # type: ignore[attr-defined]
                return similar_items(self.data, index, found, f"retrieve:{name}")
        raise ArgumentError(
            "funnel", self, expected="a retriever with a `similar` method (SASRec and EASE have one)"
        )

    def save(self, path: str | Path, *, result: Any = None) -> None:
        """Writes the bundle: models, histories, attributes and a model card; whole or not at all.

        Args:
            path: a folder; an old bundle there is replaced.
            result: an evaluation to put on the card.
        """
        from penchant.funnel.bundle import save  # bundle.py builds Funnels, so it imports this module

        save(self, Path(path), result)


def _check(model: object, protocol: Any, name: str, methods: str) -> None:
    if not isinstance(model, protocol):
        other, kind = ("rank", Ranker) if name == "retrieve" else ("retrieve", Retriever)
        fix = f"pass it as {other}=" if isinstance(model, kind) else None
        raise ArgumentError(name, type(model).__name__, expected=f"a fitted model with {methods}", fix=fix)
    require_fitted(model, name)
    if isinstance(model, nn.Module) and model.training:
        model.eval()


def _filling_in(retrievers: Sequence[Retriever]) -> list[float] | None:
    """The weights where nobody gave any: popularity counts only where nobody else found enough."""
    popular = [isinstance(model, Popularity) for model in retrievers]
    return None if all(popular) else [_FILLS_IN if is_popular else 1.0 for is_popular in popular]


def _replaced(
    answer: Candidates, found: dict[str, Candidates], fallback: str | None, popular: Tensor
) -> Candidates:
    """The answer with the fallback's own list, order and scores where it alone answers [B, 1]."""
    assert fallback is not None
    assert answer.origin is not None
    own = found[fallback]
    item, score = torch.where(popular, own.item, answer.item), torch.where(popular, own.score, answer.score)
    origin = answer.origin.masked_fill(popular, answer.origins.index(fallback))
    return Candidates(item, score, origin, answer.origins)


def _narrowed(requests: Requests, eligible: Tensor | None) -> Requests:
    """The same requests where less may be answered, [V] or [B, V]; None for no less."""
    if eligible is None:
        return requests
    before = requests.eligible
    return replace(requests, eligible=eligible if before is None else before & eligible)


def _first(answer: Candidates, k: int) -> Candidates:
    origin = None if answer.origin is None else answer.origin[:, :k]
    return Candidates(answer.item[:, :k], answer.score[:, :k], origin, answer.origins)
