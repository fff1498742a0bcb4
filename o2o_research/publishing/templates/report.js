// Each still picture gives way to its live chart when it comes into view; where anything fails it stays.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  let runtime;
  const load = () => runtime ??= (async () => {
    const packed = Uint8Array.from(atob(document.getElementById("runtime").textContent), c => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return window.vegaEmbed;
  })();
  const start = async plot => {
    try {
      const embed = await load();
      const live = document.createElement("div");
      live.ariaHidden = "true"; // as the still picture is: what it shows is said by its frame
      await embed(live, charts[plot.dataset.chart], {mode: "vega", actions: false, renderer: "svg", tooltip: {theme: "custom"}});
      plot.replaceChildren(live);
    } catch { /* the still picture stays */ }
  };
  if (!("DecompressionStream" in window && "IntersectionObserver" in window)) return;
  const watch = new IntersectionObserver(entries => {
    for (const entry of entries) if (entry.isIntersecting) { watch.unobserve(entry.target); start(entry.target); }
  }, {rootMargin: "200px"});
  document.querySelectorAll(".plot").forEach(plot => watch.observe(plot));
})();
