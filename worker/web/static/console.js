// The console. It takes server-sent events, one for each part that has changed, and writes them into the page. Every
// text from outside goes in as text (textContent), never as markup. The server's clock counts, not the browser's.

const LATE_MS = 5000; // the server sends once a second: after so long without a word something is wrong
const AGAIN_MS = 2000;
const TYPED_MS = 250;
const SVG = "http://www.w3.org/2000/svg";

const at = (id) => document.getElementById(id);
const parts = {};
let source = null;
let again = null;
let heardMs = 0;
let paused = false;
let sought = "";

// --- small words ---

const number = new Intl.NumberFormat("en");
const clock = (s) => new Date(s * 1000).toISOString().slice(11, 19) + " UTC";
const plural = (n, one, many) => `${number.format(n)} ${n === 1 ? one : many}`;

function span(seconds) {
  if (seconds > 0 && seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${Math.floor(s / 86400)} days`;
}

// --- elements ---

function element(name, { text, className, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Writes only what has changed: what is selected or read aloud is left alone.
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Keeps one child for each item, in the items' order, and hands it to `fill`. Children are reused and moved only where
// they stand wrong: focus and what is folded open survive an update. Two items may look the same.
function keep(parent, items, key, make, fill) {
  const known = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
  const wanted = new Map();
  for (const item of items) {
    let name = key(item);
    while (wanted.has(name)) name += "\0";
    wanted.set(name, item);
  }
  for (const [name, child] of known) if (!wanted.has(name)) child.remove();
  let place = parent.firstElementChild;
  for (const [name, item] of wanted) {
    const child = known.get(name) ?? make(item);
    child.dataset.key = name;
    fill(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
}

function pairs(list, entries) {
  keep(list, entries, ([name]) => name, ([name]) => element("div", {}, element("dt", { text: name }), element("dd")), (pair, [, text, className]) => {
    write(pair.lastElementChild, text);
    pair.lastElementChild.className = className ?? "";
  });
}

// --- the parts ---

function showNow(now) {
  write(at("as-of"), `as of ${clock(now.at_s)}`);
  const alarms = [
    now.live && `A restart would help: ${now.live}.`,
    now.ready && `It does not do all its work now: ${now.ready}.`,
  ].filter(Boolean);
  keep(at("alarms"), alarms.map((text, index) => [`${index}`, text]), ([index]) => index, () => element("p"), (node, [, text]) => write(node, text));
  write(at("alarm-words"), [now.live && "The worker is stuck.", now.ready && "The worker is not ready."].filter(Boolean).join(" "));
  const open = ["critical", "high", "medium", "low"].filter((name) => now.incidents[name]);
  pairs(at("health"), [
    ["Alive", now.live ? "no" : "yes", now.live ? "bad" : "good"],
    ["Ready", now.ready ? "no" : "yes", now.ready ? "bad" : "good"],
    ["Open incidents", open.map((name) => `${now.incidents[name]} ${name}`).join(", ") || "none", now.incidents.critical ? "bad" : ""],
    ["Live streams", number.format(now.streams)],
    ["With a risk", number.format(now.risky)],
    ["Waiting at the broker", now.lag === null ? "not known" : plural(now.lag, "event", "events")],
    ["In work", plural(now.in_work, "event", "events")],
    ["Decoders locked down", parts.about ? parts.about.jail : "", parts.about && parts.about.jail !== "full" ? "warn" : ""],
  ]);
  showPartitions(now.partitions);
  tick(now.at_s);
}

function showPartitions(partitions) {
  const wrong = partitions.filter((one) => one.state !== "working").length;
  write(at("partitions").firstElementChild, `${plural(partitions.length, "partition", "partitions")}${wrong ? `, ${wrong} of them not working` : ""}`);
  const make = () => element("tr", {}, element("th", { scope: "row" }), element("td"), element("td", { className: "number" }), element("td", { className: "number" }));
  keep(at("partition-rows"), partitions, (one) => `${one.number}`, make, (row, one) => {
    const [name, state, lag, inWork] = row.children;
    write(name, `${one.number}`);
    write(state, one.why ? `${one.state}: ${one.why}` : one.state);
    state.className = one.state === "working" ? "" : "warn";
    write(lag, one.lag === null ? "–" : number.format(one.lag));
    write(inWork, number.format(one.in_work));
  });
}

function showIncidents(incidents) {
  write(at("incident-count"), incidents.shown.length < incidents.open ? `the gravest ${incidents.shown.length} of ${number.format(incidents.open)}` : `${incidents.open}`);
  at("no-incidents").hidden = incidents.open > 0;
  keep(at("incident-list"), incidents.shown, (one) => one.id, makeIncident, fillIncident);
}

function makeIncident() {
  const details = element("details", {}, element("summary"), element("ul"));
  const title = element("h3", {}, element("bdi", { className: "id" }));
  return element("li", { className: "incident" },
    element("span", { className: "badge" }), " ", title, " ",
    element("span", { className: "faint when" }), element("p", { className: "why" }), details);
}

function fillIncident(node, one) {
  const badge = node.querySelector(".badge");
  write(badge, one.severity);
  badge.className = `badge ${one.severity}`;
  write(node.querySelector("bdi"), one.stream);
  node.dataset.opened = one.opened_s;
  node.dataset.due = one.respond_by_s ?? "";
  node.dataset.more = [one.test && "a test", !one.live && "the stream is over", one.action !== "none" && `suggested: ${one.action}`].filter(Boolean).join(", ");
  write(node.querySelector(".why"), one.explanation ?? `Opened before this worker took the stream, for: ${one.kinds.join(", ")}. Its reasons are with the reviewers.`);
  const details = node.querySelector("details");
  details.hidden = one.reasons.length === 0;
  const count = one.reasons.length + one.more_reasons;
  write(details.firstElementChild, plural(count, "reason", "reasons"));
  const reasons = one.more_reasons ? [...one.reasons, `and ${one.more_reasons} more`] : one.reasons;
  keep(details.lastElementChild, reasons.map((text, index) => [`${index}`, text]), ([index]) => index, () => element("li"), (item, [, text]) => write(item, text));
}

function showStreams(streams) {
  sought = streams.prefix;
  const about = !streams.prefix ? "in all" : streams.matching === 1 ? "that begins so" : "that begin so";
  write(at("stream-count"), streams.shown.length < streams.matching ? `${streams.shown.length} of ${number.format(streams.matching)} ${about}` : `${number.format(streams.matching)} ${about}`);
  at("no-streams").hidden = streams.shown.length > 0;
  write(at("no-streams"), streams.prefix ? "No live stream's id begins so." : "Nothing has come in the last minutes.");
  keep(at("stream-rows"), streams.shown, (one) => one.id, makeStream, fillStream);
  if (parts.now) tick(parts.now.at_s);
}

function makeStream() {
  const id = element("th", { scope: "row" }, element("bdi", { className: "id" }), " ", element("span", { className: "badge" }), element("div", { className: "faint last" }));
  const risk = element("td", { className: "number" }, element("span", { className: "risk" }), element("div", { className: "faint above" }));
  return element("tr", {}, id, risk, element("td", {}, makeTrace()));
}

function fillStream(row, one) {
  write(row.querySelector("bdi"), one.id);
  const badge = row.querySelector(".badge");
  badge.hidden = !one.incident;
  write(badge, one.severity ?? "incident");
  badge.className = `badge ${one.severity ?? ""}`;
  row.dataset.heard = one.heard_s;
  row.dataset.words = one.outcome === "assessed" ? one.words : `${one.outcome.replace("_", "-")}: ${one.words}`;
  row.dataset.behind = one.behind_s === null ? "" : `, ${span(one.behind_s)} after it came`;
  write(row.querySelector(".risk"), one.risk.toFixed(2));
  write(row.querySelector(".above"), `opens > ${one.open_above}`);
  drawTrace(row.querySelector("svg"), one.points, one.open_above, one.risk);
}

function makeTrace() {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ class: "trace", role: "img", viewBox: "0 0 100 24", preserveAspectRatio: "none" })) svg.setAttribute(key, value);
  svg.append(document.createElementNS(SVG, "line"), document.createElementNS(SVG, "polyline"));
  return svg;
}

function drawTrace(svg, points, openAbove, risk) {
  const top = Math.max(openAbove * 1.1, ...points, 0.1);
  const y = (value) => (23 - (22 * value) / top).toFixed(2);
  const [line, trace] = svg.children;
  for (const [key, value] of Object.entries({ x1: 0, x2: 100, y1: y(openAbove), y2: y(openAbove) })) line.setAttribute(key, value);
  const shown = points.length ? points : [0, 0];
  trace.setAttribute("points", shown.map((value, index) => `${((100 * index) / (shown.length - 1)).toFixed(2)},${y(value)}`).join(" "));
  const highest = points.length ? Math.max(...points) : 0;
  svg.setAttribute("aria-label", highest ? `risk now ${risk.toFixed(2)}, at most ${highest.toFixed(2)}, incidents open above ${openAbove}` : "no risk");
}

function showOutcomes(outcomes) {
  at("no-outcomes").hidden = outcomes.length > 0;
  keep(at("outcome-rows"), outcomes, (one) => `${one.outcome} ${one.why}`, () => element("tr", {}, element("th", { scope: "row" }), element("td"), element("td", { className: "number" })), (row, one) => {
    const [outcome, why, count] = row.children;
    write(outcome, one.outcome.replace("_", "-"));
    outcome.className = { assessed: "", skipped: "", shed: "warn", dead_lettered: "bad" }[one.outcome] ?? "";
    write(why, one.words);
    write(count, number.format(one.count));
  });
}

function showAbout(about) {
  write(at("worker"), `${about.worker}, group ${about.group}, topic ${about.topic}`);
  document.title = `Framewatch · ${about.worker}`;
  const minutes = about.counted_min;
  write(at("outcomes-caption"), `In the last ${minutes} minutes`);
  write(at("no-outcomes"), `Nothing has come in the last ${minutes} minutes.`);
  write(at("minutes"), `${Math.round((about.every_s * about.points) / 60)}`);
  const digest = (ref) => ref.sha256.slice(0, 12);
  pairs(at("about"), [
    ["Model", about.model ? `${about.model.name} ${about.model.version} (${digest(about.model)}), runs on ${about.model_on}` : "none: only hash lists are matched", about.model ? "" : "warn"],
    ...about.model_notes.map((note) => ["", note, "warn"]),
    ["Policy", `${about.policy.name} (${digest(about.policy)})`],
    ...about.lists.map((one) => [`List ${one.name}`, `version ${one.version}, ${one.kind}, ${plural(one.entries, "entry", "entries")}`]),
    ...(about.lists.length ? [] : [["Lists", "none: only the classifier looks", "warn"]]),
    ["Decoders", about.jail_missing.length ? `${about.jail}, missing: ${about.jail_missing.join(", ")}` : `locked down: ${about.jail}`],
    ["Framewatch", about.version],
    ["Runs since", new Date(about.started_s * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC"],
  ]);
}

// What counts on while nothing changes.
function tick(now) {
  for (const node of at("incident-list").children) {
    const { opened, due, more } = node.dataset;
    const when = node.querySelector(".when");
    const late = due && Number(due) < now;
    const answer = due ? (late ? `, an answer was due ${span(now - due)} ago` : `, an answer is due in ${span(due - now)}`) : "";
    write(when, `opened ${span(now - opened)} ago${answer}${more ? `, ${more}` : ""}`);
    when.classList.toggle("bad", Boolean(late));
  }
  for (const row of at("stream-rows").children) {
    const { words, heard, behind } = row.dataset;
    write(row.querySelector(".last"), `${words}, ${span(Math.round(now - heard))} ago${behind}`);
  }
}

const shows = { about: showAbout, streams: showStreams, incidents: showIncidents, outcomes: showOutcomes, now: showNow };

// --- the link ---

function say(state, words) {
  at("link").dataset.state = state;
  write(at("link-words"), words);
  document.body.classList.toggle("stale", state === "lost");
}

function take(name, data) {
  heardMs = performance.now();
  parts[name] = JSON.parse(data);
  say("live", paused ? "Paused" : "Live");
  const answersSearch = name === "streams" && parts.streams.prefix !== sought; // what somebody asks for is no update
  if (!paused || answersSearch) shows[name](parts[name]);
}

function connect() {
  clearTimeout(again);
  source?.close();
  heardMs = performance.now();
  const prefix = at("prefix").value;
  source = new EventSource("/console/events" + (prefix ? `?prefix=${encodeURIComponent(prefix)}` : ""));
  for (const name of Object.keys(shows)) source.addEventListener(name, (event) => take(name, event.data));
  source.onerror = lost;
}

// A browser tries again by itself after a connection breaks, but gives up when the answer is an error.
async function lost() {
  const failed = source;
  say("lost", "Connection lost. Trying again…");
  if (failed.readyState !== EventSource.CLOSED) return;
  clearTimeout(again);
  again = setTimeout(connect, AGAIN_MS);
  const answer = await fetch("/", { cache: "no-store" }).catch(() => null);
  if (answer?.status === 401) location.reload();
}

function watchdog() {
  if (performance.now() - heardMs > LATE_MS) {
    say("lost", "Nothing comes any more. Trying again…");
    connect();
  }
}

// --- what people do ---

let typed = null;
at("prefix").addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(connect, TYPED_MS);
});
at("search").addEventListener("submit", (event) => {
  event.preventDefault();
  connect();
});
at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  say(at("link").dataset.state, paused ? "Paused" : "Live");
  if (!paused) for (const [name, part] of Object.entries(parts)) shows[name](part);
});

setInterval(watchdog, 1000);
connect();
