"""The report in a real browser: its numbers, its charts, its manners."""

import json
import time

import pytest
from axe_playwright_python.sync_playwright import Axe

from penchant.evaluation.lines import copies
from penchant.report import html
from report.made import profile, result, studies, training

pytestmark = pytest.mark.browser

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
VISIBLE = "[...document.querySelectorAll('.chart')].filter(e => e.clientWidth > 0)"
WIDTHS, SCHEMES = (390, 1280), ("light", "dark")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page with two results and everything else, and those results."""
    few = result({"Funnel": 1.0, "Popularity": 0.4}, users=9, verdict="too few users to tell: 9", samples=2)
    two = {"Leave-last-out": result(), "Global time": few}
    path = tmp_path_factory.mktemp("report") / "report.html"
    more = {"studies": studies(), "training": training(), "notes": ["A note."]}
    return html(two, path, profile=profile(), **more), two


def wait(page, condition):
    """Until `condition` holds. (`page.wait_for_function` polls by eval, which the page's policy forbids.)"""
    end = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def drawn(page):
    """Waits until every visible chart is drawn, and gives their number."""
    wait(page, f"{VISIBLE}.every(e => e.dataset.drawn && e.querySelector('svg') && !e.dataset.busy)")
    return page.evaluate(f"{VISIBLE}.length")


def shown(page):
    """Every number of the metric tables: where it belongs, its exact value and its text."""
    return page.evaluate(
        """[...document.querySelectorAll("data[data-system]")].map(e => ({
             result: e.closest("[data-result]").dataset.result, system: Number(e.dataset.system),
             ranker: e.closest("[data-ranker]") !== null,
             group: e.dataset.group, metric: e.dataset.metric, key: e.dataset.key,
             value: e.value, text: e.textContent,
           }))"""
    )


def test_the_tables_show_the_numbers_of_the_json_and_all_of_them(visit, report):
    path, two = report
    page = visit(path)
    embedded = page.evaluate("JSON.parse(document.getElementById('penchant-result').textContent)")
    assert embedded == json.loads(path.with_suffix(".json").read_text())
    expected = {}
    for name, made in two.items():
        # through JSON: what as_dict() says is what a reader of the file gets; it may not hold NaN
        whole = json.loads(json.dumps(made.as_dict()).replace("NaN", "null"))
        assert embedded["results"][name] == whole
        for ranker, part in ((False, whole), (True, whole["ranker"])):
            same = copies([{n: e["value"] for n, e in s["metrics"].items()} for s in part["systems"]])
            for i, system in enumerate(part["systems"]):
                for group in ("metrics", "difference"):
                    for metric, estimate in system[group].items():
                        for key in ("value", "low", "high"):
                            if estimate[key] is not None and metric not in same:
                                expected[name, ranker, i, group, metric, key] = estimate[key]
    found = {
        (n["result"], n["ranker"], n["system"], n["group"], n["metric"], n["key"]): n for n in shown(page)
    }
    assert found.keys() == expected.keys()
    for place, value in expected.items():
        assert float(found[place]["value"]) == value, place
        text = found[place]["text"].replace("\N{MINUS SIGN}", "-").replace(",", "")
        decimals = len(text.partition(".")[2])
        assert abs(float(text) - value) <= 0.5 * 10**-decimals * (1 + 1e-9), place
        assert decimals >= 2, place


def test_numbers_beside_charts_are_those_of_the_json(visit, report):
    path, two = report
    text = visit(path).evaluate("document.body.textContent")
    first, ranker = two["Leave-last-out"].systems[0], two["Leave-last-out"].ranker.systems[0]
    for stage, recalls in first.stages.items():
        for name, recall in recalls.items():
            assert f"{stage.replace(':', ': ')}Recall@{name.split('@')[1]}{recall:.4f}" in text
    for bin in ranker.reliability:
        assert f"{100 * bin['predicted']:.2f} %{100 * bin['observed']:.2f} %{bin['rows']:,}" in text
    for part in first.slices:
        assert f"{part.name}Funnel{part.n:,}" in text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_is_whole_quiet_and_fits(visit, report, width, scheme):
    page = visit(report[0], width=width, scheme=scheme)
    assert drawn(page) > 10
    assert page.heard == []
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        f"{VISIBLE}.filter(e => e.querySelector('svg').clientWidth > e.clientWidth + 1).length"
    )
    assert wide == 0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing(visit, report, width, scheme):
    page = visit(report[0], width=width, scheme=scheme)
    drawn(page)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    drawn(page)
    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["help"], [n["html"][:200] for n in v["nodes"][:3]]) for v in found] == []


