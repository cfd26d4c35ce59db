// Two pictures in SVG, drawn anew at the width they have: melody over time, and words over time.

import { drawn, element } from "./dom.js";

const MARGIN = { top: 24, right: 8, bottom: 22, left: 34 }; // px
const PITCH_HEIGHT = 250; // px
const ROW_HEIGHT = 26; // px
const LABEL_GAP = 3; // px
const LEAST_SEMITONES = 4; // an almost flat melody must look flat

const ruler = document.createElement("canvas").getContext("2d");
ruler.font = "12px system-ui, sans-serif"; // as the stylesheet has it for these labels

// Contours are [seconds, semitones | null] on the recording's clock; null ends a voiced stretch.
export function pitchPlot(result) {
  const { user, reference } = result.pitch.contours;
  const points = [...user, ...reference];
  const semitones = points.map(([, value]) => value).filter((value) => value !== null);
  const high = Math.ceil(Math.max(LEAST_SEMITONES, ...semitones));
  const low = Math.floor(Math.min(-LEAST_SEMITONES, ...semitones));
  const last = Math.max(result.audio.duration_s, ...points.map(([time]) => time));
  const spans = result.words.filter((word) => word.user)
    .map((word) => ({ text: word.word, ...word.user }));
  return resizing("Melody in semitones around each speaker's own median, over seconds", (width) => {
    const x = scale(0, last, MARGIN.left, width - MARGIN.right);
    const y = scale(low, high, PITCH_HEIGHT - MARGIN.bottom, MARGIN.top);
    return picture(width, PITCH_HEIGHT, [
      ...wordBands(spans, x),
      ...semitoneGrid(low, high, x(0), x(last), y),
      ...secondTicks(last, x, PITCH_HEIGHT),
      drawn("path", { class: "actor", d: path(reference, x, y) }),
      drawn("path", { class: "own", d: path(user, x, y) }),
    ]);
  });
}

export function timingPlot(result) {
  const offset = result.timing?.offset_s ?? 0;
  const rows = [
    result.words.filter((word) => word.user).map((word) => ({ text: word.word, ...word.user })),
    result.words.filter((word) => word.reference).map((word) => ({
      text: word.word, start: word.reference.start + offset, end: word.reference.end + offset,
    })),
  ];
  const all = rows.flat();
  const first = Math.min(0, ...all.map((span) => span.start));
  const last = Math.max(...all.map((span) => span.end));
  const height = 2 * (ROW_HEIGHT + 6) + MARGIN.bottom;
  return resizing("Words over seconds: this recording above, the actor below", (width) => {
    const x = scale(first, last, 4, width - 4);
    const bars = rows.flatMap((spans, row) =>
      spans.flatMap((span) => bar(span, x, 2 + row * (ROW_HEIGHT + 6), ["own", "actor"][row])));
    return picture(width, height, [...bars, ...secondTicks(last, x, height)]);
  });
}

function resizing(label, draw) {
  const box = element("div", { class: "plot", role: "img", "aria-label": label });
  let drawnAt = 0;
  new ResizeObserver(() => {
    const width = Math.floor(box.clientWidth);
    if (width === drawnAt || width === 0) return;
    drawnAt = width;
    box.replaceChildren(draw(width));
  }).observe(box);
  return box;
}

function picture(width, height, children) {
  return drawn("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" }, ...children);
}

function scale(from, to, start, end) {
  return (value) => start + ((value - from) / (to - from || 1)) * (end - start);
}

function path(contour, x, y) {
  let pen = "M";
  let d = "";
  for (const [time, value] of contour) {
    if (value === null) {
      pen = "M";
    } else {
      d += `${pen}${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
    }
  }
  return d;
}

function wordBands(spans, x) {
  const bottom = PITCH_HEIGHT - MARGIN.bottom;
  return spans.flatMap((span, index) => {
    const left = x(span.start);
    const wide = x(span.end) - left;
    return [
      index % 2 === 0 && drawn("rect", {
        class: "band", x: left, y: MARGIN.top, width: wide, height: bottom - MARGIN.top,
      }),
      fits(span.text, wide) && drawn("text", {
        x: left + wide / 2, y: MARGIN.top - 8, "text-anchor": "middle", text: span.text,
      }),
    ].filter(Boolean);
  });
}

function bar(span, x, top, kind) {
  const left = x(span.start);
  const wide = Math.max(1, x(span.end) - left - 1);
  return [
    drawn("rect", { class: kind, x: left, y: top + 16, width: wide, height: ROW_HEIGHT - 18, rx: 2 }),
    fits(span.text, wide) && drawn("text", { x: left + 1, y: top + 11, text: span.text }),
  ].filter(Boolean);
}

function fits(text, width) {
  return ruler.measureText(text).width + LABEL_GAP <= width;
}

function semitoneGrid(low, high, left, right, y) {
  const step = high - low > 16 ? 6 : 2;
  const lines = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) {
    lines.push(drawn("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }));
    lines.push(drawn("text", {
      x: left - 6, y: y(value) + 4, "text-anchor": "end", text: value > 0 ? `+${value}` : `${value}`,
    }));
  }
  return lines;
}

function secondTicks(last, x, height) {
  const step = x(1) - x(0) < 40 ? 2 : 1;
  const ticks = [];
  for (let second = 0; second <= last; second += step) {
    const anchor = x(second) < MARGIN.right ? "start" : "middle"; // or the first would be cut
    ticks.push(drawn("text", { x: x(second), y: height - 6, "text-anchor": anchor, text: `${second} s` }));
  }
  return ticks;
}
