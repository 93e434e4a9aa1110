// Figures as people read them.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const count = new Intl.NumberFormat();

export const none = "–";
export const time = (date) => clock.format(date);
export const full = (date) => moment.format(date);
export const number = (value) => count.format(value);
export const rate = (value) => value.toFixed(1);
export const percent = (share) => `${Math.round(100 * share)} %`;

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(value) {
  let power = 0;
  while (value >= 1024 && power < UNITS.length - 1) {
    value /= 1024;
    power += 1;
  }
  return `${power && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`;
}

export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([size]) => whole >= size);
  let left = whole;
  return parts.slice(first, first + 2).map(([size, unit]) => {
    const amount = Math.floor(left / size);
    left %= size;
    return amount || size === parts[first][0] ? `${amount} ${unit}` : "";
  }).filter(Boolean).join(" ");
}

export function milliseconds(value) {
  if (value === null) return none;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
