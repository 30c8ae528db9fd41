"""The lecture: its chapters run as a user runs them, with the numbers of the slides, and a browser shows the page."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "lecture"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
Rows = list[list[str]]


def run(script: str, folder: Path, *arguments: str) -> str:
    path = os.pathsep.join([str(FOLDER.parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "error", str(FOLDER / script), *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Page:
    """The page that all chapters made."""

    def __init__(self, folder: Path):
        self.out = run("index.py", folder, "--output", str(folder))
        self.folder = folder
        self.source = (folder / "index.html").read_text(encoding="utf-8")
        self.sections = re.findall(r"<section.*?</section>", self.source, re.DOTALL)

    def text(self, chapter: int) -> str:
        """What a chapter says, in words between single spaces, without its code."""
        said = re.sub(r"<details.*?</details>", "", self.sections[chapter - 1], flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", said)).split())

    def table(self, chapter: int, title: str) -> Rows:
        """The rows of the table of a chapter whose title contains this."""
        for caption, body in re.findall(
            r"<caption>(.*?)</caption>.*?<tbody>(.*?)</tbody>", self.sections[chapter - 1], re.DOTALL
        ):
            if title in html.unescape(caption):
                rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
                return [[html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in rows]
        raise AssertionError(f"chapter {chapter} has no table {title!r}")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(tmp_path_factory.mktemp("lecture"))


def numbers(rows: Rows, *columns: int) -> np.ndarray:
    return np.array([[float(row[c]) for c in columns] for row in rows])


def chapter_1_gradients(page: Page) -> None:
    x, value, found, formula = numbers(page.table(1, "f(x) = 2x³ − 6x² + x + 1"), 0, 1, 2, 3).T
    np.testing.assert_array_equal(found, formula)
    np.testing.assert_array_equal(found, 6 * x**2 - 12 * x + 1)
    np.testing.assert_array_equal(value, 2 * x**3 - 6 * x**2 + x + 1)
    assert found[x == 2] == 1
    assert "`" not in page.text(1) and "gives (16, 30)" in page.text(1)
    growth = {row[0]: float(row[3]) for row in page.table(1, "How fast f grows")}
    assert growth["gradient (16, 30)"] == 34 == max(growth.values())
    assert growth["(15, 30)"] < 34 and growth["across (−30, 16)"] == 0
    f = numbers(page.table(1, "Steps of −0.1"), 3)[:, 0]
    assert f[0] == 107 and (np.diff(f) < 0).all() and f[-1] < 1e-3


def chapter_2_differences(page: Page) -> None:
    epsilon, error = numbers(page.table(2, "The quotient in double precision"), 0, 2).T
    best = error.argmin()
    assert 1e-9 < epsilon[best] < 1e-7
    assert (np.diff(error[: best + 1]) < 0).all() and (np.diff(error[best:]) > 0).all()  # the shape of a V
    np.testing.assert_allclose(error[:4], 2 * epsilon[:4], rtol=0.01)
    found = {row[0]: row for row in page.table(2, "derivative of sin at 1")}
    assert float(found["central"][4]) < float(found["forward"][4]) < 1e-6
    counts = numbers(page.table(2, "Evaluations of a function of n parameters"), 0, 1, 2)
    np.testing.assert_array_equal(counts[:, 1], counts[:, 0] + 1)
    np.testing.assert_array_equal(counts[:, 2], 2 * counts[:, 0])


def chapter_3_symbols(page: Page) -> None:
    titles = ("Basic rules", "Exponentials", "Circular functions", "Hyperbolic functions")
    rows = [row for title in titles for row in page.table(3, title)]
    assert len(rows) == 40
    assert max(float(row[3]) for row in rows) < 1e-12
    slide, found = numbers(page.table(3, "The slides' formulas"), 3, 4).T
    right = [1 / (2 * 3**0.5), -1 / (2 * 3**0.5), -1 / (0.5 * 1.25**0.5), -1 / np.sinh(0.5) ** 2]
    np.testing.assert_allclose(found, right, rtol=1e-5)
    assert (abs(slide - right) > 0.1).all()
    swell = page.table(3, "operations of the derivative")
    counts = [[int(cell.replace(",", "")) for cell in (row[2], row[5])] for row in swell]
    assert counts[-1][0] > 20 * counts[-1][1]
    assert "met the equation of while at chapter3_symbolic.py:" in page.text(3)
    assert "is 0.353553, and 1/(2√2) = 0.353553" in page.text(3)


def chapter_4_forward_mode(page: Page) -> None:
    assert page.table(4, "forward trace of f")[-1][2:4] == ["78", "72"]
    nodes = numbers(page.table(4, "Three passes"), 2, 3, 4, 5)
    x1, x2, x3, x4, x5, x6, x7 = nodes.T[0]
    assert (x1, x2, x3, x4, x5, x6, x7) == (1, 2, 3, 4, 12, 13, 78)
    np.testing.assert_array_equal(nodes[3:, 1:], [[0, 4, 0], [0, 12, 4], [1, 12, 4], [6, 72, 24]])
    assert "the function was run 3 times" in page.text(4)
    passes = numbers(page.table(4, "by forward mode"), 0, 1)
    np.testing.assert_array_equal(passes[:, 0], passes[:, 1])


def chapter_5_reverse_mode(page: Page) -> None:
    adjoints = numbers(page.table(5, "reverse trace of f"), 3)[:, 0]
    np.testing.assert_array_equal(adjoints, [6, 72, 24, 18, 6, 6, 1])
    assert "f = 78, and the gradient is (6, 72, 24)" in page.text(5)
    assert "The function was run 1 time, counted" in page.text(5)
    p = np.exp([1.0, 2.0, 3.0]) / np.exp([1.0, 2.0, 3.0]).sum()
    jacobian = numbers(page.table(5, "jacrev(softmax)"), 1, 2, 3)
    np.testing.assert_allclose(jacobian, np.diag(p) - np.outer(p, p), atol=1e-6)
    x, found = numbers(page.table(5, "The derivative of cos(x²)"), 0, 1).T
    np.testing.assert_allclose(found, -2 * x * np.sin(x**2), atol=1e-5)
    kinds = {row[0]: row for row in page.table(5, "Evaluations of f for n = 1000")}
    counts = {name: int(row[1]) for name, row in kinds.items()}
    assert counts == {
        "manual: f(x)/x": 1,
        "numerical, forward": 1001,
        "numerical, central": 2000,
        "symbolic": 0,
        "automatic, forward mode": 1000,
        "automatic, reverse mode": 1,
    }
    errors = {name: float(row[2]) for name, row in kinds.items()}
    assert 1e-10 < errors["numerical, forward"] < 1e-6 and errors["numerical, central"] < 1e-8
    assert max(error for name, error in errors.items() if not name.startswith("numerical")) < 1e-14


def chapter_6_the_graph(page: Page) -> None:
    out, by_w = (
        np.array(block.split()[-25:], float)
        for block in re.findall(r"<pre>((?:out|gradient of).*?)</pre>", page.sections[5], re.DOTALL)
    )
    period = np.sqrt(0.75) * np.array([0, 1, 1, 0, -1, -1])
    np.testing.assert_allclose(out, np.tile(period, 5)[:25], atol=1e-5)
    same = re.search(r"Of these 25 numbers (\d+) are those that the slides print", page.text(6))
    assert same is not None and int(same[1]) >= 15  # the digits of zeros may depend on the processor
    np.testing.assert_allclose(by_w, np.tile([3, 1.5, -1.5, -3, -1.5, 1.5], 5)[:25], atol=1e-4)
    walk = [[row[0].split()[1], re.sub(r"\d+ ", "", row[1])] for row in page.table(6, "backward graph")]
    assert walk == [["sin", "add"], ["add", "mul, b"], ["mul", "w, –"], ["b", ""], ["w", ""]]
    assert "def grad_loss(w, b)" in page.text(6) and "jnp.cos(" in page.text(6)
    assert [row[1:] for row in page.table(6, "How often Python runs")] == [["10", "10"], ["10", "1"]]
    assert page.table(6, "follows the value") == [["2", "mul → mul → x", "12"], ["-2", "neg → x", "-1"]]


def chapter_7_rules(page: Page) -> None:
    x, *found = numbers(page.table(7, "The derivative of cos(x²)"), 0, 1, 2, 3, 4).T
    np.testing.assert_allclose(found, np.tile(-2 * x * np.sin(x**2), (4, 1)), rtol=1e-5)
    assert page.table(7, "length of x")[1][1:] == ["[nan, nan, nan]", "[0.0, 0.0, 0.0]"]
    assert "check_rule of wrong" in page.text(7) and "<- differs" in page.text(7)
    kept = {row[0]: int(row[1].split()[0]) for row in page.table(7, "6 layers")}
    assert kept["plain"] > 2.5 * kept["custom rule"]
    assert kept["checkpoint"] <= 1.1 * kept["custom rule"]


def corrections(page: Page) -> None:
    said = page.text(8)
    for words in ("(16, 30)", "dy/du", "arcsec", "arccsc", "arcsch", "24 GB", "concatenates the batch"):
        assert words in said


def pictures(page: Page) -> None:
    found = sorted(page.folder.glob("*.svg"))
    assert [p.stem for p in found] == sorted(re.findall(r'<figure id="(\w+)">', page.source))
    assert len(found) == 10
    for picture in found:
        assert ElementTree.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r'(?:src|href)="(?!data:|#)', page.source)  # nothing but this file


CHECKS = [chapter_1_gradients, chapter_2_differences, chapter_3_symbols, chapter_4_forward_mode]
CHECKS += [chapter_5_reverse_mode, chapter_6_the_graph, chapter_7_rules, corrections, pictures]


def test_the_chapters_say_what_the_slides_say(page: Page) -> None:
    # One test, because tests that run in several processes would make a page in each.
    for check in CHECKS:
        check(page)


def test_a_chapter_alone(tmp_path: Path) -> None:
    out = run("chapter1_gradient.py", tmp_path, "--output", "pictures")
    assert "At x = 2 the gradient is 1." in out and "gives (16, 30)" in " ".join(out.split())
    assert "picture: pictures/gradient_descent.svg" in out
    assert (tmp_path / "pictures" / "gradient_descent.svg").stat().st_size > 10_000


LOOK = """<script>
addEventListener("load", () => {
  const all = (query) => [...document.querySelectorAll(query)];
  document.body.dataset.seen = JSON.stringify({
    chapters: all(".chapter h2").map((e) => e.textContent),
    images: all("figure img").map((e) => e.complete && e.naturalWidth),
    graphs: all("figure svg").map((e) => e.getBoundingClientRect().width),
    lost: all("a").filter((e) => !document.querySelector(e.getAttribute("href"))).map((e) => e.textContent),
    hidden: all("h2, h3, p, table, figure, pre").filter((e) => !e.closest("details") && !e.offsetHeight).length,
    width: document.documentElement.scrollWidth - innerWidth,
    tables: all(".table").map((e) => e.scrollWidth - e.clientWidth),
  });
});
</script>"""


def shown(browser: str, page: Page, tmp_path: Path, width: int) -> dict[str, Any]:
    """What a script sees in the page when it is loaded."""
    copy = tmp_path / "page.html"
    copy.write_text(page.source.replace("</body>", LOOK + "</body>"), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    flags += [f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run([browser, *flags, copy.as_uri()], capture_output=True, encoding="utf-8", timeout=120)
    found = re.search(r'data-seen="(.*?)"', done.stdout)
    assert found is not None, done.stderr
    return json.loads(html.unescape(found[1]))


BROWSER = next(filter(None, map(shutil.which, BROWSERS)), "")


@pytest.mark.skipif(not BROWSER, reason=f"no browser is installed: none of {', '.join(BROWSERS)}")
def test_a_browser_shows_the_page(page: Page, tmp_path: Path) -> None:
    for width in (1200, 500):
        seen = shown(BROWSER, page, tmp_path, width)
        assert [name[0] for name in seen["chapters"]] == list("1234567")
        assert len(seen["images"]) == 7 and min(seen["images"]) > 100
        assert len(seen["graphs"]) == 3 and min(seen["graphs"]) > 100
        assert seen["lost"] == [] and seen["hidden"] == 0
        assert seen["width"] <= 0  # nothing sticks out
        if width == 1200:
            assert max(seen["tables"]) <= 0
