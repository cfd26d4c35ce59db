"""The page in a real browser: a job arrives, its bar moves, its words and melody appear."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from scripts.inbox import InboxSettings
from tests.scripts.browser import Browser, Page, executable, keep
from tests.scripts.inbox_sender import Running, Sender

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHROMIUM = executable()
DESKTOP = (1180, 900)
PHONE = (390, 844)
LIVE = "document.querySelector('#connection.live')"


def word(
    index: int, text: str, score: float | None, start: float, *, status: str = "ok"
) -> dict[str, Any]:
    said = status != "omitted"
    span = {"start": start, "end": start + 0.3}
    return {
        "index": index,
        "word": text,
        "status": status,
        "scores": {"overall": score, "pronunciation": score, "timing": score, "pitch": None},
        "reference": span,
        "user": span if said else None,
        "phones": [{"phone": "L", "score": score, "start": start, "end": start + 0.1, "said": "R"}]
        if said
        else [],
    }


RESULT = {
    "scores": {
        "overall": 82.4,
        "pronunciation": 71.0,
        "timing": 93.0,
        "pitch": 40.2,
        "fluency": None,
        "completeness": 75.0,
        "prosody": 66.0,
    },
    "words": [
        word(0, "left", 91, 0.2),
        word(1, "lantern", 65, 0.6, status="mispronounced"),
        word(2, "never", 31, 1.0, status="mispronounced"),
        word(3, "burning", None, 1.4, status="omitted"),
    ],
    "pitch": {
        "correlation": 0.42,
        "contours": {
            "user": [[0.2, 1.0], [0.4, 2.0], [0.5, None], [0.6, -1.0], [0.9, -3.5]],
            "reference": [[0.2, 3.0], [0.6, 5.0], [1.0, -6.0], [1.4, -2.0]],
        },
    },
    "timing": {"offset_s": 0.1, "tempo_ratio": 1.3},
    "feedback": [{"code": "omitted", "message": "“burning” was left out.", "word_index": 3}],
    "audio": {"duration_s": 1.9, "codec": "opus", "container": "webm"},
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """One browser for all; each test has a tab and an inbox of its own."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    async with Browser.launch(CHROMIUM, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def sender(
    inbox_settings: InboxSettings, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Sender]:
    """An inbox in the browser's event loop."""
    async with (
        Running(inbox_settings, capsys) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Sender(url, http)


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, sender: Sender) -> AsyncIterator[Page]:
    """A tab that is open on the inbox and hears its events."""
    async with browser.page() as tab:
        await tab.size(*DESKTOP)
        await tab.open(sender.url)
        await tab.until(LIVE)
        yield tab


def row(job_id: str) -> str:
    return f"document.querySelector('[data-job=\"{job_id}\"]')"


async def test_a_job_arrives_its_bar_moves_and_its_words_appear(sender: Sender, page: Page) -> None:
    assert "/webhook" in await page.evaluate("document.querySelector('#empty').textContent")
    for progress in (10, 40, 70):
        await sender.send("progress", "take-1", progress)
        shown = f"{row('take-1')}?.querySelector('progress').value === {progress}"
        await page.until(shown)
    await page.evaluate(f"{row('take-1')}.querySelector('button').click()")
    await page.until("document.querySelector('#detail progress')?.value === 70")

    await sender.send("completed", "take-1", metadata={"actor": "배우"}, result=RESULT)
    await page.until("document.querySelectorAll('.word').length === 4")
    classes = "[...document.querySelectorAll('.word')].map((word) => word.classList[1])"
    assert await page.evaluate(classes) == ["good", "fair", "poor", "omitted"]
    texts = "[...document.querySelectorAll('.word')].map((word) => word.textContent)"
    assert await page.evaluate(texts) == ["left91", "lantern65", "never31", "burningleft out"]
    detail = await page.evaluate("document.querySelector('#detail').textContent")
    for said in ("correlation 0.42", "30 % slower", "was left out.", "배우", "opus"):
        assert said in detail
    assert "82" in await page.evaluate(f"{row('take-1')}.textContent")
    assert page.problems == []


async def test_both_melodies_are_drawn_with_their_gaps(sender: Sender, page: Page) -> None:
    await sender.send("completed", "take-1", result=RESULT)
    await page.evaluate("location.hash = 'job=take-1'")
    await page.until("document.querySelector('.plot path.own')")
    own, actor = [
        await page.evaluate(f"document.querySelector('.plot path.{name}').getAttribute('d')")
        for name in ("own", "actor")
    ]
    assert own.count("M") == 2  # one for each voiced stretch
    assert actor.count("M") == 1
    assert "NaN" not in own + actor
    assert await page.evaluate("document.querySelectorAll('.plot rect.own').length") == 3
    assert await page.evaluate("document.querySelectorAll('.plot rect.actor').length") == 4


