// Returns what is wrong with the page for people who do not see or point: an array of texts.
(() => {
  const wrong = [];
  const what = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "");
  const visible = (e) => e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && !e.closest(".skip");
  const all = (selector) => [...document.querySelectorAll(selector)].filter(visible);

  if (!document.documentElement.lang) wrong.push("no lang");
  if (!document.title) wrong.push("no title");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids)) if (ids.filter((i) => i === id).length > 1) wrong.push(`two elements have the id ${id}`);

  let level = 0;
  for (const h of all("h1, h2, h3, h4")) {
    const l = Number(h.tagName[1]);
    if (l > level + 1) wrong.push(`h${l} follows h${level}`);
    level = l;
  }

  const name = (e) => e.getAttribute("aria-label") || e.textContent.trim() || [...(e.labels ?? [])].map((l) => l.textContent.trim()).join(" ") ||
    (e.getAttribute("aria-labelledby") ?? "").split(" ").map((i) => document.getElementById(i)?.textContent ?? "").join(" ").trim();
  for (const e of all("img")) if (!e.alt) wrong.push(`${what(e)} has no alt`);
  for (const e of document.querySelectorAll("button, input, select, canvas, a, [role=group], section")) {
    const n = e.tagName === "SELECT" ? [...e.labels].map((l) => l.textContent.trim()).join(" ") : name(e);
    if (!n && !e.closest("[hidden]")) wrong.push(`${what(e)} has no name`);
  }
  for (const e of document.querySelectorAll("[aria-labelledby], [for]")) {
    const id = e.getAttribute("aria-labelledby") ?? e.getAttribute("for");
    if (!document.getElementById(id)) wrong.push(`${what(e)} names ${id}, which is not there`);
  }

  for (const e of document.querySelectorAll("[hidden]")) if (getComputedStyle(e).display !== "none") wrong.push(`${what(e)} is hidden and yet shown`);

  // Contrast of texts, after WCAG 2.
  const parse = (c) => (c.match(/[\d.]+/g) ?? []).map(Number);
  const light = (c) => {
    const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = [];
  for (let n; (n = walker.nextNode());) {
    const e = n.parentElement;
    if (!n.textContent.trim() || !visible(e) || e.closest("option")) continue;
    const grounds = [ground(e)];
    for (const bar of e.parentElement?.querySelectorAll(":scope > .bar") ?? []) grounds.push(parse(getComputedStyle(bar).backgroundColor));
    for (const g of grounds) {
      const r = ratio(parse(getComputedStyle(e).color).slice(0, 3), g.slice(0, 3));
      if (r < 4.5) wrong.push(`contrast ${r.toFixed(2)} of "${n.textContent.trim().slice(0, 30)}" in ${what(e)}`);
    }
    const range = document.createRange();
    range.selectNodeContents(n);
    for (const box of range.getClientRects()) texts.push({ text: n.textContent.trim().slice(0, 30), box, e });
  }

  if (document.documentElement.scrollWidth > innerWidth) wrong.push(`the page is ${document.documentElement.scrollWidth} pixels wide: wider than the screen`);
  const scrolled = (e) => e.closest(".scroll");
  for (let i = 0; i < texts.length; i++) {
    const { text, box, e } = texts[i];
    if (!scrolled(e) && (box.left < -1 || box.right > innerWidth + 1)) wrong.push(`"${text}" leaves the screen`);
    for (let j = 0; j < i; j++) {
      const o = texts[j];
      if (scrolled(e) || scrolled(o.e) || e === o.e) continue;
      const w = Math.min(box.right, o.box.right) - Math.max(box.left, o.box.left);
      const h = Math.min(box.bottom, o.box.bottom) - Math.max(box.top, o.box.top);
      if (w > 2 && h > 4) wrong.push(`"${text}" and "${o.text}" overlap`);
    }
  }
  for (const e of all("button, select")) {
    const b = e.getBoundingClientRect();
    if (Math.min(b.width, b.height) < 24) wrong.push(`${what(e)} is smaller than 24 pixels`);
  }
  return wrong;
})()
