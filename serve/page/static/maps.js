// A layer's activation as a grid of maps, one for each channel.

// ramp holds 256 colours from black over violet and orange to pale yellow.
const stops = [[0, 0, 0], [80, 20, 120], [190, 50, 80], [250, 140, 40], [252, 250, 190]];
const ramp = Array.from({ length: 256 }, (_, i) => {
  const at = (i / 255) * (stops.length - 1), k = Math.min(stops.length - 2, Math.floor(at));
  return stops[k].map((from, j) => from + (at - k) * (stops[k + 1][j] - from));
});

// plan returns how many columns and rows a grid has and how large a map is drawn: larger
// where there are few, in whole multiples of its pixels, at least 12 pixels wide.
function plan([channels, height, width], room) {
  const side = Math.max(12, Math.min(160, Math.sqrt((room * 480) / channels)));
  const scale = Math.max(1, Math.floor(side / Math.max(width, height)), Math.ceil(12 / width));
  const w = width * scale, h = height * scale;
  const columns = Math.max(1, Math.min(channels, Math.floor(room / (w + 2))));
  return { columns, rows: Math.ceil(channels / columns), w, h };
}

// bounds returns the least and the largest finite value of data from first on.
function bounds(data, first, n) {
  let low = Infinity, high = -Infinity;
  for (let i = first; i < first + n; i++) {
    if (!Number.isFinite(data[i])) continue;
    if (data[i] < low) low = data[i];
    if (data[i] > high) high = data[i];
  }
  return [low, high];
}

// draw draws the maps and returns a function that names what is at a point of the canvas.
// Each map of several values has a scale of its own; single values share one.
export function draw(canvas, { shape, data }, room) {
  const [channels, height, width] = shape, size = height * width;
  const { columns, rows, w, h } = plan(shape, room);
  canvas.width = columns * (w + 2);
  canvas.height = rows * (h + 2);
  const image = new ImageData(canvas.width, canvas.height);
  image.data.fill(96); // lines between the maps
  for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
  const all = size === 1 ? bounds(data, 0, channels) : null;
  for (let c = 0; c < channels; c++) {
    const [low, high] = all ?? bounds(data, c * size, size);
    const factor = high > low ? 255 / (high - low) : 0;
    const left = (c % columns) * (w + 2) + 1, top = Math.floor(c / columns) * (h + 2) + 1;
    for (let y = 0; y < h; y++) {
      const row = c * size + Math.floor(y * height / h) * width;
      for (let x = 0; x < w; x++) {
        const v = data[row + Math.floor(x * width / w)];
        const colour = ramp[Math.max(0, Math.min(255, Math.round((v - low) * factor)))] ?? ramp[0];
        const at = 4 * ((top + y) * canvas.width + left + x);
        image.data[at] = colour[0];
        image.data[at + 1] = colour[1];
        image.data[at + 2] = colour[2];
      }
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return {
    columns, channels,
    at: (x, y) => Math.floor(y / (h + 2)) * columns + Math.min(columns - 1, Math.floor(x / (w + 2))),
    describe(c) {
      const [low, high] = bounds(data, c * size, size);
      return size === 1 ? `Value ${c}: ${data[c].toPrecision(4)}` : `Map ${c}: from ${low.toPrecision(3)} to ${high.toPrecision(3)}`;
    },
  };
}
