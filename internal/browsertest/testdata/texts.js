// Returns what is wrong with the texts of an SVG document: an array of sentences.
(() => {
  const wrong = [], svg = document.documentElement, frame = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")].filter((e) => e.textContent.trim());
  const boxes = texts.map((e) => e.getBoundingClientRect());
  texts.forEach((e, i) => {
    const a = boxes[i];
    if (a.left < frame.left || a.right > frame.right || a.top < frame.top || a.bottom > frame.bottom) wrong.push(`"${e.textContent}" is cut`);
    for (let j = 0; j < i; j++) {
      const b = boxes[j];
      const w = Math.min(a.right, b.right) - Math.max(a.left, b.left), h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      // The box of a line is higher than its letters.
      if (w > 1 && h > 0.35 * Math.min(a.height, b.height)) wrong.push(`"${e.textContent}" overlaps "${texts[j].textContent}"`);
    }
  });
  const view = svg.viewBox.baseVal, size = view?.width ? view : { width: svg.width.baseVal.value, height: svg.height.baseVal.value };
  const first = svg.querySelector("rect, path, polygon")?.getBBox();
  if (!first || first.width < size.width - 1 || first.height < size.height - 1) wrong.push("the picture has no ground of its own");
  return wrong;
})()
