"use strict";
(() => {
  const every = 10000;
  const button = document.getElementById("pause");
  const footer = document.querySelector("footer");
  let paused = false;
  const refresh = async () => {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(every) });
      if (!answer.ok) throw new Error(answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (paused) return;
      const focus = document.activeElement && document.activeElement.id;
      for (const details of document.querySelectorAll("details")) {
        const same = fresh.getElementById(details.id);
        if (same) same.open = details.open;
      }
      document.querySelector("main").replaceWith(fresh.querySelector("main"));
      document.getElementById("as-of").replaceWith(fresh.getElementById("as-of"));
      document.title = fresh.title;
      footer.classList.remove("stale");
      if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
    } catch {
      footer.classList.add("stale");
      document.getElementById("as-of").textContent = "No answer: what is shown is old";
    }
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Refresh again" : "Stop refreshing";
    refresh();
  });
  setInterval(refresh, every);
  document.addEventListener("visibilitychange", refresh);

  const span = (s) =>
    s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  const clear = () => document.querySelectorAll(".tip,.hair").forEach((e) => e.remove());
  document.addEventListener("pointermove", (event) => {
    clear();
    const field = event.target.closest && event.target.closest(".field");
    if (!field) return;
    const box = field.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * 1000;
    let best = null;
    for (const sample of field.dataset.samples.split(";")) {
      const values = sample.split(",").map(Number);
      if (values.length === 3 && (!best || Math.abs(values[0] - at) < Math.abs(best[0] - at))) best = values;
    }
    if (!best || Math.abs(best[0] - at) > 20) return;
    const make = (name, text) => {
      const element = document.createElement("div");
      element.className = name;
      element.textContent = text;
      element.style.left = `${Math.min(Math.max(best[0] / 10, name === "tip" ? 15 : 0), name === "tip" ? 85 : 100)}%`;
      field.append(element);
    };
    make("hair", "");
    make("tip", `${Math.round((1000 - best[0]) * 0.06)} min ago: ${span(best[1])}, ${best[2]} waiting`);
  });
  document.addEventListener("pointerleave", clear);
})();