def test_text_that_wants_to_be_code_stays_text(visit, tmp_path):
    made = result({f"{HOSTILE}a": 1.0, f"{HOSTILE}b": 0.4}, split=HOSTILE, title=lambda text: HOSTILE + text)
    logs = {HOSTILE: [{"epoch": i, "loss": 1 / i, HOSTILE: 2.0 / i} for i in (1, 2, 3)]}
    page = visit(html({HOSTILE: made}, tmp_path / "r.html", training=logs, title=HOSTILE, notes=[HOSTILE]))
    assert drawn(page) > 4
    page.locator(".chart svg .mark-symbol path").first.hover(force=True)  # tooltips print names as well
    page.wait_for_timeout(100)
    assert page.heard == []
    assert page.evaluate("document.images.length") == 0
    assert page.title() == HOSTILE
    assert page.locator("h1").inner_text() == HOSTILE


def test_injected_scripts_would_not_run_either(visit, report, tmp_path):
    broken = tmp_path / "broken.html"
    text = report[0].read_text(encoding="utf-8")
    broken.write_text(
        text.replace("<h1>", "<script>window.ran = 1</script><img src=https://example.org/x.png><h1>")
    )
    page = visit(broken)
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in heard for heard in page.heard)
    assert drawn(page) > 10


@pytest.mark.parametrize("width", WIDTHS)
def test_no_name_is_cut(visit, tmp_path, width):
    made = result({"Funnel": 1.15, "SASRec": 1.2, "Popularity": 0.35, "EASE": 1.1})
    page = visit(html(made, tmp_path / "r.html"), width=width)
    drawn(page)
    cut = page.evaluate(
        f"""{VISIBLE}.flatMap(e => {{
             const box = e.getBoundingClientRect();
             return [...e.querySelectorAll("svg text")].filter(t => {{
               const r = t.getBoundingClientRect();
               const out = r.right > box.right + 1 || r.left < box.left - 1;
               return r.width && (out || t.textContent.endsWith("…"));
             }}).map(t => t.textContent);
           }})"""
    )
    assert cut == []
    tables = "[...document.querySelectorAll('.metrics')].map(e => e.parentElement)"
    assert page.evaluate(f"{tables}.filter(e => e.scrollWidth > e.clientWidth + 1).length") == 0
    marks = "[...document.querySelectorAll('.whole')].map(e => [...e.getClientRects()].map(r => r.top))"
    assert page.evaluate(f"{marks}.filter(tops => new Set(tops).size > 1).length") == 0


def test_the_list_length_is_switched_by_keyboard(visit, report):
    page = visit(report[0])
    drawn(page)
    part = page.locator("#part-0")
    caption = part.locator(".panel:visible table caption").first
    assert caption.inner_text() == "Ranking, lists of 10"
    part.locator(".switch input:checked").first.focus()
    page.keyboard.press("ArrowRight")
    assert caption.inner_text() == "Ranking, lists of 20"
    drawn(page)  # the forest of the length that was hidden until now
    assert part.locator(".panel[data-at]:visible .chart svg").count() == 1
    assert part.locator(".switch input:checked").evaluate_all("all => all.map(e => e.value)") == ["20", "20"]
    other = page.locator("#part-1 .panel:visible table caption").first
    assert other.inner_text() == "Ranking, lists of 10"
    assert page.heard == []


