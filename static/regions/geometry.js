// Polygons on a picture: lists of points [x, y] in 0..1 of its width and height. Knows nothing of pages.
// What is sound, and what counts, is as in stream_server/detection/regions.py.

/** @import { Box } from "api" */
/** @typedef {[x: number, y: number]} Point in 0..1 of the picture's width and height */
/**
 * @typedef {[width: number, height: number]} Size of the picture as it is seen, so that reach is in its
 *   pixels
 */
/** @typedef {"inside" | "ignore"} Kind whether objects count there, or do not */
/** @typedef {{id: number, kind: Kind, points: Point[]}} Region */

const STEPS = 10000; // a point is kept to a part of the picture that no eye can tell

const bounded = (/** @type {number} */ value) => Math.min(1, Math.max(0, value));
const rounded = (/** @type {number} */ value) => Math.round(bounded(value) * STEPS) / STEPS;

/**
 * Returns the point of the picture that is nearest.
 * @type {(x: number, y: number) => Point}
 */
export const pointAt = (x, y) => [rounded(x), rounded(y)];

/**
 * Returns the enclosed part of the picture, 0..1 (the shoelace formula).
 * @param {Point[]} points
 */
export function area(points) {
  const twice = points.reduce((sum, [x, y], at) => {
    const [nextX, nextY] = points[(at + 1) % points.length];
    return sum + x * nextY - nextX * y;
  }, 0);
  return Math.abs(twice) / 2;
}

/**
 * Returns why a polygon is none, in words; empty where it is sound.
 * @param {Point[]} points
 */
export function fault(points) {
  if (points.length < 3) return "needs three points or more";
  const crossing = crossingEdges(points)?.map((number) => `after point ${number}`);
  if (crossing) return `crosses itself: the line ${crossing.join(" and the one ")}`;
  return area(points) < 1 / STEPS ** 2 ? "encloses nothing: its points lie on one line" : "";
}

/**
 * Returns the numbers, from 1, of the first two edges that cross in a point that is an end of neither; or
 * null.
 * @param {Point[]} points
 */
function crossingEdges(points) {
  /** @type {[Point, Point][]} */
  const edges = points.map((point, at) => [point, points[(at + 1) % points.length]]);
  for (let first = 0; first < edges.length; first++) {
    for (let second = first + 1; second < edges.length; second++) {
      if (cross(...edges[first], ...edges[second])) return [first + 1, second + 1];
    }
  }
  return null;
}

/** @type {(a: Point, b: Point, point: Point) => number} */
const side = (a, b, point) => (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0]);
/** @type {(a: Point, b: Point, c: Point, d: Point) => boolean} */
const cross = (a, b, c, d) => side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0;

/**
 * Returns whether a point is inside: the edges to its right are odd in number.
 * @param {Point[]} points
 * @param {Point} point
 */
export function contains(points, [x, y]) {
  let isInside = false;
  for (const [at, [startX, startY]] of points.entries()) {
    const [endX, endY] = points[(at + 1) % points.length];
    const crosses = startY > y !== endY > y;
    if (crosses && x < startX + ((y - startY) * (endX - startX)) / (endY - startY)) isInside = !isInside;
  }
  return isInside;
}

const WITHIN = 1 - 1e-6;

/**
 * Returns where an object stands: the middle of its box's lower edge, just inside the picture.
 * @param {Box} box
 * @returns {Point}
 */
export function standingPoint({ x_min: left, x_max: right, y_max: bottom }) {
  const within = (/** @type {number} */ value) => Math.min(WITHIN, Math.max(1 - WITHIN, value));
  return [within((left + right) / 2), within(bottom)];
}

/**
 * Returns whether an object counts.
 * @param {Pick<Region, "kind" | "points">[]} regions
 * @param {Box} box
 * @param {Point} least the least width and height that boxes have
 */
