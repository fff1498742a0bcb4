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
