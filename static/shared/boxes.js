// Draws a picture with the boxes of what was found in it, in the colours of the server's own streams.

import { pen } from "./dom.js";

/** @import { Detection } from "api" */
/** @typedef {Pick<Detection, "label" | "class_id" | "score" | "track_id" | "box_relative">} Found */
/** @typedef {{image: CanvasImageSource, width: number, height: number}} Picture */
/**
 * @typedef {{line: number, text: number, chosen?: number | null}} Style in pixels; the track that is pointed
 *   out
 */

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";

/**
 * How boxes look in a file: as the server draws them (stream_server/drawing/annotate.py), but no line that
 * JPEG would blur.
 * @param {number} width
 * @param {number} height
 */
function fileStyle(width, height) {
  const side = Math.min(width, height);
  return { line: Math.max(2, Math.round(side / 280)), text: Math.max(12, Math.round(side / 38)) };
}

/**
 * Draws the whole picture in the middle of the canvas, as large as fits, with `detections` on it; sizes as on
 * the screen.
 * @param {HTMLCanvasElement} canvas
 * @param {Picture | null} picture
 * @param {Found[]} detections
 * @param {string[]} colours by class id
 */
export function show(canvas, picture, detections, colours) {
  const ratio = devicePixelRatio;
  const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = pen(canvas);
  context.clearRect(0, 0, width, height);
  if (!picture) return;
  const scale = Math.min(width / picture.width, height / picture.height);
  const [shownWidth, shownHeight] = [picture.width * scale, picture.height * scale];
  context.save();
  context.translate(Math.round((width - shownWidth) / 2), Math.round((height - shownHeight) / 2));
  context.drawImage(picture.image, 0, 0, shownWidth, shownHeight);
  drawBoxes(context, shownWidth, shownHeight, detections, colours, { line: 2 * ratio, text: 13 * ratio });
  context.restore();
}

/**
 * Returns the picture with its boxes as a JPEG, in its own size.
 * @param {Picture} picture
 * @param {Found[]} detections
 * @param {string[]} colours
 * @returns {Promise<Blob>}
 */
export function annotated({ image, width, height }, detections, colours) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = pen(canvas);
  context.drawImage(image, 0, 0, width, height);
  drawBoxes(context, width, height, detections, colours, fileStyle(width, height));
  return new Promise((resolve, reject) => {
    /** @param {Blob | null} jpeg */
    const settle = (jpeg) => (jpeg ? resolve(jpeg) : reject(new Error("too large for this browser")));
    canvas.toBlob(settle, "image/jpeg", 0.9);
  });
}

/**
 * Draws boxes on a picture that covers the context's first `width` × `height` pixels.
 * @param {CanvasRenderingContext2D} context
 * @param {number} width
 * @param {number} height
 * @param {Found[]} detections
 * @param {string[]} colours
 * @param {Style} style
 */
export function drawBoxes(context, width, height, detections, colours, style) {
  context.lineWidth = style.line;
  context.font = `600 ${style.text}px ${FONT}`;
  context.textBaseline = "middle";
  for (const found of [...detections].reverse()) { // the surest on top
    const { x_min, y_min, x_max, y_max } = found.box_relative;
    const [left, right] = [x_min * width, x_max * width].map(Math.round);
    const [top, bottom] = [y_min * height, y_max * height].map(Math.round);
    const colour = colours[found.class_id % colours.length];
    const [boxWidth, boxHeight] = [right - left, bottom - top];
    const isChosen = style.chosen && found.track_id === style.chosen;
    if (isChosen) pointOut(context, left, top, boxWidth, boxHeight, style.line);
    context.strokeStyle = colour;
    context.strokeRect(left, top, boxWidth, boxHeight);
    drawLabel(context, labelOf(found), left, top, width, colour, style);
  }
}

/**
 * Makes one box stand out from all others, whatever is behind it: a white line around it, a lighter picture
 * in it.
 * @param {CanvasRenderingContext2D} context
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 * @param {number} line
 */
function pointOut(context, left, top, width, height, line) {
  context.fillStyle = "#fff3";
  context.fillRect(left, top, width, height);
  context.save();
  context.lineWidth = 4 * line;
  context.strokeStyle = "#fff";
  context.strokeRect(left, top, width, height);
  context.restore();
}

/** @param {Found} found */
function labelOf({ label, score, track_id }) {
  return `${label} ${Math.round(100 * score)} %${track_id ? ` #${track_id}` : ""}`;
}

/**
 * Writes a box's text above it, or inside where there is no room above, and never beyond the picture's sides.
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} left
 * @param {number} top
 * @param {number} width of the picture
 * @param {string} colour
 * @param {Style} style
 */
function drawLabel(context, text, left, top, width, colour, { line, text: size }) {
  const [padding, boxHeight] = [size * 0.35, size * 1.4];
  const boxWidth = context.measureText(text).width + 2 * padding;
  const x = Math.max(0, Math.min(left - line / 2, width - boxWidth));
  const y = top - boxHeight < 0 ? Math.max(0, top) : top - boxHeight;
  context.fillStyle = colour;
  context.fillRect(x, y, boxWidth, boxHeight);
  context.fillStyle = textOn(colour);
  context.fillText(text, x + padding, y + boxHeight / 2);
}

/**
 * Black or white, whichever has more contrast (by the Rec. 601 luma).
 * @param {string} colour as #rrggbb
 */
function textOn(colour) {
  const [red, green, blue] = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue > 110 ? "#000" : "#fff";
}
