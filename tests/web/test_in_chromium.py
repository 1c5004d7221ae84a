"""The pages of `dpsynth ui` as a browser shows them to a data engineer, an owner and a reviewer.

One small home for all of it: a contract that was released once and refused once, one with release variants, and one
that does not hold. Training, generation and the encoder are stand-ins.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import agree, put_stand_ins, write_contract
from tests.web.serving import serving

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium: apt-get install chromium chromium-driver"),
]

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,1400",
)
SECONDS = 60  # to wait at most, where other programs keep the machine busy
VARIANTS = """\
          source_is_public: true
          variants:
            methods: [{method: lora, learning_rate: 0.002}]
            epsilons: [1.0, none]
"""
GROUP = "/locations/dpsynth_assets.definitions/asset-groups/small"
NAMES = (
    *("source", "label_histogram", "adapter", "candidates", "corpus", "synthetic"),
    *("classifier", "evaluation", "card", "budget"),
)
TEXT = "document.body.innerText"
HIDDEN = """
    const cell = [...document.querySelectorAll('td')].find(each => each.innerText.trim() == arguments[0]);
    if (!cell) return null;
    let most = 0;
    for (let box = cell; box; box = box.parentElement) most = Math.max(most, box.scrollWidth - box.clientWidth);
    return most;"""  # pixels right of the window onto that row's table


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Released, then refused. The contracts lie beside it."""
    from dpsynth_assets.cli.running import materialize
    from dpsynth_assets.contract import load_contract
    from dpsynth_assets.factory import asset_names
    from ledger import Ledger
    from resources.home import Home

    place = tmp_path_factory.mktemp("in-chromium")
    path = write_contract(place / "contracts")
    text = path.read_text(encoding="utf-8")
    public = text.replace("confidential", "public").replace("restricted", "public").replace("small-bank", "grid-bank")
    grid = public.replace("id: small", "id: grid").replace("          generation:", VARIANTS + "          generation:")
    path.with_name("grid.odcs.yaml").write_text(grid, encoding="utf-8")
    slip = text.replace("id: small", "id: slip").replace("epsilon: 8.0", "epsilon: -8.0")
    path.with_name("slip.odcs.yaml").write_text(slip, encoding="utf-8")
    made = Home.at(place / "home")
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        for name, folder in (("DPSYNTH_HOME", made.root), ("DAGSTER_HOME", made.dagster)):
            patched.setenv(name, str(folder))
        put_stand_ins(patched)
        made.create()
        contract = load_contract(path)
        agree(contract, Ledger.create(made.ledger_file))
        assert materialize(contract, made).success
        again = tuple(name for name in asset_names(contract) if name not in ("source", "label_histogram"))
        refused = materialize(contract, made, only=again)
        assert refused.refusal, refused
        assert not refused.success
    return made.root


class Pages:
    """A browser that has been let in. What it showed lies in pytest's folder, as pictures for people."""

    def __init__(self, driver: Any, address: str, pictures: Path) -> None:
        self._driver, self._address, self._pictures = driver, address, pictures

    def script(self, text: str, *given: object) -> Any:
        """What an expression, or lines that end with `return`, give in the page."""
        return self._driver.execute_script(text if "return" in text else f"return {text}", *given)

    def until(self, happened: Callable[[], Any]) -> Any:
        """What it gives, once that is anything; the page's text is in the error where it never is."""
        from selenium.common.exceptions import TimeoutException
        from selenium.webdriver.support.wait import WebDriverWait

        try:
            return WebDriverWait(self._driver, SECONDS, 0.2).until(lambda _: happened())
        except TimeoutException:
            raise AssertionError(self.script(TEXT)) from None

    def show(self, path: str, *texts: str) -> str:
        """The text of a page, once it has these parts."""
        self._driver.get(self._address + path)
        shown = self.until(lambda: (said := self.script(TEXT)) and all(text in said for text in texts) and said)
        self._driver.save_screenshot(str(self._pictures / f"{re.sub('[^a-z_-]+', '.', path)}.png"))
        return shown


@pytest.fixture(scope="module")
def pages(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for each in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(each)
    with serving(home, home.parent / "contracts") as (port, token, _):
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        try:
            address = f"http://127.0.0.1:{port}"
            driver.get(f"{address}/?token={token}")
            yield Pages(driver, address, home.parent)
        finally:
            driver.quit()


def test_a_refusal_is_told_apart_from_a_failure_and_what_stands_stays_green(pages):
    assert "Failure" not in pages.show("/runs", "dpsynth/refused", "run_small")
    assert "dpsynth plan" in pages.show("/assets/small/adapter?view=checks", "admitted", "refused small/adapter")
    pages.show(f"{GROUP}/list", *NAMES)
    assert pages.until(lambda: pages.script(TEXT).count("\nMaterialized\n") == len(NAMES))


def test_the_graph_has_every_asset_of_the_contract(pages):
    pages.show(GROUP, "Materialize all", *NAMES)


def test_spent_and_remaining_budget_are_in_one_picture(pages):
    pages.show("/assets/small/budget?view=checks", "budget_is_left", "91% of the budget")
    pages.show("/assets/small/budget", "spent_and_remaining", "epsilon_remaining")
    drawn = "[...document.querySelectorAll('img')].filter(each => each.alt == 'spent and remaining epsilon')"
    assert pages.until(lambda: pages.script(f"{drawn}.some(each => each.naturalWidth > 300)"))


def test_a_preview_is_in_the_page_and_not_cut_off(pages):
    pages.show("/assets/small/corpus", "please help me with the card", "signature")
    assert pages.script(HIDDEN, "receipts") <= 1


def test_the_card_opens_from_its_asset(pages):
    pages.show("/assets/small/card", "card.html", "signature")
    assert pages.script(HIDDEN, "receipts") <= 1
    link = "[...document.querySelectorAll('a')].find(each => each.innerText == 'card.html').getAttribute('href')"
    path = pages.script(link)
    assert path.startswith("/pages/small/card/")
    assert "ε" in pages.show(path, "customer")


def test_a_contract_that_does_not_hold_says_why(pages):
    assert "-8" in pages.show("/assets/broken-contracts/slip", "does not hold", "budget.epsilon")


def test_release_variants_are_partitions(pages):
    pages.show("/assets/grid/adapter?view=partitions", "main", "lora-1", "lora-none", "nothing")
