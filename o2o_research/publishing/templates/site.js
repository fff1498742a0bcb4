// Filters of a table: a row stays while every choice fits it.
(() => {
  const fields = [...document.querySelectorAll("[data-filter]")];
  if (!fields.length) return;
  const given = new URLSearchParams(location.search);
  fields.forEach(field => { field.value = given.get(field.dataset.filter) ?? ""; });
  const count = document.querySelector(".count");
  const index = document.getElementById("index");
  const fold = words => words.normalize("NFKC").toLowerCase();
  const table = () => {
    let shown = 0;
    const rows = document.querySelectorAll("tbody tr");
    rows.forEach(row => {
      const fits = fields.every(field => {
        const wanted = fold(field.value).trim();
        if (!wanted) return true;
        if (field.dataset.filter !== "q") return row.dataset[field.dataset.filter] === field.value;
        return wanted.split(/\s+/).every(word => fold(row.textContent).includes(word));
      });
      row.hidden = !fits;
      shown += fits;
    });
    count.textContent = count.dataset.words.replace("{0}", shown).replace("{1}", rows.length);
  };
  // Search: every word must be there; a hit in a title comes before one in a text.
  const entries = index ? JSON.parse(index.textContent) : [];
  const list = document.querySelector(".results");
  const cut = (words, word) => {
    const at = Math.max(0, fold(words).indexOf(word) - 40);
    return (at ? "…" : "") + words.slice(at, at + 160) + (at + 160 < words.length ? "…" : "");
  };
  const marked = (node, words, sought) => {
    const low = fold(words);
    let from = 0;
    while (low.length === words.length) {
      const hits = sought.map(word => [low.indexOf(word, from), word.length]).filter(hit => hit[0] >= 0);
      if (!hits.length) break;
      const [at, size] = hits.reduce((a, b) => (b[0] < a[0] ? b : a));
      const mark = document.createElement("mark");
      mark.textContent = words.slice(at, at + size);
      node.append(words.slice(from, at), mark);
      from = at + size;
    }
    node.append(words.slice(from));
  };
  const search = () => {
    const [query, kind] = fields.map(field => field.value);
    const sought = fold(query).split(/\s+/).filter(Boolean);
    const hits = !sought.length ? [] : entries
      .filter(entry => !kind || entry[0] === kind)
      .map(entry => {
        const title = fold(entry[2]), text = fold(entry[3]);
        const fits = sought.every(word => title.includes(word) || text.includes(word));
        return [fits ? sought.reduce((sum, word) => sum + (title.includes(word) ? 10 : 1), 0) : 0, entry];
      })
      .filter(hit => hit[0]).sort((a, b) => b[0] - a[0]);
    list.replaceChildren(...hits.slice(0, 60).map(([, [, where, title, text, href]]) => {
      const item = document.createElement("li"), link = document.createElement("a"), words = document.createElement("p");
      link.href = href;
      marked(link, title, sought);
      marked(words, where + " · " + cut(text, sought[0]), sought);
      item.append(link, words);
      return item;
    }));
    count.textContent = sought.length ? count.dataset.words.replace("{0}", Math.min(60, hits.length)).replace("{1}", hits.length) : "";
  };
  const apply = index ? search : table;
  fields.forEach(field => field.addEventListener("input", apply));
  apply();
})();
