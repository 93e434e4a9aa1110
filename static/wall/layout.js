// The grid that shows pictures largest: pure arithmetic, in CSS pixels.

const LEAST_TILE = 200; // a camera's name and state can be read
const LEAST_SHOWN = 160; // mean width of the pictures; smaller ones are scrolled
const LEAST_USED = 0.75; // of a window too narrow for two columns
const SCROLLED_TILE = 240;
const BESIDE = 352; // from this width on, a tile's words stand on one line

// Returns { columns, tileWidth, pictureHeight, isCompact } for pictures of `ratios` (width / height) in a box.
// All tiles are the same size and in view, unless the pictures would become too small: then the wall is as high as
// it has to be. lines: heights of a tile's words, { compact, beside }.
export function chooseGrid({ width, height, ratios, gap, lines }) {
  const grids = ratios.map((_, i) => fitted(i + 1, { width, height, ratios, gap, lines }));
  const isNarrow = width < 2 * SCROLLED_TILE + gap;
  const enough = ratios.length * (isNarrow ? LEAST_USED * width : LEAST_SHOWN);
  const usable = grids.filter(({ tileWidth, shown }) => tileWidth >= LEAST_TILE && shown >= enough);
  if (!usable.length) return scrolled({ width, ratios, gap });
  return usable.reduce((best, grid) => (grid.area > best.area + 1 ? grid : best));
}

function fitted(columns, { width, height, ratios, gap, lines }) {
  const rows = Math.ceil(ratios.length / columns);
  const most = (width - gap * (columns - 1)) / columns;
  const isCompact = most < BESIDE;
  const room = (height - gap * (rows - 1)) / rows - (isCompact ? lines.compact : lines.beside);
  const pictureHeight = Math.floor(Math.max(0, Math.min(room, most / Math.min(...ratios))));
  const widths = ratios.map((ratio) => Math.min(most, pictureHeight * ratio));
  // No wider than the widest picture: what is left over is left at the sides of the wall, not of each picture.
  const tileWidth = Math.floor(Math.min(most, Math.max(isCompact ? LEAST_TILE : BESIDE, ...widths)));
  return { columns, tileWidth, pictureHeight, isCompact, shown: sum(widths), area: sum(widths.map((w, i) => (w * w) / ratios[i])) };
}

function scrolled({ width, ratios, gap }) {
  const columns = Math.max(1, Math.min(ratios.length, Math.floor((width + gap) / (SCROLLED_TILE + gap))));
  const tileWidth = Math.floor((width - gap * (columns - 1)) / columns);
  const median = [...ratios].sort((a, b) => a - b)[Math.floor(ratios.length / 2)];
  return { columns, tileWidth, pictureHeight: Math.round(tileWidth / median), isCompact: tileWidth < BESIDE };
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
