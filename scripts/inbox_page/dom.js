// Elements with text in them. Text is always set as text: nothing in an event becomes markup.

export function element(tag, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  return dress(made, text, attributes, children);
}

export function drawn(tag, { text, ...attributes } = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return dress(made, text, attributes, children);
}

function dress(made, text, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value);
  }
  if (text !== undefined && text !== null) made.textContent = text;
  made.append(...children.filter(Boolean));
  return made;
}

// The bands that colour a score: where the words "good" and "fair" begin, out of 100.
const GOOD = 80;
const FAIR = 60;

export function band(score) {
  if (score === null || score === undefined) return "";
  return score >= GOOD ? "good" : score >= FAIR ? "fair" : "poor";
}

export function shown(score) {
  return score === null || score === undefined ? "–" : Math.round(score).toString();
}
