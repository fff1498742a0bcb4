"""What axe-core says of a page that stands in the browser, against WCAG 2.2 A and AA."""

from __future__ import annotations

import json
from pathlib import Path

from .browser import Browser
from .conftest import SETTLED

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
ABSENT = "no axe-core: npm ci --ignore-scripts in tests/publishing"
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# The height of a window in which a whole page is measured: there is less to paint.
LOW = 300
# What a colour scheme, and what a narrow window, can change.
COLOURS = ["color-contrast", "link-in-text-block"]
ROOM = ["scrollable-region-focusable", "target-size"]

# What axe-core measures for minutes is thousands of rows that are alike. Two elements are of one
# kind if name, attributes and the kinds of what they hold agree; what is written may differ, but
# not whether anything is, nor a text so short that it makes a small target. Of one kind in the
# same surroundings the first three stay. Parts that need one another are not parted: a term goes
# with what is said of it. What is all paint in a picture goes whole, for axe-core judges no text
# there, and nothing else has a rule; of a formula without any style of its own the
# longest word stays, and the room that it takes.
THIN = """(() => {
  const free = /^(id|href|for|title|alt|value|name|d|[xyr][12]?|c[xy]|width|height|points|transform|datetime|aria-(label|labelledby|describedby|controls)|data-.*)$/;
  const paint = /^(d|[xyr][12]?|c[xy]|width|height|points|transform|(fill|stroke|font|clip|text)(-.*)?|opacity)$/;
  const form = /^(mathvariant|stretchy|form|width|accent|displaystyle|(min|max)size)$/;
  const painted = one => ["g", "path", "line", "rect", "circle", "text"].includes(one.localName)
    && [...one.attributes].every(({name}) => paint.test(name)) && [...one.children].every(painted);
  [...document.querySelectorAll("svg *")].forEach(one => { if (one.isConnected && painted(one)) one.remove(); });
  const plain = one => [...one.attributes].every(({name}) => form.test(name)) && [...one.children].every(plain);
  const longest = ones => [...ones].reduce((one, other) => other.textContent.length > one.textContent.length ? other : one);
  [...document.querySelectorAll("math")].filter(one => [...one.children].every(plain))
    .map(one => [one, longest(one.querySelectorAll("mtext, mi, mn, mo")), one.firstElementChild.getBoundingClientRect().width])
    .forEach(([one, word, width]) => {
      const room = document.createElementNS(one.namespaceURI, "mspace");
      room.setAttribute("width", `${width}px`);
      one.replaceChildren(word, room);
    });
  const numbers = new Map(), number = what => {
    const text = JSON.stringify(what);
    return numbers.get(text) ?? (numbers.set(text, numbers.size), numbers.size - 1);
  };
  const own = one => [one.localName, ...[...one.attributes].map(({name, value}) => [name, free.test(name) ? value !== "" : value])];
  const said = node => [Math.min(3, (node.data ?? "").trim().length)];
  const all = [...document.body.querySelectorAll("*")], kinds = new Map();
  for (const one of [...all].reverse())
    kinds.set(one, number([own(one), [...new Set([...one.childNodes].map(node => kinds.get(node) ?? number(said(node))))]]));
  const places = new Map([[document.body, 0]]), seen = new Map();
  for (const one of all) {
    const around = places.get(one.parentNode);
    if (around === undefined) continue;
    const answer = one.matches("dt:has(+ dd):not(dt + dt)") ? one.nextElementSibling : null;
    const here = number([around, kinds.get(one), kinds.get(answer)]);
    seen.set(here, (seen.get(here) ?? 0) + 1);
    if (seen.get(here) > 3 && (answer || !one.parentNode.matches("dl, tr, select, math, math *"))) {
      one.remove();
      answer?.remove();
    } else places.set(one, number([around, own(one)]));
  }
})()"""

# What takes the whole page to see: an id that is there twice, and a reference that leads nowhere.
UNSOUND = """(() => {
  const ids = [...document.querySelectorAll("[id]")].map(one => one.id), known = new Set(ids);
  const twice = ids.filter((id, n) => ids.indexOf(id) < n);
  const lost = ["for", "headers", "aria-labelledby", "aria-describedby", "aria-controls"].flatMap(name =>
    [...document.querySelectorAll(`[${name}]`)].flatMap(one => one.getAttribute(name).split(/\\s+/)).filter(id => !known.has(id)));
  return [...new Set([...twice, ...lost])];
})()"""


def violations(browser: Browser, kind: str, values: list[str]) -> list[str]:
    options = {"runOnly": {"type": kind, "values": values}, "resultTypes": ["violations"]}
    return list(
        browser.run(
            f"axe.run({json.dumps(options)}).then(found => found.violations.flatMap(rule => "
            "rule.nodes.map(node => `${rule.id}: ${node.html.slice(0, 120)}: ${node.failureSummary}`)))"
        )
    )


def light(browser: Browser) -> list[str]:
    """What violates a rule on the page, which is thinned first, in light and in a wide window."""
    browser.run(THIN)
    browser.screen()
    browser.size(1440, LOW)
    browser.run(AXE.read_text(encoding="utf-8"))
    return violations(browser, "tag", LEVELS)


def everywhere(browser: Browser) -> dict[str, list[str]]:
    """What violates a rule on the thinned page: in light, in dark, and in a narrow window."""
    found = {"light": light(browser)}
    browser.scheme("dark")
    found["dark"] = violations(browser, "rule", COLOURS)
    browser.scheme("light")
    browser.size(360, LOW)
    browser.wait(SETTLED)
    found["narrow"] = violations(browser, "rule", ROOM)
    return {where: said[:3] for where, said in found.items()}