async def test_a_change_that_is_shown_is_not_drawn_again(sender: Sender, page: Page) -> None:
    await sender.send("completed", "take-1", result=RESULT)
    await page.until(row("take-1"))
    # Chosen, left and chosen again before the first answer: two answers for one change.
    await page.evaluate(
        """
        window.drawn = 0;
        new MutationObserver((changes) => {
          for (const change of changes) for (const node of change.addedNodes)
            if (node.nodeName === "H2") window.drawn += 1;
        }).observe(document.querySelector("#detail"), { childList: true });
        for (const job of ["take-1", "take-2", "take-1"]) {
          history.replaceState(null, "", `#job=${job}`);
          dispatchEvent(new HashChangeEvent("hashchange"));
        }
        """
    )
    answered = "performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/jobs/%s'))"
    await page.until(f"({answered % 'take-1'}).length === 2")
    await page.until("document.querySelector('.plot path.own')")
    await page.evaluate("fetch('/jobs/take-1').then((answer) => answer.json())")
    assert await page.evaluate("window.drawn") == 1


async def test_a_pressed_word_shows_its_sounds(sender: Sender, page: Page) -> None:
    await sender.send("completed", "take-1", result=RESULT)
    await page.evaluate("location.hash = 'job=take-1'")
    await page.until("document.querySelector('.word')")
    await page.evaluate("document.querySelectorAll('.word')[1].click()")
    assert await page.evaluate("document.querySelector('.phones').textContent") == "L → R65"
    await page.evaluate("document.querySelectorAll('.word')[3].click()")
    shown = await page.evaluate("document.querySelector('.phones').textContent")
    assert shown == "Its sounds were not placed."


async def test_a_failed_job_says_why_and_what_to_do(sender: Sender, page: Page) -> None:
    error = {
        "code": "retries_exhausted",
        "message": "Tried three times.",
        "stage": "fetch",
        "retryable": True,
        "cause": "access_denied",
    }
    await sender.send("failed", "take-1", error=error)
    await page.until(row("take-1"))
    await page.evaluate(f"{row('take-1')}.querySelector('button').click()")
    await page.until("document.querySelector('.error')")
    said = await page.evaluate("document.querySelector('.error').textContent")
    assert "retries_exhausted at the fetch stage, because of access_denied" in said
    assert "Sending the job again may help." in said


async def test_a_result_with_next_to_nothing_in_it_is_shown(sender: Sender, page: Page) -> None:
    bare = {
        "scores": dict.fromkeys(RESULT["scores"]),
        "words": [],
        "pitch": {"correlation": None, "contours": {"user": [], "reference": []}},
        "timing": {},
        "feedback": [],
        "audio": {"duration_s": 0.4, "codec": None, "container": None},
    }
    await sender.send("completed", "take-1", result=bare)
    await page.evaluate("location.hash = 'job=take-1'")
    await page.until("document.querySelector('.plot path.own')")
    assert page.problems == []


async def test_nothing_in_an_event_becomes_markup(sender: Sender, page: Page) -> None:
    attack = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    words = [word(0, attack, 50, 0.1)]
    feedback = [{"code": "x", "message": attack, "word_index": 0}]
    hostile = {**RESULT, "words": words, "feedback": feedback}
    await sender.send("completed", attack, metadata={attack: attack}, result=hostile)
    await page.until("document.querySelector('.job')")
    await page.evaluate("document.querySelector('.job').click()")
    await page.until("document.querySelector('.word')")
    assert await page.evaluate("document.querySelectorAll('img, main script').length") == 0
    assert await page.evaluate("document.title") == "Analysis inbox"
    assert attack in await page.evaluate("document.querySelector('.word').textContent")


async def test_a_page_that_is_opened_later_shows_what_came_before(
    sender: Sender, page: Page
) -> None:
    await sender.send("completed", "take-1", result=RESULT)
    await page.open(f"{sender.url}?again#job=take-1")
    await page.until("document.querySelector('.word')")
    assert await page.evaluate("document.querySelectorAll('.job').length") == 1
    pressed = "document.querySelector('.job').getAttribute('aria-pressed')"
    assert await page.evaluate(pressed) == "true"


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_it_fits_the_screen_and_can_be_read(
    sender: Sender, page: Page, colours: str, size: tuple[int, int]
) -> None:
    await page.prefer(colours)
    await page.size(*size)
    long_name = "a-producer-with-very-long-names-" * 3
    await sender.send("completed", long_name, result=RESULT)
    await sender.send("progress", "take-2", 40)
    await page.evaluate(f"location.hash = 'job={long_name}'")
    await page.until("document.querySelector('.plot svg')")
    assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
    ratios = json.loads(await page.evaluate(CONTRASTS))
    assert len(ratios) > 20
    too_faint = {text: ratio for text, ratio in ratios.items() if ratio < LEAST_CONTRAST}
    assert too_faint == {}
    keep(await page.screenshot(), f"inbox-{colours}-{'phone' if size == PHONE else 'desktop'}")


# WCAG 2.1, success criterion 1.4.3, for text of any size.
LEAST_CONTRAST = 4.5

# The contrast of every piece of text with the first opaque background behind it, by WCAG's formula.
CONTRASTS = """
(() => {
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const channel = (v) => linear(v / 255);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const ratios = {};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || node.closest("[hidden]") || !node.getClientRects().length) continue;
    const style = getComputedStyle(node);
    const ink = luminance(numbers(node.closest("svg") ? style.fill : style.color));
    const paper = luminance(behind(node));
    ratios[text] = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  }
  return JSON.stringify(ratios);
})()
"""
