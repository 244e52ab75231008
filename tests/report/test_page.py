"""The page as a file: whole, inert, and telling no more than was measured."""

import builtins
import json
import math
import re
import sys
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from penchant.data.profile import DataProfile
from penchant.errors import ArgumentError, MissingExtraError
from penchant.evaluation.result import Estimate, Result, Setting, SystemResult
from penchant.report import html
from penchant.report.page import _json
from penchant.train.space import Choice
from penchant.train.study import Trial
from penchant.train.tuned import Searched, Tuned
from report.made import profile, result, sample, studies, training

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Page(HTMLParser):
    """Headings, text, scripts and attributes of a page."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.tags, self.ids, self.headings, self.scripts, self.text = [], [], [], [], ""
        self._inside = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        self._inside = tag
        if tag == "script":
            self.scripts.append("")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append([int(tag[1]), ""])

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data
            if re.fullmatch("h[1-6]", self._inside):
                self.headings[-1][1] += data

    @property
    def numbers(self):
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A page with everything on it."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    two = {
        "Leave-last-out": result(),
        "Global time": result(users=9, verdict="too few users to tell: 9 of them"),
    }
    html(two, path, profile=profile(), training=training(), title="The demo", notes=["Two cores."])
    return Page(path), two, path


def test_the_numbers_in_the_page_are_those_of_the_result(full):
    page, two, path = full
    assert page.numbers["results"] == {name: _json(made.as_dict()) for name, made in two.items()}
    assert page.numbers["profile"]["kept"] == profile().kept
    assert page.numbers["training"]["SASRec"][0]["epoch"] == 1
    assert json.loads(path.with_suffix(".json").read_text()) == page.numbers


def test_the_ranker_has_a_table_and_a_curve_of_its_own(full):
    headings = [text for _, text in full[0].headings]
    assert headings.count("Ranker: probabilities") == 2
    part = full[0].source.split("data-ranker")[1]
    for words in ("NoHistory", "GAUC", "Calibration error", "PCOC"):
        assert words in part
    assert "on 671 queries of 671 users: each chosen item beside 20 drawn ones" in full[0].text


def test_headings_descend_by_one_and_ids_are_unique(full):
    levels = [level for level, _ in full[0].headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(full[0].ids) == len(set(full[0].ids))


def test_every_link_of_the_contents_arrives(full):
    targets = {
        attrs["href"][1:] for tag, attrs in full[0].tags if tag == "a" and attrs["href"].startswith("#")
    }
    assert targets
    assert targets <= set(full[0].ids)


def test_nothing_is_loaded_from_elsewhere(full):
    page = full[0]
    sources = [
        attrs[name]
        for _, attrs in page.tags
        for name in ("src", "href", "srcset", "action")
        if attrs.get(name)
    ]
    assert all(source.startswith(("#", "data:")) for source in sources)
    (policy,) = (
        attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy


def test_the_page_says_the_verdicts_the_setting_and_the_data(full):
    text = full[0].text
    assert "Funnel beats Popularity" in text
    assert "Too few users to tell: 9 of them." in text
    assert str(full[1]["Leave-last-out"].setting) in text
    facts = (
        "100,004",
        "no title",
        "9 Jan 1995 to 16 Oct 2016",
        "61.3 %",
        "broken by a seeded hash",
        "Two cores.",
    )
    for said in ("every item of the training rows", "17 queries whose every target is unseen", *facts):
        assert said in text, said


def test_metrics_that_say_the_same_stand_there_once(full):
    made, source = full[1]["Leave-last-out"], full[0].source
    assert made["map@10"] == made["mrr@10"]
    assert 'data-metric="mrr@10"' in source
    assert 'data-metric="map@10"' not in source
    assert "Hit rate (same as Recall) and MAP (same as MRR)" in full[0].text


def test_a_part_of_few_queries_is_named_and_grey(full):
    assert "Not drawn, as under 20 queries tell nothing: cold: not in training." in full[0].text
    assert any(attrs.get("class") == "few" for tag, attrs in full[0].tags if tag == "td")


def test_where_users_are_too_few_no_difference_is_called_clear(full):
    part = full[0].source.split('data-result="Global time"')[1].split('data-result="')[0]
    assert "clearly" not in part
    assert "times in 100" not in part
    assert "Too few users to tell: 9 of them." in part
    assert "difference unknown" in part


def test_text_cannot_end_a_script_or_become_markup(tmp_path):
    hostile = {name.replace("x", HOSTILE): skill for name, skill in (("x one", 1.0), ("x two", 0.4))}
    made = result(hostile, split=HOSTILE, title=lambda text: HOSTILE + text)
    logs = {HOSTILE: [{"epoch": 1, "loss": 1.0, HOSTILE: 2.0}, {"epoch": 2, "loss": 0.5, HOSTILE: 1.0}]}
    told = DataProfile(
        HOSTILE, 3, 2, {HOSTILE: 1}, popularity={HOSTILE: 0.5}, history={HOSTILE: 1}, notes=(HOSTILE,)
    )
    path = html(
        {HOSTILE: made, "b": made},
        tmp_path / "r.html",
        profile=told,
        training=logs,
        title=HOSTILE,
        notes=[HOSTILE],
    )
    page = Page(path)
    assert len(page.scripts) == 4
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert page.numbers["title"] == HOSTILE
    assert page.headings[0][1] == HOSTILE
    assert HOSTILE in page.numbers["results"]
    assert "onerror" not in {name for _, attrs in page.tags for name in attrs}


CUT = Setting("s", "test", "cut", "exclude", "all", exclude_seen=False, cutoffs=(3,))
STRANGE = (
    SystemResult("x", {"ndcg@3": Estimate(math.nan), "my_own": Estimate(2.0)}),
    SystemResult("y", {"their_own": Estimate(2.0)}),
)
PEOPLE = (
    sample(4, np.random.default_rng(0), str),  # without a history
    {"user": "9", "history": [{"item": "a", "time": None}, {"item": "b"}], "list": [], "targets": []},
)


@pytest.mark.parametrize(
    "made",
    [
        result({"EASE": 1.0}, everything=False),
        result(bootstrap=0, everything=False),
        result(users=3, verdict="too few users to tell", everything=False),
        Result(CUT, (SystemResult("x", {}),), np.arange(0)),
        Result(CUT, STRANGE, np.arange(2), samples=PEOPLE),
    ],
    ids=["one system", "no intervals", "few users", "nothing at all", "strange metrics"],
)
def test_what_is_missing_is_left_out(made, tmp_path):
    page = Page(html(made, tmp_path / "report.html"))
    assert page.headings[0][0] == 1
    assert "nan" not in page.text.lower().split()
    assert "How it was asked" in page.text
    assert "Training" not in page.text


def test_scores_of_single_items_have_a_part_of_their_own(tmp_path):
    metrics = {"auc": Estimate(0.8), "gauc": Estimate(0.75, 0.7, 0.8, 50), "pcoc": Estimate(1.1)}
    other = SystemResult(
        "y", {"gauc": Estimate(0.7, 0.6, 0.8)}, difference={"gauc": Estimate(0.05, 0.01, 0.09)}
    )
    setting = Setting("s", "test", "each", "order", "seen", exclude_seen=True, cutoffs=())
    made = Result(setting, (SystemResult("DIN", metrics), other), np.arange(50))
    text = Page(html(made, tmp_path / "report.html")).text
    assert "How good single scores are" in text
    assert "How good the lists are" not in text
    assert "DIN beats y (+0.050 [+0.010, +0.090]) on GAUC." in text


def test_training_logs_are_read_flat_or_nested_and_closed_forms_have_none(full):
    headings = [text for _, text in full[0].headings]
    assert "SASRec" in headings
    assert "DIN" in headings
    assert "EASE" not in headings
    page = full[0].text
    best = max(training()["SASRec"], key=lambda row: row["metrics"]["ndcg@10"])
    assert f"{best['epoch']} (NDCG@10 {best['metrics']['ndcg@10']:.4f})" in page
    assert "SASRec, training loss" in page
    assert "softmax" not in page  # a copy of the loss


def test_the_folder_is_made_and_the_json_can_be_left_out(tmp_path):
    path = html(result({"EASE": 1.0}, everything=False), tmp_path / "new" / "r.html", json=False)
    assert [p.name for p in path.parent.iterdir()] == ["r.html"]


def test_a_page_that_its_json_would_replace_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"ends in \.html"):
        html(result({"EASE": 1.0}, everything=False), tmp_path / "r.json")
    with pytest.raises(ArgumentError, match="result"):
        html({}, tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["altair", "vl_convert"])
def test_a_missing_extra_is_named_before_anything_is_written(package, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"penchant\[plots\]"):
        html(result({"EASE": 1.0}, everything=False), tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_json_has_no_nan():
    numbers = {
        "a": math.nan,
        "b": [math.inf, 1, None, True, "x"],
        "c": (np.float64(0.5), np.int64(3)),
        4: -math.inf,
    }
    assert _json(numbers) == {"a": None, "b": [None, 1, None, True, "x"], "c": [0.5, 3], "4": None}


def test_a_search_is_on_the_page_and_in_its_numbers(tmp_path):
    tuned = studies()
    page = Page(html(result(), tmp_path / "r.html", studies=tuned))
    assert page.numbers["studies"] == _json(tuned.as_dict())
    headings = [text for _, text in page.headings]
    for heading in (
        "Tuning",
        "What was found",
        "Settings of SASRec",
        "Settings of EASE",
        "Accuracy and variety",
    ):
        assert heading in headings
    best = tuned.best("SASRec")
    assert f"width {best.model['width']}" in page.text
    assert "Trial 4 failed: epoch 1, step 3: the loss is nan." in page.text
    assert "the best of several on the same queries is an optimistic figure" in page.text
    rows = sum(f"{t.value:.4f}" in page.text for t in tuned.models["SASRec"].trials if t.value is not None)
    assert rows == 23


def test_a_page_may_hold_a_search_alone(tmp_path):
    page = Page(html(None, tmp_path / "r.html", studies=studies()))
    assert page.headings[0] == [1, "Settings of SASRec and EASE"]
    assert "SASRec comes to 0.1" in page.text
    assert page.numbers["results"] == {}
    with pytest.raises(ArgumentError, match="result=None"):
        html(None, tmp_path / "r.html")


def test_a_search_where_all_failed_says_so(tmp_path):
    trials = tuple(Trial(n, {"l2": 1.0}, None, 1.0, "failed", "no memory") for n in (1, 2))
    tuned = Tuned({"EASE": Searched("EASE", "ndcg@10", {"l2": Choice(1.0)}, trials)}, "time")
    page = Page(html(None, tmp_path / "r.html", studies=tuned))
    assert "Of EASE every trial failed." in page.text
    assert "Trial 2 failed: no memory" in page.text


def test_names_and_settings_of_a_search_stay_text(tmp_path):
    tuned = studies(title=lambda text: HOSTILE + text)
    page = Page(html(None, tmp_path / "r.html", studies=tuned))
    assert "alert(1)" in page.text
    assert len(page.scripts) == 4
    assert not [tag for tag, _ in page.tags if tag == "img"]
