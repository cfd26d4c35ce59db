// The list of jobs: filled once, then kept live by the event stream, which resumes where it broke.

import { element, shown } from "./dom.js";
import { showResult } from "./result.js";

const QUEUE_EVERY_MS = 2000;
const LISTED = 200;
const jobs = new Map(); // job_id -> { summary, row }
let chosen = null; // the job_id in the detail
let detailSeq = 0; // the change of that job that the detail shows

const list = document.getElementById("jobs");
const detail = document.getElementById("detail");
const connection = document.getElementById("connection");

function place(summary) {
  const known = jobs.get(summary.job_id);
  if (known && known.summary.seq >= summary.seq) return;
  const row = known ? known.row : newRow(summary.job_id);
  jobs.set(summary.job_id, { summary, row });
  fill(row.firstElementChild, summary);
  while (list.children.length > LISTED) {
    jobs.delete(list.lastElementChild.dataset.job);
    list.lastElementChild.remove();
  }
  if (summary.job_id === chosen) showDetail();
  tally();
}

function newRow(jobId) {
  const button = element("button", { type: "button", class: "job", "aria-pressed": "false" });
  button.addEventListener("click", () => { location.hash = `job=${encodeURIComponent(jobId)}`; });
  const row = element("li", { "data-job": jobId }, button);
  list.prepend(row);
  document.getElementById("empty").hidden = true;
  return row;
}

function fill(button, summary) {
  button.className = `job ${summary.status}`;
  const parts = [
    element("span", { class: "name", text: summary.job_id }),
    element("span", { class: "status", text: status(summary) }),
  ];
  const bar = element("progress", { max: 100, "aria-label": "progress" });
  bar.value = summary.progress;
  parts.push(bar);
  if (summary.scores) {
    const scores = Object.entries(summary.scores).map(([name, value]) =>
      element("span", { text: `${name} ` }, element("b", { text: shown(value) })));
    parts.push(element("span", { class: "scores" }, ...scores));
  } else if (summary.error) {
    parts.push(element("span", { class: "scores", text: summary.error.code }));
  }
  button.replaceChildren(...parts);
}

function status(summary) {
  return summary.status === "processing" ? `${summary.progress} %` : summary.status;
}

function tally() {
  const count = { processing: 0, completed: 0, failed: 0 };
  for (const { summary } of jobs.values()) count[summary.status] += 1;
  document.getElementById("tally").textContent =
    `${count.completed} completed · ${count.failed} failed · ${count.processing} under way`;
}

async function showDetail() {
  const jobId = chosen;
  const answer = await fetch(`/jobs/${encodeURIComponent(jobId)}`);
  if (chosen !== jobId) return; // another was chosen meanwhile
  if (!answer.ok) {
    delete detail.dataset.job;
    detail.replaceChildren(element("p", { class: "hint", text: await answer.text() }));
    return;
  }
  const job = await answer.json();
  if (detail.dataset.job === jobId && job.seq <= detailSeq) return; // shown already, or older
  detail.dataset.job = jobId;
  detailSeq = job.seq;
  showResult(detail, job);
}

function choose() {
  const wanted = new URLSearchParams(location.hash.slice(1)).get("job");
  if (wanted === chosen) return;
  chosen = wanted;
  for (const [jobId, { row }] of jobs) {
    row.firstElementChild.setAttribute("aria-pressed", String(jobId === chosen));
  }
  if (chosen) showDetail();
}

async function showQueue() {
  if (document.hidden) return;
  const answer = await fetch("/queue/status").catch(() => null);
  const box = document.getElementById("queue");
  box.hidden = answer?.status !== 200; // 204: no queue is watched
  if (box.hidden) return;
  const counts = await answer.json();
  const names = { available: "waiting", in_flight: "in flight", delayed: "delayed", dead_letter: "dead letters" };
  box.replaceChildren(...Object.entries(names)
    .filter(([name]) => counts[name] !== null)
    .map(([name, label]) =>
      element("div", {}, element("dt", { text: label }), element("dd", { text: counts[name] }))));
}

async function start() {
  document.getElementById("address").textContent = new URL("/webhook", location).href;
  const known = (await (await fetch("/jobs")).json()).jobs;
  known.forEach(place);
  choose();
  tally();
  window.addEventListener("hashchange", choose);
  const last = known.reduce((seq, job) => Math.max(seq, job.seq), 0);
  const stream = new EventSource(`/events?after=${last}`);
  stream.addEventListener("job", (event) => { place(JSON.parse(event.data)); choose(); });
  stream.addEventListener("open", () => { connection.textContent = "live"; connection.className = "live"; });
  stream.addEventListener("error", () => { connection.textContent = "reconnecting"; connection.className = ""; });
  showQueue();
  setInterval(showQueue, QUEUE_EVERY_MS);
}

start();
