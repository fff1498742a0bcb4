// The other language opens at the place that is being read, and with the same choices.
document.querySelectorAll("a[hreflang]").forEach(link => link.addEventListener("click", () => {
  let here = "";
  for (const part of document.querySelectorAll("main [id]")) {
    if (part.closest("svg") || !part.getClientRects().length) continue;
    if (part.getBoundingClientRect().top > innerHeight / 3) break;
    here = part.id;
  }
  const chosen = new URLSearchParams();
  document.querySelectorAll("[data-filter]").forEach(field => { if (field.value) chosen.set(field.dataset.filter, field.value); });
  link.search = chosen.toString();
  link.hash = scrollY > 40 ? here : "";
}));
// What scrolls sideways is a stop of the Tab key, and what fits is none.
{
  const fits = new ResizeObserver(seen => seen.forEach(({target}) => {
    if (target.scrollWidth > target.clientWidth) target.setAttribute("tabindex", "0");
    else target.removeAttribute("tabindex");
  }));
  document.querySelectorAll(".scroll, .plot, pre, math[display=block]").forEach(part => fits.observe(part));
}
