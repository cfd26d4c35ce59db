// One job in full: its scores, its words coloured by score, its melody and timing, what to tell.

import { band, element, shown } from "./dom.js";
import { pitchPlot, timingPlot } from "./plots.js";

export function showResult(box, job) {
  const parts = [
    element("h2", { text: job.job_id }),
    element("p", { class: "facts", text: facts(job) }),
  ];
  if (job.error) parts.push(errorBlock(job.error));
  else if (!job.result) parts.push(waiting(job));
  if (job.result) parts.push(...resultBlocks(job.result));
  parts.push(element("p", { class: "facts" },
    element("a", { href: `/jobs/${encodeURIComponent(job.job_id)}`, text: "All of it as JSON" })));
  box.replaceChildren(...parts);
}

function facts(job) {
  const metadata = Object.entries(job.metadata).map(([name, value]) => `${name}: ${value}`);
  const audio = job.result?.audio;
  return [
    job.video_id !== null && `clip ${job.video_id}`,
    audio && `${audio.duration_s.toFixed(1)} s ${audio.codec ?? audio.container ?? ""}`,
    job.attempt > 1 && `receive ${job.attempt}`,
    ...metadata,
  ].filter(Boolean).join(" · ");
}

function waiting(job) {
  const bar = element("progress", { max: 100, "aria-label": "progress" });
  bar.value = job.progress;
  return element("div", {}, element("p", { text: `${job.message} (${job.progress} %)` }), bar);
}

function errorBlock(error) {
  const cause = error.cause ? `, because of ${error.cause}` : "";
  const again = error.retryable ? "Sending the job again may help." : "Sending it again won't help.";
  return element("div", { class: "error" },
    element("p", {}, element("code", { text: error.code }), ` at the ${error.stage} stage${cause}`),
    element("p", { text: error.message }),
    element("p", { text: again }));
}

function resultBlocks(result) {
  const blocks = [meters(result.scores)];
  if (result.feedback?.length) blocks.push(...section("What to tell the learner", feedback(result)));
  if (result.words?.length) blocks.push(...section("Words, by score", words(result.words)));
  if (result.pitch?.contours) {
    const r = result.pitch.correlation;
    const title = r === null ? "Melody" : `Melody: correlation ${r.toFixed(2)}`;
    blocks.push(...section(title, legend(), pitchPlot(result)));
  }
  if (result.words?.some((word) => word.reference)) {
    blocks.push(...section(timingTitle(result.timing), legend(), timingPlot(result)));
  }
  return blocks;
}

function section(title, ...content) {
  return [element("h3", { text: title }), ...content];
}

function meters(scores) {
  const names = ["overall", "pronunciation", "timing", "pitch", "fluency", "completeness", "prosody"];
  const boxes = names.filter((name) => name in scores).map((name) =>
    element("div", { class: band(scores[name]) },
      element("dt", { text: name }), element("dd", { text: shown(scores[name]) })));
  return element("dl", { class: "meters" }, ...boxes);
}

function feedback(result) {
  const items = result.feedback.map((item) => element("li", { text: item.message }));
  return element("ul", { class: "feedback" }, ...items);
}

function words(all) {
  const phones = element("div", { class: "phones", text: "Press a word to see its sounds." });
  const buttons = all.map((word) => {
    const score = word.scores.overall ?? word.scores.pronunciation;
    const omitted = word.status === "omitted";
    const button = element("button", {
      type: "button",
      class: `word ${omitted ? "omitted poor" : band(score)}`,
      "aria-pressed": "false",
      "data-status": word.status,
    }, element("span", { text: word.word }),
    element("small", { text: omitted ? "left out" : shown(score) }));
    button.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      phones.replaceChildren(...sounds(word));
    });
    return button;
  });
  return element("div", {}, element("div", { class: "words" }, ...buttons), phones);
}

function sounds(word) {
  if (!word.phones.length) return ["Its sounds were not placed."];
  return word.phones.map((phone) =>
    element("span", { class: `phone ${band(phone.score)}` },
      element("b", { text: phone.said ? `${phone.phone} → ${phone.said}` : phone.phone }),
      element("small", { text: shown(phone.score) })));
}

function legend() {
  return element("p", { class: "legend" },
    element("span", {}, element("i", { class: "own" }), "this recording"),
    element("span", {}, element("i", { class: "actor" }), "the actor"));
}

function timingTitle(timing) {
  if (!timing?.tempo_ratio) return "Timing";
  const percent = Math.round(Math.abs(timing.tempo_ratio - 1) * 100);
  if (percent === 0) return "Timing: as fast as the actor";
  return `Timing: ${percent} % ${timing.tempo_ratio > 1 ? "slower" : "faster"} than the actor`;
}
