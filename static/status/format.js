// Figures as people read them.

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const count = new Intl.NumberFormat();

export const none = "–";
export const time = (/** @type {Date} */ date) => clock.format(date);
export const full = (/** @type {Date} */ date) => moment.format(date);
export const number = (/** @type {number} */ value) => count.format(value);
export const rate = (/** @type {number} */ value) => value.toFixed(1);
export const percent = (/** @type {number} */ share) => `${Math.round(100 * share)} %`;

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** @param {number} value */
export function bytes(value) {
  let power = 0;
  while (value >= 1024 && power < UNITS.length - 1) {
    value /= 1024;
    power += 1;
  }
  return `${power && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`;
}

/** @type {[size: number, unit: string][]} */
const PARTS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const first = PARTS.findIndex(([size]) => whole >= size);
  let left = whole;
  return PARTS.slice(first, first + 2).map(([size, unit]) => {
    const amount = Math.floor(left / size);
    left %= size;
    return amount || size === PARTS[first][0] ? `${amount} ${unit}` : "";
  }).filter(Boolean).join(" ");
}

/** @param {number | null} value */
export function milliseconds(value) {
  if (value === null) return none;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