def test_what_is_measured_at_one_length_stays_when_another_is_chosen(visit, tmp_path):
    made = result()
    for system in made.systems:
        for name in [name for name in system.metrics if name.startswith("novelty") and name != "novelty@10"]:
            del system.metrics[name]
        further = ("item_coverage", "exposure_gini", "serendipity", "personalisation")
        for name in ("category_entropy", "intra_list_diversity", *further):
            for cutoff in (5, 10, 20):
                del system.metrics[f"{name}@{cutoff}"]
    page = visit(html(made, tmp_path / "r.html"))
    assert page.locator(".switch").count() == 1
    page.locator(".switch label").first.click()
    captions = page.locator(".panel[data-at]:visible > .wide caption").all_inner_texts()
    assert captions == ["Ranking, lists of 5", "Beyond accuracy, lists of 10"]


def test_the_first_stop_of_the_keyboard_skips_to_the_results(visit, report):
    page = visit(report[0])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_charts_follow_the_width_and_the_scheme(visit, report):
    page = visit(report[0], width=1280)
    drawn(page)
    chart = page.locator(".chart:visible").first
    before = chart.locator("svg").evaluate("e => e.clientWidth")
    color = "e => getComputedStyle(e.querySelector('svg text')).fill"
    light = chart.evaluate(color)
    page.emulate_media(color_scheme="dark")
    assert chart.evaluate(color) != light
    page.set_viewport_size({"width": 390, "height": 900})
    wait(page, "document.querySelector('.chart svg').clientWidth < 400")
    assert before > 700
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.heard == []


# Of the charts in sight: the colours of text and of marks, and how far each stands out from the page.
COLOURS = f"""(() => {{
  const visible = {VISIBLE};
  const paper = getComputedStyle(document.body).backgroundColor;
  const light = color => color.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const of = (where, what) => Object.fromEntries(visible.flatMap(e => [...e.querySelectorAll(where)])
    .map(e => getComputedStyle(e)[what]).filter(c => c.startsWith("rgb(")).map(c => [c, ratio(c, paper)]));
  return {{
    text: of("svg text", "fill"),
    mark: {{...of(".mark-symbol.role-mark path", "fill"), ...of(".mark-line path", "stroke"),
            ...of(".mark-rule.role-mark line", "stroke"), ...of(".mark-rect.role-mark path", "fill")}},
  }};
}})()"""


def test_charts_stand_out_from_the_page_in_both_schemes(visit, report):
    """Text by 4.5 to 1 and marks by 3 to 1 (WCAG 1.4.3 and 1.4.11), in colours of each scheme's own."""
    seen = {}
    for scheme in SCHEMES:
        page = visit(report[0], scheme=scheme)
        drawn(page)
        seen[scheme] = page.evaluate(COLOURS)
        assert len(seen[scheme]["mark"]) >= 4
        hollow = (
            "rgb(253, 252, 249)" if scheme == "light" else "rgb(21, 23, 26)"
        )  # filled with the paper itself
        marks = [found for color, found in seen[scheme]["mark"].items() if color != hollow]
        assert min(seen[scheme]["text"].values()) >= 4.5, seen
        assert min(marks) >= 3, seen
    for what in ("text", "mark"):
        assert not set(seen["light"][what]) & set(seen["dark"][what])


@pytest.mark.parametrize("width", WIDTHS)
def test_a_search_alone_fits_and_axe_finds_nothing(visit, tmp_path, width):
    page = visit(html(None, tmp_path / "r.html", studies=studies()), width=width, scheme="dark")
    assert drawn(page) == 6  # the best so far, four settings of SASRec, one of EASE
    assert page.heard == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert Axe().run(page).response["violations"] == []


def test_the_numbers_can_be_saved_from_the_page_alone(visit, report):
    page = visit(report[0])
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the numbers").click()
    assert download.value.suggested_filename == "report.json"
    saved = json.loads(download.value.path().read_text())
    assert saved == json.loads(report[0].with_suffix(".json").read_text())


def test_without_scripts_every_table_is_there(visit, report):
    page = visit(report[0], java_script_enabled=False)
    captions = page.locator("#part-0 .panel[data-at] > .wide table caption").all_inner_texts()
    kinds = ("Ranking", "Beyond accuracy")
    assert captions == [f"{kind}, lists of {cutoff}" for kind in kinds for cutoff in (5, 10, 20)]
    assert page.locator(".switch").first.is_hidden()