export function counts(regions, box, least = [0, 0]) {
  if (box.x_max - box.x_min < least[0] || box.y_max - box.y_min < least[1]) return false;
  const point = standingPoint(box);
  /** @param {{points: Point[]}} region */
  const holds = ({ points }) => contains(points, point);
  const inside = regions.filter(({ kind }) => kind === "inside");
  const ignored = regions.filter(({ kind }) => kind === "ignore");
  return (!inside.length || inside.some(holds)) && !ignored.some(holds);
}

// Changes: each returns new points.

/**
 * All of them, moved as far as the picture goes.
 * @param {Point[]} points
 * @param {number} deltaX
 * @param {number} deltaY
 */
export function moved(points, deltaX, deltaY) {
  const [byX, byY] = [deltaX, deltaY].map((delta, axis) => {
    const values = points.map((point) => point[axis]);
    return Math.min(1 - Math.max(...values), Math.max(-Math.min(...values), delta));
  });
  return points.map(([x, y]) => pointAt(x + byX, y + byY));
}

/** @type {(points: Point[], index: number, point: Point) => Point[]} */
export const withPointMoved = (points, index, [x, y]) => points.with(index, pointAt(x, y));
/** @type {(points: Point[], index: number, point: Point) => Point[]} */
export const withPoint = (points, index, [x, y]) => points.toSpliced(index, 0, pointAt(x, y));
/** @type {(points: Point[], index: number) => Point[]} */
export const withoutPoint = (points, index) => points.toSpliced(index, 1);

/**
 * Returns the middle of the edge that begins at a point.
 * @param {Point[]} points
 * @param {number} index
 */
export function middle(points, index) {
  const [[x, y], [nextX, nextY]] = [points[index], points[(index + 1) % points.length]];
  return pointAt((x + nextX) / 2, (y + nextY) / 2);
}

// What is under a pointer.

/**
 * @param {Point} point
 * @param {Point} other
 * @param {Size} size
 */
function distance([x, y], [otherX, otherY], [width, height]) {
  return Math.hypot((x - otherX) * width, (y - otherY) * height);
}

/**
 * Returns the index of the point within reach that is nearest, or -1.
 * @param {Point[]} points
 * @param {Point} pointer
 * @param {Size} size
 * @param {number} reach
 */
export function pointNear(points, pointer, size, reach) {
  const distances = points.map((point) => distance(point, pointer, size));
  const nearest = Math.min(...distances);
  return nearest <= reach ? distances.indexOf(nearest) : -1;
}

/**
 * Returns the edge within reach that is nearest, by the index of the point it begins at, and where on it; or
 * null.
 * @param {Point[]} points
 * @param {Point} pointer
 * @param {Size} size
 * @param {number} reach
 */
export function edgeNear(points, pointer, size, reach) {
  const found = points.map((start, index) => {
    const point = nearestOn(start, points[(index + 1) % points.length], pointer, size);
    return { index, point, distance: distance(point, pointer, size) };
  });
  const nearest = found.reduce((best, edge) => (edge.distance < best.distance ? edge : best));
  return nearest.distance <= reach ? nearest : null;
}

/**
 * @param {Point} start
 * @param {Point} end
 * @param {Point} pointer
 * @param {Size} size
 * @returns {Point}
 */
function nearestOn(start, end, pointer, [width, height]) {
  const [alongX, alongY] = [(end[0] - start[0]) * width, (end[1] - start[1]) * height];
  const [toX, toY] = [(pointer[0] - start[0]) * width, (pointer[1] - start[1]) * height];
  const part = bounded((toX * alongX + toY * alongY) / (alongX ** 2 + alongY ** 2 || 1));
  return [start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])];
}

/**
 * Returns the index of the point at which the longest edge begins, as it is seen.
 * @param {Point[]} points
 * @param {Size} size
 */
export function longestEdge(points, size) {
  const lengths = points.map((point, at) => distance(point, points[(at + 1) % points.length], size));
  return lengths.indexOf(Math.max(...lengths));
}
