// The grid that shows pictures largest: pure arithmetic, in CSS pixels.

/**
 * @typedef {object} Room what there is room for: pictures of `ratios` (width / height) in a box
 * @property {number} width
 * @property {number} height
 * @property {number[]} ratios
 * @property {number} gap
 * @property {{compact: number, beside: number}} lines heights of a tile's words
 */
/** @typedef {{columns: number, tileWidth: number, pictureHeight: number, isCompact: boolean}} Grid */

const LEAST_TILE = 200; // a camera's name and state can be read
const LEAST_SHOWN = 160; // mean width of the pictures; smaller ones are scrolled
const LEAST_USED = 0.75; // of a window too narrow for two columns
const SCROLLED_TILE = 240;
const BESIDE = 352; // from this width on, a tile's words stand on one line

/**
 * Returns the grid for pictures in a box. All tiles are the same size and in view, unless the pictures would
 * become too small: then the wall is as high as it has to be.
 * @param {Room} room
 * @returns {Grid}
 */
export function chooseGrid(room) {
  const { width, ratios, gap } = room;
  const grids = ratios.map((_, i) => fitted(i + 1, room));
  const isNarrow = width < 2 * SCROLLED_TILE + gap;
  const enough = ratios.length * (isNarrow ? LEAST_USED * width : LEAST_SHOWN);
  const usable = grids.filter(({ tileWidth, shown }) => tileWidth >= LEAST_TILE && shown >= enough);
  if (!usable.length) return scrolled(room);
  return usable.reduce((best, grid) => (grid.area > best.area + 1 ? grid : best));
}

/**
 * @param {number} columns
 * @param {Room} room
 */
function fitted(columns, { width, height, ratios, gap, lines }) {
  const rows = Math.ceil(ratios.length / columns);
  const most = (width - gap * (columns - 1)) / columns;
  const isCompact = most < BESIDE;
  const room = (height - gap * (rows - 1)) / rows - (isCompact ? lines.compact : lines.beside);
  const pictureHeight = Math.floor(Math.max(0, Math.min(room, most / Math.min(...ratios))));
  const widths = ratios.map((ratio) => Math.min(most, pictureHeight * ratio));
  // No wider than the widest picture: what is left over is left at the sides of the wall, not of each
  // picture.
  const tileWidth = Math.floor(Math.min(most, Math.max(isCompact ? LEAST_TILE : BESIDE, ...widths)));
  const area = sum(widths.map((w, i) => (w * w) / ratios[i]));
  return { columns, tileWidth, pictureHeight, isCompact, shown: sum(widths), area };
}

/** @param {Room} room */
function scrolled({ width, ratios, gap }) {
  const most = Math.floor((width + gap) / (SCROLLED_TILE + gap));
  const columns = Math.max(1, Math.min(ratios.length, most));
  const tileWidth = Math.floor((width - gap * (columns - 1)) / columns);
  const median = [...ratios].sort((a, b) => a - b)[Math.floor(ratios.length / 2)];
  const pictureHeight = Math.round(tileWidth / median);
  return { columns, tileWidth, pictureHeight, isCompact: tileWidth < BESIDE };
}

/** @param {number[]} numbers */
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
